"""Finds which headers are referred to: searches every word of variables, used stacks and objects with pointers.

A header without a reference is garbage that no collection has found yet, unless
its only reference is in a register. A header with a reference may be garbage
too, if the referring object is. Memory in which the collector doesn't look for
pointers is not searched: the runtime's own memory has the starts of spans,
which are addresses of their first objects. The end of a goroutine's stack,
which is a word of the goroutine, may be the start of the next span; it does
not count as a reference either.

go: runtime/mgcmark.go markroot, runtime/runtime2.go g [1.18..1.27]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mapprobe import _core
from mapprobe.arrays import I64, U64, Flags
from mapprobe.go.facts import NO_GUARD, STACK_GUARDS, STACK_MARKS
from mapprobe.live.heap.objects import INLINE_MARKS_OF, PAGE
from mapprobe.live.heap.spans import NOWHERE, Layout, Spans, are_allocated
from mapprobe.live.memory import RUN_BYTES, WORD, Memory

Range = tuple[int, int]
PAGES_AT_ONCE = 256
BITMAP_WORDS = PAGE // WORD // 64
NONE = np.empty(0, np.uint64)
MOST_HOLES = 1 << 10
"""Most pages of a stack or of variables that can't be read, before the rest is given up."""
STACK_ENDS = np.array(STACK_GUARDS, np.uint64), np.array(STACK_MARKS, np.uint64), NO_GUARD
"""The words of a goroutine that follow the end of its stack, which may equal the start of the next span."""
LARGEST_TABLE = 1 << 27
"""Most pages of 8 KiB from the first to the last header for which a table has room: a terabyte."""


@dataclass(frozen=True, slots=True)
class References:
    """Which headers are referred to; one row each.

    Attributes
    ----------
    is_there
        A word in memory points to the header.
    holder
        Address of such a word in an object whose type is kept; 0 if there is none.
    """

    is_there: Flags
    holder: U64


@dataclass(frozen=True, slots=True)
class Search:
    """The memory that is searched for references.

    Attributes
    ----------
    spans
        All spans in use; their objects with pointers and their stacks are searched.
    others
        Further ranges, start and end: variables, and used parts of stacks if `spans` has no stacks.
    keeps_type
        For each span, whether the allocator keeps the types of its objects.
    has_bitmap
        For each span, whether it has a bitmap of the words that are pointers.
    passed_over
        Addresses of objects that are not searched.
    """

    spans: Spans
    others: Sequence[Range]
    keeps_type: Flags
    has_bitmap: Flags
    passed_over: U64 = field(default_factory=lambda: NONE)


def referred_to(memory: Memory, layout: Layout, addrs: U64, search: Search) -> References:
    """Return which of some headers a word in memory points to; a word in a free object does not count.

    Parameters
    ----------
    addrs
        Addresses of the headers.
    """
    order = np.argsort(addrs)
    found = References(np.zeros(len(addrs), np.bool_), np.zeros(len(addrs), np.uint64))
    if not len(addrs):
        return found
    table = _Pages(addrs[order])
    spans = search.spans
    pages, is_kept = _pages_to_read(spans, spans.has_pointers, search.keeps_type)
    bitmap = _bitmaps(spans, pages, search.has_bitmap, layout.inline_marks)
    places, rows, kept = _references(memory, table, pages, is_kept, bitmap)
    is_used = _are_used(memory, layout, spans, places, search.passed_over)
    found.is_there[order[rows[is_used]]] = True
    kept &= is_used
    found.holder[order[rows[kept]]] = places[kept]
    for begin, end in merged(search.others):
        for chunk in _chunks(memory, begin, end):
            found.is_there[order[table.hits(chunk)[1]]] = True
    return found


