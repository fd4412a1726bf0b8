"""Which objects of spans are allocated, by the bits of these spans as they stand when they are read.

`objects` answers the same question for a few addresses. An object that the collector found dead is free, whether its
span was swept since or not; an object that died after the last mark still counts as allocated.

A span's bits are valid until the span is swept: then the mark bits take their place, and two collections later the
memory of the old bits holds bits of other spans. A busy program collects several times during a census. So each
descriptor is read before and after the bits that it names, and if it has changed, descriptor and bits are read again.

go: runtime/mbitmap.go isFree, runtime/mgcsweep.go sweep [1.18..1.27]
"""

from __future__ import annotations

import numpy as np

from mapprobe.arrays import I64, U64, Flags
from mapprobe.go.facts import SPAN_FREE_INDEX, SPAN_PAGES, SPAN_START
from mapprobe.live.heap.objects import IN_USE, INLINE_MARKS_FROM_END, INLINE_MARKS_OF, PAGE, sweep_fields
from mapprobe.live.heap.spans import Layout, Spans, are_being_swept, collection, descriptors, field_of, those
from mapprobe.live.memory import Memory

ROUNDS = 12
WORD_BITS = 64


def allocated(memory: Memory, spans: Spans, rows: I64, layout: Layout) -> tuple[U64, U64]:
    """Return which objects of some spans are allocated, and which of them outlived a collection.

    Parameters
    ----------
    rows
        Spans of one object size.

    Returns
    -------
    A bit for each object, ``(rows, words)``, twice; of a span that is gone by now none is set.
    """
    most = int(spans.objects[rows].max(initial=0))
    count = max(1, -(-most // WORD_BITS))
    taken, survived = (np.zeros((len(rows), count), np.uint64) for _ in range(2))
    waiting = np.arange(len(rows))
    for _ in range(ROUNDS):
        if not len(waiting):
            break
        some, sweepgen = those(spans, rows[waiting]), collection(memory, layout)
        raw, known = descriptors(memory, layout.heap, some.descriptor, sweepgen)
        is_of_then = collection(memory, layout) == sweepgen  # else a span may have been swept once more
        taken[waiting], survived[waiting] = _bits(memory, layout, some, raw, sweepgen, count)
        again, _ = memory.words(some.descriptor, raw.shape[1])
        is_there = known & _are_in_use(layout, some, raw)
        taken[waiting[~is_there]] = survived[waiting[~is_there]] = 0
        waiting = waiting[is_there & (_are_changed(layout, raw, again) | (not is_of_then))]
    return taken, survived


def _are_in_use(layout: Layout, spans: Spans, raw: U64) -> Flags:
    """Return which spans are still in use for objects as they were."""
    found: Flags = field_of(raw, layout.heap.span_state, 1) == np.uint64(IN_USE)
    found &= field_of(raw, SPAN_START) == spans.start
    found &= field_of(raw, SPAN_PAGES) * np.uint64(PAGE) == spans.end - spans.start
    found &= spans.is_large | (field_of(raw, layout.heap.elem_bytes) == spans.object_bytes)
    return found


def _are_changed(layout: Layout, raw: U64, again: U64) -> Flags:
    """Return which spans were swept or set up again between two looks at their descriptors."""
    found = np.zeros(len(raw), np.bool_)
    for offset, length in sweep_fields(layout.heap):
        found |= field_of(raw, offset, length) != field_of(again, offset, length)
    return found


def _bits(memory: Memory, layout: Layout, spans: Spans, raw: U64, sweepgen: int, count: int) -> tuple[U64, U64]:
    """Return the allocation bits of spans with the descriptors `raw`, and the bits that a collection has set."""
    heap = layout.heap
    generation = field_of(raw, heap.span_sweepgen, 4)
    unswept = (generation != np.uint64(sweepgen)) & (generation != np.uint64((sweepgen + 3) % 2**32))
    small = np.isin(spans.object_bytes, np.array(INLINE_MARKS_OF, np.uint64)) & spans.has_pointers
    inline = np.flatnonzero(unswept & small) if layout.inline_marks else np.empty(0, np.int64)
    # the sweeper moves them to the others: what isn't here any more is there by then
    marks, _ = memory.words(spans.start[inline] + np.uint64(PAGE - INLINE_MARKS_FROM_END), count)
    if count == INLINE_MARKS_FROM_END // 8:
        marks[:, -1] &= np.uint64((1 << 56) - 1)  # the last byte is the class
    alloc_bits = field_of(raw, heap.alloc_bits)
    bits, _ = memory.words(np.where(unswept, field_of(raw, heap.mark_bits), alloc_bits), count)
    bits[inline] |= marks
    # the sweep may already have made the mark bits the allocation bits: take both
    swept_now = np.flatnonzero(are_being_swept(raw, heap, sweepgen))
    bits[swept_now] |= memory.words(alloc_bits[swept_now], count)[0]
    free_index = np.minimum(field_of(raw, SPAN_FREE_INDEX, heap.free_index_bytes), spans.objects.astype(np.uint64))
    # all objects before free_index are allocated
    before = free_index.astype(np.int64)[:, None] - WORD_BITS * np.arange(count)
    full = np.uint64(0xFFFFFFFFFFFFFFFF)
    partial = (np.uint64(1) << np.clip(before, 0, WORD_BITS - 1).astype(np.uint64)) - np.uint64(1)
    taken = np.where(before >= WORD_BITS, full, np.where(before > 0, partial, np.uint64(0)))
    return np.where(unswept[:, None], bits, bits | taken), bits


def are_allocated(memory: Memory, layout: Layout, spans: Spans, addrs: U64, rows: I64) -> Flags:
    """Return of each address whether the object that it is in is allocated; `rows` are those of their spans."""
    found = np.zeros(len(addrs), np.bool_)
    index = spans.index(addrs, rows)
    for size in np.unique(spans.object_bytes[rows]).tolist():
        of_size = np.flatnonzero(spans.object_bytes[rows] == np.uint64(size))
        is_used = np.zeros(len(spans), np.bool_)
        is_used[rows[of_size]] = True
        used, which = np.flatnonzero(is_used), (np.cumsum(is_used) - 1)[rows[of_size]]
        bits, _ = allocated(memory, spans, used, layout)
        number = index[of_size].astype(np.uint64)
        word = bits[which, (number >> np.uint64(6)).astype(np.int64)]
        found[of_size] = word >> (number & np.uint64(63)) & np.uint64(1) != 0
    return found
