"""How fast a recording is replayed, beside the Go runtime that did the same operations; and how large it is.

Each stream (`streams/main.go`) is recorded once. Then, in pairs in one run, the program does it again unprobed and
prints what its maps alone took, and the recording is replayed from file to result, all attribution on; both by the
clock on the wall. The machine is shared, so only the ratios mean something elsewhere; medians of the pairs.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mapprobe.kernels import keep_kernels
from programs import RELEASES, Release, build

keep_kernels()

import mapprobe  # noqa: E402
from mapprobe import schema, store  # noqa: E402

STREAMS = {
    "drain": "one map, filled and drained",
    "churn": "10,000 maps by turns",
    "bursts": "10,000 maps, 16 operations each",
    "lru": "LRU of 100,000 strings",
    "zipf": "one map, updates by Zipf",
    "tiny": "many maps of 4 keys",
}
PAIRS = 5
GOAL_TIMES_GO, GOAL_BYTES = 3.0, 17.0


@dataclass(frozen=True, slots=True)
class Found:
    """One stream on one release: nanoseconds an operation, bytes an event on disk."""

    go_ns: float
    replay_ns: float
    event_bytes: float


def replay_seconds(recording: Path) -> float:
    """Return the time from file to result; opening and looking at the small tables is not counted."""
    opened = mapprobe.open(recording)
    opened.inputs  # noqa: B018 (reads the tables)
    begin = time.perf_counter()
    opened.replay(force=True)
    return time.perf_counter() - begin


def measure(stream: str, release: Release, operations: int, scratch: Path) -> Found:
    program = [str(build("streams", release)), stream, str(operations)]
    folder = scratch / f"{stream}-{release[1]}"
    command = [sys.executable, "-m", "mapprobe", "record", "--stack-depth", "2", "-o", str(folder), "--", *program]
    subprocess.run(command, check=True, capture_output=True)
    session = mapprobe.open(folder).session
    if session.lost:
        raise SystemExit(f"{stream}: {session.lost} events were lost")
    replay_seconds(folder)  # compiles, or loads what was compiled
    go, replayed = [], []
    for _ in range(PAIRS):
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        go.append(int(done.stdout) / session.events)
        replayed.append(replay_seconds(folder) * 1e9 / session.events)
    size = store.table_path(folder, schema.EVENTS).stat().st_size / session.events
    return Found(statistics.median(go), statistics.median(replayed), size)


def rows(operations: int) -> Iterator[str]:
    for name, what in STREAMS.items():
        for release in RELEASES:
            with tempfile.TemporaryDirectory() as scratch:
                found = measure(name, release, operations, Path(scratch))
            times = found.go_ns / found.replay_ns
            yield (
                f"go{release[0]}.{release[1]}  {what:32} {found.go_ns:7.0f} {found.replay_ns:8.0f} {times:7.1f}"
                f"{' ' if times >= GOAL_TIMES_GO else '!'} {found.event_bytes:7.1f}"
                f"{' ' if found.event_bytes <= GOAL_BYTES else '!'}"
            )


def main() -> None:
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000
    print(f"{platform.release()}; {operations:,} operations, median of {PAIRS} pairs; ! misses the goal")
    print(f"{'':8}{'':32}   Go ns replay ns   times  bytes/event (goals: {GOAL_TIMES_GO} times, {GOAL_BYTES} bytes)")
    for row in rows(operations):
        print(row, flush=True)


if __name__ == "__main__":
    main()
