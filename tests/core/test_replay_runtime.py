"""The models compared with the runtime: tests/programs/oracle does random operations and dumps its maps' memory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mapprobe import _core
from mapprobe.model.core import HAS_DIRECTORY
from mapprobe.vocabulary import Implementation
from support import toolchains
from support.gobuild import Release, release_id
from support.reference import ClassicMap, SwissMap
from support.side_by_side import ClassicSideBySide, SideBySide, SwissSideBySide

Words = list[str]

OLDEST = (1, 21)
"""The oldest release that compiles the program."""


def implementation_of(release: Release) -> Implementation:
    return Implementation.SWISS if release >= (1, 24) else Implementation.CLASSIC


@dataclass
class Findings:
    """What the runtime said and what the core held at the same moments."""

    controls: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]] = field(default_factory=list)
    headers_agree: list[bool] = field(default_factory=list)
    tables: list[tuple[list[list[int]], list[list[int]]]] = field(default_factory=list)
    preallocated: list[tuple[int, int]] = field(default_factory=list)
    bytes: list[tuple[int, int]] = field(default_factory=list)
    made_bytes: list[tuple[int, int, int]] = field(default_factory=list)


@pytest.fixture(scope="session", params=[r for r in toolchains.RELEASES if r >= OLDEST], ids=release_id)
def release(request: pytest.FixtureRequest) -> Release:
    given: Release = request.param
    return given


@pytest.fixture(scope="module")
def lines(release: Release, build: Callable[..., Path]) -> list[Words]:
    said = subprocess.run([build("oracle", release)], capture_output=True, check=True, text=True)
    return [line.split() for line in said.stdout.splitlines()]


@pytest.fixture(scope="module")
def findings(lines: list[Words], release: Release) -> Findings:
    findings = Findings()
    for side, life in lives(lines, release):
        prunes = life[0][-1] == "1"
        for words in life[1:]:
            if words[0] in "ADC":
                apply(side, words, prunes)
            else:
                compare(findings, side, words)
        side.check()
        findings.made_bytes += [made(side, release, *map(int, words[1:])) for words in life if words[0] == "M"]
    return findings


def lives(lines: list[Words], release: Release) -> Iterator[tuple[SideBySide, list[Words]]]:
    """Yield each map's life: a fresh map in core and reference, and the lines about it."""
    starts = [n for n, words in enumerate(lines) if words[0] == "N"]
    make = SwissSideBySide if implementation_of(release) is Implementation.SWISS else ClassicSideBySide
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        hint, bucket_bytes, has_pointers, _ = map(int, lines[start][-4:])
        yield make(release, hint, bucket_bytes, has_pointers), lines[start:end]


def apply(side: SideBySide, words: Words, prunes: bool) -> None:
    """Do an operation in the core."""
    if words[0] == "C":
        _core.clear(side.handle, 0, 3)
        return
    key = (int(words[1], 16), int(words[2], 16))
    if words[0] == "A":
        _core.insert(side.handle, 0, *key, 1, prunes)
    else:
        _core.delete(side.handle, 0, *key, 2)


def compare(findings: Findings, side: SideBySide, words: Words) -> None:
    """Note what a dump says beside what the core holds."""
    if words[0] == "S":
        buckets, parts = side.buckets()
        held = list(zip(parts.tolist(), side.world.buckets["control"][buckets].tolist(), strict=True))
        findings.controls.append((held, control_words(words)))
        compare_headers(findings, side, list(map(int, words[1 : words.index("|")])))
    elif words[0] == "T":
        findings.tables[-1][1].append(list(map(int, words[1:])))
    elif words[0] == "B":
        findings.bytes.append((side.allocated_bytes(), int(words[1])))


def control_words(words: Words) -> list[tuple[int, int]]:
    """Return part and control word of each dumped bucket."""
    pairs = (word.split(":") for word in words[words.index("|") + 1 :])
    return [(int(part), int(control, 16)) for part, control in pairs]


