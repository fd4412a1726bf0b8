"""Objects of the size of a map's header that may be one: what its words alone say.

A header is always an object of its own in the heap. That of a map that was
made and never written is zeros and a seed: anything may look like that, so
those are told apart.

go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mapprobe import _core
from mapprobe.heapwalk.memory import I64, U64, Flags, Memory
from mapprobe.heapwalk.spans import Layout, Spans, allocated
from mapprobe.schema import Implementation

SPANS_AT_ONCE = 512
PAGE_WORDS = 1024
MOST_ENTRIES = np.uint64(1 << 38)
"""Below any address of a heap: a pointer is no count."""
LOOKS_LIKE_HEADER = 1
"""Of `_core.look_at_headers`: it leads to buckets."""
CLASSIC_EXTRA = 5


@dataclass(frozen=True, slots=True)
class Places:
    """Where on goroutines' stacks headers stand; one row each, all 0 for one in the heap.

    Attributes
    ----------
    goid
        Whose stack.
    top, high
        From where to where that is in use.
    use
        `frames.Use`.
    bucket_bytes, pc, offset
        As in `frames.Claim`.
    """

    goid: U64
    top: U64
    high: U64
    use: I64
    bucket_bytes: I64
    pc: I64
    offset: I64

    @classmethod
    def none(cls, count: int) -> Places:
        """Return those of so many headers in the heap."""
        goid, top, high = (np.zeros(count, np.uint64) for _ in range(3))
        return cls(goid, top, high, *(np.zeros(count, np.int64) for _ in range(4)))

    @classmethod
    def of(cls, parts: list[Places]) -> Places:
        """Return those of several parts, one behind the other."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    @property
    def is_local(self) -> Flags:
        """Which headers stand on a stack."""
        found: Flags = self.high != 0
        return found

    def take(self, rows: np.ndarray) -> Places:
        """Return some of them."""
        return Places(*(getattr(self, f.name)[rows] for f in fields(Places)))


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers, or what looks like some; one row each.

    Attributes
    ----------
    addr
        Where it stands.
    words
        What stands there, ``(n, words)``.
    is_old
        It was there at the last collection, which found it alive.
    places
        Where on stacks they stand.
    """

    addr: U64
    words: U64
    is_old: Flags
    places: Places

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.addr)

    def take(self, rows: np.ndarray) -> Headers:
        """Return some of them."""
        return Headers(self.addr[rows], self.words[rows], self.is_old[rows], self.places.take(rows))


@dataclass(frozen=True, slots=True)
class Found:
    """All headers of a heap.

    Attributes
    ----------
    headers
        Those that lead to buckets.
    unwritten
        How many look like those of maps that were made and never written.
    looked_at
        How many objects of this size are allocated.
    """

    headers: Headers
    unwritten: int
    looked_at: int


def header_words(implementation: Implementation, go_release: tuple[int, int]) -> int:
    """Return how many words a header has; classic maps of Go 1.24 and later count clears too."""
    return 7 if implementation is Implementation.CLASSIC and go_release >= (1, 24) else 6


def object_words(words: int) -> int:
    """Return how many words the object of a header has; it may have room behind the header.

    go: runtime/sizeclasses.go class_to_size [1.18..1.24]
    """
    return words if words != 7 else 8


def header_object(implementation: Implementation, words: int) -> tuple[int, int]:
    """Return what a header takes, and up to its last pointer [bytes].

    go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
    """
    return 8 * words, 24 if implementation is Implementation.SWISS else 8 * words


def find_headers(memory: Memory, spans: Spans, layout: Layout, implementation: Implementation, words: int) -> Found:
    """Return everything that may be a header, as far as its words alone say."""
    width = object_words(words)
    is_header_span = (spans.object_bytes == np.uint64(8 * width)) & spans.has_pointers
    rows = np.flatnonzero(is_header_span & ~spans.is_large & (spans.end - spans.start == np.uint64(8 * PAGE_WORDS)))
    is_taken, survived = allocated(memory, spans, rows, layout)
    parts: list[Headers] = []
    unwritten = 0
    for start in range(0, len(rows), SPANS_AT_ONCE):
        part = rows[start : start + SPANS_AT_ONCE]
        page, _ = memory.words(spans.start[part], PAGE_WORDS)
        bits, old = (words[start : start + SPANS_AT_ONCE] for words in (is_taken, survived))
        columns = (spans.start[part], page, spans.objects[part], bits, old, bits.shape[1], width)
        headers, others = _those_that(implementation, columns)
        parts.append(headers)
        unwritten += others
    return Found(joined(parts, width), unwritten, int(np.bitwise_count(is_taken).sum()))


def _those_that(implementation: Implementation, spans: tuple[Any, ...]) -> tuple[Headers, int]:
    """Return what looks like a header in some spans, and how many look like one that was never written."""
    width = spans[-1]
    room = len(spans[0]) * (PAGE_WORDS // width)
    addr, words, is_old = np.empty(room, np.uint64), np.empty((room, width), np.uint64), np.empty(room, np.bool_)
    found, unwritten = _core.find_headers(implementation is Implementation.SWISS, spans, addr, words, is_old)
    return Headers(addr[:found].copy(), words[:found].copy(), is_old[:found].copy(), Places.none(found)), unwritten


def joined(parts: list[Headers], width: int) -> Headers:
    """Return the headers of several parts, with so many words each."""
    nothing = Headers(np.empty(0, np.uint64), np.empty((0, width), np.uint64), np.empty(0, np.bool_), Places.none(0))
    parts = [nothing, *parts]
    return Headers(
        np.concatenate([part.addr for part in parts]),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.is_old for part in parts]),
        Places.of([part.places for part in parts]),
    )


def looks(implementation: Implementation, words: U64) -> Flags:
    """Return which words may be those of headers that lead to buckets."""
    looks = np.empty(len(words), np.uint8)
    _core.look_at_headers(np.ascontiguousarray(words), words.shape[1], implementation is Implementation.SWISS, looks)
    found: Flags = looks == LOOKS_LIKE_HEADER
    return found


def harmless(implementation: Implementation, words: U64) -> tuple[U64, Flags]:
    """Return words of headers with zeros in place of those that no header has, and which of them a header may have.

    What a header was read as while it was written may be any number: lengths of it are not to be used.
    """
    is_header = looks(implementation, words)
    return np.where(is_header[:, None], words, np.uint64(0)), is_header


def is_writing(implementation: Implementation, words: U64) -> Flags:
    """Return which headers say that an operation is under way.

    go: runtime/map.go hashWriting [1.18..1.23], internal/runtime/maps/map.go Map.writing [1.24..1.27]
    """
    if implementation is Implementation.CLASSIC:
        found: Flags = words[:, 1] & np.uint64(4) != 0
        return found
    writing: Flags = (words[:, 4] >> np.uint64(16)) & np.uint64(255) != 0
    return writing
