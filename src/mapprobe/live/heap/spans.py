"""All spans of a process's heap that are in use, as columns; `allocation` says which of their objects are allocated.

go: runtime/mheap.go mspan [1.18..1.27]
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
from mapprobe.live.heap.objects import IN_USE, PAGE, sweep_looks
from mapprobe.live.memory import HIGHEST, WORD, Memory
from mapprobe.model.sizes import MAX_SMALL_SIZE

MANUAL = 2  # go: runtime/mheap.go mSpanManual [1.18..1.27]
NOWHERE = -1
ROUNDS = 5
MOST_SPANS = 1 << 28
SPANS_AT_ONCE = 1 << 17
"""Most descriptors that are read at once: 22 MB."""
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
    descriptor
        Where the runtime describes it.
    start, end
        Start and end of the span's memory.
    object_bytes
        Size of one object [bytes]; of a large object the size of the span.
    objects
        Number of objects.
    free_index
        Up to where the allocator had given objects out, if the span was swept.
    has_pointers
        The collector scans the objects.
    is_large
        The span has one object, larger than the largest size class.
    specials
        Address of the first special record of its objects, 0 for none.
    large_type
        Address of the type of a large object; 0 if it isn't kept.
    stacks
        Start and end of the spans that hold stacks of goroutines and other manual memory, ``(n, 2)``.
    sweepgen
        The heap's sweepgen, which shows the collection before the read.
    """

    descriptor: U64
    start: U64
    end: U64
    object_bytes: U64
    objects: I64
    free_index: I64
    has_pointers: Flags
    is_large: Flags
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
    heap, parts = layout.heap, list[U64]()
    for begin in range(0, max(1, len(pointers)), SPANS_AT_ONCE):
        some = pointers[begin : begin + SPANS_AT_ONCE]
        read, known = descriptors(memory, heap, some, sweepgen)
        known &= np.isin(field_of(read, heap.span_state, 1), np.array([IN_USE, MANUAL], np.uint64))
        parts.append(np.hstack([read[known], some[known, None]]))
    raw = np.concatenate(parts)
    state = field_of(raw, heap.span_state, 1)
    manual = raw[(state == MANUAL) & _is_somewhere(raw)]
    start, pages = field_of(manual, SPAN_START), field_of(manual, SPAN_PAGES)
    stacks = np.stack([start, start + pages * np.uint64(PAGE)], axis=1)
    stacks = stacks[np.argsort(start, kind="stable")]
    stacks = stacks[apart(stacks[:, 0], stacks[:, 1], memory.mapped_bytes)]
    raw = raw[(state == IN_USE) & _is_somewhere(raw)]
    return _columns(raw[np.argsort(field_of(raw, SPAN_START), kind="stable")], layout, stacks, sweepgen)


def descriptors(memory: Memory, heap: HeapFacts, pointers: U64, sweepgen: int) -> tuple[U64, Flags]:
    """Return what spans' descriptors hold, those of spans that are being swept once they were; and which are there."""
    raw, known = memory.words(pointers, WHOLE_SPAN_BYTES // WORD)
    for _ in sweep_looks():
        swept_now = np.flatnonzero(are_being_swept(raw, heap, sweepgen))
        if not len(swept_now):
            break
        raw[swept_now], known[swept_now] = memory.words(pointers[swept_now], WHOLE_SPAN_BYTES // WORD)
    return raw, known


def _is_somewhere(raw: U64) -> Flags:
    """Return which descriptors have a possible address and a possible number of pages."""
    start, pages = field_of(raw, SPAN_START), field_of(raw, SPAN_PAGES)
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
    start, pages = field_of(raw, SPAN_START), field_of(raw, SPAN_PAGES)
    span_class = field_of(raw, facts.span_class, 1)
    is_large = span_class >> np.uint64(1) == 0
    no_type = np.zeros(len(raw), np.uint64)
    return Spans(
        descriptor=raw[:, -1],
        start=start,
        end=start + pages * np.uint64(PAGE),
        object_bytes=np.where(is_large, pages * np.uint64(PAGE), field_of(raw, heap.elem_bytes)),
        objects=field_of(raw, facts.elements, heap.free_index_bytes).astype(np.int64),
        free_index=field_of(raw, SPAN_FREE_INDEX, heap.free_index_bytes).astype(np.int64),
        has_pointers=(span_class & np.uint64(1)) == 0,
        is_large=is_large,
        specials=field_of(raw, facts.specials),
        large_type=field_of(raw, facts.large_type) if facts.large_type is not None else no_type,
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
    found, unsound = those(found, is_apart), unsound + int(np.count_nonzero(~is_apart))
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
    return those(spans, is_sound), int(np.count_nonzero(~is_sound))


def those(spans: Spans, which: Flags | I64) -> Spans:
    """Return some of the spans, chosen by flags or by rows."""
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


def are_being_swept(raw: U64, heap: HeapFacts, sweepgen: int) -> Flags:
    """Return which spans are being swept."""
    found: Flags = field_of(raw, heap.span_sweepgen, 4) == np.uint64((sweepgen - 1) % 2**32)
    return found


def field_of(raw: U64, offset: int, length: int = 8) -> U64:
    """Return the field of `length` bytes at an offset of each row."""
    found: U64 = raw[:, offset // 8] >> np.uint64(8 * (offset % 8))
    return found if length == 8 else found & np.uint64((1 << 8 * length) - 1)
