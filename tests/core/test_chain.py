from __future__ import annotations

import numpy as np
import pytest

from mapprobe import _core
from mapprobe.model.core import GROWING
from support.side_by_side import ClassicSideBySide

RELEASE = (1, 23)


@pytest.mark.parametrize(("top", "byte"), [(0, 5), (4, 9), (5, 5), (255, 255)])
def test_top_bytes_that_mean_something_else_are_moved_up(top: int, byte: int) -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((top << 56, 0), 1)
    assert control_bytes(side, 0)[0] == byte


def test_live_slots_are_neither_rest_nor_hole() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    assert _core.live_slots(side.handle, 0x00_01_05_FF) == 0b0011


@pytest.mark.parametrize(("first", "evacuated"), [(0, False), (1, False), (2, True), (3, True), (4, True), (5, False)])
def test_a_chain_is_evacuated_by_its_first_byte(first: int, evacuated: bool) -> None:
    side = filled(8)
    for n in range(6):
        side.insert((1 | n << 8, 0), 1)
    assert side.buckets()[1].tolist() == [0] * 4
    side.world.chains["old_array"][0], side.world.chains["waiting"][0] = side.row["array"], 2
    side.world.maps["state"][0] |= GROWING
    side.world.buckets["control"][int(side.row["array"])] = first
    parts = np.empty(side.count_buckets(), np.uint32)
    listed = _core.list_buckets(side.handle, 0, np.empty_like(parts), parts)
    assert parts[:listed].tolist() == [0] * 4 + [2] * (1 if evacuated else 2)


def filled(entries: int) -> ClassicSideBySide:
    """Return a map with B = 1 whose main bucket 0 has a chain of so many entries."""
    side = ClassicSideBySide(RELEASE, 13)
    for n in range(entries):
        side.insert((n << 8 | n << 56, 0), 1)
    return side


def control_bytes(side: ClassicSideBySide, row: int) -> list[int]:
    return list(int(side.listed()["control"][row]).to_bytes(8, "little"))


def test_a_deleted_key_leaves_a_hole() -> None:
    side = filled(4)
    side.delete((1 << 8 | 1 << 56, 0), 2)
    assert control_bytes(side, 0) == [5, 1, 7, 8, 0, 0, 0, 0]


def test_holes_at_the_end_of_a_chain_become_rest() -> None:
    side = filled(4)
    for n in (2, 3):
        side.delete((n << 8 | n << 56, 0), 2)
    assert control_bytes(side, 0) == [5, 6, 0, 0, 0, 0, 0, 0]


def test_all_holes_of_a_bucket_become_rest() -> None:
    side = filled(8)
    for n in (0, 1, 2, 3, 4, 6, 5):
        side.delete((n << 8 | n << 56, 0), 2)
    assert control_bytes(side, 0) == [1] * 7 + [7]
    side.delete((7 << 8 | 7 << 56, 0), 2)
    assert control_bytes(side, 0) == [0] * 8


def test_rest_reaches_back_over_overflow_buckets() -> None:
    side = filled(10)
    for n in (7, 8, 9):
        side.delete((n << 8 | n << 56, 0), 2)
    assert control_bytes(side, 0)[6:] == [6 + 0, 0]
    assert control_bytes(side, 1) == [0] * 8


def test_a_chain_that_was_given_back_is_taken_again() -> None:
    side = filled(9)
    behind = int(side.buckets()[0][1])
    top = side.handle.bucket_top
    side.clear(2)
    assert side.count_buckets() == 2
    beside = ClassicSideBySide(RELEASE, 0, beside=side)
    beside.insert((1, 0), 1)
    assert beside.buckets()[0].tolist() == [behind]
    assert side.handle.bucket_top == top
