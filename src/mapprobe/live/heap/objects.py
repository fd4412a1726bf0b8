"""Finds which objects of a process's heap are free, by the allocator's own bits, read from outside.

An object is free if the collector found it dead, whether its span was swept
since or not; an object that died after the last mark still counts as allocated.
Map headers are objects of their own, so a map whose header is free is dead, and
its pointers may lead to anything.

go: runtime/mheap.go spanOf, runtime/mbitmap.go isFree, runtime/mgcsweep.go sweep [1.18..1.27]
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mapprobe.errors import MemoryReadError
from mapprobe.go.facts import SPAN_BYTES, SPAN_FREE_INDEX, SPAN_PAGES, SPAN_START, HeapFacts

Read = Callable[[int, int], bytes]

PAGE = 8192
ARENA_BYTES = 64 << 20
ARENA_BASE = 1 << 47  # go: runtime/malloc.go arenaBaseOffset [1.18..1.27]
ARENA_PAGES = ARENA_BYTES // PAGE
MOST_ARENAS = 2 * ARENA_BASE // ARENA_BYTES
MOST_OBJECTS = 1 << 14
"""Of a span: ten pages of the smallest have fewer."""
IN_USE = 1  # go: runtime/mheap.go mSpanInUse [1.18..1.27]
INLINE_MARKS_FROM_END = 64  # go: runtime/mgcmark_greenteagc.go spanInlineMarkBits.marks [1.26..1.27]
INLINE_MARKS_OF = range(16, 513)  # go: runtime/mgcmark_greenteagc.go gcUsesSpanInlineMarkBits [1.26..1.27]
MOST_OBJECTS = 1 << 13
"""Objects of a span: the smallest take eight bytes, and have spans of a page: 1024."""
ROUNDS = 5
QUICK_LOOKS = 10
SLOW_LOOKS = 100
LOOK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Span:
    """A run of pages that holds objects of one size, and which of them are free; nothing in `bits`: nobody can say."""

    start: int
    end: int
    elem_bytes: int
    free_index: int
    bits: bytes
    is_swept: bool

    def is_free(self, addr: int) -> bool:
        """True if the object at `addr` is, or if none can stand there: the span is of another size by now."""
        if not self.bits:
            return False
        index = (addr - self.start) // self.elem_bytes
        if index >= (self.end - self.start) // self.elem_bytes:
            return True
        is_set = bool(self.bits[index >> 3] >> (index & 7) & 1)
        return not is_set and not (self.is_swept and index < self.free_index)


class Heap:
    """The heap of one process.

    Parameters
    ----------
    read
        Reads its memory.
    addr
        Where its mheap_ stands.
    facts
        Layout of its release.
    """

    def __init__(self, read: Read, addr: int, facts: HeapFacts) -> None:
        self._read, self._addr, self._facts = read, addr, facts

    def free(self, addrs: Iterable[int]) -> set[int]:
        """Return those of `addrs` that are free objects, or stand where no span is in use.

        Addresses outside the heap's arenas (globals) never are.

        Raises
        ------
        MemoryReadError
            If the heap's structures can't be read.
        """
        spans: dict[int, Span | None] = {}
        arenas: dict[int, np.ndarray | None] = {}
        free: set[int] = set()
        for addr in sorted(addrs):
            if addr >= ARENA_BASE:
                continue
            number = (addr + ARENA_BASE) // ARENA_BYTES
            if number not in arenas:
                arenas[number] = self._arena(number)
            arena = arenas[number]
            if arena is None:
                continue
            pointer = int(arena[addr // PAGE % ARENA_PAGES])
            if pointer not in spans:
                spans[pointer] = self._span(pointer) if pointer else None
            span = spans[pointer]
            if span is None or not span.start <= addr < span.end or span.is_free(addr):
                free.add(addr)
        return free

    def room(self, addr: int) -> int:
        """Return how many bytes there are from `addr` to the end of its object, 0 where the heap has none."""
        arena = self._arena((addr + ARENA_BASE) // ARENA_BYTES) if addr < ARENA_BASE else None
        pointer = int(arena[addr // PAGE % ARENA_PAGES]) if arena is not None else 0
        span = self._span(pointer) if pointer else None
        if span is None or not span.start <= addr < span.end:
            return 0
        return span.elem_bytes - (addr - span.start) % span.elem_bytes

    def _word(self, addr: int, length: int = 8) -> int:
        return int.from_bytes(self._read(addr, length), "little")

    def collections(self) -> int:
        """Return a number that changes whenever a collection ends, which is when objects die: mheap_.sweepgen."""
        return self._word(self._addr + self._facts.sweepgen, 4)

    def _arena(self, number: int) -> np.ndarray | None:
        """Return the span pointers of an arena's pages, None where the heap has no such arena."""
        if number >= MOST_ARENAS:
            return None
        table = self._word(self._addr + self._facts.arenas)
        arena = self._word(table + 8 * number)
        if not arena:
            return None
        return np.frombuffer(self._read(arena + self._facts.spans, 8 * ARENA_PAGES), np.uint64)

    def _span(self, pointer: int) -> Span | None:
        """Return a span, None if it is not in use for objects.

        It is read again if it was swept meanwhile: two collections later other bits stand where its bits stood.
        """
        for _ in range(ROUNDS):
            sweepgen = self.collections()
            raw = self._descriptor(pointer, sweepgen)
            is_of_then = self.collections() == sweepgen
            span = self._described(raw, sweepgen)
            if is_of_then and self._of_sweep(self._read(pointer, SPAN_BYTES)) == self._of_sweep(raw):
                break
        return span

    def _of_sweep(self, raw: bytes) -> list[bytes]:
        """Return the fields of a span's descriptor that change once the span is swept or set up again."""
        return [raw[offset : offset + length] for offset, length in sweep_fields(self._facts)]

    def _descriptor(self, pointer: int, sweepgen: int) -> bytes:
        """Return what a span's descriptor holds, once the span is not being swept or set up any more."""
        facts = self._facts
        for _ in sweep_looks():
            raw = self._read(pointer, SPAN_BYTES)
            elem_bytes, length = _field(raw, facts.elem_bytes), _field(raw, SPAN_PAGES) * PAGE
            is_torn = elem_bytes > 0 and length // elem_bytes > MOST_OBJECTS
            if not (is_torn or _is_being_swept(raw, facts, sweepgen)):
                break
        if is_torn:
            raise MemoryReadError(pointer, SPAN_BYTES, "no span stands there")
        return raw

    def _described(self, raw: bytes, sweepgen: int) -> Span | None:
        """Return the span that a descriptor is of, with its bits, None if it is not in use for objects."""
        facts = self._facts
        start, elem_bytes = _field(raw, SPAN_START), _field(raw, facts.elem_bytes)
        end = start + _field(raw, SPAN_PAGES) * PAGE
        if _field(raw, facts.span_state, 1) != IN_USE or not elem_bytes:
            return None
        if end > ARENA_BASE or end - start > MOST_OBJECTS * elem_bytes:
            return Span(start, end, elem_bytes, 0, b"", is_swept=False)  # it is set up while it is read
        is_swept = _field(raw, facts.span_sweepgen, 4) in (sweepgen, sweepgen + 3)
        length = -(-((end - start) // elem_bytes) // 8)
        has_pointers = not _field(raw, facts.span_state - 1, 1) & 1
        inline = b""
        if not is_swept and facts.inline_marks and has_pointers and elem_bytes in INLINE_MARKS_OF:
            # the sweeper moves them to the others: what isn't here any more is there by then
            inline = self._read(start + PAGE - INLINE_MARKS_FROM_END, INLINE_MARKS_FROM_END - 1)
        bits = _either(self._read(_field(raw, facts.alloc_bits if is_swept else facts.mark_bits), length), inline)
        if _is_being_swept(raw, facts, sweepgen):
            bits = _either(bits, self._read(_field(raw, facts.alloc_bits), length))
        free_index = _field(raw, SPAN_FREE_INDEX, facts.free_index_bytes)
        return Span(start, end, elem_bytes, free_index, bits, is_swept)


def sweep_fields(facts: HeapFacts) -> list[tuple[int, int]]:
    """Return offset and length of the fields of a span's descriptor that a sweep, or a new use of the span, changes."""
    whole = (SPAN_START, SPAN_PAGES, facts.elem_bytes, facts.alloc_bits, facts.mark_bits)
    return [*((offset, 8) for offset in whole), (facts.span_sweepgen, 4), (facts.span_state, 1)]


def sweep_looks() -> Iterator[None]:
    """Yield once for each look at a span that is being swept; the caller stops when the sweep has ended.

    A sweep makes the mark bits the allocation bits, and gives the span new mark bits, all 0. It takes long only if its
    thread loses the CPU; even then an object whose bit is set in neither is free.
    """
    for look in range(QUICK_LOOKS + SLOW_LOOKS):
        if look >= QUICK_LOOKS:
            time.sleep(LOOK_SECONDS)  # noqa: TID251 - nothing tells when another process's thread goes on
        yield


def _either(bits: bytes, others: bytes) -> bytes:
    """Return the first bits, and in them those that are set in the others."""
    return bytes(one | other for one, other in zip(bits, others, strict=False)) + bits[len(others) :]


def _field(raw: bytes, offset: int, length: int = 8) -> int:
    return int.from_bytes(raw[offset : offset + length], "little")


def _is_being_swept(raw: bytes, facts: HeapFacts, sweepgen: int) -> bool:
    """True of the descriptor of a span that is being swept."""
    return _field(raw, facts.span_sweepgen, 4) == (sweepgen - 1) % 2**32
