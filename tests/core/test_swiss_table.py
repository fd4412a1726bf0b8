from __future__ import annotations

import pytest

from support.invariants import CTRL_DELETED
from support.side_by_side import SwissSideBySide

RELEASE = (1, 27)


def full_group(release: tuple[int, int] = RELEASE) -> SwissSideBySide:
    """Return a map with one table of two groups, of which group 0 is full."""
    side = SwissSideBySide(release, 9)
    for n in range(8):
        side.insert((n, 0), 1)
    return side


def controls(side: SwissSideBySide) -> list[list[int]]:
    return [list(word.to_bytes(8, "little")) for word in side.listed()["control"].tolist()]


def growth_left(side: SwissSideBySide) -> int:
    return side.table(side.directory()[0])["growth_left"]


def test_a_slot_emptied_in_a_full_group_becomes_a_tombstone() -> None:
    side = full_group()
    side.delete((3, 0), 2)
    assert controls(side)[0][3] == CTRL_DELETED
    assert growth_left(side) == 14 - 8


def test_a_slot_emptied_in_another_group_is_empty_again() -> None:
    side = SwissSideBySide(RELEASE, 9)
    side.insert((3, 0), 1)
    side.delete((3, 0), 2)
    assert controls(side)[0] == [0x80] * 8
    assert growth_left(side) == 14


@pytest.mark.parametrize(("release", "flag"), [((1, 24), 0), ((1, 25), 1)])
def test_a_tombstone_is_flagged_in_releases_that_have_the_flag(release: tuple[int, int], flag: int) -> None:
    side = full_group(release)
    side.delete((3, 0), 2)
    assert side.row["flags"] == flag


def test_an_insert_takes_the_first_tombstone_on_its_way() -> None:
    side = full_group()
    side.delete((3, 0), 2)
    side.insert((100, 0), 1)
    assert controls(side)[0][3] == 100


def tombstoned(side: SwissSideBySide) -> None:
    """Leave group 0 of two groups full of tombstones that no key needs, and no growth."""
    for n in range(8):
        side.delete((n, 0), 2)
    for n in range(6):
        side.insert((128 + n, 0), 1)
    assert growth_left(side) == 0


def test_tombstones_that_nobody_needs_are_pruned() -> None:
    side = full_group()
    tombstoned(side)
    side.insert((128 + 6, 0), 1)
    assert controls(side)[0] == [0x80] * 8
    assert growth_left(side) == 8 - 1


@pytest.mark.parametrize(("release", "prunes"), [((1, 24), True), ((1, 27), False)])
def test_a_table_grows_where_nobody_prunes(release: tuple[int, int], prunes: bool) -> None:
    side = full_group(release)
    tombstoned(side)
    side.insert((128 + 6, 0), 1, prunes)
    assert len(controls(side)) == 4


def test_tombstones_that_lead_to_a_key_are_kept() -> None:
    side = full_group()
    side.insert((8, 0), 1)  # stands in group 1, behind the full group 0
    for n in range(8):
        side.delete((n, 0), 2)
    for n in range(5):
        side.insert((128 + n, 0), 1)
    side.insert((128 + 5, 0), 1)
    assert len(controls(side)) == 4


def test_of_128_groups_only_those_keep_tombstones_that_lead_to_a_key() -> None:
    side = SwissSideBySide(RELEASE, 896)
    full = [group for group in range(2, 128) if group % 8]
    dead = [(group << 7 | n << 32, 0) for group in full for n in range(8)]
    for key in dead:
        side.insert(key, 1)
    side.insert((127 << 7 | 1 << 40, 0), 1)  # stands in group 0, behind the full group 127
    for key in dead:
        side.delete(key, 2)
    for n in range(growth_left(side)):
        side.insert((n << 32, 0), 1)
    side.insert((8 << 7, 0), 1)
    groups = controls(side)
    assert [n for n, group in enumerate(groups) if CTRL_DELETED in group] == [127]
    assert growth_left(side) == 896 - 9 - 8
    side.assert_equal()
    side.check()
