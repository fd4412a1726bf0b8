"""Every command keeps its kernels where those of these sources are kept: beside the sources they would go stale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import contextlib, io, sys
from mapprobe.cli import app
with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
    app(sys.argv[1:], standalone_mode=False)
import numba
print(numba.config.CACHE_DIR)
"""
COMMANDS = ["replay out", "report out", "verify out", "check out --max-retained 1GiB", "diff out --at 1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_kernels_are_kept_in_their_place(folder: Path, command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command.split()],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == os.environ["NUMBA_CACHE_DIR"]
