from __future__ import annotations

import struct

import pytest

from mapprobe.go.facts import SPAN_BYTES, SPAN_FREE_INDEX, SPAN_PAGES, SPAN_START, heap_facts_for
from mapprobe.live.heap.objects import ARENA_BASE, ARENA_BYTES, ARENA_PAGES, IN_USE, PAGE, Heap, Span

FACTS = heap_facts_for((1, 23))
START, OBJECT_BYTES = 0xC000000000, 48
MHEAP, TABLE, ARENA, SPAN, ALLOC_BITS, MARK_BITS = 0x100000, 0x200000, 0x300000, 0x400000, 0x500000, 0x600000
SWEEPGEN = 8


def test_object_is_free_if_it_is_not_allocated() -> None:
    span = Span(START, START + PAGE, OBJECT_BYTES, 2, b"\1" + bytes(21), is_swept=True)

    assert [span.is_free(START + n * OBJECT_BYTES) for n in range(4)] == [False, False, True, True]


def test_words_after_the_last_object_of_a_span_are_free() -> None:
    objects = PAGE // 144
    span = Span(START, START + PAGE, 144, objects, b"\xff" * (objects // 8), is_swept=True)

    assert span.is_free(START + 144 * objects)


def span_bytes(sweepgen: int = SWEEPGEN) -> bytes:
    """Return the span of one page at `START`."""
    raw = bytearray(SPAN_BYTES)
    for offset, value in (
        (SPAN_START, START), (SPAN_PAGES, 1), (FACTS.elem_bytes, OBJECT_BYTES),
        (FACTS.alloc_bits, ALLOC_BITS), (FACTS.mark_bits, MARK_BITS),
    ):  # fmt: skip
        struct.pack_into("<Q", raw, offset, value)
    struct.pack_into("<H", raw, SPAN_FREE_INDEX, 0)
    struct.pack_into("<I", raw, FACTS.span_sweepgen, sweepgen)
    raw[FACTS.span_state] = IN_USE
    return bytes(raw)


def heap(*spans: bytes, allocated: int = 1, marked: int = 0) -> Heap:
    """Return a heap of one page, whose span is read as these one after another, then stays the last, with its bits."""
    states = list(spans)
    arena = (START + ARENA_BASE) // ARENA_BYTES
    memory = {
        MHEAP + FACTS.sweepgen: struct.pack("<I", SWEEPGEN),
        MHEAP + FACTS.arenas: struct.pack("<Q", TABLE),
        TABLE + 8 * arena: struct.pack("<Q", ARENA),
        TABLE + 8 * (arena + 1): bytes(8),
        ARENA + FACTS.spans: struct.pack("<Q", SPAN) + bytes(8 * (ARENA_PAGES - 1)),
        ALLOC_BITS: bytes([allocated]) + bytes(31),
        MARK_BITS: bytes([marked]) + bytes(31),
    }

    def read(addr: int, length: int) -> bytes:
        if addr != SPAN:
            return memory[addr][:length]
        return states.pop(0) if len(states) > 1 else states[0]

    return Heap(read, MHEAP, FACTS)


def test_span_that_is_being_swept_is_read_when_it_was() -> None:
    swept = heap(span_bytes(SWEEPGEN - 1), span_bytes(SWEEPGEN - 1), span_bytes())

    assert swept.free([START, START + OBJECT_BYTES]) == {START + OBJECT_BYTES}


@pytest.mark.parametrize(
    ("allocated", "marked"),
    [(0b001, 0b011), (0b011, 0)],
    ids=["its bits are the old ones", "its bits are the new ones"],
)
def test_of_a_span_whose_sweep_does_not_end_no_object_in_use_is_free(allocated: int, marked: int) -> None:
    stuck = heap(span_bytes(SWEEPGEN - 1), allocated=allocated, marked=marked)

    assert stuck.free([START + n * OBJECT_BYTES for n in range(3)]) == {START + 2 * OBJECT_BYTES}


@pytest.mark.parametrize(
    ("addr", "room"),
    [
        (START, OBJECT_BYTES),
        (START + OBJECT_BYTES + 8, OBJECT_BYTES - 8),
        (START + PAGE, 0),
        (START + ARENA_BYTES, 0),
        (1 << 60, 0),
    ],
    ids=["an object", "in an object", "no span", "a global", "no address"],
)
def test_room_is_what_is_left_of_an_object(addr: int, room: int) -> None:
    assert heap(span_bytes()).room(addr) == room
