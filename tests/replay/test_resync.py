"""Maps whose beginning or middle was not seen, and that were read from memory while they lived."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.verify import verify
from mapprobe.replay.replay import Replayed
from mapprobe.vocabulary import Implementation, Inexact, View
from support import strategies as draw
from support.drawn import OPERATIONS, RELEASES, do
from support.recordings import SESSIONS, RecordedMap, Recording, charges_of, spread


@pytest.fixture(params=list(Implementation), ids=str)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param, attached=True)


def row_of(replayed: Replayed, m: RecordedMap) -> dict[str, object]:
    (row,) = [row for row in replayed.maps.to_pylist() if row["map_addr"] == m.address and row["state"] != "dead"]
    return row


def slots(row: dict[str, object]) -> dict[str, object]:
    return {name: row[name] for name in ("live_slots", "slots", "buckets", "retained_buckets")}


def expected_slots(m: RecordedMap) -> dict[str, int]:
    return {name: n for name, n in m.slots().items() if name not in ("dead_slots", "virgin_slots")}


@settings(deadline=None)
@given(st.sampled_from(RELEASES), draw.hints, OPERATIONS, OPERATIONS, OPERATIONS)
def test_a_map_that_was_read_is_carried_on_to_the_slot(
    release: tuple[Implementation, tuple[int, int]],
    hint: int,
    unseen: list[tuple[str, int, int]],
    missed: list[tuple[str, int, int]],
    seen: list[tuple[str, int, int]],
) -> None:
    recording = Recording(*release, attached=True)
    with recording.out_of_sight():
        m = recording.create(hint, seen=False, type_id=SESSIONS)
        do(m, unseen, stack=1)
    m.insert(1, 2, stack=2)
    do(m, missed, stack=2)
    m.look()
    do(m, seen, stack=3)
    m.insert(*spread(50), stack=4)
    m.read()

    found = verify(recording.batches(), recording.inputs())
    assert (found["mismatches"], found["skipped"], found["checked"]) == ([], [], 1)
    assert slots(row_of(recording.replay(), m)) == expected_slots(m)


def test_a_map_that_was_filled_before_is_not_exact_but_held_by_the_model(recording: Recording) -> None:
    with recording.out_of_sight():
        m = recording.create(seen=False)
        m.insert(*spread(100), stack=1)
    m.insert(*spread(1, start=100), stack=2)
    m.look()
    m.delete(*spread(60), stack=3)
    row = row_of(recording.replay(), m)

    assert row["inexact"] == Inexact.BEFORE_RECORDING
    assert slots(row) == expected_slots(m)
    assert (row["inserts"], row["deletes"]) == (1, 60)


def test_who_emptied_a_map_that_was_filled_before_is_known(recording: Recording) -> None:
    with recording.out_of_sight():
        m = recording.create(seen=False)
        m.insert(*spread(100), stack=1)
    m.insert(*spread(1, start=100), stack=2)
    m.look()
    m.delete(*spread(101), stack=3)
    m.read()
    charges = charges_of(recording.replay(), View.DRAIN)
    drained = {row["stack_id"]: row["retained_buckets"] for row in charges}

    assert drained[3] > 0
    assert sum(drained.values()) == m.slots()["retained_buckets"]


def test_a_map_that_lost_events_is_right_again_once_it_was_read(recording: Recording) -> None:
    m = recording.create()
    m.insert(*spread(100))
    with recording.losing_events():
        m.delete(*spread(50))
        m.insert(*spread(300, start=200))
    m.look()
    m.delete(*spread(20, start=200), stack=2)
    m.read()

    found = verify(recording.batches(), recording.inputs())
    assert (found["mismatches"], found["checked"]) == ([], 1)
    assert row_of(recording.replay(), m)["inexact"] == Inexact.EVENTS_LOST


def test_a_map_that_was_read_before_events_were_lost_is_not_compared(recording: Recording) -> None:
    m = recording.create()
    m.insert(*spread(100))
    m.look()
    with recording.losing_events():
        m.delete(*spread(50))
    m.read()

    assert verify(recording.batches(), recording.inputs())["checked"] == 0


def test_reading_comes_in_before_the_next_event_of_its_map_in_any_batch(recording: Recording) -> None:
    with recording.out_of_sight():
        m = recording.create(seen=False)
        m.insert(*spread(100))
    other = recording.create()
    m.insert(*spread(1, start=100))
    m.look()
    other.insert(*spread(30))
    m.insert(*spread(30, start=500))
    whole = recording.replay()

    assert recording.replay(*range(1, len(recording.events))) == whole
    assert slots(row_of(whole, m)) == expected_slots(m)


@pytest.mark.parametrize(
    "damage", [{"part": 7}, {"home": 1 << 20}, {"part": 1, "home": 0}, {"hashes": None, "key_types": None}], ids=str
)
def test_reading_whose_parts_do_not_fit_is_not_used(recording: Recording, damage: dict[str, object]) -> None:
    with recording.out_of_sight():
        m = recording.create(seen=False)
        m.insert(*spread(2000))
    m.insert(*spread(1, start=2000))
    m.look()
    m.insert(*spread(1, start=2001))
    m.read()
    recording.snapshot_buckets[3] |= damage

    found = verify(recording.batches(), recording.inputs())
    assert (found["mismatches"], found["checked"]) == ([], 0)


def test_a_recording_of_growth_alone_carries_nothing_on(recording: Recording) -> None:
    """What happens to the entries afterwards is not in it."""
    recording.probes = "growth"
    m = recording.create()
    m.insert(*spread(200))
    m.look()
    m.delete(*spread(150))
    m.read()

    assert slots(row_of(recording.replay(), m)) == expected_slots(m)
    assert verify(recording.batches(), recording.inputs())["checked"] == 0


def test_who_filled_a_map_that_lost_nothing_stays_known(recording: Recording) -> None:
    m, other = recording.create(), recording.create()
    m.insert(*spread(100), stack=3)
    with recording.losing_events():
        other.insert(*spread(5))
    m.look()
    m.read()
    charges = charges_of(recording.replay(), View.FILL)
    filled = {row["stack_id"]: row["live_slots"] for row in charges if row["map_id"] == 0}

    assert filled == {3: 100}


def test_a_map_that_was_emptied_while_events_were_lost_has_not_died(recording: Recording) -> None:
    m = recording.create()
    m.insert(*spread(100))
    with recording.losing_events():
        m.clear()
        m.insert(*spread(20))
    m.read()
    row = row_of(recording.replay(), m)

    assert (row["state"], row["inexact"]) == ("alive", Inexact.EVENTS_LOST)
    assert slots(row) == expected_slots(m)
