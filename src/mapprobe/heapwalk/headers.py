"""Objects of the size of a map's header that may be one: what its words alone say.

A header is always an object of its own in the heap. That of a map that was
made and never written is zeros and a seed: anything may look like that, so
those are told apart.

go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mapprobe.heapwalk.memory import I64, U64, Flags, Memory
from mapprobe.heapwalk.spans import Layout, Spans, allocated
from mapprobe.schema import Implementation

SPANS_AT_ONCE = 512
PAGE_WORDS = 1024
MOST_ENTRIES = np.uint64(1 << 38)
"""Below any address of a heap: a pointer is no count."""
MOST_LOG2 = np.uint64(40)
CLASSIC_FLAGS = np.uint64(15)  # go: runtime/map.go iterator oldIterator hashWriting sameSizeGrow [1.18..1.23]
LEAST_BITS, MOST_BITS = 10, 54
"""A seed of 64 random bits has so many ones but once in a hundred million."""
FIRST_LOOK = {
    Implementation.SWISS: (4, np.uint64(0xFFFFFFFF_FEFE0000)),
    Implementation.CLASSIC: (1, np.uint64(0xC0F0)),
}
"""A word, and bits of it that no header has set: what is looked at of every object."""
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
        objects = PAGE_WORDS // width
        page, _ = memory.words(spans.start[part], PAGE_WORDS)
        slots = page[:, : objects * width].reshape(len(part), objects, width)
        is_there = np.arange(objects) < spans.objects[part][:, None]
        bits, old = (_unpacked(words[start : start + SPANS_AT_ONCE], objects) for words in (is_taken, survived))
        headers, others = _those_that(implementation, spans.start[part], slots, is_there & bits, old)
        parts.append(headers)
        unwritten += others
    return Found(joined(parts, width), unwritten, int(np.bitwise_count(is_taken).sum()))


def _unpacked(bits: U64, objects: int) -> Flags:
    """Return a flag for each object of each span."""
    found: Flags = np.unpackbits(bits.view(np.uint8), axis=1, count=objects, bitorder="little").view(np.bool_)
    return found


def _those_that(
    implementation: Implementation, starts: U64, slots: U64, is_there: Flags, survived: Flags
) -> tuple[Headers, int]:
    """Return what looks like a header in some spans, and how many look like one that was never written."""
    place, no_bits = FIRST_LOOK[implementation]
    span, number = np.nonzero(is_there & (slots[:, :, place] & no_bits == 0))
    words = slots[span, number]
    is_header, is_unwritten = (_looks_swiss if implementation is Implementation.SWISS else _looks_classic)(words)
    keep = np.flatnonzero(is_header)
    span, number, words = span[keep], number[keep], words[keep]
    addr = starts[span] + number.astype(np.uint64) * np.uint64(8 * slots.shape[2])
    headers = Headers(addr, words, survived[span, number], Places.none(len(addr)))
    return headers, int(np.count_nonzero(is_unwritten))


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
    return (_looks_swiss if implementation is Implementation.SWISS else _looks_classic)(words)[0]


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


def _looks_swiss(words: U64) -> tuple[Flags, Flags]:
    """Return which may be headers of Swiss maps, and which of maps that were never written."""
    used, seed, directory, length, depth, clears = (words[:, n] for n in range(6))
    # globalDepth, globalShift, writing, tombstonePossible, then padding
    has_flags = (depth >> np.uint64(16)) & ~np.uint64(0x101) == 0
    is_fit = has_flags & (used < MOST_ENTRIES) & (clears < MOST_ENTRIES) & (directory & np.uint64(7) == 0)
    log2, shift = depth & np.uint64(255), depth >> np.uint64(8) & np.uint64(255)
    is_small = (length == 0) & (depth & np.uint64(0xFFFF) == 0) & (used <= np.uint64(8))
    is_large = (log2 <= MOST_LOG2) & (shift == np.uint64(64) - log2)
    is_large &= length == np.uint64(1) << np.minimum(log2, MOST_LOG2)
    is_header = is_fit & (directory != 0) & (is_small | is_large)
    is_unwritten = is_fit & is_small & (directory == 0) & (used == 0) & (clears == 0) & (depth == 0)
    ones = np.bitwise_count(seed)
    return is_header, is_unwritten & (ones >= LEAST_BITS) & (ones <= MOST_BITS)


def _looks_classic(words: U64) -> tuple[Flags, Flags]:
    """Return the same of classic maps."""
    count, second, buckets, old, evacuated = (words[:, n] for n in range(5))
    extra = words[:, CLASSIC_EXTRA if words.shape[1] == 6 else CLASSIC_EXTRA + 1]
    flags, log2 = second & np.uint64(255), second >> np.uint64(8) & np.uint64(255)
    seed = second >> np.uint64(32)
    is_fit = (flags <= CLASSIC_FLAGS) & (log2 <= MOST_LOG2) & ((buckets | old | extra) & np.uint64(7) == 0)
    if words.shape[1] > 6:
        is_fit &= (words[:, CLASSIC_EXTRA] < MOST_ENTRIES) & (words[:, 7] == 0)
    is_header = is_fit & (buckets != 0) & (buckets != old)
    is_header &= evacuated <= np.uint64(1) << np.minimum(log2, MOST_LOG2)
    nothing = (count | buckets | old | evacuated | extra | (second & np.uint64(0xFFFFFFFF))) == 0
    return is_header, is_fit & nothing & (seed > np.uint64(0xFFFF))
