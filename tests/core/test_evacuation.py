from __future__ import annotations

from mapprobe import _core
from mapprobe.model.core import GROWING
from mapprobe.vocabulary import NONE
from support.side_by_side import ClassicSideBySide

SAME_SIZE_GROW = 8


def in_one_bucket(side: ClassicSideBySide, low: int, entries: int, stack: int = 1) -> list[tuple[int, int]]:
    """Insert so many entries whose hashes have the same low bits."""
    keys = [(low | n << 20 | n << 56 & 2**64 - 1, 0) for n in range(entries)]
    for key in keys:
        side.insert(key, stack)
    return keys


def growing(bucket_bytes: int, has_pointers: int) -> ClassicSideBySide:
    """Return a map that begins to grow with overflow buckets of the heap in its old array."""
    side = ClassicSideBySide((1, 23), 26, bucket_bytes, has_pointers)
    in_one_bucket(side, 1, 26)
    assert side.chains["heap"] == 3
    side.insert((1 << 2, 0), 2)
    return side


def size_and_flags(side: ClassicSideBySide) -> tuple[int, int]:
    return int(side.row["log2"]), int(side.row["flags"])


def test_a_map_over_its_load_factor_gets_an_array_of_twice_the_length() -> None:
    side = growing(144, 0)
    assert size_and_flags(side) == (3, 0)
    assert side.chains["old_array"] != NONE
    assert side.row["state"] & GROWING


def test_the_operation_that_starts_a_growth_evacuates_two_old_buckets() -> None:
    assert growing(144, 0).chains["waiting"] == 4 - 2


def test_sparse_chains_are_packed_into_an_array_of_the_same_length() -> None:
    side = ClassicSideBySide((1, 23), 26, 144, 0)
    for low in range(4):
        keys = in_one_bucket(side, low, 9)
        for key in keys[:-1]:
            side.delete(key, 2)
    assert size_and_flags(side) == (2, 0)
    side.insert((5 << 30, 0), 3)
    assert size_and_flags(side) == (2, SAME_SIZE_GROW)
    for _ in range(4):
        side.insert((5 << 30, 0), 3)
    assert side.buckets()[1].tolist() == [0] * 4


def test_an_update_evacuates_too() -> None:
    side = growing(144, 0)
    waiting = side.chains["waiting"]
    side.insert((1 << 2, 0), 2)
    assert side.chains["waiting"] < waiting


def test_old_overflow_buckets_without_pointers_stay_until_the_growth_ends() -> None:
    side = growing(144, 0)
    side.insert((1, 0), 2)
    assert side.chains["old_heap"] == 3


def test_old_overflow_buckets_with_pointers_go_with_their_chain() -> None:
    side = growing(208, 1)
    assert side.chains["old_heap"] == 0


def test_an_iterator_keeps_old_overflow_buckets_with_pointers() -> None:
    side = ClassicSideBySide((1, 23), 26, 208, 1)
    in_one_bucket(side, 1, 26)
    _core.set_iterator_flags(side.handle, 0, 1)
    side.insert((1 << 2, 0), 2)
    assert side.chains["old_heap"] == 3


def test_a_map_that_grows_is_charged_both_arrays() -> None:
    side = growing(208, 1)
    arrays = [_core.array_bytes(side.rules, 208, 1, log2) for log2 in (2, 3)]
    on_heap = int(side.chains["heap"]) * _core.charged_bytes(side.rules, 208, 1)
    assert side.allocated_bytes() == sum(arrays) + on_heap


def test_a_growth_that_ends_may_be_followed_by_the_next_at_once() -> None:
    side = ClassicSideBySide((1, 23), 26)
    for low in range(4):
        in_one_bucket(side, low, 9)
        for n in range(1, 9):
            side.delete((low | n << 20 | n << 56 & 2**64 - 1, 0), 2)
    side.insert((5 << 30, 0), 3)
    assert (size_and_flags(side), side.chains["waiting"]) == ((2, SAME_SIZE_GROW), 2)
    side.world.maps["overflow_count"][0] = 4  # what the last two chains may need
    assert _core.insert(side.handle, 0, 2 | 1 << 30, 0, 3, False) == 2 * 1 + 1
    assert (size_and_flags(side), side.chains["waiting"]) == ((2, SAME_SIZE_GROW), 2)
    side.check()
