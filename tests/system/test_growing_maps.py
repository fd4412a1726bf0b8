"""Maps that are not written while they grow: a census counts the same buckets as replay, overflow buckets included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import mapprobe
from servers import still
from servers.still import Held
from support.gobuild import Release, link_program
from support.memory import Memory
from support.sessions import recording

pytestmark = pytest.mark.system

LOG2, LOAD_NUM, LOAD_DEN = 12, 13, 2
FULL = (LOAD_NUM << LOG2) // LOAD_DEN
"""A classic map of 1 << LOG2 buckets grows with the entry behind this many."""
MAPS = ("pointers", "plain", "iterated")
SHARES = (1, 3)
"""Quarters of the old buckets that are evacuated: each insert evacuates two."""


def fill(running: Memory, entries: int) -> None:
    for name in MAPS:
        running.do(f"{name} {entries}")


def stopped_while_growing(running: Memory, folder: Path, entries: int) -> Held:
    """Record a program that fills its maps; hold the report against a census of the program as it waits after that."""
    with recording("-o", folder, running.process.pid) as recorder:
        fill(running, entries)
        recorder.terminate()
        assert recorder.wait() == 0
    return still.hold(mapprobe.open(folder), mapprobe.census(running.process.pid))


@pytest.fixture
def running(every_release: Release) -> Iterator[Memory]:
    with Memory(link_program("growing", every_release, "plain")) as program:
        yield program


@pytest.mark.parametrize("quarters", SHARES)
def test_a_census_of_maps_that_grow_equals_the_replay(running: Memory, tmp_path: Path, quarters: int) -> None:
    entries = FULL + (quarters << LOG2) // 8
    held = stopped_while_growing(running, tmp_path / "recording", entries)

    assert held.wrong == []
    assert held.equal == held.counted["maps"]
    assert held.counted["live_slots"] >= len(MAPS) * entries


@pytest.mark.parametrize("quarters", SHARES)
def test_maps_that_began_to_grow_before_the_recording_keep_what_their_memory_has(
    running: Memory, tmp_path: Path, quarters: int
) -> None:
    before, entries = (FULL + (share << LOG2) // 8 for share in (1, 1 + quarters))
    fill(running, before)
    held = stopped_while_growing(running, tmp_path / "recording", entries)

    assert held.wrong == []
    assert held.equal == held.counted["maps"]
