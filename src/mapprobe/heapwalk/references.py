"""Which headers anything refers to: every word of globals, stacks in use and objects with pointers is looked at.

A header that nothing refers to is garbage that no collection has found yet, for
sure but for one that stands in a register alone. One that is referred to may be
garbage all the same: what refers to it may be. Where the collector doesn't look
for pointers there are none: the runtime's own memory holds the starts of spans,
which are addresses of their first objects.

go: runtime/mgcmark.go markroot [1.18..1.27]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mapprobe.heap import PAGE
from mapprobe.heapwalk.memory import I64, RUN_BYTES, U64, WORD, Flags, Memory
from mapprobe.heapwalk.spans import NOWHERE, Layout, Spans, are_allocated

Range = tuple[int, int]
PAGES_AT_ONCE = 1024
NONE = np.empty(0, np.uint64)
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
    passed_over: U64 = NONE,
) -> References:
    """Return which of some headers a word in memory points to; what free objects still hold is none.

    Parameters
    ----------
    addrs
        Of headers.
    others
        Globals, and stacks where those of `spans` are not meant, from and to.
    keeps_type
        Of each span, whether the allocator keeps the types of its objects.
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
    hits = list[tuple[U64, I64, Flags]]()
    for start in range(0, len(pages), PAGES_AT_ONCE):
        part = pages[start : start + PAGES_AT_ONCE]
        words, _ = memory.words(part, PAGE // WORD)
        place, row = table.hits(words.reshape(-1))
        page, word = np.divmod(place, PAGE // WORD)
        hits.append((part[page] + (word * WORD).astype(np.uint64), row, is_kept[start + page]))
    if hits:
        places, rows, kept = (np.concatenate(column) for column in zip(*hits, strict=True))
        is_used = _are_used(memory, layout, spans, places, passed_over)
        found.is_there[order[rows[is_used]]] = True
        kept &= is_used
        found.holder[order[rows[kept]]] = places[kept]
    for begin, end in merged(others):
        for chunk in _chunks(memory, begin, end):
            found.is_there[order[table.hits(chunk)[1]]] = True
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


def globals_of(maps: str) -> list[Range]:
    """Return where a process's globals are: writable memory of the files it runs, and the .bss behind it.

    Parameters
    ----------
    maps
        What /proc/PID/maps says.
    """
    found: list[Range] = []
    for line in maps.splitlines():
        place, rights, _, _, _, *path = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in place.split("-"))
        is_file = bool(path) and path[0].startswith("/")
        is_bss = not path and bool(found) and start == found[-1][1]
        if rights == "rw-p" and (is_file or is_bss):
            found.append((start, end))
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


class _Pages:
    """Sorted addresses, found by their page: most words point nowhere near."""

    def __init__(self, addrs: U64) -> None:
        self._addrs = addrs
        self._first = int(addrs[0]) // PAGE
        self._last = min(int(addrs[-1]) // PAGE, self._first + LARGEST_TABLE)
        self._has = np.zeros(self._last - self._first + 1, np.bool_)
        self._has[(addrs // np.uint64(PAGE)).astype(np.int64).clip(max=self._last) - self._first] = True

    def hits(self, words: U64) -> tuple[I64, I64]:
        """Return which words point to an address, and its row."""
        page = (words >> np.uint64(13)) - np.uint64(self._first)
        near = np.flatnonzero(page < np.uint64(len(self._has)))
        near = near[self._has[page[near].astype(np.int64)]]
        pointers = words[near]
        row = np.minimum(np.searchsorted(self._addrs, pointers), len(self._addrs) - 1)
        is_hit = self._addrs[row] == pointers
        return near[is_hit], row[is_hit]


def _chunks(memory: Memory, start: int, end: int) -> Iterator[U64]:
    """Yield the words between two addresses, as far as they are there."""
    while start < end:
        words = memory.run(start, min(RUN_BYTES, end - start))
        if len(words):
            yield words
            start += WORD * len(words)
        else:
            start += PAGE
