from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from side_by_side import ClassicSideBySide

import strategies as draw
from mapprobe.model import classic
from mapprobe.model.state import FLAGS, NOWHERE, OLD_ARRAY
from mapprobe.schema import NONE

RELEASE = (1, 23)
SPREAD = 0x9E3779B97F4A7C15

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
test_kernels_equal_the_reference_slot_by_slot = ClassicMachine.TestCase


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
    buckets, _ = side.buckets()
    assert side.state.bucket_stacks[buckets].tolist() == [[1, 5, NONE]]


def test_a_deleted_key_leaves_a_dead_slot() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0), 5)
    side.delete((1, 0), 6)
    bucket = side.buckets()[0][0]
    assert (side.state.insert_stacks[bucket, 0], side.state.delete_stacks[bucket, 0]) == (5, 6)
    assert classic.live_mask(side.state.control[bucket]) == 0


def test_equal_hashes_of_two_types_are_two_keys() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0x4A5000), 1)
    side.insert((1, 0x4A6000), 1)
    assert classic.count(side.state, 0) == 2


def test_clear_empties_every_live_slot() -> None:
    side = ClassicSideBySide(RELEASE, 100)
    for n in range(50):
        side.insert((n * SPREAD % 2**64, 0), 1)
    side.clear(8)
    buckets, _ = side.buckets()
    assert np.count_nonzero(side.state.delete_stacks[buckets] == 8) == 50
    assert classic.count(side.state, 0) == 0


def test_a_map_made_for_few_entries_has_no_bucket_before_its_first() -> None:
    side = ClassicSideBySide(RELEASE, 8)
    assert (classic.count_buckets(side.state, 0), classic.allocated_bytes(side.state, 0)) == (0, 0)


def test_a_bucket_that_the_model_did_not_see_taken_may_stand_in_its_makers_frame() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    assert classic.agrees(side.state, 0, *EMPTY_HEADER)
    side.insert((1, 0), 1)
    side.delete((1, 0), 1)
    assert classic.agrees(side.state, 0, *EMPTY_HEADER)


def test_a_header_with_another_count_does_not_agree() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    side.insert((1, 0), 1)
    assert not classic.agrees(side.state, 0, *EMPTY_HEADER)


def test_a_map_that_died_holds_nothing() -> None:
    side = ClassicSideBySide(RELEASE, 1000)
    side.forget()
    assert (classic.count_buckets(side.state, 0), classic.allocated_bytes(side.state, 0)) == (0, 0)


def test_clear_drops_overflow_and_old_buckets() -> None:
    side = ClassicSideBySide(RELEASE, 26)
    for n in range(27):
        side.insert((1 | n << 20, 0), 1)
    side.clear(2)
    assert side.buckets()[1].tolist() == [0] * 8
    assert side.state.maps[0, OLD_ARRAY] == NOWHERE


def test_overflow_buckets_of_large_maps_are_counted_by_the_header() -> None:
    side = ClassicSideBySide(RELEASE, 500_000)
    classic.set_overflow_count(side.state, 0, 1 << 15)
    side.make_room()
    classic.insert(side.state, 0, np.uint64(1), np.uint64(0), 1, False)
    side.make_room()
    assert classic.insert(side.state, 0, np.uint64(1), np.uint64(0), 1, False) == 0
    assert side.state.maps[0, FLAGS] == classic.SAME_SIZE_GROW
