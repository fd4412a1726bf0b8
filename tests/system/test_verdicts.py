"""Programs that each keep memory in one way: the verdict names the part, the type, the place, and what to do."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mapprobe
from mapprobe.analysis.heap.findings import Finding, Holder
from mapprobe.analysis.heap.map_types import GREW_LEAST
from mapprobe.analysis.heap.waterfall import Name
from mapprobe.report.diff import document
from support.gobuild import STRIPPED, Release, build_program
from support.memory import Memory, Watched
from support.waiting import wait_until

pytestmark = pytest.mark.system

TABLE, SETS, FLOWS = "map[main.packet]*main.connection", "map[string]main.empty", "map[main.tuple]*main.flow"


class Ready:
    """A program of tests/programs that has said that it is ready, and goes on."""

    def __init__(self, program: Path, *arguments: str) -> None:
        self.process = subprocess.Popen([str(program), *arguments], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """Let it stand still: what is read of it then is of one moment."""
        self.process.send_signal(signal.SIGSTOP)


@contextmanager
def ready(program: str, release: Release, *arguments: str) -> Iterator[Ready]:
    """Give the program, and end it."""
    running = Ready(build_program(program, release, STRIPPED), *arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def recorded(running: Ready, folder: Path, events: int = 0) -> Any:
    """Return a recording of a program that is attached to, and stands still when so many events were seen."""
    watched = Watched(running, folder)
    try:
        if events:
            wait_until(lambda: mapprobe.open(folder).event_count >= events, 60)
        running.stop()
        return watched.end()
    finally:
        watched.__exit__()


def findings(recording: Any) -> dict[Holder, Finding]:
    """Return what is found by who keeps it; the parts add up, and none over a tenth is left out."""
    report = recording.heap.data()
    found = report.findings
    assert [row.bytes for row in found] == sorted((row.bytes for row in found), reverse=True)
    told = {name for row in found for name in row.parts}
    # what was never written to may be other heap
    hidden = {Name.OTHER: report.fall[Name.UNTOUCHED]}
    sizes = {step.name: step.bytes + hidden.get(step.name, 0) for step in report.fall.steps}
    assert {name for name, size in sizes.items() if size > 0.1 * report.fall.rss_bytes} <= told
    assert recording.heap.document()["verdict"]["holder"] == found[0].holder
    return {row.holder: row for row in found}


def test_a_table_that_only_grows_is_a_leak_of_entries(release: Release, tmp_path: Path) -> None:
    with ready("only_grows", release) as running:
        recording = recorded(running, tmp_path / "recording", events=50 * GREW_LEAST)
    found = findings(recording)[Holder.GROWING]

    assert TABLE in found.says
    assert "none deleted, inserted by main.(*firewall).add main.go:31" in found.says
    assert "what they refer to (*main.connection) is the rest of the heap" in found.says
    assert found.advice[0].startswith("no rebuild gives anything back")
    assert found.parts == (Name.LIVE, Name.OTHER)
    (entries,) = recording.retention(by="type").query("type == @TABLE").live_slots
    assert f"{entries:,} in 1 map" in found.says


def test_empty_sets_are_to_be_dropped_from_their_index(release: Release, tmp_path: Path) -> None:
    with ready("empty_sets", release) as running:
        recording = recorded(running, tmp_path / "recording", events=500)
    found = findings(recording)[Holder.EMPTY]

    assert SETS in found.says
    assert "all empty" in found.says
    assert found.advice[0].startswith("drop each map when its last entry is deleted, also from the map that holds it")
    assert not any("main.go" in line for line in found.advice)


def test_tables_made_too_large_are_told_from_drained_ones(release: Release, tmp_path: Path) -> None:
    with ready("presized", release) as running:
        made = findings(recorded(running, tmp_path / "made"))
    with ready("presized", release, "drained") as running:
        drained = findings(recorded(running, tmp_path / "drained"))

    assert FLOWS in made[Holder.PRESIZED].says
    assert "make it without a hint, or with a smaller one" in made[Holder.PRESIZED].advice[0]
    assert Holder.MAPS not in made
    assert FLOWS in drained[Holder.MAPS].says
    assert "rebuild" in drained[Holder.MAPS].advice[0]
    assert drained[Holder.MAPS].bytes > (drained[Holder.PRESIZED].bytes if Holder.PRESIZED in drained else 0)


def test_memory_returned_by_madv_free_is_no_fault(release: Release, tmp_path: Path) -> None:
    environment = os.environ | {"GODEBUG": "madvdontneed=0"}
    with Memory(build_program("memory", release, STRIPPED), environment) as memory:
        for line in ("hold 60", "let-go", "give"):
            memory.do(line)
        recording = Watched(memory, tmp_path / "recording").end()
    found = findings(recording)

    assert next(iter(found)) is Holder.RETURNED
    assert "MADV_FREE" in found[Holder.RETURNED].says
    assert found[Holder.RETURNED].advice[0].startswith("nothing is wrong")


def test_two_censuses_differ_by_the_entries_that_came(release: Release) -> None:
    with ready("only_grows", release) as running:
        first = mapprobe.census(running.process.pid)

        def growth() -> dict[str, Any] | None:
            rows = document(mapprobe.census(running.process.pid).difference(first))["live_growth"]
            return next((row for row in rows if row["type"] == TABLE), None)

        row = wait_until(growth, 60)
    assert row["change"]["live_slots"] > 0
    assert row["change"]["maps"] == 0
