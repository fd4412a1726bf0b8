from __future__ import annotations

import pytest
from side_by_side import SwissSideBySide

from mapprobe.model import table
from mapprobe.model.state import ARRAY, FLAGS, GROWTH_LEFT

RELEASE = (1, 27)


def full_group(release: tuple[int, int] = RELEASE) -> SwissSideBySide:
    """Return a map with one table of two groups, of which group 0 is full."""
    side = SwissSideBySide(release, 9)
    for n in range(8):
        side.insert((n, 0), 1)
    return side


def controls(side: SwissSideBySide) -> list[list[int]]:
    buckets, _ = side.buckets()
    return [list(int(word).to_bytes(8, "little")) for word in side.state.control[buckets].tolist()]


def growth_left(side: SwissSideBySide) -> int:
    return int(side.state.tables[side.state.directory[side.state.maps[0, ARRAY]], GROWTH_LEFT])


def test_a_slot_emptied_in_a_full_group_becomes_a_tombstone() -> None:
    side = full_group()
    side.delete((3, 0), 2)
    assert controls(side)[0][3] == table.CTRL_DELETED
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
    assert side.state.maps[0, FLAGS] == flag


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


def test_a_set_of_groups_has_what_was_put_in() -> None:
    bits = (table.ZERO, table.ZERO)
    for n in (0, 63, 64, 127):
        bits = table.with_bit(bits, n)
    assert [n for n in range(128) if table.has_bit(bits, n)] == [0, 63, 64, 127]