def compare_headers(findings: Findings, side: SideBySide, values: list[int]) -> None:
    if isinstance(side, SwissSideBySide):
        used, flags, depth, length, has_array = values
        findings.headers_agree.append(side.agrees(used, not has_array, False, flags, depth, 0, length, 0))
        findings.tables.append((tables(side), []))
        return
    count, flags, log2, overflow_count, has_array, is_growing, evacuated, first_left = values
    header = (count, not has_array, bool(is_growing), flags, log2, overflow_count, 0, evacuated)
    findings.headers_agree.append(side.agrees(*header))
    if first_left >= 0:
        findings.preallocated.append((int(side.chains["preallocated_used"]), first_left))


def tables(side: SwissSideBySide) -> list[list[int]]:
    """Return used, capacity, growthLeft, localDepth and index of the core's tables."""
    if not side.row["state"] & HAS_DIRECTORY:
        return []
    first, length = int(side.row["array"]), 1 << int(side.row["log2"])
    slots = side.world.directory[first : first + length].tolist()
    rows = side.world.rows("tables")[list(dict.fromkeys(slots))]
    return [
        [int(r["used"]), 8 << int(r["log2_groups"]), int(r["growth_left"]), int(r["local_depth"]), int(r["index"])]
        for r in rows
    ]


def made(side: SideBySide, release: Release, hint: int, allocated: int) -> tuple[int, int, int]:
    """Return a hint, what a map of this type made for it is charged, and what the runtime allocated."""
    bucket_bytes, has_pointers = side.type
    fresh = type(side)(release, hint, bucket_bytes, has_pointers)
    return hint, fresh.allocated_bytes(), allocated


def test_the_core_holds_every_control_byte_of_the_runtime(findings: Findings) -> None:
    for held, dumped in findings.controls:
        assert held == dumped
    assert sum(len(dumped) for _, dumped in findings.controls) > 100_000


def test_the_core_agrees_with_every_header_of_the_runtime(findings: Findings) -> None:
    assert len(findings.headers_agree) > 1000
    assert all(findings.headers_agree)


def test_the_core_holds_every_table_of_the_runtime(findings: Findings, release: Release) -> None:
    assert any(dumped for _, dumped in findings.tables) == (implementation_of(release) is Implementation.SWISS)
    for held, dumped in findings.tables:
        assert held == dumped


def test_the_core_takes_preallocated_buckets_as_the_runtime_does(findings: Findings, release: Release) -> None:
    assert any(left for _, left in findings.preallocated) == (implementation_of(release) is Implementation.CLASSIC)
    for held, dumped in findings.preallocated:
        assert held == dumped


def test_maps_are_charged_what_the_collector_frees_when_they_die(findings: Findings) -> None:
    assert len(findings.bytes) > 150
    assert [charged for charged, _ in findings.bytes] == [freed for _, freed in findings.bytes]


def test_fresh_maps_are_charged_what_the_runtime_allocates(findings: Findings) -> None:
    assert len(findings.made_bytes) > 300
    for hint, charged, allocated in findings.made_bytes:
        assert (hint, charged) == (hint, allocated)


def test_reference_holds_every_control_byte_of_the_runtime(lines: list[Words], release: Release) -> None:
    for n, (side, life) in enumerate(lives(lines, release)):
        # the reference is slow: every fifth life
        for words in life if n % 5 == 0 else []:
            if words[0] == "C":
                side.reference.clear(3)
            elif words[0] in "AD":
                do(side.reference, words[0], (int(words[1], 16), int(words[2], 16)), life[0][-1] == "1")
            elif words[0] == "S":
                listed = side.reference.listed()
                held = [(part, int.from_bytes(bucket.control, "little")) for bucket, part in listed]
                assert held == control_words(words)


def do(reference: ClassicMap | SwissMap, operation: str, key: tuple[int, int], prunes: bool) -> None:
    if operation == "D":
        reference.delete(key, 2)
    elif isinstance(reference, SwissMap):
        reference.insert(key, 1, prunes)
    else:
        reference.insert(key, 1)
