"""Hashes of keys in a process's memory equal those that its own runtime computed, as the events show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapprobe
from mapprobe import _core
from mapprobe.analysis.verify import before_reads
from mapprobe.capture.recorder import Options, record
from mapprobe.capture.session import Session
from mapprobe.model.core import MODELLED
from mapprobe.recording import checks
from mapprobe.recording.tables import schema
from mapprobe.replay.replay import Replay
from mapprobe.replay.resync import buckets_by_map
from support import truth
from support.gobuild import Release, build_program

pytestmark = pytest.mark.system

PROGRAMS = ("kinds", "strings", "structs", "interfaces", "big", "lengths")


@pytest.fixture
def hashed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every map be read with its hashes when a recording ends."""
    take = Session._take_snapshot

    def take_with_hashes(session: Any) -> None:
        survey = session._survey
        read, rehash = survey._read, session._rehasher()
        survey._read = lambda maps, heap, _=None: read(maps, heap, rehash)
        take(session)

    monkeypatch.setattr(Session, "_take_snapshot", take_with_hashes)


@pytest.mark.usefixtures("hashed_at_the_end")
@pytest.mark.parametrize("program", PROGRAMS)
def test_keys_in_memory_have_the_hashes_of_the_events(program: str, every_release: Release, tmp_path: Path) -> None:
    binary = build_program(program, every_release)
    record([str(binary), *truth.arguments(program, 1000)], tmp_path / "recording", Options(), lambda _: None)
    recording = mapprobe.open(tmp_path / "recording")
    snapshot = recording.table(schema.SNAPSHOT_MAPS)
    replay = Replay(recording.inputs)
    for batch in before_reads(checks.batches(recording.path), snapshot):
        replay.feed(batch)
    read = buckets_by_map(recording.table(schema.SNAPSHOT_BUCKETS))

    wrong = []
    for addr, when, count in zip(*(snapshot[n].to_pylist() for n in ("map_addr", "time_ns", "count")), strict=True):
        m = replay.world.find(addr)
        if not count or not replay.world.is_in_state(MODELLED)[m]:
            continue
        if (addr, when) not in read:
            wrong.append((hex(addr), "not hashed"))
        elif not np.array_equal(live(replay, m), np.sort(read[addr, when][3][read[addr, when][3] != 0])):
            wrong.append((hex(addr), "hashed otherwise"))
    assert len(read) > 0
    assert wrong == []


def live(replay: Replay, m: int) -> np.ndarray:
    """Return the hashes of a map's entries, sorted."""
    buckets, _ = replay.world.buckets_of(m)
    rows = replay.world.buckets[buckets]
    masks = [_core.live_slots(replay.world.handle, int(word)) for word in rows["control"]]
    is_live = np.array([[mask >> slot & 1 for slot in range(8)] for mask in masks], bool).reshape(-1, 8)
    return np.sort(rows["hashes"][is_live])
