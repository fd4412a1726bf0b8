from __future__ import annotations

import numpy as np
import pytest

from mapprobe import schema
from mapprobe.model import arena
from mapprobe.model.state import BUCKETS, DIRECTORY, GROWTH, LAST_INSERT, MAIN, TABLES, State, enlarged, new_state
from mapprobe.schema import Implementation

ZERO = np.uint64(0)


@pytest.fixture
def state() -> State:
    return new_state(Implementation.SWISS, (1, 27))


def test_a_run_that_was_given_back_is_taken_again(state: State) -> None:
    first = arena.take_buckets(state, 3, ZERO, 1)
    arena.take_buckets(state, 3, ZERO, 1)
    arena.give_buckets(state, first, 3)
    assert arena.take_buckets(state, 3, ZERO, 1) == first


def test_runs_of_other_lengths_are_taken_from_the_end(state: State) -> None:
    arena.give_buckets(state, arena.take_buckets(state, 3, ZERO, 1), 3)
    assert arena.take_buckets(state, 2, ZERO, 1) == 8
    assert state.tops[BUCKETS] == 12


def test_a_bucket_that_is_taken_again_is_virgin(state: State) -> None:
    bucket = arena.take_buckets(state, 0, ZERO, 1)
    arena.fill_slot(state, bucket, 5, np.uint64(7), np.uint64(99), ZERO, 2)
    arena.note_emptied(state, bucket, np.uint64(0x80 << 40), 3)
    arena.give_buckets(state, bucket, 0)
    assert arena.take_buckets(state, 0, np.uint64(0x80), 4) == bucket
    assert state.control[bucket] == 0x80
    assert state.insert_stacks[bucket].tolist() == state.delete_stacks[bucket].tolist() == [schema.NONE] * 8
    assert state.bucket_stacks[bucket].tolist() == [4, schema.NONE, schema.NONE]
    assert state.bucket_kinds[bucket] == MAIN


def test_directories_and_tables_that_were_given_back_are_taken_again(state: State) -> None:
    directory, table = arena.take_directory(state, 4), arena.take_table(state)
    arena.give_directory(state, directory, 4)
    arena.give_table(state, table)
    assert (arena.take_directory(state, 4), arena.take_table(state)) == (directory, table)
    assert (state.tops[DIRECTORY], state.tops[TABLES]) == (16, 1)


def test_a_moved_entry_keeps_its_insert_stack(state: State) -> None:
    here, there = arena.take_buckets(state, 0, ZERO, 1), arena.take_buckets(state, 0, ZERO, 2)
    arena.fill_slot(state, here, 1, np.uint64(7), np.uint64(99), np.uint64(5), 3)
    arena.move_entry(state, here, 1, there, 6, np.uint64(8))
    assert (state.hashes[there, 6], state.key_types[there, 6], state.insert_stacks[there, 6]) == (99, 5, 3)
    assert state.bucket_stacks[there, [GROWTH, LAST_INSERT]].tolist() == [2, 3]
    assert state.control[there] == 8 << 48


def test_room_is_lacking_until_the_state_is_enlarged(state: State) -> None:
    maps, buckets = len(state.maps) + 1, 3 * len(state.control)
    assert arena.lacks(state, maps, buckets, 0, 0)
    assert not arena.lacks(enlarged(state), maps, buckets, 0, 0)
