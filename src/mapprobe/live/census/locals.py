"""Finds map headers on goroutines' stacks: maps that are local variables and do not escape.

Each word in the used part of a stack may begin a header. Words that look like a header are then checked against their
stack frames (`frames`); goroutines without such words are not unwound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.census.candidates import MOST_ENTRIES, Headers, Places, joined, looks
from mapprobe.live.heap.allocation import are_allocated
from mapprobe.live.heap.frames import Frames, Stack, Use
from mapprobe.live.heap.goroutines import Goroutines
from mapprobe.live.heap.spans import NOWHERE, Layout, Spans, apart
from mapprobe.live.memory import WORD, Memory
from mapprobe.live.snapshot.header import ARRAY, NEVER_SET, Hmap, object_words
from mapprobe.vocabulary import Implementation

WORDS_AT_ONCE = 1 << 22
MOST_WORDS = 1 << 30
"""Most words of stacks that are looked at, 8 GiB; further stacks are not."""
DEEPEST = 1 << 21
"""Most words of one stack that are looked at, 16 MiB: the outermost ones. A deeper stack is not unwound."""
MOST_LOOKALIKES = 1 << 20
SEVEN = np.uint64(7)
PREFERENCE = (Use.IN_USE, Use.NOT_TOLD, Use.LEFT_OVER)
"""Order in which one of several headers with the same buckets is chosen as the map; a header in the heap comes first,
as it is never a copy."""
RANK = np.zeros(len(Use), np.int64)
RANK[list(PREFERENCE)] = 1 + np.arange(len(PREFERENCE))
"""For each `frames.Use` its place in the order `PREFERENCE`, from 1; headers in the heap have 0."""


@dataclass(frozen=True, slots=True)
class Locals:
    """Candidates for headers on goroutines' stacks; `is_all`: all stacks were looked at completely."""

    headers: Headers
    is_all: bool

    @classmethod
    def not_read(cls, words: int) -> Locals:
        """Return no candidates, for stacks that can't be read; `words` is the number of words of a header."""
        return cls(joined([], object_words(words)), False)


def find_locals(
    memory: Memory, spans: Spans, goroutines: Goroutines, frames: Frames, implementation: Implementation, words: int
) -> Locals:
    """Return the candidates on stacks that may be headers by their frames; headers in use come first.

    Parameters
    ----------
    words
        Number of words of a header.

    Raises
    ------
    BinaryError
        If the binary's tables are damaged.
    """
    width, found, length = object_words(words), list[Headers](), _words_of(goroutines)
    is_all = bool((length < DEEPEST).all()) and int(length.sum()) <= MOST_WORDS
    for part in _batches(memory, goroutines):
        flat, begins = _read(memory, part)
        row, place = _lookalikes(part, flat, begins, spans, implementation, words)
        found.append(_held_to_frames(part, flat, begins, frames, _headers(part, flat, begins, row, place, width)))
        if sum(map(len, found)) > MOST_LOOKALIKES:
            is_all = False
            break
    headers = joined(found, width)
    return Locals(headers.take(np.argsort(RANK[headers.places.use], kind="stable")), is_all)


def _batches(memory: Memory, goroutines: Goroutines) -> Iterator[Goroutines]:
    """Yield portions of goroutines whose stacks are read at once; of two overlapping stacks the smaller is read."""
    rest = goroutines.take(np.flatnonzero(goroutines.high > goroutines.top))
    rest = rest.take(np.argsort(rest.top, kind="stable"))
    rest = rest.take(np.flatnonzero(apart(rest.top, rest.high, memory.mapped_bytes)))
    length = _words_of(rest)
    ends = np.cumsum(length)
    start = 0
    while start < len(rest) and (int(ends[start - 1]) if start else 0) < MOST_WORDS:
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + WORDS_AT_ONCE, "right")))
        yield rest.take(np.arange(start, end))
        start = end


