"""Keys that may share a hash: the next header shows what an operation on such a key did."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings

from mapprobe.analysis.verify import verify
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import Inexact
from support.drawn import meetings
from support.recordings import CONTEXTS, INTS, TWIN, RecordedMap, Recording, column, rows, spread, why

OPERATIONS = [column.name for column in schema.OPERATIONS]
SHARED = 7
"""The hash of several keys."""


@pytest.fixture
def made(recording: Recording) -> RecordedMap:
    """A map whose keys may share hashes, with one entry of the hash `SHARED`."""
    contexts = recording.create(type_id=CONTEXTS)
    contexts.insert(SHARED)
    return contexts


def is_as_replayed(made: RecordedMap, row: dict[str, object]) -> bool:
    expected = made.slots() | {name: made.done[name] for name in (*OPERATIONS, "peak_live_slots")}
    return {name: row[name] for name in expected} == expected


def test_two_keys_of_one_hash_are_two_inserts(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED, key_type=TWIN)
    made.insert(*spread(3))
    (row,) = rows(recording.replay())
    assert (row["inexact"], row["inserts"], row["updates"]) == (Inexact.EXACT, 5, 0)
    assert is_as_replayed(made, row)


def test_an_update_of_a_key_is_one(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED)
    made.insert(*spread(3))
    (row,) = rows(recording.replay())
    assert (row["inexact"], row["inserts"], row["updates"]) == (Inexact.EXACT, 4, 1)


@pytest.mark.parametrize("twin", [0, TWIN])
def test_the_header_at_the_end_settles_the_last_operation(recording: Recording, made: RecordedMap, twin: int) -> None:
    made.insert(SHARED, key_type=twin)
    made.read()
    (row,) = rows(recording.replay())
    assert row["inexact"] == Inexact.EXACT
    assert is_as_replayed(made, row)
    document = verify(recording.batches(), recording.inputs())
    assert (document["checked"], document["headers_equal"], document["mismatches"]) == (1, 1, [])


def test_a_last_operation_that_no_header_settles_is_not_exact(recording: Recording, made: RecordedMap) -> None:
    before = recording.now
    made.insert(SHARED, key_type=TWIN)
    assert why(recording) == [Inexact.EQUAL_HASHES]
    assert why(recording, until_ns=before) == [Inexact.EXACT]


@pytest.mark.parametrize("act", [RecordedMap.insert, RecordedMap.delete])
def test_a_last_operation_of_a_map_that_died_is_not_exact(
    recording: Recording, made: RecordedMap, act: Callable[..., None]
) -> None:
    made.insert(1)
    act(made, SHARED)
    recording.create(at=made)
    found = recording.replay()
    assert column(found, "inexact") == [Inexact.EQUAL_HASHES, Inexact.EXACT]
    assert column(found, "updates" if act is RecordedMap.insert else "deletes") == [1, 0]


def test_a_map_of_other_keys_needs_no_header_at_the_end(recording: Recording) -> None:
    made = recording.create(type_id=INTS)
    made.insert(1, 1)
    assert why(recording) == [Inexact.EXACT]


def test_a_delete_of_an_absent_key_whose_hash_is_there_deletes_nothing(recording: Recording, made: RecordedMap) -> None:
    made.delete(SHARED, key_type=TWIN)
    made.insert(1)
    (row,) = rows(recording.replay())
    assert (row["inexact"], row["deletes"], row["live_slots"]) == (Inexact.EXACT, 0, 2)


@pytest.mark.parametrize("n", [0, 1, 30])
def test_a_delete_of_a_lone_key_is_exact(recording: Recording, made: RecordedMap, n: int) -> None:
    made.insert(*spread(n, start=1))
    made.delete(SHARED)
    made.insert(*spread(3, start=50))
    (row,) = rows(recording.replay())
    assert row["inexact"] == Inexact.EXACT
    assert is_as_replayed(made, row)


def test_a_delete_of_one_of_two_keys_leaves_the_count_right(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED, key_type=TWIN)
    made.delete(SHARED)
    made.insert(*spread(3))
    made.read()
    (row,) = rows(recording.replay())
    assert (row["inexact"], row["live_slots"]) == (Inexact.EQUAL_HASHES, 4)
    assert [row[name] for name in ("inserts", "updates", "deletes")] == [5, 0, 1]


def test_a_delete_of_neither_of_two_keys_leaves_both(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED, key_type=TWIN)
    made.delete(SHARED, key_type=2 * TWIN)
    made.insert(*spread(3))
    (row,) = rows(recording.replay())
    assert (row["inexact"], row["live_slots"], row["deletes"]) == (Inexact.EXACT, 5, 0)


def test_a_clear_ends_all_doubts(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED, key_type=TWIN)
    made.clear()
    made.insert(*spread(3))
    (row,) = rows(recording.replay())
    assert row["inexact"] == Inexact.EXACT
    assert is_as_replayed(made, row)


def test_a_clone_of_a_map_in_doubt_is_not_exact(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED, key_type=TWIN)
    made.clone()
    made.insert(1)
    assert why(recording) == [Inexact.EXACT, Inexact.OUT_OF_SIGHT]


def test_a_map_that_was_read_with_keys_of_one_hash_is_carried_on(recording: Recording) -> None:
    recording.attached = True
    with recording.out_of_sight():
        made = recording.create(type_id=CONTEXTS)
        made.insert(SHARED)
        made.insert(SHARED, key_type=TWIN)
        made.insert(*spread(6, start=50))
    made.insert(1)
    made.look()
    made.insert(SHARED, key_type=2 * TWIN)
    made.insert(*spread(20, start=100))
    made.read()
    document = verify(recording.batches(), recording.inputs())
    assert (document["checked"], document["mismatches"]) == (1, [])


def test_events_lost_behind_an_operation_in_doubt_are_not_guessed(recording: Recording, made: RecordedMap) -> None:
    made.insert(SHARED, key_type=TWIN)
    with recording.losing_events():
        made.insert(1)
    made.insert(2)
    assert why(recording) == [Inexact.HEADER_MISMATCH]


@settings(max_examples=60, deadline=None)
@given(meetings())
def test_keys_of_few_hashes_are_replayed_bit_for_bit(recording: Recording) -> None:
    (made,) = recording.maps
    (row,) = rows(recording.replay())
    assert row["inexact"] == Inexact.EXACT
    assert is_as_replayed(made, row)
    document = verify(recording.batches(), recording.inputs())
    assert (document["headers_equal"], document["mismatches"]) == (1, [])
