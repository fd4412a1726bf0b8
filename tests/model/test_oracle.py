"""The models against the runtime itself: tests/programs/oracle does random operations and dumps its maps' memory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from side_by_side import ClassicSideBySide, SideBySide, SwissSideBySide

from mapprobe.model import swiss
from mapprobe.model.state import (
    ARRAY,
    GROWTH_LEFT,
    INDEX,
    LOCAL_DEPTH,
    LOG2,
    LOG2_GROUPS,
    PREALLOCATED_USED,
    USED,
)
from mapprobe.schema import Implementation
from reference import ClassicMap, SwissMap

Release = tuple[int, int]
Words = list[str]

IMPLEMENTATIONS = {(1, 23): Implementation.CLASSIC, (1, 27): Implementation.SWISS}


@pytest.fixture(scope="session")
def lines(release: Release, build: Callable[..., Path]) -> list[Words]:
    said = subprocess.run([build("oracle", release)], capture_output=True, check=True, text=True)
    return [line.split() for line in said.stdout.splitlines()]


@pytest.fixture
def is_swiss(release: Release) -> bool:
    return IMPLEMENTATIONS[release] is Implementation.SWISS


def lives(lines: list[Words], release: Release) -> Iterator[tuple[SideBySide, list[Words]]]:
    """Yield each map's life: a fresh map in kernels and reference, and the lines about it."""
    starts = [n for n, words in enumerate(lines) if words[0] == "N"]
    make = SwissSideBySide if IMPLEMENTATIONS[release] is Implementation.SWISS else ClassicSideBySide
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        hint, bucket_bytes, has_pointers, _ = map(int, lines[start][-4:])
        yield make(release, hint, bucket_bytes, has_pointers), lines[start:end]


def control_words(words: Words) -> list[tuple[int, int]]:
    """Return part and control word of each dumped bucket."""
    pairs = (word.split(":") for word in words[words.index("|") + 1 :])
    return [(int(part), int(control, 16)) for part, control in pairs]


def header(words: Words) -> list[int]:
    return list(map(int, words[1 : words.index("|")]))


def apply(side: SideBySide, words: Words, prunes: bool) -> None:
    """Do an operation with the kernels."""
    side.make_room()
    if words[0] == "C":
        side.model.clear(side.state, 0, 3)
        return
    key = (np.uint64(int(words[1], 16)), np.uint64(int(words[2], 16)))
    if words[0] == "A":
        side.model.insert(side.state, 0, *key, 1, prunes)
    else:
        side.model.delete(side.state, 0, *key, 2)


def test_kernels_hold_every_control_byte_of_the_runtime(lines: list[Words], release: Release) -> None:
    compared = 0
    for side, life in lives(lines, release):
        prunes = life[0][-1] == "1"
        for words in life:
            if words[0] in "ADC":
                apply(side, words, prunes)
            elif words[0] == "S":
                buckets, parts = side.buckets()
                controls = side.state.control[buckets].tolist()
                assert list(zip(parts.tolist(), controls, strict=True)) == control_words(words)
                assert_header_agrees(side, header(words))
                compared += len(buckets)
        side.check()
    assert compared > 10_000


def test_lived_maps_are_charged_what_the_collector_frees(lines: list[Words], release: Release) -> None:
    charged, freed = [], []
    for side, life in lives(lines, release):
        for words in life:
            if words[0] in "ADC":
                apply(side, words, life[0][-1] == "1")
            elif words[0] == "B":
                charged.append(int(side.model.allocated_bytes(side.state, 0)))
                freed.append(int(words[1]))
    assert charged == freed


def assert_header_agrees(side: SideBySide, values: list[int]) -> None:
    if side.model is swiss:
        used, flags, depth, length, has_array = values
        assert swiss.agrees(side.state, 0, used, not has_array, False, flags, depth, 0, length, 0)
        return
    count, flags, log2, overflow_count, has_array, is_growing, evacuated, preallocated_left_from = values
    agreed = (count, not has_array, bool(is_growing), flags, log2, overflow_count, 0, evacuated)
    assert side.model.agrees(side.state, 0, *agreed)
    if preallocated_left_from >= 0:
        assert side.state.maps[0, PREALLOCATED_USED] == preallocated_left_from


def test_kernels_hold_every_table_of_the_runtime(lines: list[Words], release: Release, is_swiss: bool) -> None:
    if not is_swiss:
        return
    for side, life in lives(lines, release):
        dumped: list[Words] = []
        for words in [*life, ["end"]]:
            if words[0] == "T":
                dumped.append(words)
            elif dumped:
                assert tables(side) == [list(map(int, row[1:])) for row in dumped]
                dumped = []
            if words[0] in "ADC":
                apply(side, words, life[0][-1] == "1")


def tables(side: SideBySide) -> list[list[int]]:
    row = side.state.maps[0]
    slots = side.state.directory[row[ARRAY] : row[ARRAY] + (1 << row[LOG2])].tolist()
    columns = [USED, LOG2_GROUPS, GROWTH_LEFT, LOCAL_DEPTH, INDEX]
    rows = [side.state.tables[t, columns].tolist() for t in dict.fromkeys(slots)]
    return [[used, 8 << log2, left, depth, index] for used, log2, left, depth, index in rows]


def test_reference_holds_every_control_byte_of_the_runtime(lines: list[Words], release: Release) -> None:
    for side, life in lives(lines, release):
        reference, prunes = side.reference, life[0][-1] == "1"
        for words in life:
            if words[0] == "C":
                reference.clear(3)
            elif words[0] in "AD":
                do(reference, words[0], (int(words[1], 16), int(words[2], 16)), prunes)
            elif words[0] == "S":
                dumped = [(part, int.from_bytes(bucket.control, "little")) for bucket, part in reference.listed()]
                assert dumped == control_words(words)


def do(reference: ClassicMap | SwissMap, operation: str, key: tuple[int, int], prunes: bool) -> None:
    if operation == "D":
        reference.delete(key, 2)
    elif isinstance(reference, SwissMap):
        reference.insert(key, 1, prunes)
    else:
        reference.insert(key, 1)


def test_made_maps_are_charged_what_the_runtime_allocated(lines: list[Words], release: Release) -> None:
    checked = 0
    for side, life in lives(lines, release):
        bucket_bytes, has_pointers = int(life[0][-3]), int(life[0][-2])
        for words in life:
            if words[0] == "M":
                hint, allocated = map(int, words[1:])
                made = type(side)(release, hint, bucket_bytes, has_pointers)
                assert (hint, made.model.allocated_bytes(made.state, 0)) == (hint, allocated)
                checked += 1
    assert checked > 300
