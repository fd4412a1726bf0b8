"""Which headers anything refers to: every word of variables, stacks in use and objects with pointers is looked at.

A header that nothing refers to is garbage that no collection has found yet, for
sure but for one that stands in a register alone. One that is referred to may be
garbage all the same: what refers to it may be. Where the collector doesn't look
for pointers there are none: the runtime's own memory holds the starts of spans,
which are addresses of their first objects; and where a goroutine's stack ends,
which stands in the goroutine, the next span may start.

go: runtime/mgcmark.go markroot, runtime/runtime2.go g [1.18..1.27]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mapprobe.go.facts import NO_GUARD, STACK_GUARDS, STACK_MARKS
from mapprobe.heap import INLINE_MARKS_OF, PAGE
from mapprobe.heapwalk.memory import I64, RUN_BYTES, U64, WORD, Flags, Memory
from mapprobe.heapwalk.spans import NOWHERE, Layout, Spans, are_allocated

Range = tuple[int, int]
PAGES_AT_ONCE = 1024
BITMAP_WORDS = PAGE // WORD // 64
NONE = np.empty(0, np.uint64)
MOST_HOLES = 1 << 10
"""Pages of a stack or of variables that are not there, before the rest of them is given up."""
LARGEST_TABLE = 1 << 27
"""Pages of 8 KiB between the first and the last header that a table has room for: a terabyte."""


@dataclass(frozen=True, slots=True)
class References:
    """Which headers are referred to; one row each.

    Attributes
    ----------
    is_there
        Something in memory points to it.
    holder
        Where a word stands that does, in an object whose type is kept; 0: in none.
    """

    is_there: Flags
    holder: U64


def referred_to(
    memory: Memory,
    layout: Layout,
    spans: Spans,
    addrs: U64,
    others: Iterable[Range],
    keeps_type: Flags,
    has_bitmap: Flags,
    passed_over: U64 = NONE,
) -> References:
    """Return which of some headers a word in memory points to; what free objects still hold is none.

    Parameters
    ----------
    addrs
        Of headers.
    others
        Variables, and stacks where those of `spans` are not meant, from and to.
    keeps_type
        Of each span, whether the allocator keeps the types of its objects.
    has_bitmap
        Of each span, whether it holds a bitmap of the words that are pointers.
    passed_over
        Addresses of objects that are not looked at.
    """
    order = np.argsort(addrs)
    found = References(np.zeros(len(addrs), np.bool_), np.zeros(len(addrs), np.uint64))
    if not len(addrs):
        return found
    table = _Pages(addrs[order])
    held = spans.has_pointers
    pages, is_kept = _pages_to_read(spans, held, keeps_type)
    bitmap = _bitmaps(spans, pages, has_bitmap, layout.inline_marks)
    places, rows, kept = _references(memory, table, pages, is_kept, bitmap)
    is_used = _are_used(memory, layout, spans, places, passed_over)
    found.is_there[order[rows[is_used]]] = True
    kept &= is_used
    found.holder[order[rows[kept]]] = places[kept]
    for begin, end in merged(others):
        for chunk in _chunks(memory, begin, end):
            found.is_there[order[table.hits(chunk)[1]]] = True
    return found


def _references(memory: Memory, table: _Pages, pages: U64, is_kept: Flags, bitmap: I64) -> tuple[U64, I64, Flags]:
    """Return where in some pages words refer to an address, its row, and whether that is in an object of known type."""
    places, rows, kept = [NONE], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    for start in range(0, len(pages), PAGES_AT_ONCE):
        part = pages[start : start + PAGES_AT_ONCE]
        words, _ = memory.words(part, PAGE // WORD)
        place, row = table.hits(words.reshape(-1))
        page, word = np.divmod(place, PAGE // WORD)
        is_pointer = _are_pointers(words, page, word, bitmap[start + page])
        page, word = page[is_pointer], word[is_pointer]
        places.append(part[page] + (word * WORD).astype(np.uint64))
        rows.append(row[is_pointer])
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


def _are_pointers(words: U64, page: I64, word: I64, bitmap: I64) -> Flags:
    """Return which words are pointers by the bitmap of their page; where there is none all may be."""
    bits = words[page, (bitmap + word // 64).clip(max=words.shape[1] - 1)]
    found: Flags = (bitmap == 0) | (bits >> (word % 64).astype(np.uint64) & np.uint64(1) != 0)
    return found


def _are_used(memory: Memory, layout: Layout, spans: Spans, places: U64, passed_over: U64) -> Flags:
    """Return which words are in an object that is allocated and is not passed over, or on a stack."""
    span, offset = spans.find(places)
    in_object = np.flatnonzero(span != NOWHERE)
    found: Flags = span == NOWHERE
    found[in_object] = are_allocated(memory, layout, spans, places[in_object], span[in_object])
    _, header = spans.find(passed_over)  # an object may begin with one, which its address is behind
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
    """Return ranges in order, those that touch as one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def without(ranges: Iterable[Range], hole: Range) -> list[Range]:
    """Return what is left of ranges."""
    parts = ((start, min(end, hole[0]), max(start, hole[1]), end) for start, end in ranges)
    return [part for a, b, c, d in parts for part in ((a, b), (c, d)) if part[0] < part[1]]


class _Pages:
    """Sorted addresses, found by their page: most words point nowhere near."""

    def __init__(self, addrs: U64) -> None:
        self._addrs = addrs
        self._first = int(addrs[0]) // PAGE
        self._last = min(int(addrs[-1]) // PAGE, self._first + LARGEST_TABLE)
        self._has = np.zeros(self._last - self._first + 1, np.bool_)
        self._has[(addrs // np.uint64(PAGE)).astype(np.int64).clip(max=self._last) - self._first] = True

    def hits(self, words: U64) -> tuple[I64, I64]:
        """Return which words refer to an address, and its row."""
        page = (words >> np.uint64(13)) - np.uint64(self._first)
        near = np.flatnonzero(page < np.uint64(len(self._has)))
        near = near[self._has[page[near].astype(np.int64)]]
        pointers = words[near]
        row = np.minimum(np.searchsorted(self._addrs, pointers), len(self._addrs) - 1)
        is_hit = self._addrs[row] == pointers
        place, row = near[is_hit], row[is_hit]
        is_reference = ~_end_stacks(words, place)
        return place[is_reference], row[is_reference]


def _end_stacks(words: U64, place: I64) -> Flags:
    """Return at which places it says where a stack ends: in front of it where that starts, behind it its guards."""
    found = np.zeros(len(place), np.bool_)
    inner = np.flatnonzero((place >= 1) & (place < len(words) - 2))
    start, end, guard, other = (words[place[inner] + step] for step in (-1, 0, 1, 2))
    guards, marks = np.array(STACK_GUARDS, np.uint64), np.array(STACK_MARKS, np.uint64)
    is_guard = np.isin(guard - start, guards) | np.isin(guard, marks)
    found[inner] = (start < end) & is_guard & (np.isin(other - start, guards) | (other == np.uint64(NO_GUARD)))
    return found


def _chunks(memory: Memory, start: int, end: int) -> Iterator[U64]:
    """Yield the words between two addresses, as far as they are there."""
    holes = 0
    while start < end and holes < MOST_HOLES:
        words = memory.run(start, min(RUN_BYTES, end - start))
        if len(words):
            yield words
            start += WORD * len(words)
        else:
            start, holes = start + PAGE, holes + 1
