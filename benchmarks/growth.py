"""Measure how time and memory of a replay grow with events, maps and entries; give figures and draw a picture.

Each size is recorded and replayed in processes of their own, so that their peak memory is seen. Linear growth is a
straight line of slope 1, or a flatter one, in these pictures.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, told

import mapprobe
from programs import ROOT, build

RELEASE = (1, 27)
PICTURE = ROOT / "docs" / "performance-growth.svg"
SERIES = {
    "events": ("zipf", 1, (100_000, 1_000_000, 10_000_000, 100_000_000)),
    "maps": ("tiny", 4, (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)),
    "entries": ("drain", 2, (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)),
}
"""For each quantity that grows: the stream, its operations for one unit of the quantity, and the sizes."""
LARGEST_EVENTS = 100_000_000
GOAL_BYTES, GOAL_SLOPE = 1e9, 1.15


POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Point:
    """One size: time and peak memory of its replay, and peak memory of its recorder."""

    size: int
    events: int
    seconds: float
    peak_bytes: int
    recorder_bytes: int


def replayed(stream: str, operations: int, size: int) -> Point:
    """Record a stream, and replay it in a process of its own."""
    program = [str(build("streams", RELEASE)), stream, str(operations)]
    with tempfile.TemporaryDirectory(dir=ROOT / ".build") as scratch:
        folder = Path(scratch) / "r"
        recorder_bytes = recorded(program, folder)
        done = subprocess.run([sys.executable, __file__, str(folder)], check=True, capture_output=True, text=True)
        return Point(size, mapprobe.open(folder).session.events, *json.loads(done.stdout), recorder_bytes)


def recorded(program: list[str], folder: Path) -> int:
    """Record a program, and return the recorder's peak memory [bytes]."""
    recorder = [sys.executable, "-m", "mapprobe", "record", "--stack-depth", "2", "-o", str(folder), "--", *program]
    # not getrusage, which would include the recorded program, as the recorder waits for it
    quiet, peak = subprocess.DEVNULL, 0
    with subprocess.Popen(recorder, stdout=quiet, stderr=quiet) as running:
        while running.poll() is None:
            peak = max(peak, peak_bytes(running.pid))
            with suppress(subprocess.TimeoutExpired):
                running.wait(POLL_SECONDS)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, recorder)
    return peak


def peak_bytes(pid: int) -> int:
    """Return the peak memory of a process [bytes]; 0 if the process has ended."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except FileNotFoundError:
        return 0
    return int(status.get("VmHWM", "0").split()[0]) << 10


def replay_alone(folder: Path) -> None:
    """Print the seconds and the bytes that a replay takes."""
    recording = mapprobe.open(folder)
    recording.inputs  # noqa: B018 (reads the tables)
    begin = time.perf_counter()
    recording.replay(force=True)
    took = time.perf_counter() - begin
    print(json.dumps([took, peak_bytes(os.getpid())]))


def slope(points: list[Point]) -> float:
    """Return the exponent by which time grows between the two largest sizes."""
    before, last = points[-2:]
    return math.log(last.seconds / before.seconds) / math.log(last.events / before.events)


def draw(found: dict[str, list[Point]]) -> None:
    """Draw time and memory over size."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(12, 3.6), layout="constrained")
    for plot, (what, points) in zip(axes, found.items(), strict=True):
        sizes = [point.size for point in points]
        plot.loglog(sizes, [point.seconds for point in points], "o-", label="seconds")
        plot.loglog(sizes, [point.peak_bytes / 1e9 for point in points], "s--", label="GB at most")
        plot.set_xlabel(what)
        plot.grid(alpha=0.3)
        plot.legend()
    figure.savefig(PICTURE, metadata={"Date": None})


def figures(largest: int = LARGEST_EVENTS) -> Iterator[Figure]:
    """Yield the figures of all sizes whose recordings have at most `largest` events."""
    found: dict[str, list[Point]] = {}
    replayed("drain", 1_000, 1_000)  # builds the program, and loads files into the cache, before anything is measured
    for what, (stream, factor, sizes) in SERIES.items():
        found[what] = []
        for size in sizes:
            if size * factor > largest:
                continue
            point = replayed(stream, size * factor, size)
            found[what].append(point)
            peak = f"{point.peak_bytes / 1e6:,.0f} MB at most; its recorder {point.recorder_bytes / 1e6:,.0f} MB"
            yield Figure(f"replay of {size:,} {what}", point.seconds, "s", peer=peak)
        if len(found[what]) > 1:
            yield Figure(f"exponent by which time grows with {what}", slope(found[what]), "", GOAL_SLOPE)
    most = found["events"][-1]
    if most.events >= 0.99 * LARGEST_EVENTS:
        yield Figure("100 M events, a million entries: memory", most.peak_bytes, "bytes", GOAL_BYTES)
    draw(found)


if __name__ == "__main__":
    if sys.argv[1:] and Path(sys.argv[1]).is_dir():
        replay_alone(Path(sys.argv[1]))
    else:
        list(told(figures(*map(int, sys.argv[1:]))))
