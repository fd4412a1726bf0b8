from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mapprobe.vocabulary import NONE
from support import strategies as draw
from support.side_by_side import SwissSideBySide, delete_stacks

RELEASE = (1, 27)
SPREAD = 0x9E3779B97F4A7C15

EMPTY_HEADER = (0, False, False, 0, 0, 0, 0, 0)
"""Of a map that has an array and no entries."""


class SwissMachine(RuleBasedStateMachine):
    """Any operations, in any order, on a Swiss map and its reference."""

    @initialize(
        release=st.sampled_from(draw.SWISS_RELEASES),
        hint=draw.hints,
        bucket_bytes=draw.bucket_bytes,
        has_pointers=st.integers(0, 1),
    )
    def create(self, release: tuple[int, int], hint: int, bucket_bytes: int, has_pointers: int) -> None:
        self.side = SwissSideBySide(release, hint, bucket_bytes, has_pointers)
        self.known: list[tuple[int, int]] = []

    @rule(key=draw.keys(), stack=draw.stacks)
    def insert(self, key: tuple[int, int], stack: int) -> None:
        self.side.insert(key, stack)
        self.known.append(key)

    @rule(keys=draw.key_runs(spread=True), stack=draw.stacks)
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


SwissMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
test_the_core_equals_the_reference_slot_by_slot = SwissMachine.TestCase


@pytest.mark.parametrize("release", draw.SWISS_RELEASES)
def test_a_long_life_equals_the_reference(release: tuple[int, int]) -> None:
    chance = random.Random(release[1])
    side = SwissSideBySide(release, 0, bucket_bytes=208, has_pointers=1)
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


def test_maps_of_one_world_do_not_disturb_each_other() -> None:
    chance = random.Random(1)
    sides = [SwissSideBySide(RELEASE, 0)]
    for n in range(12_000):
        if n % 150 == 0:
            sides.append(SwissSideBySide(RELEASE, chance.choice([0, 30, 1000]), beside=sides[-1]))
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
    side = SwissSideBySide(RELEASE, 0)
    side.insert((1, 0), 5)
    row = side.listed()[0]
    assert (row["grown_by"], row["last_insert"], row["last_delete"]) == (1, 5, NONE)


def test_a_deleted_key_leaves_a_dead_slot() -> None:
    side = SwissSideBySide(RELEASE, 0)
    side.insert((1, 0), 5)
    side.delete((1, 0), 6)
    row = side.listed()[0]
    assert (row["insert_stacks"][0], delete_stacks(row)[0]) == (5, 6)
    assert not any(side.live_slots(int(side.buckets()[0][0])))


def test_equal_hashes_of_two_types_are_two_keys() -> None:
    side = SwissSideBySide(RELEASE, 0)
    side.insert((1, 0x4A5000), 1)
    side.insert((1, 0x4A6000), 1)
    assert side.row["count"] == 2


def test_clear_empties_every_live_slot() -> None:
    side = SwissSideBySide(RELEASE, 100)
    for n in range(50):
        side.insert((n * SPREAD % 2**64, 0), 1)
    side.clear(8)
    assert sum(delete_stacks(row).count(8) for row in side.listed()) == 50
    assert side.row["count"] == 0


def test_a_map_made_for_few_entries_has_no_bucket_before_its_first() -> None:
    side = SwissSideBySide(RELEASE, 8)
    assert (side.count_buckets(), side.allocated_bytes()) == (0, 0)


def test_a_bucket_that_the_model_did_not_see_taken_may_stand_in_its_makers_frame() -> None:
    side = SwissSideBySide(RELEASE, 0)
    assert side.agrees(*EMPTY_HEADER)
    side.insert((1, 0), 1)
    side.delete((1, 0), 1)
    assert side.agrees(*EMPTY_HEADER)


def test_a_header_with_another_count_does_not_agree() -> None:
    side = SwissSideBySide(RELEASE, 0)
    side.insert((1, 0), 1)
    assert not side.agrees(*EMPTY_HEADER)


def test_a_map_that_died_holds_nothing() -> None:
    side = SwissSideBySide(RELEASE, 1000)
    side.forget()
    assert (side.count_buckets(), side.allocated_bytes()) == (0, 0)


@pytest.mark.parametrize(("release", "groups"), [((1, 24), 2), ((1, 26), 2), ((1, 27), 1)])
def test_an_update_grows_a_full_small_map_in_some_releases(release: tuple[int, int], groups: int) -> None:
    side = SwissSideBySide(release, 0)
    for n in range(8):
        side.insert((n, 0), 1)
    side.insert((7, 0), 1)
    assert side.count_buckets() == groups


@pytest.mark.parametrize(("release", "emptied"), [((1, 24), False), ((1, 25), True)])
def test_clear_removes_tombstones_of_an_empty_map_in_some_releases(release: tuple[int, int], emptied: bool) -> None:
    side = SwissSideBySide(release, 9)
    for n in range(8):
        side.insert((n, 0), 1)
    for n in range(8):
        side.delete((n, 0), 2)
    side.clear(3)
    controls = side.listed()["control"].tolist()
    assert (controls == [0x8080808080808080] * 2) == emptied
