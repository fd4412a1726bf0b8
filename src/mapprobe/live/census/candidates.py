"""Candidates: objects of the size of a map's header whose words may be a header's.

A header is always an object of its own in the heap. The header of a map that
was made and never written is all zeros but for the seed; other objects may
look the same, so such objects are only counted.

go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mapprobe import _core
from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.heap.spans import Layout, Spans, allocated
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import Implementation

SPANS_AT_ONCE = 256
ROWS_AT_ONCE = 1 << 14
PAGE_WORDS = 1024
MOST_ENTRIES = np.uint64(1 << 38)
"""A word of at least this is no count of entries: addresses of a heap are larger, and no pointer is taken for one."""
Column = TypeVar("Column", bound=np.generic)
LOOKS_LIKE_HEADER = 1
"""Code of `_core.look_at_headers` for words of a header that leads to buckets."""
CLASSIC_EXTRA = 5


@dataclass(frozen=True, slots=True)
class Places:
    """The places of headers on goroutines' stacks: few headers are there, and only these have a row here.

    Attributes
    ----------
    count
        Number of all headers, those in the heap included.
    header
        Row of the header, ascending.
    goid
        The goroutine whose stack has the header.
    top, high
        Start and end of the part of the stack that is in use.
    use
        `frames.Use`.
    bucket_bytes, pc, offset
        As in `frames.Claim`.
    """

    count: int
    header: I64
    goid: U64
    top: U64
    high: U64
    use: I64
    bucket_bytes: I64
    pc: I64
    offset: I64

    @classmethod
    def none(cls, count: int) -> Places:
        """Return the places of `count` headers that are all in the heap."""
        goid, top, high = (np.empty(0, np.uint64) for _ in range(3))
        return cls(count, np.empty(0, np.int64), goid, top, high, *(np.empty(0, np.int64) for _ in range(4)))

    @classmethod
    def of(cls, parts: list[Places]) -> Places:
        """Return the places of several parts of headers, one after the other."""
        begins = np.cumsum([0, *(part.count for part in parts)])
        header = np.concatenate([part.header + begin for part, begin in zip(parts, begins[:-1].tolist(), strict=True)])
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS)
        return cls(int(begins[-1]), header, *columns)

    @property
    def is_local(self) -> Flags:
        """Which headers are on a stack, ``(count,)``."""
        found: Flags = np.zeros(self.count, np.bool_)
        found[self.header] = True
        return found

    def spread(self, name: str) -> npt.NDArray[Any]:
        """Return a column with one row for each header, 0 for a header in the heap, ``(count,)``."""
        column = getattr(self, name)
        found: npt.NDArray[Any] = np.zeros(self.count, column.dtype)
        found[self.header] = column
        return found

    def take(self, rows: I64) -> Places:
        """Return the places of some headers."""
        if not len(self.header):
            return Places.none(len(rows))
        row_of = np.full(self.count, -1, np.int32)
        row_of[self.header] = np.arange(len(self.header))
        taken = row_of[rows]
        header = np.flatnonzero(taken >= 0)
        return Places(len(rows), header, *(getattr(self, name)[taken[header]] for name in COLUMNS))


COLUMNS = tuple(f.name for f in fields(Places))[2:]


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers, or words that look like headers; one row each.

    Attributes
    ----------
    addr
        Address of the header.
    words
        The words of the header, ``(n, words)``.
    is_old
        The last collection found the header alive.
    places
        Places of the headers that are on stacks.
    """

    addr: U64
    words: U64
    is_old: Flags
    places: Places

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.addr)

    def part(self, rows: slice) -> Headers:
        """Return the headers of a range of rows, without a copy."""
        places = self.places.take(np.arange(rows.start, rows.stop)) if len(self.places.header) else Places.none(0)
        count = len(self.addr[rows])
        return Headers(self.addr[rows], self.words[rows], self.is_old[rows], replace(places, count=count))

    def keep(self, rows: I64) -> Headers:
        """Return some headers, whose rows must be ascending; they overwrite the columns, so that no memory is taken."""
        places = self.places.take(rows)
        return Headers(kept(self.addr, rows), kept(self.words, rows), kept(self.is_old, rows), places)

    def take(self, rows: I64) -> Headers:
        """Return some headers."""
        return Headers(self.addr[rows], self.words[rows], self.is_old[rows], self.places.take(rows))


