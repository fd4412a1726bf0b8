from __future__ import annotations

import pytest

from mapprobe import _core
from support.side_by_side import SwissSideBySide

SPREAD = 0x9E3779B97F4A7C15


def with_entries(entries: int) -> SwissSideBySide:
    side = SwissSideBySide((1, 27), 0)
    for n in range(entries):
        side.insert((n * SPREAD % 2**64, 0), 1)
    return side


def parts(side: SwissSideBySide) -> list[int]:
    return side.buckets()[1].tolist()


@pytest.mark.parametrize(
    ("entries", "groups"), [(8, 1), (9, 2), (14, 2), (15, 4), (29, 8), (448, 64), (449, 128), (896, 128)]
)
def test_one_table_doubles_when_seven_eighths_are_full(entries: int, groups: int) -> None:
    side = with_entries(entries)
    assert parts(side) == [0] * groups


def test_a_table_of_1024_slots_splits_in_two_of_the_same_size() -> None:
    side = with_entries(897)
    assert parts(side) == [0] * 128 + [1] * 128
    assert (side.row["log2"], len(set(side.directory()))) == (1, 2)


def test_an_entry_goes_to_the_half_that_its_top_bit_names() -> None:
    side = with_entries(897)
    buckets, parts = side.buckets()
    for bucket, part in zip(buckets.tolist(), parts.tolist(), strict=True):
        for key in side.reference.listed()[buckets.tolist().index(bucket)][0].keys:
            assert key is None or key[0] >> 63 == part


def test_a_table_that_did_not_split_has_two_directory_slots() -> None:
    side = with_entries(897)
    for n in range(2000):  # top bits 0: all go to the left table, and to the left half of that
        side.insert(((n * SPREAD % 2**64) >> 2, 0), 2)
    assert side.row["log2"] >= 3
    side.assert_equal()
    side.check()


def test_growth_belongs_to_the_stack_that_triggered_it() -> None:
    side = with_entries(896)
    side.insert((896 * SPREAD % 2**64, 0), 7)
    assert set(side.listed()["grown_by"].tolist()) == {7}


def test_a_map_that_died_leaves_its_room_to_the_next() -> None:
    side = with_entries(5000)
    side.forget()
    used = side.handle.bucket_top, side.handle.table_top
    side.reference = SwissSideBySide((1, 27), 0).reference
    for n in range(5000):
        side.insert((n * SPREAD % 2**64, 0), 1)
    assert (side.handle.bucket_top, side.handle.table_top) == used


def test_an_insert_that_splits_for_ever_ends_without_room() -> None:
    side = SwissSideBySide((1, 27), 897)
    done: int | None = 0
    n = 0
    while done is not None:  # all top bits are the same, so that each split leaves a half as full as before
        done = _core.insert(side.handle, 0, n, 0, 1, True)
        n += 1
    assert n == 897
    side.check()


def test_a_directory_far_longer_than_its_tables_are_many_is_not_followed() -> None:
    side = SwissSideBySide((1, 27), 0)
    for n in range(895):
        _core.insert(side.handle, 0, n, 0, 1, True)
    depth, done = 0, 0
    while done is not None and depth < 20:
        depth += 1
        for n in range(2):  # to the right of the next split, which these two bring about; all others to the left
            done = _core.insert(side.handle, 0, (1 << 64 - depth) + n, 0, 1, True) if done is not None else None
    assert done is None
    assert side.handle.directory_top < 1 << 20
    side.check()
