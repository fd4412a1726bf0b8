"""Which objects of spans are allocated, whatever the sweeper does to the spans during the read."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from mapprobe.go.facts import SPAN_FREE_INDEX, SPAN_PAGES, SPAN_START, heap_facts_for, span_facts_for
from mapprobe.live.heap.objects import IN_USE, INLINE_MARKS_FROM_END, PAGE
from mapprobe.live.heap.spans import Layout, are_allocated, spans_at
from mapprobe.live.memory import Memory

RELEASE = (1, 27)
HEAP, SPAN = heap_facts_for(RELEASE), span_facts_for(RELEASE)
MHEAP, SPAN_ADDR, ALLOC_BITS, MARK_BITS, START = 0x100000, 0x200000, 0x210000, 0x220000, 0xC000000000
INLINE_MARKS = START + PAGE - INLINE_MARKS_FROM_END
OBJECT_BYTES, OBJECTS = 512, 15
SWEEPGEN = 8
LAYOUT = Layout(MHEAP, HEAP, SPAN, inline_marks=True)
ALL = START + np.arange(OBJECTS, dtype=np.uint64) * np.uint64(OBJECT_BYTES)


class Heap:
    """A heap with one span of one page; what `meanwhile` does happens once an address at its place was read."""

    def __init__(
        self, sweepgen: int, free_index: int = 0, allocated: int = 0, marked: int = 0, inline: int = 0
    ) -> None:
        self._pages = {addr: bytearray(2 * PAGE) for addr in (MHEAP, SPAN_ADDR, ALLOC_BITS, MARK_BITS, START)}
        self._pages[MHEAP] = bytearray(HEAP.sweepgen + 8)
        self.put(MHEAP + HEAP.sweepgen, "<I", SWEEPGEN)
        for offset, form, value in (
            (SPAN_START, "<Q", START), (SPAN_PAGES, "<Q", 1), (SPAN_FREE_INDEX, "<H", free_index),
            (SPAN.elements, "<H", OBJECTS), (SPAN.span_class, "<B", 2 << 1), (HEAP.alloc_bits, "<Q", ALLOC_BITS),
            (HEAP.mark_bits, "<Q", MARK_BITS), (HEAP.span_sweepgen, "<I", sweepgen), (HEAP.span_state, "<B", IN_USE),
            (HEAP.elem_bytes, "<Q", OBJECT_BYTES),
        ):  # fmt: skip
            self.put(SPAN_ADDR + offset, form, value)
        for addr, bits in ((ALLOC_BITS, allocated), (MARK_BITS, marked), (INLINE_MARKS, inline)):
            self.put(addr, "<Q", bits)
        self.meanwhile: dict[int, Callable[[], None]] = {}

    def put(self, addr: int, form: str, value: int) -> None:
        base = max(page for page in self._pages if page <= addr)
        struct.pack_into(form, self._pages[base], addr - base, value)

    def read_into(self, addr: int, buffer: memoryview) -> int:
        base = max((page for page in self._pages if page <= addr), default=addr)
        part = bytes(self._pages.get(base, b"")[addr - base : addr - base + len(buffer)])
        buffer[: len(part)] = part
        for place in [place for place in self.meanwhile if addr <= place < addr + len(part)]:
            self.meanwhile.pop(place)()
        return len(part)

    def allocated(self) -> list[int]:
        """Return the numbers of the objects that are."""
        memory = Memory(self.read_into)
        spans = spans_at(memory, LAYOUT, np.array([SPAN_ADDR], np.uint64))
        rows, _ = spans.find(ALL)
        found: list[int] = np.flatnonzero(are_allocated(memory, LAYOUT, spans, ALL, rows)).tolist()
        return found


def test_in_a_swept_span_those_before_the_free_index_are_allocated_and_those_with_a_bit() -> None:
    assert Heap(SWEEPGEN, free_index=2, allocated=0b10001, marked=0b1000000).allocated() == [0, 1, 4]


def test_in_an_unswept_span_those_that_are_marked_are_allocated() -> None:
    assert Heap(SWEEPGEN - 2, free_index=9, allocated=0b111, marked=0b100, inline=0b1000).allocated() == [2, 3]


@pytest.mark.parametrize("place", [INLINE_MARKS, MARK_BITS], ids=["inline marks", "mark bits"])
def test_marks_that_the_sweeper_moves_are_seen_before_or_after(place: int) -> None:
    heap = Heap(SWEEPGEN - 2, inline=0b110)

    def move() -> None:
        heap.put(MARK_BITS, "<Q", 0b110)
        heap.put(INLINE_MARKS, "<Q", 0)

    heap.meanwhile[place] = move
    assert heap.allocated() == [1, 2]


def test_a_span_that_is_being_swept_is_read_when_it_was() -> None:
    heap = Heap(SWEEPGEN - 1, allocated=0b1000, marked=0b110)

    def sweep() -> None:
        heap.put(ALLOC_BITS, "<Q", 0b110)
        heap.put(SPAN_ADDR + HEAP.span_sweepgen, "<I", SWEEPGEN)

    heap.meanwhile[SPAN_ADDR] = sweep
    assert heap.allocated() == [1, 2]


@pytest.mark.parametrize(
    ("allocated", "marked"),
    [(0b010, 0b110), (0b110, 0)],
    ids=["its bits are the old ones", "its bits are the new ones"],
)
def test_of_a_span_whose_sweep_does_not_end_all_objects_in_use_are_allocated(allocated: int, marked: int) -> None:
    assert Heap(SWEEPGEN - 1, allocated=allocated, marked=marked).allocated() == [1, 2]
