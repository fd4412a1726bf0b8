"""The kernels as plain Python, where numpy is stricter about types and overflow and coverage sees each line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize("module", ["test_classic.py", "test_swiss.py"])
def test_uncompiled_kernels_equal_the_reference(module: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-k", "slot_by_slot", HERE / module]
    done = subprocess.run(
        command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
