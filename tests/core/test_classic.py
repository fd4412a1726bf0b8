from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mapprobe import _core
from mapprobe.model.core import GROWING
from mapprobe.vocabulary import NONE
from support import strategies as draw
from support.side_by_side import ClassicSideBySide, delete_stacks

RELEASE = (1, 23)
SPREAD = 0x9E3779B97F4A7C15
SAME_SIZE_GROW = 8

EMPTY_HEADER = (0, False, False, 0, 0, 0, 0, 0)
"""Of a map that has an array and no entries."""


class ClassicMachine(RuleBasedStateMachine):
    """Any operations, in any order, on a classic map and its reference."""

    @initialize(
        release=st.sampled_from(draw.CLASSIC_RELEASES),
        hint=draw.hints,
        bucket_bytes=draw.bucket_bytes,
        has_pointers=st.integers(0, 1),
    )
    def create(self, release: tuple[int, int], hint: int, bucket_bytes: int, has_pointers: int) -> None:
        self.side = ClassicSideBySide(release, hint, bucket_bytes, has_pointers)
        self.known: list[tuple[int, int]] = []

    @rule(key=draw.keys(), stack=draw.stacks)
    def insert(self, key: tuple[int, int], stack: int) -> None:
        self.side.insert(key, stack)
        self.known.append(key)

    @rule(keys=draw.key_runs(), stack=draw.stacks)
    def insert_many(self, keys: list[tuple[int, int]], stack: int) -> None:
        for key in keys:
            self.side.insert(key, stack)
        self.known += keys

    @rule(data=st.data(), stack=draw.stacks, every=st.integers(1, 3))
    def delete_many(self, data: st.DataObject, stack: int, every: int) -> None:
        start = data.draw(st.integers(0, len(self.known)))
        for key in self.known[start : start + 400 : every]:
            self.side.delete(key, stack)

    @rule(key=draw.keys(), stack=draw.stacks)
    def delete(self, key: tuple[int, int], stack: int) -> None:
        self.side.delete(key, stack)

    @rule(data=st.data(), stack=draw.stacks)
    def update(self, data: st.DataObject, stack: int) -> None:
        if self.known:
            self.side.insert(data.draw(st.sampled_from(self.known)), stack)

    @rule(stack=draw.stacks)
    def clear(self, stack: int) -> None:
        self.side.clear(stack)

    @invariant()
    def equals_the_reference(self) -> None:
        self.side.assert_equal()

    @invariant()
    def is_consistent(self) -> None:
        self.side.check()


ClassicMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
test_core_equals_the_reference_slot_by_slot = ClassicMachine.TestCase


@pytest.mark.parametrize("release", draw.CLASSIC_RELEASES)
def test_a_long_life_equals_the_reference(release: tuple[int, int]) -> None:
    chance = random.Random(release[1])
    side = ClassicSideBySide(release, 0, bucket_bytes=208, has_pointers=1)
    for n in range(50_000):
        key = (chance.randrange(3000) * 0x9E3779B97F4A7C15 % 2**64, 0)
        if chance.random() < (0.7 if n % 20_000 < 8_000 else 0.4):
            side.insert(key, n % 7)
        else:
            side.delete(key, n % 7)
        if n % 5_000 == 0:
            side.assert_equal()
    side.assert_equal()
    side.check()


def test_maps_of_one_state_do_not_disturb_each_other() -> None:
    chance = random.Random(1)
    sides = [ClassicSideBySide(RELEASE, 0)]
    for n in range(12_000):
        if n % 150 == 0:
            sides.append(ClassicSideBySide(RELEASE, chance.choice([0, 30, 1000]), beside=sides[-1]))
        if n % 500 == 499:
            sides.pop(chance.randrange(len(sides) - 1)).forget()
        side, key = chance.choice(sides), (chance.randrange(300) * SPREAD % 2**64, 0)
        if chance.random() < 0.7:
            side.insert(key, 1)
        else:
            side.delete(key, 2)
    for side in sides:
        side.assert_equal()
        side.check()


def test_the_first_bucket_belongs_to_the_stack_that_made_the_map() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0), 5)
    assert side.listed()[["grown_by", "last_insert", "last_delete"]].tolist() == [(1, 5, NONE)]


