"""`python -m mapprobe`."""

from mapprobe.cli import main

main()
