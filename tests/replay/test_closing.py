"""The end of a recording shows which maps died or lost events, and what their last operations did."""

from __future__ import annotations

import pytest

from mapprobe.vocabulary import EventKind, Implementation, Inexact
from support.recordings import PLACES, SESSIONS, RecordedMap, Recording, spread

BOTH = pytest.mark.parametrize("implementation", Implementation)


def filled_before(implementation: Implementation, n: int) -> RecordedMap:
    """Give a map that had so many entries when the recording began."""
    recording = Recording(implementation, attached=True)
    made = recording.create(seen=False)
    with recording.out_of_sight():
        made.insert(*spread(n))
    return made


@BOTH
@pytest.mark.parametrize("refilled", [0, 50])
def test_a_map_that_was_emptied_out_of_sight_lives(implementation: Implementation, refilled: int) -> None:
    recording = Recording(implementation, probes="growth")
    made = recording.create()
    made.insert(*spread(200))
    made.delete(*spread(200))
    made.insert(*spread(refilled, 1000))
    made.read()

    maps = recording.replay().maps
    assert (maps["state"].to_pylist(), maps["live_slots"].to_pylist()) == (["alive"], [refilled])


@BOTH
def test_a_map_that_lost_events_has_the_figures_of_its_memory(implementation: Implementation) -> None:
    recording = Recording(implementation)
    made = recording.create()
    made.insert(*spread(100))
    with recording.losing_events():
        made.insert(*spread(5, 200))
    made.read()

    maps = recording.replay().maps
    assert (maps["live_slots"].to_pylist(), maps["inexact"].to_pylist()) == ([105], [Inexact.EVENTS_LOST])


@BOTH
def test_a_map_that_appeared_in_a_gap_lost_events(implementation: Implementation) -> None:
    recording = Recording(implementation)
    with recording.losing_events():
        made = recording.create()
        made.insert(*spread(20))
    made.insert(*spread(1, 100))

    assert recording.replay().maps["inexact"].to_pylist() == [Inexact.EVENTS_LOST]


OPERATIONS = (EventKind.ASSIGN, EventKind.DELETE)
CREATIONS = (EventKind.CREATE, EventKind.CLONE)


@BOTH
@pytest.mark.parametrize(
    ("shed", "why"),
    [(OPERATIONS, Inexact.BEFORE_RECORDING), ((*OPERATIONS, *CREATIONS), Inexact.NOT_WATCHED)],
    ids=["creations seen", "creations shed"],
)
def test_a_map_that_appears_after_a_gap_may_be_made_in_it_if_creations_were_not_watched(
    implementation: Implementation, shed: tuple[EventKind, ...], why: Inexact
) -> None:
    recording = Recording(implementation, attached=True)
    early = recording.create()
    early.insert(*spread(1))
    with recording.not_watching(*shed):
        made = recording.create(seen=False)
        made.insert(*spread(20))
    made.insert(*spread(1, 100))

    assert recording.replay().maps["inexact"].to_pylist() == [Inexact.NOT_WATCHED, why]


@BOTH
def test_what_lived_while_growths_were_not_watched_is_not_exact(implementation: Implementation) -> None:
    recording = Recording(implementation)
    made = recording.create()
    made.insert(*spread(3))
    with recording.not_watching(*OPERATIONS, *CREATIONS, EventKind.GROW, EventKind.CLEAR):
        made.insert(*spread(30, 100))
    later = recording.create()
    later.insert(*spread(3))

    maps = recording.replay().maps
    assert maps["inexact"].to_pylist() == [Inexact.NOT_WATCHED, Inexact.EXACT]
    assert maps["inserts"].to_pylist() == [3, 3]


@BOTH
def test_what_is_lost_later_does_not_matter_before(implementation: Implementation) -> None:
    recording = Recording(implementation, is_cut=True)
    made = recording.create()
    made.insert(*spread(20))
    then = recording.now
    recording.now += 5
    with recording.losing_events():
        made.insert(*spread(20, 100))

    assert recording.replay(until_ns=then).maps["inexact"].to_pylist() == [Inexact.EXACT]


@BOTH
def test_the_end_does_not_tell_what_a_map_held_before(implementation: Implementation) -> None:
    made = filled_before(implementation, 20)
    recording = made.recording
    made.insert(*spread(1, 100))
    then = recording.now
    recording.now += 5
    made.insert(*spread(500, 1000))
    made.read()

    maps = recording.replay(until_ns=then).maps
    assert (maps["state"].to_pylist(), maps["live_slots"].to_pylist()) == (["unknown"], [0])


