from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe import _core as sizes
from mapprobe.arrays import I64
from mapprobe.model.rules import rules_of
from mapprobe.model.sizes import MAX_SMALL_SIZE, sizes_of
from mapprobe.vocabulary import Implementation
from support import strategies as draw
from support import toolchains
from support.side_by_side import new_world

CLASSIC, SWISS = Implementation.CLASSIC, Implementation.SWISS


@pytest.fixture
def rules(release: tuple[int, int]) -> I64:
    return rules_of(SWISS if release >= (1, 24) else CLASSIC, release)


def test_size_classes_are_those_of_the_runtime(every_release: tuple[int, int]) -> None:
    source = toolchains.goroot(every_release) / "src"
    path = source / ("internal/runtime/gc" if every_release >= (1, 25) else "runtime") / "sizeclasses.go"
    table = re.search(r"(?:class_to_size|SizeClassToSize) *= \[\w+\]uint16\{([^}]*)\}", path.read_text())
    assert table
    assert sizes.size_classes() == [int(size) for size in table[1].split(",")]


@pytest.mark.parametrize(
    ("size", "has_pointers", "charged"),
    [
        (144, 0, 144),
        (145, 0, 160),
        (512, 1, 512),
        (513, 0, 576),
        (576, 1, 640),
        (32760, 1, 32768),
        (32761, 1, 32768),
        (32769, 0, 40960),
    ],
)
def test_small_objects_take_their_class_and_large_ones_pages(
    rules: I64, size: int, has_pointers: int, charged: int
) -> None:
    assert sizes.charged_bytes(rules, size, has_pointers) == charged


def test_objects_with_pointers_have_no_header_before_go_1_22() -> None:
    assert sizes.charged_bytes(rules_of(CLASSIC, (1, 21)), 576, 1) == 576


@pytest.mark.parametrize(
    ("bucket_bytes", "has_pointers", "preallocated"),
    [(144, 0, [2, 5, 7, 14, 28, 56, 113]), (208, 1, [3, 7, 4, 9, 19, 39, 78])],
)
def test_arrays_have_overflow_buckets_up_to_the_next_size(
    bucket_bytes: int, has_pointers: int, preallocated: list[int]
) -> None:
    rules = rules_of(CLASSIC, (1, 23))
    arrays = [sizes.array_buckets(rules, bucket_bytes, has_pointers, log2) - (1 << log2) for log2 in range(4, 11)]
    assert arrays == preallocated


def test_releases_preallocate_differently() -> None:
    assert [sizes.array_buckets(rules_of(CLASSIC, release), 80, 1, 7) - 128 for release in ((1, 21), (1, 22))] == [
        8,
        25,
    ]


@pytest.mark.parametrize(
    ("group_bytes", "has_pointers", "charged"),
    [
        (136, 0, [288, 576, 1152, 2304, 4864, 9472, 18432]),
        (200, 1, [416, 896, 1792, 3456, 6528, 13568, 27264]),
    ],
)
def test_tables_are_charged_their_groups_and_themselves(
    group_bytes: int, has_pointers: int, charged: list[int]
) -> None:
    rules = rules_of(SWISS, (1, 27))
    tables = [sizes.table_bytes(rules, group_bytes, has_pointers, log2) - 32 for log2 in range(1, 8)]
    assert tables == charged


@pytest.mark.parametrize(
    ("hint", "tables", "capacity"),
    [(9, 1, 16), (15, 1, 32), (448, 1, 512), (449, 1, 1024), (897, 2, 512), (1793, 4, 512), (10000, 16, 1024)],
)
def test_swiss_maps_start_with_tables_for_their_hint(hint: int, tables: int, capacity: int) -> None:
    depth = sizes.initial_depth(hint, 136)
    assert (1 << depth, 8 << sizes.initial_groups_log2(hint, depth)) == (tables, capacity)


@pytest.mark.parametrize("hint", [-1, 0, 8, 1 << 60])
def test_swiss_maps_start_small_for_few_and_for_absurd_hints(hint: int) -> None:
    assert sizes.initial_depth(hint, 136) == -1


@pytest.mark.parametrize(("hint", "log2"), [(-5, 0), (8, 0), (9, 1), (13, 1), (14, 2), (26, 2), (27, 3), (1 << 60, 0)])
def test_classic_maps_start_with_buckets_for_their_hint(hint: int, log2: int) -> None:
    assert sizes.classic_log2(rules_of(CLASSIC, (1, 23)), hint, 144) == log2


@settings(deadline=None)
@given(entries=st.integers(9, 5000), bucket_bytes=draw.bucket_bytes, has_pointers=st.integers(0, 1))
def test_a_map_made_for_its_entries_needs_what_it_is_charged(
    entries: int, bucket_bytes: int, has_pointers: int
) -> None:
    kinds = ((sizes.fresh_classic_bytes, CLASSIC, (1, 23)), (sizes.fresh_swiss_bytes, SWISS, (1, 27)))
    for fresh_bytes, implementation, release in kinds:
        handle = new_world(implementation, release).handle
        sizes.create(handle, 0, entries, bucket_bytes, has_pointers, 1)
        needed = fresh_bytes(rules_of(implementation, release), bucket_bytes, has_pointers, entries)
        assert sizes.allocated_bytes(handle, 0) == needed


@pytest.mark.parametrize("fresh_bytes", [sizes.fresh_classic_bytes, sizes.fresh_swiss_bytes])
def test_an_empty_map_needs_nothing_and_a_small_one_a_bucket(fresh_bytes: Callable[[I64, int, int, int], int]) -> None:
    rules = rules_of(CLASSIC, (1, 23))
    assert [fresh_bytes(rules, 145, 0, entries) for entries in (0, 1, 8)] == [0, 160, 160]


@pytest.mark.parametrize("release", [(1, 21), (1, 22)])
def test_every_size_takes_the_smallest_class_that_holds_it(release: tuple[int, int]) -> None:
    rules, classes = rules_of(CLASSIC, release), sizes.size_classes()
    for size in range(MAX_SMALL_SIZE - 7):
        assert sizes.charged_bytes(rules, size, 0) == classes[bisect_left(classes, size)]


def test_the_core_charges_as_a_census_does() -> None:
    for implementation, release in ((CLASSIC, (1, 18)), (CLASSIC, (1, 21)), (CLASSIC, (1, 23)), (SWISS, (1, 27))):
        rules, census = rules_of(implementation, release), sizes_of(implementation, release)
        for size in [*range(2100), *range(32700, 33000), 1 << 20, (1 << 40) + 1]:
            for has_pointers in (False, True):
                assert sizes.charged_bytes(rules, size, has_pointers) == census.charged(size, has_pointers)


def test_a_hint_for_more_than_this_machine_has_is_refused_and_changes_nothing() -> None:
    for implementation, release in ((CLASSIC, (1, 23)), (SWISS, (1, 27))):
        handle = new_world(implementation, release).handle
        with pytest.raises(MemoryError):
            sizes.create(handle, 0, 1 << 44, 1, 0, 1)
        assert (handle.map_count, handle.bucket_top, handle.table_top) == (0, 0, 0)
