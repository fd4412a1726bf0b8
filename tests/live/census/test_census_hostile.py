"""Readers of a process's memory end in bounded memory, with a result or a `MapprobeError`, whatever it contains."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapprobe.errors import MapprobeError
from mapprobe.go.types import TypeTable, is_reflexive, map_type_at, struct_fields
from mapprobe.live.census.candidates import harmless
from mapprobe.live.census.census import take_census
from mapprobe.live.census.holders import has_bitmap, held_types, keeps_type
from mapprobe.live.census.layouts import NO_TYPE
from mapprobe.live.census.locals import Locals
from mapprobe.live.census.map_types import name_maps
from mapprobe.live.census.ownerless import find_ownerless
from mapprobe.live.heap import objects as heap_of_few
from mapprobe.live.heap.goroutines import GoroutineLayout, processors, stacks_in_use
from mapprobe.live.heap.objects import PAGE, Heap
from mapprobe.live.heap.profile import find_origins, read_samples, some_stacks
from mapprobe.live.heap.references import Search, referred_to
from mapprobe.live.heap.spans import read_spans
from mapprobe.live.heap.states import states_of
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import Implementation
from support.forged import LARGE_PAGES, MHEAP, OBJECT_BYTES, Forged

MOST_BYTES = 128 << 20
MAPPED = (len(OBJECT_BYTES) + LARGE_PAGES + 64) * PAGE

forged = st.builds(
    Forged,
    st.sampled_from(list(Implementation)),
    st.integers(0, (1 << 32) - 1),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5]),
)
examples = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap_of_few, "LOOK_SECONDS", 0)


def bounded(read: Callable[[], object]) -> None:
    """Let something be read; it may be refused, and takes no more memory than is stated."""
    tracemalloc.start()
    try:
        read()
    except MapprobeError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES


def memory_of(forged: Forged) -> Memory:
    return Memory(forged.read_into, mapped_bytes=MAPPED)


@given(forged)
@examples
def test_a_census_ends(forged: Forged) -> None:
    def read() -> None:
        memory, layout, layouts = memory_of(forged), forged.layout, forged.layouts
        found = take_census(memory, layout, layouts, 6, lambda _spans: Locals.not_read(6), lists_arrays=True)
        assert (found.live_least <= found.live_most).all()
        assert (found.counted.live <= 8 * found.counted.buckets).all()
        seen_as = np.full(len(found.headers), NO_TYPE)
        name_maps(memory, layouts, found, None, seen_as)
        ownerless = find_ownerless(memory, layout, found.listed, bool)
        assert 0 <= ownerless.bytes <= MAPPED

    bounded(read)


@given(forged)
@examples
def test_references_and_holders_end(forged: Forged) -> None:
    def read() -> None:
        memory, layouts = memory_of(forged), forged.layouts
        spans = read_spans(memory, forged.layout)
        kinds = keeps_type(spans, layouts), has_bitmap(spans, layouts)
        some = np.unique(forged.some(64))
        search = Search(spans, [(0x5000, 1 << 40)], *kinds, forged.some(4))
        pointers = referred_to(memory, forged.layout, forged.objects[:64], search)
        types = TypeTable.__new__(TypeTable)
        held_types(memory, spans, layouts, types, np.r_[some, pointers.holder])

    bounded(read)


@given(forged)
@examples
def test_samples_and_stacks_end(forged: Forged) -> None:
    def read() -> None:
        memory = memory_of(forged)
        spans = read_spans(memory, forged.layout)
        samples = read_samples(memory, spans, forged.span)
        find_origins(memory, spans, samples, forged.some(64))
        some_stacks(memory, samples)
        states_of(memory, forged.layout, forged.some(64))

    bounded(read)


@given(forged, st.integers(0, (len(OBJECT_BYTES) - 1) * PAGE // 8))
@examples
def test_lists_of_goroutines_and_processors_end(forged: Forged, place: int) -> None:
    addr = 0xC000000000 + 8 * place
    bounded(lambda: stacks_in_use(memory_of(forged), GoroutineLayout(addr, 112, 144)))
    bounded(lambda: processors(memory_of(forged), addr))


@given(forged)
@examples
def test_what_is_free_ends(forged: Forged) -> None:
    heap = Heap(forged.read, MHEAP, forged.heap)
    for addr in forged.some(16).tolist():
        bounded(lambda addr=addr: heap.free([addr]))
        bounded(lambda addr=addr: heap.room(addr))


@given(forged)
@examples
def test_types_made_at_run_time_end(forged: Forged) -> None:
    layouts, types = forged.layouts, TypeTable.__new__(TypeTable)
    for addr in forged.some(16).tolist():
        assert layouts.at(addr) in {None, *range(len(layouts.shapes))}
        bounded(lambda addr=addr: map_type_at(types, forged.read, addr, 8))
        bounded(lambda addr=addr: is_reflexive(types, addr, forged.read))
        bounded(lambda addr=addr: struct_fields(forged.read, addr))


@given(forged)
@examples
def test_words_that_no_header_has_are_zeros(forged: Forged) -> None:
    for implementation in Implementation:
        words, is_header = harmless(implementation, forged.some(6 * 64).reshape(64, 6))
        assert not words[~is_header].any()