def _words_of(goroutines: Goroutines) -> I64:
    """Return how many words of each stack are looked at: of a very deep stack only the outermost ones."""
    found: I64 = np.minimum((goroutines.high - goroutines.top) // np.uint64(WORD), np.uint64(DEEPEST)).astype(np.int64)
    return found


def _read(memory: Memory, goroutines: Goroutines) -> tuple[U64, I64]:
    """Return the words of some stacks, one stack after the other, and the index of each stack's first word."""
    length = _words_of(goroutines)
    begins = np.cumsum(length) - length
    number = np.arange(int(length.sum()), dtype=np.int64) - np.repeat(begins, length)
    first = goroutines.high - (length * WORD).astype(np.uint64)
    words, _ = memory.words(np.repeat(first, length) + (number * WORD).astype(np.uint64))
    return words[:, 0], np.append(begins, len(words))


def _lookalikes(
    goroutines: Goroutines, flat: U64, begins: I64, spans: Spans, implementation: Implementation, words: int
) -> tuple[I64, I64]:
    """Return the places of words that look like a header: row of the goroutine, index in `flat`."""
    look, no_bits = NEVER_SET[implementation]
    count = max(0, len(flat) - words + 1)
    buckets = flat[ARRAY.word :][:count]
    place = np.flatnonzero(
        (flat[look:][:count] & no_bits == 0) & (flat[:count] < MOST_ENTRIES) & (buckets & SEVEN == 0) & (buckets != 0)
    )
    row = np.searchsorted(begins, place, "right") - 1
    inside = place + words <= begins[row + 1]
    place, row = place[inside], row[inside]
    buckets = flat[place + ARRAY.word]
    leads = _is_on_stack(goroutines, row, buckets) | (spans.find(buckets)[0] != NOWHERE)
    place, row = place[leads], row[leads]
    keep = np.flatnonzero(looks(implementation, _words_at(flat, place, words)))[:MOST_LOOKALIKES]
    return row[keep], place[keep]


def _is_on_stack(goroutines: Goroutines, row: I64, addr: U64) -> Flags:
    found: Flags = (addr >= goroutines.top[row]) & (addr < goroutines.high[row])
    return found


def _words_at(flat: U64, place: I64, words: int) -> U64:
    """Return the words of headers at some places; words of the object that the header does not use are 0."""
    found = np.zeros((len(place), words if words != 7 else 8), np.uint64)
    for n in range(words):
        found[:, n] = flat[place + n]
    return found


def _headers(goroutines: Goroutines, flat: U64, begins: I64, row: I64, place: I64, width: int) -> Headers:
    """Return headers at some places; their use is not known yet."""
    words = _words_at(flat, place, 7 if width == 8 else width)
    high, end = goroutines.high[row], begins[row + 1]
    addr = high - ((end - place) * WORD).astype(np.uint64)
    not_told = (np.zeros(len(row), np.int64) for _ in range(4))
    stack = goroutines.number[row], goroutines.top[row], high
    places = Places(len(row), np.arange(len(row)), *stack, *not_told)
    return Headers(addr, words, np.zeros(len(row), np.bool_), places)


def _held_to_frames(goroutines: Goroutines, flat: U64, begins: I64, frames: Frames, headers: Headers) -> Headers:
    """Return the candidates that may be headers by their frames, and whether the frames still use them."""
    places = headers.places
    row = np.searchsorted(goroutines.high, places.high)
    if not len(row):
        return headers
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    buckets, old = ARRAY(headers.words), Hmap.OLD_ARRAY(headers.words)
    addrs, first = headers.addr.tolist(), np.where(_is_on_stack(goroutines, row, buckets), buckets, old).tolist()
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(row)], strict=True):
        number = int(row[start])
        stack = _stack(goroutines, number, flat[begins[number] : begins[number + 1]].tolist())
        claims = frames.claims(stack, list(zip(addrs[start:end], first[start:end], strict=True)))
        for n, column in enumerate((places.use, places.bucket_bytes, places.pc, places.offset)):
            column[start:end] = [claim[n] for claim in claims]
    return headers.take(np.flatnonzero(places.use != Use.NO_HEADER))


def _stack(goroutines: Goroutines, row: int, words: list[int]) -> Stack:
    top = int(goroutines.high[row]) - WORD * len(words)
    is_whole = top == int(goroutines.top[row])
    return Stack(
        top=top,
        words=words,
        sp=int(goroutines.sp[row]),
        pc=int(goroutines.pc[row]) if is_whole else 0,
        roots=(int(goroutines.context[row]),),
        deferred=int(goroutines.deferred[row]),
        is_panicking=bool(goroutines.panicking[row]),
    )


def with_buckets_of_their_own(memory: Memory, layout: Layout, spans: Spans, headers: Headers, is_map: Flags) -> Flags:
    """Return which headers are maps, given that no two maps have the same buckets: further headers are old copies.

    A header on a stack is no map either if its buckets are free objects, or if it is not in use and its only bucket is
    on the stack too: nothing is left of that map.
    """
    found, places = is_map.copy(), headers.places
    rows = np.flatnonzero(is_map)
    is_local = places.is_local[rows]
    if not is_local.any():
        return found
    use, buckets = places.spread("use")[rows], ARRAY(headers.words[rows])
    order = np.lexsort((np.where(is_local, RANK[use], 0), buckets))
    is_first = np.ones(len(rows), np.bool_)
    is_first[order[1:]] = buckets[order[1:]] != buckets[order[:-1]]
    span, _ = spans.find(buckets)
    unsure = np.flatnonzero(is_local & (use != Use.IN_USE) & (span != NOWHERE))
    is_free = np.zeros(len(rows), np.bool_)
    is_free[unsure] = ~are_allocated(memory, layout, spans, buckets[unsure], span[unsure])
    is_gone = is_local & (use == Use.LEFT_OVER) & (span == NOWHERE)
    found[rows] = ~is_local | (is_first & ~is_free & ~is_gone)
    return found
