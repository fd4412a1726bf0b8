from __future__ import annotations

import numpy as np
import pytest

from mapprobe.errors import MapprobeError, TargetError
from mapprobe.model.state import (
    BUCKETS,
    LOAD_FACTOR_NUM,
    PRUNES_TOMBSTONES,
    RULES,
    WANTED_BUCKETS,
    enlarged,
    new_state,
    rules_of,
)
from mapprobe.schema import Implementation

CLASSIC, SWISS = Implementation.CLASSIC, Implementation.SWISS


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
        new_state(implementation, release)


def test_only_the_arenas_that_are_short_become_longer() -> None:
    state = new_state(SWISS, (1, 27))
    state.tops[WANTED_BUCKETS] = len(state.control) + 1
    longer = enlarged(state)
    assert len(longer.control) == len(longer.hashes) == len(longer.next_bucket) == 2 * len(state.control)
    assert longer.tables is state.tables
    assert longer.maps is state.maps


def test_what_stood_in_an_arena_stays_when_it_becomes_longer() -> None:
    state = new_state(CLASSIC, (1, 23))
    state.hashes[:] = np.arange(state.hashes.size, dtype=np.uint64).reshape(state.hashes.shape)
    state.tops[BUCKETS] = len(state.control)
    state.tops[WANTED_BUCKETS] = 5 * len(state.control)
    assert np.array_equal(enlarged(state).hashes[: len(state.control)], state.hashes)


def test_more_rows_than_can_be_numbered_are_refused() -> None:
    state = new_state(CLASSIC, (1, 23))
    state.tops[WANTED_BUCKETS] = 1 << 33
    with pytest.raises(MapprobeError, match="more than 32 bits can number"):
        enlarged(state)
