from __future__ import annotations

from side_by_side import ClassicSideBySide

from mapprobe.model import classic, sizes
from mapprobe.model.state import FLAGS, HEAP, LOG2, NOWHERE, OLD_ARRAY, OLD_HEAP, WAITING


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
    assert side.state.maps[0, HEAP] == 3
    side.insert((1 << 2, 0), 2)
    return side


def test_a_map_over_its_load_factor_gets_an_array_of_twice_the_length() -> None:
    side = growing(144, 0)
    row = side.state.maps[0]
    assert (row[LOG2], row[FLAGS]) == (3, 0)
    assert row[OLD_ARRAY] != NOWHERE


def test_the_operation_that_starts_a_growth_evacuates_two_old_buckets() -> None:
    assert growing(144, 0).state.maps[0, WAITING] == 4 - 2


def test_sparse_chains_are_packed_into_an_array_of_the_same_length() -> None:
    side = ClassicSideBySide((1, 23), 26, 144, 0)
    for low in range(4):
        keys = in_one_bucket(side, low, 9)
        for key in keys[:-1]:
            side.delete(key, 2)
    assert side.state.maps[0, [LOG2, FLAGS]].tolist() == [2, 0]
    side.insert((5 << 30, 0), 3)
    assert side.state.maps[0, [LOG2, FLAGS]].tolist() == [2, classic.SAME_SIZE_GROW]
    for _ in range(4):
        side.insert((5 << 30, 0), 3)
    assert side.buckets()[1].tolist() == [0] * 4


def test_an_update_evacuates_too() -> None:
    side = growing(144, 0)
    waiting = side.state.maps[0, WAITING]
    side.insert((1 << 2, 0), 2)
    assert side.state.maps[0, WAITING] < waiting


def test_old_overflow_buckets_without_pointers_stay_until_the_growth_ends() -> None:
    side = growing(144, 0)
    side.insert((1, 0), 2)
    assert side.state.maps[0, OLD_HEAP] == 3


def test_old_overflow_buckets_with_pointers_go_with_their_chain() -> None:
    side = growing(208, 1)
    assert side.state.maps[0, OLD_HEAP] == 0


def test_an_iterator_keeps_old_overflow_buckets_with_pointers() -> None:
    side = ClassicSideBySide((1, 23), 26, 208, 1)
    in_one_bucket(side, 1, 26)
    classic.set_iterator_flags(side.state, 0, 1)
    side.insert((1 << 2, 0), 2)
    assert side.state.maps[0, OLD_HEAP] == 3


def test_a_map_that_grows_is_charged_both_arrays() -> None:
    side = growing(208, 1)
    rules = side.state.rules
    arrays = [sizes.array_bytes(rules, 208, 1, log2) for log2 in (2, 3)]
    on_heap = int(side.state.maps[0, HEAP]) * sizes.charged_bytes(rules, 208, 1)
    assert classic.allocated_bytes(side.state, 0) == sum(arrays) + on_heap
