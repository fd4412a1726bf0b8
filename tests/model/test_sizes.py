"""The allocator's rules that a census uses equal those in Go's sources and those in the core."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.errors import TargetError
from mapprobe.model.rules import rules_of
from mapprobe.model.sizes import MAX_ALLOC, RELEASES, SIZE_CLASSES, sizes_of
from mapprobe.vocabulary import Implementation
from support import strategies as draw
from support import toolchains

CLASSIC, SWISS = Implementation.CLASSIC, Implementation.SWISS
KINDS = [(CLASSIC, (1, 18)), (CLASSIC, (1, 21)), (CLASSIC, (1, 23)), (SWISS, (1, 24)), (SWISS, (1, 27))]


def test_size_classes_are_those_of_the_runtime(every_release: tuple[int, int]) -> None:
    source = toolchains.goroot(every_release) / "src"
    path = source / ("internal/runtime/gc" if every_release >= (1, 25) else "runtime") / "sizeclasses.go"
    table = re.search(r"(?:class_to_size|SizeClassToSize) *= \[\w+\]uint16\{([^}]*)\}", path.read_text())
    assert table
    assert list(SIZE_CLASSES) == [int(size) for size in table[1].split(",")]


@pytest.mark.parametrize(
    ("size", "has_pointers", "charged"),
    [(144, 0, 144), (145, 0, 160), (512, 1, 512), (513, 0, 576), (576, 1, 640), (32760, 1, 32768), (32769, 0, 40960)],
)
def test_small_objects_take_their_class_and_large_ones_pages(size: int, has_pointers: bool, charged: int) -> None:
    assert sizes_of(SWISS, (1, 27)).charged(size, has_pointers) == charged


def test_objects_with_pointers_have_no_header_before_go_1_22() -> None:
    assert sizes_of(CLASSIC, (1, 21)).charged(576, True) == 576
    assert not sizes_of(CLASSIC, (1, 21)).has_header(576, True)
    assert sizes_of(CLASSIC, (1, 22)).has_header(576, True)


def test_a_release_that_is_too_old_is_refused() -> None:
    with pytest.raises(TargetError, match=r"go 1\.17: .*use go 1\.18 or later"):
        sizes_of(CLASSIC, (1, 17))


def test_each_row_begins_later_than_the_one_before() -> None:
    assert [sizes.first for sizes in RELEASES] == sorted({sizes.first for sizes in RELEASES})


@pytest.mark.parametrize(("implementation", "release"), KINDS)
@settings(deadline=None)
@given(size=st.integers(0, 100_000), log2=st.integers(0, 30), bucket_bytes=draw.bucket_bytes, points=st.booleans())
def test_they_are_the_rules_that_the_core_has(
    implementation: Implementation, release: tuple[int, int], size: int, log2: int, bucket_bytes: int, points: bool
) -> None:
    ours, rules = sizes_of(implementation, release), rules_of(implementation, release)
    assert ours.charged(size, points) == _core.charged_bytes(rules, size, points)
    assert ours.array_buckets(bucket_bytes, points, log2) == _core.array_buckets(rules, bucket_bytes, points, log2)


@pytest.mark.parametrize(("implementation", "release"), KINDS)
@settings(deadline=None)
@given(
    entries=st.one_of(st.integers(0, 100), st.integers(0, 1 << 40)),
    bucket_bytes=draw.bucket_bytes,
    points=st.booleans(),
)
@example(entries=0, bucket_bytes=144, points=True)
@example(entries=MAX_ALLOC, bucket_bytes=144, points=True)
def test_a_fresh_map_is_that_of_the_core(
    implementation: Implementation, release: tuple[int, int], entries: int, bucket_bytes: int, points: bool
) -> None:
    ours, rules = sizes_of(implementation, release), rules_of(implementation, release)
    fresh, of_model = (
        (ours.fresh_swiss, _core.fresh_swiss_bytes)
        if implementation is SWISS
        else (ours.fresh_classic, _core.fresh_classic_bytes)
    )
    assert fresh(bucket_bytes, points, entries) == of_model(rules, bucket_bytes, points, entries)