def kept(column: npt.NDArray[Column], rows: I64) -> npt.NDArray[Column]:
    """Return some rows of a column, which must be ascending; they overwrite the column, so that no memory is taken."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        column[start : start + len(part)] = column[part]
    return column[: len(rows)]


class Gathered:
    """A list of headers that grows as they are found.

    Parameters
    ----------
    width
        Number of words of a header's object.
    """

    def __init__(self, width: int) -> None:
        self._addr, self._words = np.empty(0, np.uint64), np.empty((0, width), np.uint64)
        self._is_old, self._places = np.empty(0, np.bool_), list[Places]()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._addr)

    def add(self, headers: Headers) -> None:
        """Add headers; the columns grow in place, as nothing else refers to them."""
        before, count = len(self._addr), len(self._addr) + len(headers)
        self._addr.resize(count, refcheck=False)
        self._words.resize((count, self._words.shape[1]), refcheck=False)
        self._is_old.resize(count, refcheck=False)
        self._addr[before:], self._words[before:], self._is_old[before:] = headers.addr, headers.words, headers.is_old
        self._places.append(headers.places)

    def headers(self) -> Headers:
        """Return all headers; none may be added afterwards."""
        return Headers(self._addr, self._words, self._is_old, Places.of([Places.none(0), *self._places]))


@dataclass(frozen=True, slots=True)
class Found:
    """All candidates of a heap.

    Attributes
    ----------
    headers
        Candidates that lead to buckets.
    unwritten
        How many objects look like headers of maps that were made and never written.
    looked_at
        How many objects of a header's size are allocated.
    """

    headers: Gathered
    unwritten: int
    looked_at: int


def header_words(implementation: Implementation, go_release: tuple[int, int]) -> int:
    """Return how many words a header has; a classic map of Go 1.24 and later has one more, which counts clears."""
    return 7 if implementation is Implementation.CLASSIC and go_release >= (1, 24) else 6


def object_words(words: int) -> int:
    """Return how many words the object of a header has: its size class may be larger than the header.

    go: runtime/sizeclasses.go class_to_size [1.18..1.24]
    """
    return words if words != 7 else 8


def header_object(implementation: Implementation, words: int) -> tuple[int, int]:
    """Return the size of a header, and of its part up to the last pointer [bytes].

    go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
    """
    return 8 * words, 24 if implementation is Implementation.SWISS else 8 * words


def find_headers(memory: Memory, spans: Spans, layout: Layout, implementation: Implementation, words: int) -> Found:
    """Return all objects whose words may be those of a header."""
    width = object_words(words)
    is_header_span = (spans.object_bytes == np.uint64(8 * width)) & spans.has_pointers
    rows = np.flatnonzero(is_header_span & ~spans.is_large & (spans.end - spans.start == np.uint64(8 * PAGE_WORDS)))
    is_taken, survived = allocated(memory, spans, rows, layout)
    found, unwritten = Gathered(width), 0
    for start in range(0, len(rows), SPANS_AT_ONCE):
        part = rows[start : start + SPANS_AT_ONCE]
        page = memory.blocks(spans.start[part], PAGE_WORDS)
        bits, old = (words[start : start + SPANS_AT_ONCE] for words in (is_taken, survived))
        columns = (spans.start[part], page, spans.objects[part], bits, old, bits.shape[1], width)
        headers, others = _those_that(implementation, columns)
        found.add(headers)
        unwritten += others
    return Found(found, unwritten, int(np.bitwise_count(is_taken).sum()))


def _those_that(implementation: Implementation, spans: tuple[Any, ...]) -> tuple[Headers, int]:
    """Return the objects of some spans that look like headers, and how many look like headers never written."""
    width = spans[-1]
    room = len(spans[0]) * (PAGE_WORDS // width)
    addr, words, is_old = np.empty(room, np.uint64), np.empty((room, width), np.uint64), np.empty(room, np.bool_)
    found, unwritten = _core.find_headers(implementation is Implementation.SWISS, spans, addr, words, is_old)
    return Headers(addr[:found], words[:found], is_old[:found], Places.none(found)), unwritten


def joined(parts: list[Headers], width: int) -> Headers:
    """Return the headers of several parts; `width` is the number of words of each."""
    found = Gathered(width)
    for part in parts:
        found.add(part)
    return found.headers()


def looks(implementation: Implementation, words: U64) -> Flags:
    """Return which words may be those of headers that lead to buckets."""
    looks = np.empty(len(words), np.uint8)
    _core.look_at_headers(np.ascontiguousarray(words), words.shape[1], implementation is Implementation.SWISS, looks)
    found: Flags = looks == LOOKS_LIKE_HEADER
    return found


def harmless(implementation: Implementation, words: U64) -> tuple[U64, Flags]:
    """Return words of headers, all zero for words that no header can have, and which words a header can have.

    A header that was written during the read may have any numbers: its lengths must not be used.
    """
    is_header = looks(implementation, words)
    return np.where(is_header[:, None], words, np.uint64(0)), is_header


def is_writing(implementation: Implementation, words: U64) -> Flags:
    """Return which headers say that an operation is writing the map.

    go: runtime/map.go hashWriting [1.18..1.23], internal/runtime/maps/map.go Map.writing [1.24..1.27]
    """
    if implementation is Implementation.CLASSIC:
        found: Flags = words[:, 1] & np.uint64(4) != 0
        return found
    writing: Flags = (words[:, 4] >> np.uint64(16)) & np.uint64(255) != 0
    return writing
