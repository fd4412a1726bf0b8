from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from side_by_side import ClassicSideBySide, SideBySide, SwissSideBySide

from mapprobe import schema
from mapprobe.model.state import ARRAY, COUNT, EVACUATED, GROWTH_LEFT, HEAP, INDEX, State

SPREAD = 0x9E3779B97F4A7C15


def filled(side: SideBySide, entries: int) -> SideBySide:
    for n in range(entries):
        side.insert((n * SPREAD % 2**64, 0), 1)
    side.check()
    return side


def live_place(side: SideBySide) -> tuple[int, int]:
    """Return bucket and slot of an entry."""
    buckets, _ = side.buckets()
    for bucket in buckets.tolist():
        live = int(side.model.live_mask(side.state.control[bucket]))
        if live:
            return bucket, (live.bit_length() - 1) // 8
    raise AssertionError("no entry")


def spoil_row(column: int) -> Callable[[State, int, int], None]:
    def spoil(state: State, bucket: int, slot: int) -> None:
        state.maps[0, column] += 1

    return spoil


def spoil_table(column: int) -> Callable[[State, int, int], None]:
    def spoil(state: State, bucket: int, slot: int) -> None:
        state.tables[state.directory[state.maps[0, ARRAY]], column] += 1

    return spoil


def spoil_low_bits(state: State, bucket: int, slot: int) -> None:
    state.hashes[bucket, slot] ^= np.uint64(1)


def spoil_insert_stack(state: State, bucket: int, slot: int) -> None:
    state.insert_stacks[bucket, slot] = schema.NONE


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (spoil_row(COUNT), "live slots are the map's entries"),
        (spoil_row(HEAP), "overflow buckets of the heap are counted"),
        (spoil_low_bits, "entries stand in the bucket of their low bits"),
        (spoil_insert_stack, "live slots have an insert stack"),
    ],
)
def test_a_broken_classic_map_is_told_by_its_invariant(
    spoil: Callable[[State, int, int], None], invariant: str
) -> None:
    side = filled(ClassicSideBySide((1, 23), 0), 100)
    spoil(side.state, *live_place(side))
    with pytest.raises(AssertionError, match=invariant):
        side.check()


def test_an_evacuation_mark_that_is_too_far_is_told() -> None:
    side = ClassicSideBySide((1, 23), 0)
    n = 0
    while side.reference.oldbuckets is None or len(side.reference.oldbuckets) < 16:
        side.insert((n * SPREAD % 2**64, 0), 1)
        n += 1
    side.state.maps[0, EVACUATED] += 3
    with pytest.raises(AssertionError, match="buckets below the evacuation mark are evacuated"):
        side.check()


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (spoil_row(COUNT), "live slots are the map's entries"),
        (spoil_table(GROWTH_LEFT), "growth left is what neither entries nor tombstones take"),
        (spoil_table(INDEX), "a table knows its first place in the directory"),
        (spoil_low_bits, "control bytes are of the entry's hash"),
        (spoil_insert_stack, "live slots have an insert stack"),
    ],
)
def test_a_broken_swiss_map_is_told_by_its_invariant(spoil: Callable[[State, int, int], None], invariant: str) -> None:
    side = filled(SwissSideBySide((1, 27), 0), 2000)
    spoil(side.state, *live_place(side))
    with pytest.raises(AssertionError, match=invariant):
        side.check()
