"""Objects of the size of a map's header that may be one: what its words alone say.

A header is always an object of its own in the heap. That of a map that was
made and never written is zeros and a seed: anything may look like that, so
those are told apart.

go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mapprobe import _core
from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.heap.allocation import allocated
from mapprobe.live.heap.spans import Layout, Spans
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import Implementation

SPANS_AT_ONCE = 256
ROWS_AT_ONCE = 1 << 14
PAGE_WORDS = 1024
MOST_ENTRIES = np.uint64(1 << 38)
"""Below any address of a heap: a pointer is no count."""
Column = TypeVar("Column", bound=np.generic)
LOOKS_LIKE_HEADER = 1
"""Of `_core.look_at_headers`: it leads to buckets."""
CLASSIC_EXTRA = 5


@dataclass(frozen=True, slots=True)
class Places:
    """Where on goroutines' stacks headers stand: few do, and only these have a row here.

    Attributes
    ----------
    count
        How many headers there are, those in the heap included.
    header
        Row of the header, rising.
    goid
        Whose stack.
    top, high
        From where to where that is in use.
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
        """Return those of so many headers in the heap."""
        goid, top, high = (np.empty(0, np.uint64) for _ in range(3))
        return cls(count, np.empty(0, np.int64), goid, top, high, *(np.empty(0, np.int64) for _ in range(4)))

    @classmethod
    def of(cls, parts: list[Places]) -> Places:
        """Return those of several parts, one behind the other."""
        begins = np.cumsum([0, *(part.count for part in parts)])
        header = np.concatenate([part.header + begin for part, begin in zip(parts, begins[:-1].tolist(), strict=True)])
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS)
        return cls(int(begins[-1]), header, *columns)

    @property
    def is_local(self) -> Flags:
        """Which headers stand on a stack."""
        found: Flags = np.zeros(self.count, np.bool_)
        found[self.header] = True
        return found

    def spread(self, name: str) -> npt.NDArray[Any]:
        """Return a column with one row for each header, 0 for one in the heap."""
        column = getattr(self, name)
        found: npt.NDArray[Any] = np.zeros(self.count, column.dtype)
        found[self.header] = column
        return found

    def take(self, rows: I64) -> Places:
        """Return those of some headers."""
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

    def part(self, rows: slice) -> Headers:
        """Return those between two rows, without copying them."""
        places = self.places.take(np.arange(rows.start, rows.stop)) if len(self.places.header) else Places.none(0)
        count = len(self.addr[rows])
        return Headers(self.addr[rows], self.words[rows], self.is_old[rows], replace(places, count=count))

    def keep(self, rows: I64) -> Headers:
        """Return some of them, in order, in the place of all."""
        places = self.places.take(rows)
        return Headers(kept(self.addr, rows), kept(self.words, rows), kept(self.is_old, rows), places)

    def take(self, rows: I64) -> Headers:
        """Return some of them."""
        return Headers(self.addr[rows], self.words[rows], self.is_old[rows], self.places.take(rows))


def kept(column: npt.NDArray[Column], rows: I64) -> npt.NDArray[Column]:
    """Return some rows of a column, which rise, in the place of all: memory is not taken twice."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        column[start : start + len(part)] = column[part]
    return column[: len(rows)]


class Gathered:
    """Headers, put one behind the other as they are found.

    Parameters
    ----------
    width
        Words of one.
    """

    def __init__(self, width: int) -> None:
        self._addr, self._words = np.empty(0, np.uint64), np.empty((0, width), np.uint64)
        self._is_old, self._places = np.empty(0, np.bool_), list[Places]()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._addr)

    def add(self, headers: Headers) -> None:
        """Add some; columns grow where they stand, as nothing else has them."""
        before, count = len(self._addr), len(self._addr) + len(headers)
        self._addr.resize(count, refcheck=False)
        self._words.resize((count, self._words.shape[1]), refcheck=False)
        self._is_old.resize(count, refcheck=False)
        self._addr[before:], self._words[before:], self._is_old[before:] = headers.addr, headers.words, headers.is_old
        self._places.append(headers.places)

    def headers(self) -> Headers:
        """Return them; none are added from then on."""
        return Headers(self._addr, self._words, self._is_old, Places.of([Places.none(0), *self._places]))


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

    headers: Gathered
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
    """Return what looks like a header in some spans, and how many look like one that was never written."""
    width = spans[-1]
    room = len(spans[0]) * (PAGE_WORDS // width)
    addr, words, is_old = np.empty(room, np.uint64), np.empty((room, width), np.uint64), np.empty(room, np.bool_)
    found, unwritten = _core.find_headers(implementation is Implementation.SWISS, spans, addr, words, is_old)
    return Headers(addr[:found], words[:found], is_old[:found], Places.none(found)), unwritten


def joined(parts: list[Headers], width: int) -> Headers:
    """Return the headers of several parts, with so many words each."""
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
