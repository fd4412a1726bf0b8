"""Maps in goroutines' frames: a later event from a shallower frame ends them, as does another map with their array."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mapprobe.model.core import batch_of_headers
from mapprobe.replay.context import world_of
from mapprobe.replay.lifetimes import lifetimes
from mapprobe.replay.stepping import SteppedReplay, walk
from mapprobe.vocabulary import EventKind, Inexact, View
from support.recordings import RecordedMap, Recording, column, spread, why

GOID = 7
MOST_DEEPER = 1024
"""src/core/localmaps.c"""


def in_frame(recording: Recording, offset: int, n: int = 3, goid: int = GOID) -> RecordedMap:
    """Make a map so far from the top of a goroutine's stack, and fill it from its own frame."""
    made = recording.create(seen=False)
    made.stack_offset, made.goid = offset, goid
    recording.depth = offset
    made.insert(*spread(n))
    return made


def elsewhere(recording: Recording, depth: int, goid: int = GOID) -> RecordedMap:
    """Let a goroutine write to a map on the heap from a frame so deep."""
    recording.depth = depth
    made = recording.create(seen=False)
    made.goid = goid
    made.insert(1)
    return made


def test_a_map_is_dead_when_its_frame_was_left(recording: Recording) -> None:
    in_frame(recording, 0x100)
    elsewhere(recording, 0x80)
    found = recording.replay()
    assert column(found, "state") == ["dead", "unknown"]
    assert column(found, "live_slots") == [0, 1]
    assert column(found, "inserts") == [3, 1]


@pytest.mark.parametrize("depth", [0x100, 0x180, 0])
def test_a_map_lives_while_its_frame_may_run(recording: Recording, depth: int) -> None:
    in_frame(recording, 0x100)
    elsewhere(recording, depth)
    assert column(recording.replay(), "live_slots") == [3, 1]


def test_another_goroutine_says_nothing_of_a_frame(recording: Recording) -> None:
    in_frame(recording, 0x100)
    elsewhere(recording, 0x10, goid=8)
    assert column(recording.replay(), "live_slots") == [3, 1]


def test_all_maps_of_frames_that_were_left_are_dead_and_no_other(recording: Recording) -> None:
    made = [in_frame(recording, offset) for offset in (0x40, 0x200, 0x100, 0x300)]
    in_frame(recording, 0x300, goid=8)
    recording.depth = 0x100
    made[2].insert(77)
    assert column(recording.replay(), "live_slots") == [3, 0, 4, 0, 3]


def test_a_caller_that_writes_to_its_map_ends_those_of_its_callees(recording: Recording) -> None:
    caller, callee = in_frame(recording, 0x40), in_frame(recording, 0x100)
    recording.depth = 0x100
    caller.insert(70)
    callee.insert(80)
    recording.depth = 0x40
    caller.insert(71)
    found = recording.replay()
    assert column(found, "live_slots") == [5, 0]
    assert column(found, "inserts") == [5, 4]


def test_a_frame_that_is_entered_again_has_another_map(recording: Recording) -> None:
    made = in_frame(recording, 0x100)
    elsewhere(recording, 0x40)
    following = recording.create(seen=False, at=made)
    following.stack_offset, following.goid = 0x100, GOID
    recording.depth = 0x100
    following.insert(*spread(2))
    found = recording.replay()
    assert column(found, "generation") == [1, 1, 2]
    assert column(found, "live_slots") == [0, 1, 2]
    assert why(recording) == [Inexact.EXACT] * 3


def test_a_recursion_is_left_frame_by_frame(recording: Recording) -> None:
    offsets = [0x40 * n for n in range(1, 400)]
    made = [in_frame(recording, offset, 1) for offset in offsets]
    for m, offset in zip(reversed(made), reversed(offsets), strict=True):
        recording.depth = offset
        m.insert(1 << 40)
    elsewhere(recording, 0x10)
    found = recording.replay()
    assert column(found, "inserts") == [2] * len(made) + [1]
    assert set(column(found, "state")[:-1]) == {"dead"}


def test_an_array_that_another_map_has_ends_the_map_on_a_stack_that_had_it(recording: Recording) -> None:
    made = in_frame(recording, 0x100, 100)
    other = in_frame(recording, 0x100, 100, goid=8)
    array = made.header()["array_addr"]
    other._addresses = {key: (held, array) for key, (held, _) in other._addresses.items()}
    other.insert(*spread(1, start=500))
    assert column(recording.replay(), "state") == ["dead", "unknown"]


def test_the_first_bucket_in_a_frame_says_nothing_of_another_map(recording: Recording) -> None:
    made, other = in_frame(recording, 0x100), in_frame(recording, 0x100, goid=8)
    array = made.header()["array_addr"]
    other._addresses = {key: (held, array) for key, (held, _) in other._addresses.items()}
    other.insert(*spread(1, start=500))
    assert column(recording.replay(), "live_slots") == [3, 4]


def test_more_goroutines_than_the_ledger_has_room_for_are_found(recording: Recording) -> None:
    for goid in range(1, 3001):
        in_frame(recording, 0x100, 1, goid)
    for goid in range(1, 3001):
        elsewhere(recording, 0x40, goid)
    assert column(recording.replay(), "live_slots") == [0] * 3000 + [1] * 3000


def test_events_lost_behind_the_end_of_a_frame_are_not_its_maps(recording: Recording) -> None:
    in_frame(recording, 0x100)
    elsewhere(recording, 0x40)
    with recording.losing_events():
        elsewhere(recording, 0x40)
    assert why(recording)[:2] == [Inexact.EXACT, Inexact.EVENTS_LOST]


def test_a_map_whose_frame_was_left_holds_nothing_at_the_next_stop(recording: Recording) -> None:
    in_frame(recording, 0x100)
    before = recording.now
    elsewhere(recording, 0x40)
    inputs = recording.inputs()
    replay = SteppedReplay(inputs, View.FILL, lifetimes(recording.settled(), inputs, View.FILL))
    stops = np.array([before - 1, recording.now])
    held = [replay.charging.holdings[:, 0].any() for _ in walk(recording.batches(), replay, stops)]
    assert held == [True, False]


def test_far_too_many_maps_on_one_stack_take_little_time(recording: Recording) -> None:
    maps, world = 50_000, world_of(recording.inputs())
    number = np.arange(maps)
    columns = {
        "time_ns": number + 1,
        "kind": np.full(maps, EventKind.CREATE),
        "map_addr": 0xC000000000 + 64 * number,
        "stack_offset": 8 * (maps - number),  # each nearer to the top than all before
        "goid": np.full(maps, GOID),
        "stack_id": np.ones(maps),
    }
    began = time.process_time()

    world.apply(batch_of_headers(columns, maps), maps)

    assert time.process_time() - began < 6
    known = MOST_DEEPER + 1
    assert world.facts["inexact"].tolist() == [Inexact.EXACT] * known + [Inexact.OUT_OF_SIGHT] * (maps - known)


def test_an_old_recording_does_not_know_frames(recording: Recording) -> None:
    in_frame(recording, 0x100)
    elsewhere(recording, 0x80)
    for event in recording.events:
        del event["depth"]
    assert column(recording.replay(), "live_slots") == [3, 1]
