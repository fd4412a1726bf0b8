"""Maps that are written all the time, and processes that are stopped for the last read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mapprobe
from mapprobe.capture import census as capture_census
from mapprobe.capture.recorder import Options, record
from mapprobe.live.census.reader import Enumerator
from mapprobe.live.process import Process
from mapprobe.recording.tables import schema
from support.gobuild import Release, build_program

pytestmark = pytest.mark.system

RELEASES = ((1, 23), (1, 27))
LARGE = 1000
ENTRIES = 1 << 21


@contextmanager
def drained(release: Release, pause: str) -> Iterator[int]:
    """Give the PID of a program whose map was filled and drained, and is written with such pauses."""
    program = [str(build_program("drained", release)), str(ENTRIES), pause]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["map"]
            yield process.pid
        finally:
            process.kill()


def recorded(
    pid: int, folder: Path, options: Options, at_end: Callable[[], object] | None = None
) -> tuple[Any, list[str]]:
    told: list[str] = []
    record(pid, folder, options, told.append, at_end)
    return mapprobe.open(folder), told


def large(recording: Any) -> list[dict[str, Any]]:
    """Return what was read of the map that was drained."""
    rows = recording.table(schema.SNAPSHOT_MAPS).to_pylist()
    return [row for row in rows if row["log2_size"] > 8]


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_map_that_is_written_all_the_time_is_read_as_it_stood(release: Release, tmp_path: Path) -> None:
    with drained(release, "1ms") as pid:
        recording, _ = recorded(pid, tmp_path / "recording", Options(duration=2))
    read, verified = large(recording), recording.verify()

    assert [row["skipped"] for row in read if row["at_end"]] == [None]
    assert verified["buckets"] > LARGE
    assert (verified["buckets_equal"], verified["headers_equal"]) == (verified["buckets"], verified["checked"])


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_process_stands_still_for_the_last_read_and_goes_on(release: Release, tmp_path: Path) -> None:
    with drained(release, "1ms") as pid:
        recording, told = recorded(pid, tmp_path / "recording", Options(duration=1, freeze=True))
        with Process(pid) as process:
            state = process.state()

    assert state not in "Tt"
    assert recording.session.row["paused_ns"] > 0
    assert [line for line in told if "stood still" in line]
    assert recording.verify()["mismatches"] == []


def test_a_process_stopped_by_the_hook_of_the_last_read_is_read_unchanged(tmp_path: Path) -> None:
    with drained(RELEASES[-1], "10us") as pid:
        stop = lambda: os.kill(pid, signal.SIGSTOP)  # noqa: E731 - it is the hook
        recording, _ = recorded(pid, tmp_path / "recording", Options(duration=1), stop)
        with Process(pid) as process:
            state = process.state()

    assert state == "T"
    assert recording.session.row["paused_ns"] is None
    assert recording.verify()["mismatches"] == []


@pytest.mark.parametrize(
    ("owner", "step"), [(Enumerator, "__init__"), (Enumerator, "read"), (capture_census, "write_census")]
)
def test_odd_memory_at_the_start_and_the_end_ends_no_recording(
    owner: object, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OverflowError("a length that no map has")

    monkeypatch.setattr(owner, step, fail)
    with drained(RELEASES[-1], "10ms") as pid:
        recording, told = recorded(pid, tmp_path / "recording", Options(duration=0.5, freeze=True))

    assert [line.split(":")[0] for line in told if "census" in line] == [
        "no census at the start",
        "no census at the end",
    ]
    assert recording.session.row["ended_by"] == "duration"
