from __future__ import annotations

import pytest

from mapprobe import _core, vocabulary
from support.side_by_side import SwissSideBySide, delete_stacks

RELEASE = (1, 27)
VIRGIN = [vocabulary.NONE] * 8


@pytest.fixture
def first() -> SwissSideBySide:
    """Give a map with one table of two groups, the first of its world."""
    return SwissSideBySide(RELEASE, 9)


def groups(side: SwissSideBySide) -> list[int]:
    return side.buckets()[0].tolist()


def tables(side: SwissSideBySide) -> tuple[int, list[int]]:
    """Return where a map's directory begins, and what stands in it."""
    return int(side.row["array"]), side.directory()


def test_a_run_that_was_given_back_is_taken_again(first: SwissSideBySide) -> None:
    SwissSideBySide(RELEASE, 9, beside=first)
    held = groups(first)
    first.forget()
    assert groups(SwissSideBySide(RELEASE, 9, beside=first)) == held


def test_runs_of_other_lengths_are_taken_from_the_end(first: SwissSideBySide) -> None:
    first.forget()
    assert groups(SwissSideBySide(RELEASE, 15, beside=first)) == [2, 3, 4, 5]
    assert first.handle.bucket_top == 6


def test_runs_are_taken_again_in_the_order_of_a_stack(first: SwissSideBySide) -> None:
    others = [SwissSideBySide(RELEASE, 9, beside=first) for _ in range(3)]
    held = [groups(side) for side in others]
    for side in others:
        side.forget()
    assert [groups(SwissSideBySide(RELEASE, 9, beside=first)) for _ in range(3)] == held[::-1]


def test_a_bucket_that_is_taken_again_is_virgin() -> None:
    side = SwissSideBySide(RELEASE, 0)
    side.insert((7, 0), 2)
    side.insert((99, 0x4A5000), 2)
    side.delete((7, 0), 3)
    bucket = groups(side)
    side.forget()
    _core.create(side.handle, 0, 0, 136, 0, 4)
    _core.insert(side.handle, 0, 1, 0, 5, True)
    assert groups(side) == bucket
    row = side.listed()[0]
    assert row["control"] == 0x8080808080808001
    assert row["insert_stacks"].tolist() == [5, *VIRGIN[1:]]
    assert delete_stacks(row)[1:] == VIRGIN[1:]
    assert [row[name] for name in ("grown_by", "last_insert", "last_delete", "kind")] == [4, 5, vocabulary.NONE, 0]


def test_directories_and_tables_that_were_given_back_are_taken_again(first: SwissSideBySide) -> None:
    large = SwissSideBySide(RELEASE, 10_000, beside=first)
    array, directory = tables(large)
    tops = large.handle.directory_top, large.handle.table_top
    assert tops == (1 + 16, 1 + 16)
    large.forget()
    again = SwissSideBySide(RELEASE, 10_000, beside=first)
    assert tables(again) == (array, directory[::-1])
    assert (large.handle.directory_top, large.handle.table_top) == tops


def test_a_moved_entry_keeps_its_insert_stack_and_key_type() -> None:
    side = SwissSideBySide(RELEASE, 0)
    for n in range(8):
        side.insert((n, 0x4A5000 + n), 1 + n)
    side.insert((8, 0), 9)
    assert (side.count_buckets(), side.row["count"]) == (2, 9)
    side.assert_equal()


def test_key_types_of_entries_from_before_the_first_one_are_0() -> None:
    side = SwissSideBySide(RELEASE, 0)
    side.insert((1, 0), 1)
    assert not side.handle.has_key_types
    side.insert((1, 5), 1)
    assert side.handle.has_key_types
    assert [_core.holds(side.handle, 0, 1, key_type) for key_type in (0, 5, 6)] == [True, True, False]
    side.assert_equal()


def test_more_rows_than_before_do_not_move_those_that_are_there() -> None:
    side = SwissSideBySide(RELEASE, 0)
    side.insert((1, 0), 3)
    rows = side.world.buckets
    large = SwissSideBySide(RELEASE, 1 << 18, beside=side)
    assert large.count_buckets() == large.handle.bucket_top - 1 == 1 << 16
    assert rows["insert_stacks"][0, 0] == 3
    rows["insert_stacks"][0, 0] = 4
    assert side.listed()["insert_stacks"][0, 0] == 4
