"""States of objects by address: allocated, freed, or their span is gone and its pages are free or returned.

The states are read from memory, for many addresses at once. An address that is
allocated may belong to another object by now.

go: runtime/mheap.go spanOf, runtime/mpagealloc.go pallocData, runtime/mbitmap*.go isFree [1.19..1.27]
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import U64, Flags
from mapprobe.go.facts import PAGE_CHUNKS
from mapprobe.live.heap.objects import ARENA_BASE, ARENA_BYTES, ARENA_PAGES, PAGE
from mapprobe.live.heap.spans import NOWHERE, ROUNDS, Layout, are_allocated, collection, spans_at
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import ArrayState

WORD = 8
CHUNK_BYTES = 4 << 20
"""Bytes that one pallocData describes. go: runtime/mpagealloc.go pallocChunkBytes [1.18..1.27]"""
CHUNK_WORDS = 16
"""Words of a pallocData: bits of allocated pages, then bits of returned pages.

go: runtime/mpallocbits.go pallocData [1.18..1.27]"""
CHUNKS_BITS = np.uint64(13)
"""Low bits of a chunk's number, which index the second level of the table of chunks.

go: runtime/mpagealloc*.go pallocChunksL2Bits [1.18..1.27]"""


def states_of(memory: Memory, layout: Layout, addrs: U64) -> tuple[npt.NDArray[np.uint8], U64]:
    """Return the `ArrayState` of each object, and its size in its span [bytes], 0 if it is in no span.

    Raises
    ------
    TargetError
        If the heap can't be read.
    """
    for _ in range(ROUNDS):
        state, size, sweepgen = _states_now(memory, layout, addrs)
        if collection(memory, layout) == sweepgen:  # else a collection has ended, and the bits mean other marks
            break
    return state, size


def _states_now(memory: Memory, layout: Layout, addrs: U64) -> tuple[npt.NDArray[np.uint8], U64, int]:
    """Return states and sizes from one reading, and the number of the collection before it."""
    state, size = np.full(len(addrs), ArrayState.PAGES_FREE, np.uint8), np.zeros(len(addrs), np.uint64)
    pointers = np.unique(_span_pointers(memory, layout, addrs))
    spans = spans_at(memory, layout, pointers[pointers != 0])
    row, _ = spans.find(addrs)
    inside = np.flatnonzero(row != NOWHERE)
    rows = row[inside]
    size[inside] = spans.object_bytes[rows]
    is_held = are_allocated(memory, layout, spans, addrs[inside], rows)
    state[inside] = np.where(is_held, ArrayState.HELD, ArrayState.FREED)
    gone = np.flatnonzero(row == NOWHERE)
    state[gone[_are_returned(memory, layout, addrs[gone])]] = ArrayState.RETURNED
    return state, size, spans.sweepgen


def _span_pointers(memory: Memory, layout: Layout, addrs: U64) -> U64:
    """Return the address of the last mspan of each address's page, 0 for none."""
    table, _ = memory.words(np.array([layout.addr + layout.heap.arenas], np.uint64))
    numbers = (addrs + np.uint64(ARENA_BASE)) // np.uint64(ARENA_BYTES)
    arenas, _ = memory.words(table[0, 0] + numbers * np.uint64(WORD))
    page = addrs // np.uint64(PAGE) % np.uint64(ARENA_PAGES)
    where = np.where(arenas[:, 0] != 0, arenas[:, 0] + np.uint64(layout.heap.spans) + page * np.uint64(WORD), 0)
    pointers, _ = memory.words(where.astype(np.uint64))
    found: U64 = pointers[:, 0]
    return found


def _are_returned(memory: Memory, layout: Layout, addrs: U64) -> Flags:
    """Return which addresses are in pages that are free and returned to the system, or were never used."""
    numbers, which = np.unique((addrs + np.uint64(ARENA_BASE)) // np.uint64(CHUNK_BYTES), return_inverse=True)
    bits = returned_bits(memory, layout, numbers)
    page = addrs // np.uint64(PAGE) % np.uint64(CHUNK_BYTES // PAGE)
    word = bits[which, (page >> np.uint64(6)).astype(np.int64)] if len(addrs) else np.empty(0, np.uint64)
    found: Flags = word >> (page & np.uint64(63)) & np.uint64(1) != 0
    return found


def returned_bits(memory: Memory, layout: Layout, numbers: U64) -> U64:
    """Return for each chunk of 512 pages the bits of pages that are returned or were never used, ``(chunks, 8)``."""
    tables = np.uint64(layout.addr + layout.heap.pages + PAGE_CHUNKS) + (numbers >> CHUNKS_BITS) * np.uint64(WORD)
    chunks, _ = memory.words(tables)
    within = numbers & np.uint64((1 << int(CHUNKS_BITS)) - 1)
    bits, _ = memory.words(chunks[:, 0] + within * np.uint64(CHUNK_WORDS * WORD), CHUNK_WORDS)
    half = CHUNK_WORDS // 2
    found: U64 = bits[:, half:] & ~bits[:, :half]
    return found
