from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mapprobe import vocabulary
from mapprobe.model.core import World
from support.side_by_side import ClassicSideBySide, SideBySide, SwissSideBySide

SPREAD = 0x9E3779B97F4A7C15


def filled(side: SideBySide, entries: int) -> SideBySide:
    for n in range(entries):
        side.insert((n * SPREAD % 2**64, 0), 1)
    side.check()
    return side


def live_place(side: SideBySide) -> tuple[int, int]:
    """Return bucket and slot of an entry."""
    for bucket in side.buckets()[0].tolist():
        live = side.live_slots(bucket)
        if any(live):
            return bucket, 7 - live[::-1].index(True)
    raise AssertionError("no entry")


def spoil_row(name: str) -> Callable[[World, int, int], None]:
    def spoil(world: World, bucket: int, slot: int) -> None:
        world.maps[name][0] += 1

    return spoil


def spoil_chains(name: str) -> Callable[[World, int, int], None]:
    def spoil(world: World, bucket: int, slot: int) -> None:
        world.chains[name][0] += 1

    return spoil


def spoil_table(name: str) -> Callable[[World, int, int], None]:
    def spoil(world: World, bucket: int, slot: int) -> None:
        world.rows("tables")[name][world.directory[world.maps["array"][0]]] += 1

    return spoil


def spoil_low_bits(world: World, bucket: int, slot: int) -> None:
    world.buckets["hashes"][bucket, slot] ^= np.uint64(1)


def spoil_insert_stack(world: World, bucket: int, slot: int) -> None:
    world.buckets["insert_stacks"][bucket, slot] = vocabulary.NONE


Spoil = Callable[[World, int, int], None]


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (spoil_row("count"), "live slots are the map's entries"),
        (spoil_chains("heap"), "overflow buckets of the heap are counted"),
        (spoil_low_bits, "entries stand in the bucket of their low bits"),
        (spoil_insert_stack, "live slots have an insert stack"),
    ],
)
def test_an_invariant_detects_a_broken_classic_map(spoil: Spoil, invariant: str) -> None:
    side = filled(ClassicSideBySide((1, 23), 0), 100)
    spoil(side.world, *live_place(side))
    with pytest.raises(AssertionError, match=invariant):
        side.check()


def test_an_evacuation_mark_that_is_too_far_is_detected() -> None:
    side = ClassicSideBySide((1, 23), 0)
    n = 0
    while side.reference.oldbuckets is None or len(side.reference.oldbuckets) < 16:
        side.insert((n * SPREAD % 2**64, 0), 1)
        n += 1
    side.world.chains["evacuated"][0] += 3
    with pytest.raises(AssertionError, match="buckets below the evacuation mark are evacuated"):
        side.check()


@pytest.mark.parametrize(
    ("spoil", "invariant"),
    [
        (spoil_row("count"), "live slots are the map's entries"),
        (spoil_table("growth_left"), "growth left is what neither entries nor tombstones take"),
        (spoil_table("index"), "a table knows its first place in the directory"),
        (spoil_low_bits, "control bytes are of the entry's hash"),
        (spoil_insert_stack, "live slots have an insert stack"),
    ],
)
def test_an_invariant_detects_a_broken_swiss_map(spoil: Spoil, invariant: str) -> None:
    side = filled(SwissSideBySide((1, 27), 0), 2000)
    spoil(side.world, *live_place(side))
    with pytest.raises(AssertionError, match=invariant):
        side.check()
