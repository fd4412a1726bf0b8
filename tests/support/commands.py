"""Runs commands on a shipped recording."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.toolchains import ROOT

SAMPLE = ROOT / "traces" / "go1.27-session-cache"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `mapprobe` with these words in a folder."""
    command = [sys.executable, "-m", "mapprobe", *words]
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False
    )
