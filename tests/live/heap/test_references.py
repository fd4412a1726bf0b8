from __future__ import annotations

import itertools
import struct
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.go.facts import (
    SPAN_FREE_INDEX,
    SPAN_PAGES,
    SPAN_START,
    WHOLE_SPAN_BYTES,
    heap_facts_for,
    span_facts_for,
)
from mapprobe.live.heap.objects import IN_USE
from mapprobe.live.heap.references import Search, merged, pages_of, referred_to, without
from mapprobe.live.heap.spans import Layout, Spans
from mapprobe.live.memory import Memory

START, PAGE = 0xC000000000, 8192
OBJECTS = 512
MHEAP, DESCRIPTORS, SWEEPGEN = 0x100000, 0x200000, 2
HEAP = heap_facts_for((1, 23))
LAYOUT = Layout(MHEAP, HEAP, span_facts_for((1, 23)), inline_marks=False)


def heap(*pages: bool, stacks: int = 0) -> Spans:
    """Return spans of a page each, which have pointers or not, and behind them pages of stacks."""
    count = len(pages)
    columns = {f.name: np.zeros(count, np.uint64) for f in fields(Spans)}
    start = np.uint64(START) + np.arange(count, dtype=np.uint64) * np.uint64(PAGE)
    first = START + count * PAGE
    columns |= {"start": start, "end": start + np.uint64(PAGE), "has_pointers": np.array(pages, np.bool_)}
    every = np.full(count, OBJECTS)
    columns |= {"object_bytes": np.full(count, PAGE // OBJECTS, np.uint64), "objects": every, "free_index": every}
    columns |= {"is_large": np.zeros(count, np.bool_)}
    columns |= {"descriptor": DESCRIPTORS + np.arange(count, dtype=np.uint64) * np.uint64(WHOLE_SPAN_BYTES)}
    columns |= {"stacks": np.array([[first, first + stacks * PAGE]], np.uint64)[: 1 if stacks else 0]}
    return Spans(**columns | {"sweepgen": 2})


def memory_of(words: dict[int, int], length: int, *, given_out: int = OBJECTS) -> Memory:
    """Return the memory of a heap; so many objects of each page are allocated."""
    data = np.zeros(length // 8, np.uint64)
    for addr, word in words.items():
        data[(addr - START) // 8] = word
    parts = {
        START: data.tobytes(),
        MHEAP: bytes(HEAP.sweepgen) + struct.pack("<Q", SWEEPGEN),
        DESCRIPTORS: b"".join(descriptor(START + n * PAGE, given_out) for n in range(length // PAGE)),
    }

    def read_into(addr: int, buffer: memoryview) -> int:
        base = max(base for base in parts if base <= addr)
        part = parts[base][addr - base : addr - base + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    return Memory(read_into)


def descriptor(start: int, given_out: int) -> bytes:
    """Return how the runtime describes a span of one page that was swept."""
    found = bytearray(WHOLE_SPAN_BYTES)
    for offset, form, value in (
        (SPAN_START, "<Q", start), (SPAN_PAGES, "<Q", 1), (SPAN_FREE_INDEX, "<H", given_out),
        (HEAP.span_sweepgen, "<I", SWEEPGEN), (HEAP.span_state, "<B", IN_USE), (HEAP.elem_bytes, "<Q", PAGE // OBJECTS),
    ):  # fmt: skip
        struct.pack_into(form, found, offset, value)
    return bytes(found)


def referring(memory: Memory, spans: Spans, headers: np.ndarray, others: list[tuple[int, int]]) -> list[bool]:
    """Return which headers are referred to."""
    no = np.zeros(len(spans), np.bool_)
    found = referred_to(memory, LAYOUT, headers, Search(spans, others, no, no))
    there: list[bool] = found.is_there.tolist()
    return there


def test_what_a_word_points_to_is_referred_to() -> None:
    headers = np.array([START + 96, START, START + 48], np.uint64)
    memory = memory_of({START + PAGE + 8: START + 96, START + 2 * PAGE: START + 48}, 4 * PAGE)

    # the second page has no pointers: what looks like one there is a number
    assert referring(memory, heap(True, False, stacks=1), headers, []) == [False, False, True]
    assert referring(memory, heap(True, True, stacks=1), headers, []) == [True, False, True]


def test_what_a_free_object_still_holds_refers_to_nothing() -> None:
    headers = np.array([START + 96], np.uint64)
    memories = [memory_of({START + PAGE + 8: START + 96}, 4 * PAGE, given_out=count) for count in (OBJECTS, 0)]

    assert [referring(memory, heap(True, True), headers, []) for memory in memories] == [[True], [False]]


def test_memory_beside_the_heap_refers_too() -> None:
    memory = memory_of({START + 3 * PAGE: START + 48}, 4 * PAGE)
    headers = np.array([START + 48], np.uint64)
    beside = [(START + 3 * PAGE, START + 4 * PAGE)]

    assert [referring(memory, heap(True), headers, others) for others in ([], beside)] == [[False], [True]]


def test_the_holder_is_in_an_object_whose_type_is_kept() -> None:
    words = {START + 8: START + 48, START + PAGE + 16: START + 48, START + 3 * PAGE: START + 96, START: START + 144}
    memory, headers = memory_of(words, 4 * PAGE), np.array([START + 144, START + 96, START + 48, START], np.uint64)
    kept = np.array([False, True, False])
    search = Search(heap(True, True, True, stacks=1), [], kept, ~kept & False)
    found = referred_to(memory, LAYOUT, headers, search)

    assert found.is_there.tolist() == [True, True, True, False]
    assert found.holder.tolist() == [0, 0, START + PAGE + 16, 0]


def test_no_headers_are_not_referred_to() -> None:
    assert referring(memory_of({}, PAGE), heap(True), np.empty(0, np.uint64), []) == []


def test_what_is_passed_over_refers_to_nothing() -> None:
    # objects of 16 bytes: the second one of the page holds the word
    memory, headers = memory_of({START + 24: START + 96}, PAGE), np.array([START + 96], np.uint64)
    none = np.zeros(1, np.bool_)

    def is_there(*objects: int) -> list[bool]:
        passed_over = np.array(objects, np.uint64)
        search = Search(heap(True), [], none, none, passed_over)
        return referred_to(memory, LAYOUT, headers, search).is_there.tolist()

    assert [is_there(START, START + 32), is_there(START + 16), is_there(START + 24)] == [[True], [False], [False]]


def test_what_lies_in_the_hole_is_left_out() -> None:
    ranges = [(0, 10), (10, 20), (20, 30), (40, 50)]

    assert without(ranges, (5, 25)) == [(0, 5), (25, 30), (40, 50)]
    assert without(ranges, (22, 24)) == [(0, 10), (10, 20), (20, 22), (24, 30), (40, 50)]


LOW = START - 0x8000


@pytest.mark.parametrize(
    "guards", [(LOW + 928, LOW + 928), (LOW + 1728, 2**64 - 1), (2**64 - 1314, 2**64 - 1)],
    ids=["a thread's", "with -race", "asked to look up"],
)  # fmt: skip
def test_where_a_stack_ends_is_no_reference(guards: tuple[int, int]) -> None:
    end = START + 48
    bounds = dict(zip(range(START + PAGE, START + PAGE + 32, 8), [LOW, end, *guards], strict=True))
    is_near = {START + PAGE + 16: LOW + 936}
    is_bitmap = {START + PAGE + 16: 2**64 - 1, START + PAGE + 24: 2**64 - 1}

    def is_there(words: dict[int, int]) -> list[bool]:
        return referring(memory_of(words, 2 * PAGE), heap(True, True), np.array([end], np.uint64), [])

    assert is_there(bounds) == [False]
    assert is_there(bounds | is_near) == [True]
    assert is_there(bounds | is_bitmap) == [True]


def test_of_small_objects_pointers_are_what_the_bitmap_says() -> None:
    # words 2 and 3 of the page; where mark bits stand behind it the bitmap begins earlier
    headers = np.array([START + 96], np.uint64)

    def is_there(begins: int, bits: int, inline_marks: bool) -> list[bool]:
        memory = memory_of({START + 16: START + 96, START + begins: bits}, PAGE)
        no, yes = np.zeros(1, np.bool_), np.ones(1, np.bool_)
        layout = replace(LAYOUT, inline_marks=inline_marks)
        return referred_to(memory, layout, headers, Search(heap(True), [], no, yes)).is_there.tolist()

    assert [is_there(PAGE - 128, bits, False) for bits in (0b100, 0b1000)] == [[True], [False]]
    assert [is_there(PAGE - 256, bits, True) for bits in (0b100, 0b1000)] == [[True], [False]]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda pair: (pair[0], sum(pair)))))
def test_merged_ranges_cover_the_same_and_lie_apart(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)

    assert {n for start, end in found for n in range(start, end)} == {n for a, b in ranges for n in range(a, b)}
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


def test_pages_are_those_of_the_ranges() -> None:
    found = pages_of(np.array([START, START + 4 * PAGE], np.uint64), np.array([START + 2 * PAGE, START + 5 * PAGE]))

    assert found.tolist() == [START, START + PAGE, START + 4 * PAGE]
