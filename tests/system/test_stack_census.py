"""Maps that are local variables: a census finds them on goroutines' stacks while their function uses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import mapprobe
from mapprobe.vocabulary import Liveness
from support.gobuild import Release, link_program
from support.heads import rows_of
from support.memory import Memory

pytestmark = pytest.mark.system

GOROUTINES, ENTRIES, DEPTH = 3, 1000, 300
CACHE, FEW, MANY = "map[int][128]uint8", "map[string]main.sizeable", "map[uint64]main.sizeable"
PAST, LATER, DEEP = "map[uint64]main.left", "map[uint64]main.held", "map[uint64]main.deepest"
ALIVE, LEFT = ("alive", Liveness.USED_ON_STACK), ("dead", Liveness.LEFT_ON_STACK)
LINKED = [
    ((1, 27), "stripped"), ((1, 27), "pie"), ((1, 27), "race"), ((1, 27), "unoptimised"), ((1, 26), "cgo"),
    ((1, 25), "noswissmap"), ((1, 23), "cgo-pie"), ((1, 21), "pgo"), ((1, 19), "pie"), ((1, 19), "unoptimised"),
]  # fmt: skip


@pytest.fixture
def program(every_release: Release) -> Iterator[Memory]:
    with Memory(link_program("localmap", every_release, "plain")) as running:
        yield running


def on_stacks(running: Memory, *types: str) -> list[dict[str, Any]]:
    """Return the maps on stacks that a census finds, those that may be of some types."""
    rows = rows_of(mapprobe.census(running.process.pid)).values()
    return [row for row in rows if row["goid"] and any(name in row["type"].split(" or ") for name in types)]


def how(rows: list[dict[str, Any]]) -> Counter[tuple[str, int]]:
    return Counter((row["state"], row["liveness"]) for row in rows)


def test_a_drained_map_of_main_is_found(program: Memory) -> None:
    program.do("fill 100000")
    program.do("drain")
    found = mapprobe.census(program.process.pid)
    (row,) = (row for row in rows_of(found).values() if row["type"] == CACHE)

    assert (row["goid"], row["state"], row["live_slots"]) == (1, *ALIVE[:1], 0)
    assert row["retained_buckets"] == row["buckets"] >= 100_000 // 8
    assert row["allocated_bytes"] > 100_000 * 128
    assert row["stack_offset"] > 0
    assert found.report()["totals"]["retained_bytes"] > 100_000 * 128


def test_maps_of_goroutines_that_wait_are_found(program: Memory) -> None:
    program.do(f"both {GOROUTINES} {ENTRIES}")
    few, many = on_stacks(program, FEW), on_stacks(program, MANY)

    assert how(few) == how(many) == {ALIVE: GOROUTINES}
    assert [(row["live_slots"], row["buckets"]) for row in few] == [(1, 1)] * GOROUTINES
    assert [row["live_slots"] for row in many] == [10] * GOROUTINES
    assert len({row["goid"] for row in few + many}) == GOROUTINES
    assert len({(row["goid"], row["stack_offset"]) for row in few + many}) == 2 * GOROUTINES


@pytest.mark.parametrize(
    ("linked", "linkage"), [pytest.param(*pair, id=f"go{pair[0][0]}.{pair[0][1]}-{pair[1]}") for pair in LINKED]
)
def test_however_a_program_is_linked_its_maps_are_found(linked: Release, linkage: str) -> None:
    with Memory(link_program("localmap", linked, linkage)) as running:
        running.do(f"both {GOROUTINES} {ENTRIES}")
        running.do(f"later {GOROUTINES} {ENTRIES}")

        assert how(on_stacks(running, FEW)) == {ALIVE: GOROUTINES}
        assert how(on_stacks(running, MANY)) == {ALIVE: GOROUTINES}
        assert how(on_stacks(running, LATER)) == {ALIVE: GOROUTINES}


def test_a_map_that_its_function_does_not_use_any_more_is_dead(program: Memory) -> None:
    program.do(f"past {GOROUTINES} {ENTRIES}")

    assert how(on_stacks(program, PAST)) == {LEFT: GOROUTINES}

    program.do("gc")

    assert on_stacks(program, PAST) == []


def test_a_map_that_a_deferred_call_will_use_is_alive(program: Memory) -> None:
    program.do(f"later {GOROUTINES} {ENTRIES}")
    program.do("gc")

    assert how(on_stacks(program, LATER)) == {ALIVE: GOROUTINES}


@pytest.mark.parametrize("entries", [4, 30], ids=["in-frames", "in-heap"])
def test_each_frame_of_a_deep_call_has_its_map(program: Memory, entries: int) -> None:
    program.do(f"deep {GOROUTINES} {entries} {DEPTH}")
    found = on_stacks(program, DEEP)

    assert how(found) == {ALIVE: GOROUTINES * DEPTH}
    assert {row["live_slots"] for row in found} == {entries}
    assert len({(row["goid"], row["stack_offset"]) for row in found}) == GOROUTINES * DEPTH

    program.do("release")

    assert on_stacks(program, DEEP) == []


def test_maps_of_calls_that_are_over_are_gone(program: Memory) -> None:
    program.do("requests 300")

    assert on_stacks(program, "map[int]int") == []


def test_no_array_has_two_owners(program: Memory) -> None:
    program.do(f"both {GOROUTINES} {ENTRIES}")
    program.do(f"past {GOROUTINES} {ENTRIES}")
    arrays = [row["array_addr"] for row in rows_of(mapprobe.census(program.process.pid)).values() if row["array_addr"]]

    assert len(arrays) == len(set(arrays))
