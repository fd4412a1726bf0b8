"""Replay of recordings made by hand: the result equals the reference maps."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe import vocabulary
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import UNEQUAL_KEY, Implementation, Inexact
from support.drawn import recordings
from support.recordings import (
    SESSIONS,
    STACKS,
    Recording,
    column,
    filled,
    rows,
    spread,
    why,
)

OPERATIONS = [column.name for column in schema.OPERATIONS]

few_examples = settings(max_examples=40, deadline=None)


@few_examples
@given(recordings())
def test_live_dead_and_virgin_slots_equal_the_reference(recording: Recording) -> None:
    replayed = recording.replay()
    living = {made.address: made for made in recording.maps}
    nothing = dict.fromkeys(recording.maps[0].slots(), 0)
    expected = [made.slots() if living[made.address] is made else nothing for made in recording.maps]
    assert [{name: row[name] for name in nothing} for row in rows(replayed)] == expected


@few_examples
@given(recordings())
def test_operations_of_each_map_equal_the_reference(recording: Recording) -> None:
    names = (*OPERATIONS, "peak_live_slots")
    expected = [[made.done[name] for name in names] for made in recording.maps]
    assert [[row[name] for name in names] for row in rows(recording.replay())] == expected


@few_examples
@given(recordings())
def test_operations_of_each_stack_equal_the_reference(recording: Recording) -> None:
    names = ("maps", *OPERATIONS)
    done = recording.replay().stack_operations.to_pylist()
    expected = [[by_stack[name] for name in names] for by_stack in recording.done_by]
    assert [[row[name] for name in names] for row in done] == expected


@few_examples
@given(recordings())
def test_a_recording_without_loss_replays_exactly(recording: Recording) -> None:
    assert set(why(recording)) == {Inexact.EXACT}


@few_examples
@given(recordings(lossy=True))
def test_a_map_that_is_said_to_be_exact_is_whatever_was_lost(recording: Recording) -> None:
    living = {made.address: made for made in recording.maps}
    last = {row["map_addr"]: row for row in rows(recording.replay())}
    exact = {addr: row for addr, row in last.items() if not row["inexact"]}

    slots = {addr: living[addr].slots() for addr in exact}
    assert {addr: {name: row[name] for name in slots[addr]} for addr, row in exact.items()} == slots


@few_examples
@given(recordings(), st.data())
def test_events_may_be_cut_into_batches_anywhere(recording: Recording, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(recording.events)), max_size=5))
    assert recording.replay(*cuts) == recording.replay()


def test_more_maps_than_the_ledger_has_room_for_are_found(recording: Recording) -> None:
    for _ in range(3000):
        recording.create().insert(1)
    assert column(recording.replay(), "inserts") == [1] * 3000


def test_a_large_map_equals_the_reference(recording: Recording) -> None:
    made = recording.create(type_id=SESSIONS)
    made.insert(*spread(20_000))
    made.delete(*spread(9_000))
    (row,) = rows(recording.replay())
    assert {name: row[name] for name in made.slots()} == made.slots()


def test_a_fresh_map_of_its_entries_retains_nothing(recording: Recording) -> None:
    recording.create(hint=100).insert(*spread(100))
    assert column(recording.replay(), "retained_bytes") == [0]


def test_an_emptied_map_retains_all_that_it_has(recording: Recording) -> None:
    made = filled(recording, 500)
    made.delete(*spread(500))
    (row,) = rows(recording.replay())
    assert (row["needed_bytes"], row["retained_bytes"]) == (0, row["allocated_bytes"])


def test_equal_hashes_of_two_key_types_are_two_inserts(recording: Recording) -> None:
    made = recording.create()
    made.insert(1, key_type=0x4A5000)
    made.insert(1, key_type=0x4A6000)
    assert column(recording.replay(), "inserts") == [2]


def test_keys_not_equal_to_themselves_stay_where_they_are_until_a_growth(recording: Recording) -> None:
    recording.create().insert(*spread(8), key_type=UNEQUAL_KEY)
    assert why(recording) == [Inexact.EXACT]


def test_a_growth_with_keys_not_equal_to_themselves_is_not_exact(recording: Recording) -> None:
    made = recording.create()
    made.insert(*spread(1), key_type=UNEQUAL_KEY)
    made.insert(*spread(7, start=1))
    before = recording.now
    made.insert(*spread(1, start=8))
    assert why(recording) == [Inexact.UNEQUAL_KEYS]
    assert why(recording, until_ns=before) == [Inexact.EXACT]


def test_a_growth_with_keys_not_equal_to_themselves_counts_once(recording: Recording) -> None:
    made = recording.create()
    made.insert(*spread(9), key_type=UNEQUAL_KEY)
    made.read()
    (row,) = rows(recording.replay())
    assert (row["growths"], row["inserts"], row["live_slots"]) == (1, 9, 9)


def test_a_clear_makes_away_with_keys_not_equal_to_themselves(recording: Recording) -> None:
    made = recording.create()
    made.insert(*spread(3), key_type=UNEQUAL_KEY)
    made.clear()
    made.insert(*spread(20))
    assert why(recording) == [Inexact.EXACT]


@pytest.mark.parametrize("n", [0, 5, 14, 30, 3000])
def test_a_clone_equals_the_reference_and_is_its_makers(recording: Recording, n: int) -> None:
    made = filled(recording, n, stack=1)
    made.delete(*spread(n // 3), stack=2)
    clone = made.clone(stack=3)
    clone.insert(*spread(5, start=5000), stack=4)
    row = rows(recording.replay())[1]
    assert (row["inexact"], row["created_by"], row["inserts"]) == (Inexact.EXACT, 3, n - n // 3 + 5)
    assert {name: row[name] for name in clone.slots()} == clone.slots()


def test_a_clone_of_a_map_that_was_not_seen_is_not_exact(recording: Recording) -> None:
    with recording.out_of_sight():
        made = filled(recording)
    made.clone().read()
    (row,) = rows(recording.replay())
    assert (row["inexact"], row["state"], row["live_slots"]) == (Inexact.OUT_OF_SIGHT, "alive", 20)


def test_a_clone_of_keys_not_equal_to_themselves_is_exact_until_it_grows(recording: Recording) -> None:
    made = recording.create()
    made.insert(*spread(8), key_type=UNEQUAL_KEY)
    clone = made.clone()
    before = recording.now
    clone.insert(*spread(1, start=8))
    assert why(recording, until_ns=before) == [Inexact.EXACT] * 2
    assert why(recording) == [Inexact.EXACT, Inexact.UNEQUAL_KEYS]


def test_deletes_of_absent_keys_count_nowhere(recording: Recording) -> None:
    made = filled(recording, 20)
    made.delete(*spread(20, start=100))
    assert column(recording.replay(), "deletes") == [0]


def test_deletes_count_for_the_stack_that_deleted(recording: Recording) -> None:
    made = filled(recording, 20)
    made.delete(*spread(7), stack=5)
    deletes = recording.replay().stack_operations["deletes"].to_pylist()
    assert deletes == [7 if stack == 5 else 0 for stack in range(STACKS)]


def test_a_cleared_map_keeps_its_buckets(recording: Recording) -> None:
    made = filled(recording, 100)
    made.clear()
    (row,) = rows(recording.replay())
    assert (row["clears"], row["live_slots"], row["buckets"]) == (1, 0, row["retained_buckets"])


def test_a_cleared_map_is_filled_again_exactly(recording: Recording) -> None:
    made = filled(recording, 100)
    made.clear()
    made.insert(*spread(30))
    assert why(recording) == [Inexact.EXACT]


def peak(recording: Recording) -> int:
    """Return the most entries of all maps at one time."""
    peaks = recording.replay().peaks
    return peaks.filter(pc.field("group") == "total")["peak_live_slots"][0].as_py()


def test_the_peak_is_the_most_entries_of_all_maps_at_one_time(recording: Recording) -> None:
    first, second = filled(recording, 30), filled(recording, 10)
    first.delete(*spread(30))
    second.insert(*spread(15, start=100))
    assert peak(recording) == 40


def test_cleared_entries_are_not_in_a_later_peak(recording: Recording) -> None:
    made = filled(recording, 20)
    made.clear()
    made.insert(*spread(15))
    assert peak(recording) == 20


def test_entries_of_a_dead_map_are_not_in_a_later_peak(recording: Recording) -> None:
    first = filled(recording, 20)
    filled(recording, 15, at=first)
    assert peak(recording) == 20


def test_an_insert_that_splits_a_table_three_times_grew_three_times() -> None:
    recording = Recording(Implementation.SWISS)
    made = recording.create(hint=896)
    made.insert(*(h >> 2 for h in spread(897)))
    assert column(recording.replay(), "growths") == [3]


def test_a_header_that_no_event_explains_is_a_mismatch(recording: Recording) -> None:
    made = filled(recording)
    with recording.out_of_sight():
        made.insert(*spread(1, start=100))
    made.insert(*spread(1, start=200))
    assert why(recording) == [Inexact.HEADER_MISMATCH]


def test_operations_behind_a_mismatch_are_counted_by_the_header(recording: Recording) -> None:
    made = filled(recording, 20)
    with recording.out_of_sight():
        made.insert(*spread(1, start=100))
    made.insert(*spread(9, start=200))
    made.delete(*spread(5))
    made.insert(*spread(1, start=200))
    (row,) = rows(recording.replay())
    assert (row["inserts"], row["deletes"]) == (29, 5)


def test_a_gap_marks_the_maps_that_lived_then(recording: Recording) -> None:
    filled(recording)
    with recording.losing_events():
        recording.now += 5
    assert why(recording) == [Inexact.EVENTS_LOST]


def test_a_gap_spares_maps_that_died_before(recording: Recording) -> None:
    first = filled(recording)
    recording.create(at=first)
    with recording.losing_events():
        recording.now += 5
    assert why(recording) == [Inexact.EXACT, Inexact.EVENTS_LOST]


def test_a_gap_spares_maps_made_later(recording: Recording) -> None:
    filled(recording)
    with recording.losing_events():
        recording.now += 5
    filled(recording)
    assert why(recording) == [Inexact.EVENTS_LOST, Inexact.EXACT]


def test_a_recording_cut_off_marks_the_maps_that_live(recording: Recording) -> None:
    first = filled(recording)
    recording.create(at=first)
    recording.is_cut = True
    assert why(recording) == [Inexact.EXACT, Inexact.CUT_OFF]


def test_growth_alone_leaves_no_map_exact(recording: Recording) -> None:
    recording.probes = "growth"
    filled(recording, 100)
    recording.create()
    assert why(recording) == [Inexact.GROWTH_ONLY] * 2


def test_growth_alone_counts_growths(recording: Recording) -> None:
    recording.probes = "growth"
    made = filled(recording, 500)
    assert column(recording.replay(), "growths") == [made.done["growths"]]


@pytest.mark.parametrize(("attached", "reason"), [(True, Inexact.BEFORE_RECORDING), (False, Inexact.OUT_OF_SIGHT)])
def test_a_map_first_seen_with_entries_is_not_exact(recording: Recording, attached: bool, reason: Inexact) -> None:
    recording.attached = attached
    with recording.out_of_sight():
        made = filled(recording)
    made.insert(*spread(1, start=100))
    assert why(recording) == [reason]


def test_a_map_first_seen_with_entries_was_made_before(recording: Recording) -> None:
    with recording.out_of_sight():
        made = filled(recording)
    made.insert(*spread(1, start=100))
    assert column(recording.replay(), "created_by") == [vocabulary.BEFORE]


def test_a_map_that_is_not_exact_holds_what_its_memory_shows(recording: Recording) -> None:
    with recording.out_of_sight():
        made = filled(recording, 100)
    made.delete(*spread(60))
    made.read()
    (row,) = rows(recording.replay())
    free = made.slots()["slots"] - 40
    expected = made.slots() | {"dead_slots": row["dead_slots"], "virgin_slots": free - row["dead_slots"]}
    assert {name: row[name] for name in expected} == expected


def test_marks_of_deletes_tell_that_the_slots_of_a_map_were_used() -> None:
    recording = Recording(Implementation.SWISS)
    with recording.out_of_sight():
        made = filled(recording, 2000)
        made.delete(*spread(2000))
    made.insert(1 << 40)
    made.read()
    (row,) = rows(recording.replay())
    assert row["source"] == "read"
    assert 0 < row["dead_slots"] < 2000
    assert row["live_slots"] + row["dead_slots"] + row["virgin_slots"] == row["slots"]


def test_memory_is_charged_like_the_replayed_map(recording: Recording) -> None:
    names = ("allocated_bytes", "needed_bytes", "retained_bytes")
    made = filled(recording, 3000, type_id=SESSIONS)
    made.delete(*spread(1000))
    made.read()
    exact = [column(recording.replay(), name) for name in names]
    recording.probes = "growth"
    assert [column(recording.replay(), name) for name in names] == exact


def test_what_happened_later_is_left_out(recording: Recording) -> None:
    made = filled(recording, 50)
    then, before = recording.now, recording.replay()
    made.delete(*spread(50))
    recording.create(at=made)
    assert recording.replay(until_ns=then) == before


def test_a_map_that_died_later_lives_until_then(recording: Recording) -> None:
    made = filled(recording, 50)
    then = recording.now
    made.skip("it died", died=True)
    assert column(recording.replay(until_ns=then), "live_slots") == [50]
