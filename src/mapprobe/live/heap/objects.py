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
        wanted = sorted(addrs)
        if not wanted:
            return set()
        for _ in range(ROUNDS):
            before = self.collections()
            found = self._free_now(wanted, before)
            if self.collections() == before:  # else a collection ended meanwhile: bits changed their meaning
                break
        return found

    def room(self, addr: int) -> int:
        """Return how many bytes there are from `addr` to the end of its object, 0 where the heap has none."""
        arena = self._arena((addr + ARENA_BASE) // ARENA_BYTES) if addr < ARENA_BASE else None
        pointer = int(arena[addr // PAGE % ARENA_PAGES]) if arena is not None else 0
        span = self._span(pointer, self.collections()) if pointer else None
        if span is None or not span.start <= addr < span.end:
            return 0
        return span.elem_bytes - (addr - span.start) % span.elem_bytes

    def _free_now(self, addrs: list[int], sweepgen: int) -> set[int]:
        spans: dict[int, Span | None] = {}
        arenas: dict[int, np.ndarray | None] = {}
        free: set[int] = set()
        for addr in addrs:
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
                spans[pointer] = self._span(pointer, sweepgen) if pointer else None
            span = spans[pointer]
            if span is None or not span.start <= addr < span.end or span.is_free(addr):
                free.add(addr)
        return free

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

    def _span(self, pointer: int, sweepgen: int) -> Span | None:
        """Return a span, None if it is not in use for objects."""
        facts = self._facts

        def field(offset: int, length: int = 8) -> int:
            return int.from_bytes(raw[offset : offset + length], "little")

        for _ in sweep_looks():
            raw = self._read(pointer, SPAN_BYTES)
            start, elem_bytes = field(SPAN_START), field(facts.elem_bytes)
            end = start + field(SPAN_PAGES) * PAGE
            is_amid = field(facts.span_sweepgen, 4) == (sweepgen - 1) % 2**32
            is_torn = elem_bytes > 0 and (end - start) // elem_bytes > MOST_OBJECTS
            if not (is_amid or is_torn):
                break

        if is_torn:
            raise MemoryReadError(pointer, SPAN_BYTES, "no span stands there")
        if field(facts.span_state, 1) != IN_USE or not elem_bytes:
            return None
        if end > ARENA_BASE or end - start > MOST_OBJECTS * elem_bytes:
            return Span(start, end, elem_bytes, 0, b"", is_swept=False)  # it is set up while it is read
        is_swept = field(facts.span_sweepgen, 4) in (sweepgen, sweepgen + 3)
        length = -(-((end - start) // elem_bytes) // 8)
        has_pointers = not field(facts.span_state - 1, 1) & 1
        inline = b""
        if not is_swept and facts.inline_marks and has_pointers and elem_bytes in INLINE_MARKS_OF:
            # the sweeper moves them to the others: what isn't here any more is there by then
            inline = self._read(start + PAGE - INLINE_MARKS_FROM_END, INLINE_MARKS_FROM_END - 1)
        bits = _either(self._read(field(facts.alloc_bits if is_swept else facts.mark_bits), length), inline)
        if is_amid:
            bits = _either(bits, self._read(field(facts.alloc_bits), length))
        free_index = field(SPAN_FREE_INDEX, facts.free_index_bytes)
        return Span(start, end, elem_bytes, free_index, bits, is_swept)


def sweep_looks() -> Iterator[None]:
    """Yield once for each look at a span that is being swept, until it was.

    Its mark bits become its allocation bits then, and new ones, of which none
    is set, its mark bits. That takes long only if its thread is put off in the middle of
    it: what is set in neither is free even so.
    """
    for look in range(QUICK_LOOKS + SLOW_LOOKS):
        if look >= QUICK_LOOKS:
            time.sleep(LOOK_SECONDS)  # noqa: TID251 - nothing tells when another process's thread goes on
        yield


def _either(bits: bytes, others: bytes) -> bytes:
    """Return the first bits, and in them those that are set in the others."""
    return bytes(one | other for one, other in zip(bits, others, strict=False)) + bits[len(others) :]
