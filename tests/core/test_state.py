from __future__ import annotations

import numpy as np
import pytest

from mapprobe import _core
from mapprobe.errors import TargetError
from mapprobe.model.rules import RULES, rules_of
from mapprobe.vocabulary import Implementation
from support.side_by_side import ClassicSideBySide, new_world

CLASSIC, SWISS = Implementation.CLASSIC, Implementation.SWISS
LOAD_FACTOR_NUM, PRUNES_TOMBSTONES = 0, 2
SPREAD = 0x9E3779B97F4A7C15


def test_rules_stand_in_the_order_of_releases() -> None:
    assert [rules.first for rules in RULES] == sorted({rules.first for rules in RULES})


@pytest.mark.parametrize(("release", "load_factor_num"), [((1, 20), 13), ((1, 21), 12), ((1, 22), 13), ((1, 23), 13)])
def test_load_factor_is_lower_in_one_release(release: tuple[int, int], load_factor_num: int) -> None:
    assert rules_of(CLASSIC, release)[LOAD_FACTOR_NUM] == load_factor_num


def test_releases_behind_the_last_row_follow_it() -> None:
    assert rules_of(SWISS, (1, 30)).tolist() == rules_of(SWISS, (1, 27)).tolist()


def test_tombstones_are_pruned_from_one_release_on() -> None:
    assert [bool(rules_of(SWISS, (1, minor))[PRUNES_TOMBSTONES]) for minor in (24, 25, 26, 27)] == [False] + [True] * 3


@pytest.mark.parametrize(("implementation", "release"), [(CLASSIC, (1, 17)), (SWISS, (1, 23))])
def test_a_release_without_such_maps_is_refused(implementation: Implementation, release: tuple[int, int]) -> None:
    with pytest.raises(TargetError, match=f"go 1.{release[1]}: no {implementation} maps are known of it"):
        new_world(implementation, release)


def test_only_the_arenas_that_are_used_become_longer() -> None:
    world = new_world(CLASSIC, (1, 23))
    _core.create(world.handle, 0, 100_000, 144, False, 1)
    assert [world.handle.bucket_top, world.handle.table_top, world.handle.directory_top] == [1 << 14, 0, 0]
    assert [len(world.maps), len(world.buckets)] == [1, 1 << 14]


def test_rows_of_an_arena_stay_when_it_grows() -> None:
    side = ClassicSideBySide((1, 23), 100)
    for n in range(100):
        side.insert((n * SPREAD % 2**64, 0), 1)
    before, map_before = side.world.buckets, side.world.maps
    held = before.copy()
    for _ in range(200):
        ClassicSideBySide((1, 23), 5_000, beside=side)
    after = side.world.buckets
    assert len(after) > 1000 * len(before)
    assert after.ctypes.data == before.ctypes.data
    assert np.array_equal(after[: len(before)], held)
    assert side.world.maps.ctypes.data == map_before.ctypes.data


@pytest.mark.parametrize("hint", [1 << 34, 1 << 41])
def test_more_rows_than_there_is_memory_or_a_number_for_are_refused(hint: int) -> None:
    world = new_world(CLASSIC, (1, 23))
    with pytest.raises(MemoryError):
        _core.create(world.handle, 0, hint, 1, False, 1)
    assert (world.map_count, world.handle.bucket_top) == (0, 0)
    _core.create(world.handle, 0, 8, 1, False, 1)
    assert world.map_count == 1
