"""Measure how fast a recording is replayed, compared with the Go runtime doing the same operations, and its size.

Each stream (`streams/main.go`) is recorded once. Then, in pairs in one run, the program does the stream again unprobed
and prints the time of its maps alone, and the recording is replayed with all attribution on: once only its events, from
memory, and once from file to stored result. All times are CPU times, Go's with its collector; medians of the pairs. The
machine is shared, so only the ratios mean something elsewhere.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, told

import mapprobe
from mapprobe.capture.recorder import Options, record
from mapprobe.recording.files import stored_batches
from mapprobe.recording.tables import schema
from mapprobe.replay.replay import Replay
from programs import RELEASES, Release, build, quiet

STREAMS = {
    "drain": "one map, filled and drained",
    "churn": "10,000 maps by turns",
    "bursts": "10,000 maps, 16 operations each",
    "lru": "LRU of 100,000 strings",
    "zipf": "one map, updates by Zipf",
    "tiny": "many maps of 4 keys",
}
PAIRS = 3
OPERATIONS = 2_000_000
GOALS_TIMES_GO = {"tiny": 2.0, "bursts": 2.0}
GOAL_DECODINGS = {"tiny": 3.0}
GOAL_TIMES_GO, GOAL_BYTES = 3.0, 14.0


@dataclass(frozen=True, slots=True)
class Found:
    """One stream on one release: nanoseconds an operation, bytes an event on disk."""

    go_ns: float
    replay_ns: float
    decode_ns: float
    result_ns: float
    event_bytes: float
    packed_bytes: float


def replay_seconds(recording: Path) -> float:
    """Return the CPU time of replaying packed events from memory, with attribution [s]."""
    replay = Replay(mapprobe.open(recording).inputs)
    batches = list(stored_batches(recording, schema.EVENTS))
    begin = time.process_time()
    for batch in batches:
        replay.feed(batch)
    return time.process_time() - begin


def decode_seconds(recording: Path) -> float:
    """Return the CPU time of reading and decoding the events [s]."""
    begin = time.process_time()
    for _ in stored_batches(recording, schema.EVENTS):
        pass
    return time.process_time() - begin


def result_seconds(recording: Path) -> float:
    """Return the CPU time from file to stored result [s], without opening the recording and reading small tables."""
    opened = mapprobe.open(recording)
    opened.inputs  # noqa: B018 (reads the tables)
    begin = time.process_time()
    opened.replay(force=True)
    return time.process_time() - begin


def measure(stream: str, release: Release, operations: int, folder: Path) -> Found:
    """Record a stream, and time the stream and its replay in pairs."""
    program = [str(build("streams", release)), stream, str(operations)]
    with quiet():
        record(program, folder, Options(stack_depth=2), lambda _: None)
    session = mapprobe.open(folder).session
    if session.lost:
        raise SystemExit(f"{stream}: {session.lost} events were lost")
    go, replayed, decoded, stored = [], [], [], []
    for _ in range(PAIRS):
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        go.append(int(done.stdout) / session.events)
        replayed.append(replay_seconds(folder) * 1e9 / session.events)
        decoded.append(decode_seconds(folder) * 1e9 / session.events)
        stored.append(result_seconds(folder) * 1e9 / session.events)
    before, packed = mapprobe.open(folder).pack()
    medians = (statistics.median(times) for times in (go, replayed, decoded, stored))
    return Found(*medians, before / session.events, packed / session.events)


def figures(operations: int = OPERATIONS) -> Iterator[Figure]:
    """Yield the figures."""
    for name, what in STREAMS.items():
        for release in RELEASES:
            with tempfile.TemporaryDirectory() as scratch:
                found = measure(name, release, operations, Path(scratch) / "r")
            of = f"go{release[0]}.{release[1]} {what}"
            times, share = found.go_ns / found.replay_ns, found.result_ns / found.decode_ns
            beside = f"Go's own map {1e3 / found.go_ns:.1f} M/s"
            yield Figure(
                f"{of}: replay",
                times,
                "times Go",
                GOALS_TIMES_GO.get(name, GOAL_TIMES_GO),
                more_is_better=True,
                peer=beside,
            )
            rate = f"{1e3 / found.result_ns:.1f} M events/s"
            yield Figure(f"{of}: file to result", share, "times decoding", GOAL_DECODINGS.get(name, 1.5), peer=rate)
            yield Figure(f"{of}: recorded", found.event_bytes, "bytes/event", GOAL_BYTES)
            yield Figure(f"{of}: packed", found.packed_bytes, "bytes/event", GOAL_BYTES)


if __name__ == "__main__":
    list(told(figures(*map(int, sys.argv[1:]))))
