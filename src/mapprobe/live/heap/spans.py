"""All spans of a process's heap that are in use, as columns, and which of their objects are allocated.

`objects` answers the same for a few addresses; here all spans are read at once.
An object that the collector found dead is free, whether its span was swept
since or not; an object that died after the last mark still counts as allocated.

go: runtime/mheap.go mspan, runtime/mbitmap.go isFree, runtime/mgcsweep.go sweep [1.18..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from mapprobe import _core
from mapprobe.arrays import I64, U64, Flags
from mapprobe.errors import TargetError
from mapprobe.go.facts import (
    SPAN_FREE_INDEX,
    SPAN_PAGES,
    SPAN_START,
    WHOLE_SPAN_BYTES,
    HeapFacts,
    SpanFacts,
)
from mapprobe.live.heap.objects import IN_USE, INLINE_MARKS_FROM_END, INLINE_MARKS_OF, PAGE, sweep_looks
from mapprobe.live.memory import HIGHEST, Memory
from mapprobe.model.sizes import MAX_SMALL_SIZE

MANUAL = 2  # go: runtime/mheap.go mSpanManual [1.18..1.27]
NOWHERE = -1
ROUNDS = 5
MOST_SPANS = 1 << 28
SPANS_AT_ONCE = 1 << 17
"""Most descriptors that are read at once: 22 MB."""
WORD_BITS = 64
MOST_PAGES = np.uint64(1 << 34)
OVERLAPS = 64
"""Most rounds in which the larger of two overlapping spans is left out; after them, the span that begins first wins."""
MOST_SMALL_PAGES = 10
"""Most pages of a span of small objects. go: runtime/sizeclasses.go class_to_allocnpages [1.18..1.24],
internal/runtime/gc/sizeclasses.go SizeClassToNPages [1.25..1.27]"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The address of the heap, and the layout of its structures in a release.

    Attributes
    ----------
    addr
        Address of mheap_.
    inline_marks
        Spans of small objects with pointers contain their mark bits.
    """

    addr: int
    heap: HeapFacts
    span: SpanFacts
    inline_marks: bool


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans in use for objects, by address; one row each.

    Attributes
    ----------
    start, end
        Start and end of the span's memory.
    object_bytes
        Size of one object [bytes]; of a large object the size of the span.
    objects
        Number of objects.
    free_index
        In a span that was swept, all objects with a lower number are allocated.
    bits
        Address of the bits that say which objects are allocated.
    more_bits
        If the span was still being swept when it was last looked at: address of the bits that say it after the sweep.
        Else 0.
    has_pointers
        The collector scans the objects.
    is_large
        The span has one object, larger than the largest size class.
    is_swept
        `bits` are the allocator's bits; else the marks of the last collection.
    specials
        Address of the first special record of its objects, 0 for none.
    large_type
        Address of the type of a large object; 0 if it isn't kept.
    stacks
        Start and end of the spans that hold stacks of goroutines and other manual memory, ``(n, 2)``.
    sweepgen
        The heap's sweepgen, which shows the collection before the read.
    """

    start: U64
    end: U64
    object_bytes: U64
    objects: I64
    free_index: I64
    bits: U64
    more_bits: U64
    has_pointers: Flags
    is_large: Flags
    is_swept: Flags
    specials: U64
    large_type: U64
    stacks: U64
    sweepgen: int

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self.start)

    def find(self, addrs: U64) -> tuple[I64, I64]:
        """Return for each address the row of its span, `NOWHERE` for none, and its offset in its object [bytes]."""
        row, offset = np.empty(len(addrs), np.int64), np.empty(len(addrs), np.int64)
        spans = self.start, self.end, self.object_bytes
        _core.find_spans(spans, np.ascontiguousarray(addrs), row, offset)
        return row, offset

    def index(self, addrs: U64, row: I64) -> I64:
        """Return the number of the object in its span for each address; `row`: the row of its span."""
        return ((addrs - self.start[row]) // self.object_bytes[row]).astype(np.int64)


def read_spans(memory: Memory, layout: Layout) -> Spans:
    """Return all spans in use.

    Raises
    ------
    TargetError
        If there is no heap at its address.
    """
    for _ in range(ROUNDS):
        spans = _read_spans(memory, layout)
        # else a collection has ended, and the bits mean other marks
        if collection(memory, layout) == spans.sweepgen:
            break
    return _sound(spans, memory.mapped_bytes)


def spans_at(memory: Memory, layout: Layout, pointers: U64) -> Spans:
    """Return the spans in use whose descriptors are at these addresses, without those that are being set up."""
    spans, _ = _usable(_read_at(memory, layout, pointers, collection(memory, layout)))
    return spans


def allocated(memory: Memory, spans: Spans, rows: I64, layout: Layout) -> tuple[U64, U64]:
    """Return which objects of some spans are allocated, and which of them outlived a collection.

    Parameters
    ----------
    rows
        Rows of spans with one object size.

    Returns
    -------
    Two arrays with a bit for each object, ``(rows, words)`` each.
    """
    most = int(spans.objects[rows].max(initial=0))
    count = max(1, -(-most // WORD_BITS))
    unswept = ~spans.is_swept[rows]
    small = np.isin(spans.object_bytes[rows], np.array(INLINE_MARKS_OF, np.uint64)) & spans.has_pointers[rows]
    inline = np.flatnonzero(unswept & small) if layout.inline_marks else np.empty(0, np.int64)
    # read first, as the sweeper moves these marks to the others: a mark that is gone here is found there
    marks, _ = memory.words(spans.start[rows[inline]] + np.uint64(PAGE - INLINE_MARKS_FROM_END), count)
    if count == INLINE_MARKS_FROM_END // 8:
        marks[:, -1] &= np.uint64((1 << 56) - 1)  # the last byte is the class
    bits, _ = memory.words(spans.bits[rows], count)
    bits[inline] |= marks
    amid = np.flatnonzero(spans.more_bits[rows])
    bits[amid] |= memory.words(spans.more_bits[rows[amid]], count)[0]
    # all objects before free_index are allocated
    before = spans.free_index[rows][:, None] - WORD_BITS * np.arange(bits.shape[1])
    full = np.uint64(0xFFFFFFFFFFFFFFFF)
    partial = (np.uint64(1) << np.clip(before, 0, WORD_BITS - 1).astype(np.uint64)) - np.uint64(1)
    taken = np.where(before >= WORD_BITS, full, np.where(before > 0, partial, np.uint64(0)))
    return np.where(unswept[:, None], bits, bits | taken), bits


def are_allocated(memory: Memory, layout: Layout, spans: Spans, addrs: U64, rows: I64) -> Flags:
    """Return for each address whether its object is allocated; `rows`: the rows of the addresses' spans."""
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


def _read_spans(memory: Memory, layout: Layout) -> Spans:
    sweepgen = collection(memory, layout)
    header, known = memory.words(np.array([layout.addr + layout.span.all_spans], np.uint64), 2)
    table, count = (int(word) for word in header[0])
    if not known[0] or count > MOST_SPANS:
        raise TargetError("its heap can't be read: it has ended, or is just starting: try again")
    return _read_at(memory, layout, _listed(memory, table, count), sweepgen)


def _listed(memory: Memory, table: int, count: int) -> U64:
    """Return the distinct addresses in a list, as far as the list can be read."""
    parts = [np.empty(0, np.uint64)]
    for start in range(0, count, SPANS_AT_ONCE):
        number = np.arange(start, min(count, start + SPANS_AT_ONCE), dtype=np.uint64)
        pointers, known = memory.words(np.uint64(table) + number * np.uint64(8))
        parts.append(pointers[known, 0])
        if not known.any():
            break
    return np.unique(np.concatenate(parts))


def _read_at(memory: Memory, layout: Layout, pointers: U64, sweepgen: int) -> Spans:
    heap = layout.heap
    parts = [
        _read_some(memory, heap, pointers[start : start + SPANS_AT_ONCE], sweepgen)
        for start in range(0, max(1, len(pointers)), SPANS_AT_ONCE)
    ]
    raw = np.concatenate(parts)
    state = _field(raw, heap.span_state, 1)
    manual = raw[(state == MANUAL) & _is_somewhere(raw)]
    start, pages = _field(manual, SPAN_START), _field(manual, SPAN_PAGES)
    stacks = np.stack([start, start + pages * np.uint64(PAGE)], axis=1)
    stacks = stacks[np.argsort(start, kind="stable")]
    stacks = stacks[apart(stacks[:, 0], stacks[:, 1], memory.mapped_bytes)]
    raw = raw[(state == IN_USE) & _is_somewhere(raw)]
    return _columns(raw[np.argsort(_field(raw, SPAN_START), kind="stable")], layout, stacks, sweepgen)


def _read_some(memory: Memory, heap: HeapFacts, pointers: U64, sweepgen: int) -> U64:
    """Return the descriptors of the spans in use; descriptors of spans that are being swept are read again."""
    raw, known = memory.words(pointers, WHOLE_SPAN_BYTES // 8)
    pointers, raw = pointers[known], raw[known]
    for _ in sweep_looks():
        swept_now = np.flatnonzero(_is_amid(raw, heap, sweepgen))
        if not len(swept_now):
            break
        raw[swept_now] = memory.words(pointers[swept_now], WHOLE_SPAN_BYTES // 8)[0]
    found: U64 = raw[np.isin(_field(raw, heap.span_state, 1), np.array([IN_USE, MANUAL], np.uint64))]
    return found


def _is_somewhere(raw: U64) -> Flags:
    """Return which descriptors have a possible address and a possible number of pages."""
    start, pages = _field(raw, SPAN_START), _field(raw, SPAN_PAGES)
    found: Flags = (start < np.uint64(HIGHEST)) & (pages > 0) & (pages < MOST_PAGES)
    found &= start % np.uint64(PAGE) == 0
    return found


def apart(start: U64, end: U64, mapped_bytes: int) -> Flags:
    """Return which spans, sorted by address, to keep so that none overlap and all together fit into the mapped memory.

    Larger spans are left out first: a span of impossible size was forged, or was written while it was read.
    """
    kept = np.arange(len(start))
    for _ in range(OVERLAPS):
        meets = np.flatnonzero(end[kept[:-1]] > start[kept[1:]])
        if not len(meets):
            break
        first, second = kept[meets], kept[meets + 1]
        is_first = end[first] - start[first] > end[second] - start[second]
        kept = np.setdiff1d(kept, np.where(is_first, first, second))
    reached = np.maximum.accumulate(np.r_[np.uint64(0), end[kept]])[: len(kept)]
    kept = kept[start[kept] >= reached]
    size = (end[kept] - start[kept]).astype(np.float64)
    order = np.argsort(size, kind="stable")
    found: Flags = np.zeros(len(start), np.bool_)
    found[kept[order[np.cumsum(size[order]) <= mapped_bytes]]] = True
    return found


def _columns(raw: U64, layout: Layout, stacks: U64, sweepgen: int) -> Spans:
    facts, heap = layout.span, layout.heap
    start, pages = _field(raw, SPAN_START), _field(raw, SPAN_PAGES)
    span_class, generation = _field(raw, facts.span_class, 1), _field(raw, heap.span_sweepgen, 4)
    is_large = span_class >> np.uint64(1) == 0
    is_swept = (generation == np.uint64(sweepgen)) | (generation == np.uint64((sweepgen + 3) % 2**32))
    no_type = np.zeros(len(raw), np.uint64)
    return Spans(
        start=start,
        end=start + pages * np.uint64(PAGE),
        object_bytes=np.where(is_large, pages * np.uint64(PAGE), _field(raw, heap.elem_bytes)),
        objects=_field(raw, facts.elements, heap.free_index_bytes).astype(np.int64),
        free_index=_field(raw, SPAN_FREE_INDEX, heap.free_index_bytes).astype(np.int64),
        bits=np.where(is_swept, _field(raw, heap.alloc_bits), _field(raw, heap.mark_bits)),
        more_bits=np.where(_is_amid(raw, heap, sweepgen), _field(raw, heap.alloc_bits), np.uint64(0)),
        has_pointers=(span_class & np.uint64(1)) == 0,
        is_large=is_large,
        is_swept=is_swept,
        specials=_field(raw, facts.specials),
        large_type=_field(raw, facts.large_type) if facts.large_type is not None else no_type,
        stacks=stacks,
        sweepgen=sweepgen,
    )


def _sound(spans: Spans, mapped_bytes: int) -> Spans:
    """Return the spans whose figures fit together; some may not, as they are set up while they are read.

    Raises
    ------
    TargetError
        If many do not fit: wrong offsets are detected here, before the spans are used.
    """
    found, unsound = _usable(spans)
    is_apart = apart(found.start, found.end, mapped_bytes)
    found, unsound = _those(found, is_apart), unsound + int(np.count_nonzero(~is_apart))
    if not len(found) or unsound > 10 + len(spans) // 100:
        raise TargetError("the heap is not laid out as in its Go release: please report this")
    return found


def _usable(spans: Spans) -> tuple[Spans, int]:
    """Return the spans whose figures fit together, and the number of the others."""
    is_sound = (spans.object_bytes > 0) & (spans.end > spans.start) & (spans.start % np.uint64(PAGE) == 0)
    room = (spans.end - spans.start).astype(np.int64)
    is_sound &= spans.is_large | ((room <= MOST_SMALL_PAGES * PAGE) & (spans.object_bytes <= np.uint64(MAX_SMALL_SIZE)))
    most = room // np.maximum(spans.object_bytes.astype(np.int64), 1)
    is_sound &= (spans.objects > 0) & (spans.objects <= most)
    is_sound &= (spans.free_index >= 0) & (spans.free_index <= spans.objects)
    return _those(spans, is_sound), int(np.count_nonzero(~is_sound))


def _those(spans: Spans, which: Flags) -> Spans:
    """Return some of the spans."""
    names = [f.name for f in fields(Spans) if f.name not in ("stacks", "sweepgen")]
    return replace(spans, **{name: getattr(spans, name)[which] for name in names})


def collection(memory: Memory, layout: Layout) -> int:
    """Return mheap_.sweepgen, which changes whenever a collection ends.

    Raises
    ------
    TargetError
        If it can't be read.
    """
    addr = layout.addr + layout.heap.sweepgen
    words, known = memory.words(np.array([addr & ~7], np.uint64))
    if not known[0]:
        raise TargetError("its heap can't be read: it has ended, or is just starting: try again")
    return int(words[0, 0]) >> 8 * (addr & 7) & 0xFFFFFFFF


def _is_amid(raw: U64, heap: HeapFacts, sweepgen: int) -> Flags:
    """Return which spans are being swept."""
    found: Flags = _field(raw, heap.span_sweepgen, 4) == np.uint64((sweepgen - 1) % 2**32)
    return found


def _field(raw: U64, offset: int, length: int = 8) -> U64:
    """Return the field of `length` bytes at an offset of each row."""
    found: U64 = raw[:, offset // 8] >> np.uint64(8 * (offset % 8))
    return found if length == 8 else found & np.uint64((1 << 8 * length) - 1)
