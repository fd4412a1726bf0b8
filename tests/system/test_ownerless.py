"""Arrays of buckets that no map owns are counted: a program that leaves a known number of them behind, live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

import mapprobe
from mapprobe.api.recording import Recording
from mapprobe.cli.main import app
from support.gobuild import Release, build_program
from support.heads import about, holding

pytestmark = pytest.mark.system

LEAST_TYPED = 4
"""Buckets of the smallest array of map[string]*int of which the allocator keeps the type: 832 bytes, or 800."""
GROUPS = 128
"""Of a table that is split. go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]"""
KEEPS_TYPES, SWISS = (1, 22), (1, 24)
NOTHING, GROWN, COLLECTED = range(3)


def censuses(release: Release, *arguments: str) -> Iterator[Recording]:
    """Yield a census of the program left at each of its steps."""
    with holding(build_program("left", release), *arguments) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            assert process.stdout.readline() == "done\n"
            yield mapprobe.census(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()


def left_behind(found: Recording, release: Release, first: int) -> tuple[int, int]:
    """Return how many arrays the largest map has left behind of those with `first` buckets or more, and their buckets.

    A classic map doubles its array. A table of a Swiss map doubles too, until it has as many groups as a table may:
    then it is split in two.
    """
    (row,) = found.maps(frame="arrow").sort_by([("buckets", "descending")]).slice(0, 1).to_pylist()
    if release < SWISS:
        sizes = [1 << n for n in range(32) if first <= 1 << n < row["buckets"]]
        return len(sizes) - 1, sum(sizes[:-1])  # the map has the last one
    sizes = [1 << n for n in range(32) if first <= 1 << n < GROUPS]
    splits = row["buckets"] // GROUPS - 1
    return len(sizes) + splits, sum(sizes) + splits * GROUPS


def test_what_a_map_has_left_behind_is_counted_until_it_is_collected(every_release: Release) -> None:
    steps = list(censuses(every_release))
    arrays, buckets = left_behind(steps[GROWN], every_release, LEAST_TYPED)
    counted = [about(step)["ownerless"] for step in steps]

    if every_release < KEEPS_TYPES:  # nothing tells of an array what it is
        assert counted == [0, 0, 0]
        return
    assert counted == [0, arrays, 0]
    # with their headers and what a size class takes beyond
    assert 200 * buckets <= about(steps[GROWN])["ownerless_bytes"] <= 300 * buckets


def test_arrays_without_pointers_are_told_by_who_allocated_them(every_release: Release) -> None:
    steps = list(censuses(every_release, "sampled"))
    first = 1 if every_release >= SWISS else 2  # a classic map's only bucket is made elsewhere
    arrays, buckets = left_behind(steps[GROWN], every_release, first)
    counted = [about(step)["ownerless"] for step in steps]

    assert counted == [0, arrays, 0]
    assert 136 * buckets <= about(steps[GROWN])["ownerless_bytes"] <= 200 * buckets


def test_the_census_says_so(release: Release) -> None:
    with holding(build_program("left", release)) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        said, not_looked = (
            CliRunner().invoke(app, ["census", str(process.pid), *more]).stdout for more in ([], ["--no-references"])
        )

    assert "arrays of buckets (" in said
    assert "that no map owns" in said
    assert "maps hold" in not_looked
    assert "that no map owns" not in not_looked
