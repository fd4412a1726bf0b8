"""Measure how long a command takes that has nothing to compute, beside the start of Python itself."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, told

from programs import ROOT

TURNS = 9
GOAL_HELP_MS = 150.0
GOAL_REPORT_MS = 1000.0


def taken_ms(*command: str) -> float:
    """Return the median time that a command takes [ms]."""
    took = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1e3


def figures() -> Iterator[Figure]:
    """Yield the figures."""
    bare = f"python -c pass {taken_ms(sys.executable, '-c', 'pass'):.0f} ms"
    mapprobe = (sys.executable, "-m", "mapprobe")
    yield Figure("mapprobe --help", taken_ms(*mapprobe, "--help"), "ms", GOAL_HELP_MS, peer=bare)
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(shutil.copytree(ROOT / "traces" / "go1.27-session-cache", Path(scratch) / "r"))
        subprocess.run([*mapprobe, "replay", folder], check=True, capture_output=True)
        yield Figure(
            "report on a replayed recording", taken_ms(*mapprobe, "report", folder), "ms", GOAL_REPORT_MS, peer=bare
        )


if __name__ == "__main__":
    list(told(figures()))