def test_a_deleted_key_leaves_a_dead_slot() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0), 5)
    side.delete((1, 0), 6)
    (bucket,) = side.listed()
    assert (bucket["insert_stacks"][0], delete_stacks(bucket)[0]) == (5, 6)
    assert _core.live_slots(side.handle, int(bucket["control"])) == 0


def test_equal_hashes_of_two_types_are_two_keys() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0x4A5000), 1)
    side.insert((1, 0x4A6000), 1)
    assert side.row["count"] == 2
    held = [_core.holds(side.handle, side.m, 1, key_type) for key_type in (0x4A5000, 0x4A6000, 0)]
    assert held == [True, True, False]


def test_clear_empties_every_live_slot() -> None:
    side = ClassicSideBySide(RELEASE, 100)
    for n in range(50):
        side.insert((n * SPREAD % 2**64, 0), 1)
    side.clear(8)
    assert sum(delete_stacks(bucket).count(8) for bucket in side.listed()) == 50
    assert side.row["count"] == 0


def test_a_map_made_for_few_entries_has_no_bucket_before_its_first() -> None:
    side = ClassicSideBySide(RELEASE, 8)
    assert (side.count_buckets(), side.allocated_bytes()) == (0, 0)


def test_a_bucket_that_the_model_did_not_see_taken_may_stand_in_its_makers_frame() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    assert side.agrees(*EMPTY_HEADER)
    side.insert((1, 0), 1)
    side.delete((1, 0), 1)
    assert side.agrees(*EMPTY_HEADER)


def test_a_header_with_another_count_does_not_agree() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0), 1)
    assert not side.agrees(*EMPTY_HEADER)


@pytest.mark.parametrize("place", range(8))
def test_a_header_with_one_other_word_does_not_agree(place: int) -> None:
    side = ClassicSideBySide(RELEASE, 0)
    n = 0
    while not side.row["state"] & GROWING or side.row["log2"] < 5:
        side.insert((n * SPREAD % 2**64, 0), 1)
        n += 1
    row, chains = side.row, side.chains
    header = [row["count"], False, True, row["flags"], row["log2"], row["overflow_count"], 0, chains["evacuated"]]
    assert side.agrees(*header)
    grown = [n + 1, True, False, SAME_SIZE_GROW, 4, row["overflow_count"] + 1, 1, chains["evacuated"] + 1]
    header[place] = grown[place]
    assert side.agrees(*header) == (place == 6)  # classic maps have no directory


def test_a_map_that_died_holds_nothing() -> None:
    side = ClassicSideBySide(RELEASE, 1000)
    side.forget()
    assert (side.count_buckets(), side.allocated_bytes()) == (0, 0)


def test_clear_drops_overflow_and_old_buckets() -> None:
    side = ClassicSideBySide(RELEASE, 26)
    for n in range(27):
        side.insert((1 | n << 20, 0), 1)
    side.clear(2)
    assert side.buckets()[1].tolist() == [0] * 8
    assert side.chains["old_array"] == NONE
    assert not side.row["state"] & GROWING


def test_overflow_buckets_of_large_maps_are_counted_by_the_header() -> None:
    side = ClassicSideBySide(RELEASE, 500_000)
    side.world.maps["overflow_count"][0] = 1 << 15
    _core.insert(side.handle, 0, 1, 0, 1, False)
    assert _core.insert(side.handle, 0, 1, 0, 1, False) == 0
    assert side.row["flags"] == SAME_SIZE_GROW


def test_a_key_is_held_until_it_is_deleted() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    keys = [(n * SPREAD % 2**64, 0) for n in range(40)]
    assert not _core.holds(side.handle, side.m, *keys[0])
    for key in keys:
        side.insert(key, 1)
    for key in keys[::2]:
        side.delete(key, 1)
    assert [_core.holds(side.handle, side.m, *key) for key in keys] == [False, True] * 20


def test_memory_that_is_asked_for_beforehand_changes_nothing() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    for n in range(300):
        _core.prefetch(side.handle, side.m, n * SPREAD % 2**64)
        side.insert((n * SPREAD % 2**64, 0), 1)
        _core.prefetch(side.handle, side.m, n * SPREAD % 2**64)
    side.assert_equal()
