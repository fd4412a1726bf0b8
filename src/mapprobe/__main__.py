"""`python -m mapprobe`."""

from mapprobe.cli.main import main

main()
