from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from side_by_side import SwissSideBySide

import strategies as draw


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
test_kernels_equal_the_reference_slot_by_slot = SwissMachine.TestCase


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