@BOTH
def test_the_last_operation_of_a_map_that_was_read_is_counted(implementation: Implementation) -> None:
    made = filled_before(implementation, 20)
    recording = made.recording
    made.insert(*spread(3, 100))
    made.read()

    assert recording.replay().maps["inserts"].to_pylist() == [3]


@BOTH
@pytest.mark.parametrize(
    ("type_id", "n", "why"),
    [(PLACES, 20, Inexact.UNEQUAL_KEYS), (PLACES, 8, Inexact.EXACT), (SESSIONS, 20, Inexact.EXACT)],
)
def test_a_composite_key_that_a_growth_moved_at_random_shows_in_memory(
    implementation: Implementation, type_id: int, n: int, why: Inexact
) -> None:
    recording = Recording(implementation)
    made = recording.create(type_id=type_id)
    made.insert(*spread(n))
    made.read()
    recording.snapshot_buckets[0]["control"] ^= 1

    assert recording.replay().maps["inexact"].to_pylist() == [why]


@BOTH
def test_a_map_whose_memory_has_another_number_of_entries_is_as_it_was_read(implementation: Implementation) -> None:
    recording = Recording(implementation)
    made = recording.create()
    made.insert(*spread(20))
    with recording.out_of_sight():
        made.delete(*spread(5))
    made.read()

    maps = recording.replay().maps
    assert (maps["live_slots"].to_pylist(), maps["inexact"].to_pylist()) == ([15], [Inexact.HEADER_MISMATCH])
    assert maps["source"].to_pylist() == ["read"]


@BOTH
def test_a_map_that_was_buried_after_a_loss_may_have_lost_events(implementation: Implementation) -> None:
    recording = Recording(implementation)
    made = recording.create()
    made.insert(*spread(20))
    with recording.losing_events():
        made.delete(*spread(20))
    recording.create(at=made).insert(*spread(5))

    assert recording.replay().maps["inexact"].to_pylist() == [Inexact.EVENTS_LOST, Inexact.EXACT]


@BOTH
def test_a_map_never_written_is_dead_if_its_header_has_an_array(implementation: Implementation) -> None:
    recording = Recording(implementation)
    recording.create().read()
    (looked_at,) = recording.snapshot_maps
    assert recording.replay().maps["state"].to_pylist() == ["alive"]

    looked_at["array_addr"] = 0xC000123000
    assert recording.replay().maps["state"].to_pylist() == ["dead"]


@BOTH
def test_what_was_read_before_a_loss_is_an_estimate_at_the_end(implementation: Implementation) -> None:
    made = filled_before(implementation, 100)
    recording = made.recording
    made.insert(*spread(1, 100))
    made.look()
    with recording.losing_events():
        made.insert(*spread(900, 200))

    maps = recording.replay().maps
    assert (maps["state"].to_pylist(), maps["source"].to_pylist()) == (["unknown"], ["bounded"])
    assert maps["live_slots"].to_pylist() == [101]


@BOTH
def test_what_was_read_of_the_map_before_says_nothing_of_this_one(implementation: Implementation) -> None:
    first = filled_before(implementation, 19)
    recording = first.recording
    first.insert(*spread(1, 50))
    first.look()
    second = recording.create(at=first)
    second.insert(*spread(300))
    with recording.losing_events():
        second.insert(*spread(1, 500))

    maps = recording.replay().maps
    assert maps["live_slots"].to_pylist() == [0, 300]
    assert maps["state"].to_pylist() == ["dead", "unknown"]
    assert maps["source"].to_pylist()[1] == "bounded"
    assert maps["most_retained_bytes"].to_pylist()[1] is None


@BOTH
def test_a_map_that_was_carried_on_is_no_estimate_at_an_earlier_time(implementation: Implementation) -> None:
    recording = Recording(implementation)
    made = recording.create()
    made.insert(*spread(50))
    with recording.losing_events():
        made.insert(*spread(5, 100))
    made.look()
    made.insert(*spread(5, 200))

    maps = recording.replay(until_ns=recording.now).maps
    assert (maps["live_slots"].to_pylist(), maps["source"].to_pylist()) == ([60], ["replayed"])


@BOTH
def test_a_map_that_no_event_explains_is_an_estimate_until_it_is_read(implementation: Implementation) -> None:
    recording = Recording(implementation)
    made = recording.create()
    made.insert(*spread(50))
    with recording.losing_events():
        made.insert(*spread(5, 100))
    made.insert(*spread(5, 200))

    maps = recording.replay().maps
    assert maps["source"].to_pylist() == ["bounded"]
    assert maps["live_slots"].to_pylist() == [50]
