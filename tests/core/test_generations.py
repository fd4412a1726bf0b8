"""The map that an address means: generations of maps one after the other, and what is known of each."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from mapprobe.vocabulary import Inexact
from support.recordings import (
    INTS,
    NAMED_INTS,
    NEVER_WRITTEN,
    SESSIONS,
    Recording,
    column,
    filled,
    rows,
    spread,
    why,
)


def test_a_creation_at_an_old_address_begins_a_generation(recording: Recording) -> None:
    first = filled(recording)
    filled(recording, at=first)
    assert column(recording.replay(), "generation") == [1, 2]


def test_another_seed_over_a_map_that_is_not_empty_begins_a_generation(recording: Recording) -> None:
    first = filled(recording)
    recording.create(at=first, seen=False).insert(*spread(3))
    assert column(recording.replay(), "generation") == [1, 2]


def test_a_clear_that_nobody_saw_begins_a_generation(recording: Recording) -> None:
    made = filled(recording)
    with recording.out_of_sight():
        made.clear()
    made.insert(1)
    assert column(recording.replay(), "generation") == [1, 2]


def test_another_type_at_an_old_address_begins_a_generation(recording: Recording) -> None:
    first = filled(recording, 1, type_id=INTS)
    first.delete(*spread(1))
    recording.create(at=first, seen=False, type_id=SESSIONS).insert(*spread(3))
    assert column(recording.replay(), "type_id") == [INTS, SESSIONS]


def test_a_fresh_map_seen_without_its_creation_is_exact(recording: Recording) -> None:
    recording.create(seen=False).insert(*spread(30))
    assert why(recording) == [Inexact.EXACT]


def test_the_generation_before_is_dead(recording: Recording) -> None:
    first = filled(recording)
    filled(recording, at=first).read()
    assert column(recording.replay(), "state") == ["dead", "alive"]


def test_a_dead_map_keeps_its_counts(recording: Recording) -> None:
    first = filled(recording, 20)
    recording.create(at=first)
    assert column(recording.replay(), "inserts") == [20, 0]


def test_a_dead_map_holds_nothing(recording: Recording) -> None:
    first = filled(recording, 20)
    recording.create(at=first)
    assert column(recording.replay(), "allocated_bytes") == [0, 0]


def test_a_map_that_was_not_looked_at_is_of_unknown_state(recording: Recording) -> None:
    filled(recording)
    assert column(recording.replay(), "state") == ["unknown"]


def test_a_map_that_the_collector_freed_is_dead(recording: Recording) -> None:
    filled(recording).skip("it died", died=True)
    (row,) = rows(recording.replay())
    assert (row["state"], row["inserts"], row["slots"]) == ("dead", 20, 0)


def test_a_map_whose_memory_holds_another_seed_is_dead(recording: Recording) -> None:
    made = filled(recording)
    made.seed += 1
    made.read()
    assert column(recording.replay(), "state") == ["dead"]


def test_a_map_that_was_written_after_it_was_found_dead_lives(recording: Recording) -> None:
    made = filled(recording)
    made.skip("it died", died=True)
    made.insert(*spread(1, start=100))
    assert column(recording.replay(), "state") == ["unknown"]


def test_a_map_on_a_goroutine_stack_that_moves_stays_one_map(recording: Recording) -> None:
    made = recording.create(seen=False)
    made.stack_offset, made.goid = 64, 7
    made.insert(*spread(4))
    made.address = recording.new_address()
    made.insert(*spread(4, start=4))
    assert column(recording.replay(), "inserts") == [8]


@pytest.mark.parametrize("is_followed", [True, False])
def test_a_new_map_at_the_same_place_of_a_stack_is_another_map(recording: Recording, is_followed: bool) -> None:
    made = recording.create(seen=False)
    made.stack_offset, made.goid = 64, 7
    made.insert(*spread(2))
    with nullcontext() if is_followed else recording.losing_events():
        made.insert(*spread(1, 10))
    other = recording.create(at=made)
    other.insert(*spread(5))
    other.read()

    found = recording.replay()
    assert column(found, "state") == ["unknown", "alive"]
    assert column(found, "live_slots") == [3 if is_followed else 2, 5]


def test_maps_at_one_place_on_two_goroutines_are_two(recording: Recording) -> None:
    for goid in (7, 8):
        made = recording.create(seen=False)
        made.stack_offset, made.goid = 64, goid
        made.insert(*spread(4))
    assert column(recording.replay(), "inserts") == [4, 4]


def test_the_type_is_learnt_from_the_first_event_that_shows_it(recording: Recording) -> None:
    made = recording.create(type_id=SESSIONS)
    recording.events[0]["type_id"] = NEVER_WRITTEN
    made.insert(1)
    assert column(recording.replay(), "type_id") == [SESSIONS]


def test_a_map_that_was_converted_to_another_type_is_the_same_map(recording: Recording) -> None:
    made = filled(recording)
    made.type_id = NAMED_INTS
    made.delete(*spread(5))
    made.insert(*spread(100, start=100))

    (row,) = rows(recording.replay())
    assert (row["generation"], row["inexact"], row["type_id"]) == (1, Inexact.EXACT, INTS)
    assert {name: row[name] for name in made.slots()} == made.slots()


def test_a_map_of_another_type_with_another_seed_is_another_map(recording: Recording) -> None:
    first = filled(recording)
    filled(recording, at=first, type_id=NAMED_INTS, seen=False)

    assert column(recording.replay(), "generation") == [1, 2]


def test_a_map_of_another_layout_is_another_map_whatever_its_seed(recording: Recording) -> None:
    first = filled(recording)
    second = recording.create(at=first, type_id=SESSIONS, seen=False)
    second.seed = first.seed
    second.insert(*spread(3))

    assert column(recording.replay(), "generation") == [1, 2]


def test_an_emptied_map_whose_stack_moves_stays_the_same(recording: Recording) -> None:
    made = recording.create(seen=False)
    made.stack_offset, made.goid = 0x80, 7
    made.insert(*spread(3))
    made.delete(*spread(3))
    made.move(0x40000)
    made.insert(*spread(3))
    assert column(recording.replay(), "inserts") == [6]


def test_a_map_of_a_defined_type_may_be_written_as_one_of_the_type_behind_it(recording: Recording) -> None:
    made = recording.create(hint=100, type_id=NAMED_INTS)
    made.type_id = INTS
    made.insert(*spread(20))
    replayed = recording.replay()
    assert (column(replayed, "type_id"), column(replayed, "inserts")) == ([NAMED_INTS], [20])


def test_an_emptied_map_with_a_new_seed_is_the_same_map(recording: Recording) -> None:
    made = filled(recording, 5)
    made.delete(*spread(5))
    made.insert(*spread(5))
    assert column(recording.replay(), "inserts") == [10]


def test_maps_of_a_loop_on_a_stack_are_each_their_own_behind_one_that_is_not_exact(recording: Recording) -> None:
    recording.attached = True
    made = recording.create(seen=False)
    made.stack_offset, made.goid = 64, 7
    with recording.out_of_sight():
        made.insert(*spread(3))
    made.insert(*spread(1, 50))
    for n in range(5):
        following = recording.create(seen=False, at=made)
        following.stack_offset, following.goid = 64, 7
        following._addresses = {id(following.reference): (None, 0)}
        following.insert(*spread(2, 100 * n))

    found = recording.replay()
    assert column(found, "generation") == [1, 2, 3, 4, 5, 6]
    assert column(found, "inserts")[1:] == [2] * 5
    assert column(found, "updates") == [0] * 6
