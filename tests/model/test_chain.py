from __future__ import annotations

import numpy as np
import pytest
from side_by_side import ClassicSideBySide

from mapprobe.model import arena, chain
from mapprobe.model.state import State, new_state
from mapprobe.schema import Implementation

ZERO = np.uint64(0)


@pytest.fixture
def state() -> State:
    return new_state(Implementation.CLASSIC, (1, 23))


def test_top_bytes_that_mean_something_else_are_moved_up() -> None:
    assert [int(chain.top_hash(np.uint64(top << 56))) for top in (0, 4, 5, 255)] == [5, 9, 5, 255]


def test_live_slots_are_neither_rest_nor_hole() -> None:
    assert chain.live_mask(np.uint64(0x00_01_05_FF)) == 0x8080


@pytest.mark.parametrize(("first", "evacuated"), [(0, False), (1, False), (2, True), (3, True), (4, True), (5, False)])
def test_a_chain_is_evacuated_by_its_first_byte(first: int, evacuated: bool) -> None:
    assert chain.is_evacuated(np.uint64(first)) == evacuated


def filled(entries: int) -> ClassicSideBySide:
    """Return a map with B = 1 whose main bucket 0 has a chain of so many entries."""
    side = ClassicSideBySide((1, 23), 13)
    for n in range(entries):
        side.insert((n << 8 | n << 56, 0), 1)
    return side


def control_bytes(side: ClassicSideBySide, row: int) -> list[int]:
    buckets, _ = side.buckets()
    return list(int(side.state.control[buckets[row]]).to_bytes(8, "little"))


def test_a_deleted_key_leaves_a_hole() -> None:
    side = filled(4)
    side.delete((1 << 8 | 1 << 56, 0), 2)
    assert control_bytes(side, 0) == [5, 1, 7, 8, 0, 0, 0, 0]


def test_holes_at_the_end_of_a_chain_become_rest() -> None:
    side = filled(4)
    for n in (2, 3):
        side.delete((n << 8 | n << 56, 0), 2)
    assert control_bytes(side, 0) == [5, 6, 0, 0, 0, 0, 0, 0]


def test_rest_reaches_back_over_overflow_buckets() -> None:
    side = filled(10)
    for n in (7, 8, 9):
        side.delete((n << 8 | n << 56, 0), 2)
    assert control_bytes(side, 0)[6:] == [6 + 0, 0]
    assert control_bytes(side, 1) == [0] * 8


def test_a_chain_that_was_given_back_is_taken_again(state: State) -> None:
    first, behind = arena.take_buckets(state, 1, ZERO, 1), arena.take_buckets(state, 0, ZERO, 1)
    state.next_bucket[first] = behind
    assert chain.give_chain(state, first) == 1
    assert arena.take_buckets(state, 0, ZERO, 1) == behind