def _references(memory: Memory, table: _Pages, pages: U64, is_kept: Flags, bitmap: I64) -> tuple[U64, I64, Flags]:
    """Return references in some pages: address of the word, row of the target, whether the holder's type is kept."""
    places, rows, kept = [NONE], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    for start in range(0, len(pages), PAGES_AT_ONCE):
        part = pages[start : start + PAGES_AT_ONCE]
        words = memory.blocks(part, PAGE // WORD)
        place, row = table.hits(words.reshape(-1), bitmap[start : start + PAGES_AT_ONCE])
        page, word = np.divmod(place, PAGE // WORD)
        places.append(part[page] + (word * WORD).astype(np.uint64))
        rows.append(row)
        kept.append(is_kept[start + page])
    return np.concatenate(places), np.concatenate(rows), np.concatenate(kept)


def _bitmaps(spans: Spans, pages: U64, has_bitmap: Flags, inline_marks: bool) -> I64:
    """Return the word of each page at which its bitmap of pointers begins, 0 if it has none.

    go: runtime/mbitmap_allocheaders.go heapBitsSlice [1.22], runtime/mbitmap.go heapBitsSlice [1.23..1.27],
    runtime/mgcmark_greenteagc.go gcUsesSpanInlineMarkBits spanInlineMarkBits [1.25..1.27]
    """
    span, _ = spans.find(pages)
    has_one = np.append(has_bitmap & (spans.end - spans.start == np.uint64(PAGE)), False)  # NOWHERE is the last
    has_marks = np.isin(np.append(spans.object_bytes, 0), INLINE_MARKS_OF) & inline_marks
    begins = PAGE // WORD - BITMAP_WORDS * np.where(has_marks, 2, 1)
    found: I64 = np.where(has_one, begins, 0)[span]
    return found


def _are_used(memory: Memory, layout: Layout, spans: Spans, places: U64, passed_over: U64) -> Flags:
    """Return which words are in an allocated object that is not passed over, or on a stack."""
    span, offset = spans.find(places)
    in_object = np.flatnonzero(span != NOWHERE)
    found: Flags = span == NOWHERE
    found[in_object] = are_allocated(memory, layout, spans, places[in_object], span[in_object])
    _, header = spans.find(passed_over)  # the address of an object may be behind a malloc header
    return found & ~np.isin(places - offset.astype(np.uint64), passed_over - header.astype(np.uint64))


def _pages_to_read(spans: Spans, held: Flags, keeps_type: Flags) -> tuple[U64, Flags]:
    """Return the pages of spans with pointers and of stacks, in order, and which hold objects whose types are kept."""
    kept, others = held & keeps_type, held & ~keeps_type
    parts = [
        pages_of(spans.start[kept], spans.end[kept]),
        pages_of(spans.start[others], spans.end[others]),
        pages_of(spans.stacks[:, 0], spans.stacks[:, 1]),
    ]
    pages = np.concatenate(parts)
    order = np.argsort(pages)
    return pages[order], order < len(parts[0])


def pages_of(start: U64, end: U64) -> U64:
    """Return the addresses of all pages of some ranges."""
    counts = ((end - start) // np.uint64(PAGE)).astype(np.int64)
    number = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    found: U64 = np.repeat(start, counts) + (number * PAGE).astype(np.uint64)
    return found


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges in ascending order; ranges that touch or overlap are merged."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def without(ranges: Iterable[Range], hole: Range) -> list[Range]:
    """Return the parts of ranges that are outside of a hole."""
    parts = ((start, min(end, hole[0]), max(start, hole[1]), end) for start, end in ranges)
    return [part for a, b, c, d in parts for part in ((a, b), (c, d)) if part[0] < part[1]]


class _Pages:
    """Sorted addresses, with a table of their pages: most words point to other pages, and are skipped fast."""

    def __init__(self, addrs: U64) -> None:
        self._addrs = addrs
        self._first = int(addrs[0]) // PAGE
        self._last = min(int(addrs[-1]) // PAGE, self._first + LARGEST_TABLE)
        self._has = np.zeros(self._last - self._first + 1, np.bool_)
        self._has[(addrs // np.uint64(PAGE)).astype(np.int64).clip(max=self._last) - self._first] = True
        self._places = self._rows = np.empty(0, np.int64)

    def hits(self, words: U64, bitmap: I64 | None = None) -> tuple[I64, I64]:
        """Return the indexes of the words that are one of the addresses, and the row of each address.

        Parameters
        ----------
        bitmap
            For each page the word at which its bitmap of pointers begins; 0: all words may be pointers.
        """
        if len(self._places) < len(words):
            self._places, self._rows = (np.empty(len(words), np.int64) for _ in range(2))
        targets = self._addrs, self._first, self._has
        found = _core.find_references(targets, STACK_ENDS, words, bitmap, self._places, self._rows)
        return self._places[:found].copy(), self._rows[:found].copy()


def _chunks(memory: Memory, start: int, end: int) -> Iterator[U64]:
    """Yield the words between two addresses that can be read, in chunks."""
    holes = 0
    while start < end and holes < MOST_HOLES:
        words = memory.run(start, min(RUN_BYTES, end - start))
        if len(words):
            yield words
            start += WORD * len(words)
        else:
            start, holes = start + PAGE, holes + 1
