"""A census: every map of a heap, read again where it was written meanwhile.

What reads as no map either is none, or was written while it was read. It is
read again: if it has not changed by then it is no map, and if it fits it is
one. What changes at each read, lies as a map's buckets do and holds nothing
that none can is a map that never stood still: how many entries it had when it
was read its header says, and what its buckets hold has the bounds of that.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.census import candidates as header_rules
from mapprobe.live.census.arrays import Counted, Heap, SizeSets
from mapprobe.live.census.candidates import Headers, find_headers
from mapprobe.live.census.classic import count_classic
from mapprobe.live.census.layouts import Layouts
from mapprobe.live.census.locals import Locals, with_buckets_of_their_own
from mapprobe.live.census.ownerless import Listed, Owned, list_arrays
from mapprobe.live.census.swiss import count_swiss
from mapprobe.live.heap.spans import Layout, Spans, read_spans
from mapprobe.live.memory import Memory
from mapprobe.live.snapshot.header import COUNT, MOST_WORDS, Hmap, Map, is_writing
from mapprobe.model.control import SLOTS_OF_BUCKET
from mapprobe.vocabulary import Implementation

ROUNDS = 12
PAUSE_SECONDS = 0.002
"""Between rounds: a thread that was stopped in the middle of an operation goes on meanwhile."""
FAR = 16
"""While it is written a map may have this many entries more or fewer than its header says, and one in eight beside."""
LARGE, ENOUGH = 1 << 16, 3
"""Buckets of a map that is read so often at most, once it is known to be one: it takes long, and changes meanwhile."""
LEAST_LOG2 = 3


@dataclass(frozen=True, slots=True)
class Census:
    """What was found.

    Attributes
    ----------
    headers, counted
        Of each map, one row each.
    is_settled
        It stood still while it was read.
    live_least, live_most
        Entries that it had at least and at most, by its header, when it was read.
    read_ns
        When its last read began, on the clock of the events.
    sets
        What `Counted.sizes` refers to.
    spans
        The heap as it was at the beginning.
    listed
        The arrays of the heap, and which of them the headers lead to.
    looked_at, lookalikes, never_written, never_still, sees_stacks
        As in `tables.census.CENSUS_ABOUT`.
    """

    headers: Headers
    counted: Counted
    is_settled: Flags
    live_least: I64
    live_most: I64
    read_ns: U64
    sets: SizeSets
    spans: Spans
    listed: Listed
    looked_at: int
    lookalikes: int
    never_written: int
    never_still: int
    sees_stacks: bool


def take_census(
    memory: Memory,
    layout: Layout,
    layouts: Layouts,
    words: int,
    find_locals: Callable[[Spans], Locals],
    *,
    lists_arrays: bool,
) -> Census:
    """Find every map of a heap, and those that are local variables.

    Parameters
    ----------
    words
        Of a header: `header_words`.
    find_locals
        Returns what may be headers on goroutines' stacks.
    lists_arrays
        List all arrays of the heap.

    Raises
    ------
    TargetError
        If the heap can't be read.
    """
    started_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    spans = read_spans(memory, layout)
    listed = list_arrays(memory, layout, spans, layouts, has_types=lists_arrays)
    found = find_headers(memory, spans, layout, layouts.implementation, words)
    on_stacks = find_locals(spans)
    on_heap = len(found.headers)
    found.headers.add(on_stacks.headers)
    headers = found.headers.headers()
    taker = _Taker(memory, layout, layouts, headers, listed.owned)
    taker.read_ns[:] = started_ns
    # apart: those on stacks may be of any size, and each is tried
    apart = headers.part(slice(0, on_heap)), headers.part(slice(on_heap, len(headers)))
    counted = Counted.of(len(headers), (some for part in apart for some in taker.count(spans, part)))
    kept = taker.settle(counted)
    rows = np.flatnonzero(with_buckets_of_their_own(memory, layout, spans, taker.headers, kept.is_map))
    return Census(
        **taker.columns(counted, rows),
        spans=spans,
        listed=listed,
        looked_at=found.looked_at,
        lookalikes=on_heap - int(np.count_nonzero(rows < on_heap)) - kept.never_still,
        never_written=found.unwritten,
        never_still=kept.never_still,
        sees_stacks=on_stacks.is_all,
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    """Which headers are maps, and how many of the others changed at each read."""

    is_map: Flags
    never_still: int


class _Taker:
    """Headers, as they were read last."""

    def __init__(self, memory: Memory, layout: Layout, layouts: Layouts, headers: Headers, owned: Owned) -> None:
        self._memory, self._layout, self._layouts, self._owned = memory, layout, layouts, owned
        self._sets = SizeSets()
        self.headers = headers
        self.least, self.most = COUNT(headers.words).astype(np.int64), COUNT(headers.words).astype(np.int64)
        self.read_ns = np.zeros(len(headers), np.uint64)
        self._now_ns = 0

    def count(self, spans: Spans, headers: Headers) -> Iterator[Counted]:
        """Yield what the buckets of some headers came to, part by part."""
        count = count_swiss if self._layouts.implementation is Implementation.SWISS else count_classic
        return count(Heap(self._memory, spans, self._layouts, self._sets, self._owned), headers)

    def columns(self, counted: Counted, rows: I64) -> dict[str, Any]:
        """Return the columns of some headers for `Census`, as they were read last."""
        least, most, read_ns = (header_rules.kept(column, rows) for column in (self.least, self.most, self.read_ns))
        return {
            "is_settled": counted.is_map[rows],
            "headers": self.headers.keep(rows),
            "counted": counted.keep(rows),
            "live_least": least,
            "live_most": most,
            "read_ns": read_ns,
            "sets": self._sets,
        }

    def settle(self, counted: Counted) -> _Kept:
        """Read those again that are no maps, until they are or didn't change.

        `counted` has the last read of each that fits, else the last that is near enough, else the last.
        """
        # on stacks there is a lot that looks like a header: only what leads to buckets is looked at again
        is_local = self.headers.places.is_local
        waiting = np.flatnonzero(~counted.is_map & (counted.is_placed | ~is_local))
        digest, changed = counted.digest.copy(), np.zeros(len(counted.is_map), np.bool_)
        is_near = np.zeros(len(counted.is_map), np.bool_)
        is_near[waiting] = self._are_near(counted.take(waiting), self.headers.words[waiting])
        is_kept = np.zeros(len(counted.is_map), np.bool_)
        for number in range(ROUNDS):
            if not len(waiting):
                break
            select.select([], [], [], PAUSE_SECONDS)
            again, words = self._read_again(waiting)
            changed[waiting], digest[waiting] = again.digest != digest[waiting], again.digest
            is_near_now = self._are_near(again, words)
            self._take(counted, waiting, again, words, again.is_map | is_near_now | ~is_near[waiting])
            is_near[waiting] |= is_near_now
            is_busy = is_writing(self._layouts.implementation, words)
            is_going = ~again.is_map & (changed[waiting] | is_busy)
            is_enough = is_near[waiting] & changed[waiting] & (again.buckets > LARGE) & (number + 1 >= ENOUGH)
            is_kept[waiting[is_going & is_enough]] = True
            waiting = waiting[is_going & ~is_enough]
        is_kept[waiting[is_near[waiting]]] = True
        self._bound(counted, np.flatnonzero(is_kept))
        left_out = changed[waiting] & ~is_kept[waiting] & ~is_local[waiting]
        return _Kept(counted.is_map | is_kept, int(np.count_nonzero(left_out)))

    def _read_again(self, rows: I64) -> tuple[Counted, U64]:
        """Return what the buckets of some headers come to by now, and the words of those headers before that."""
        headers = self.headers.take(rows)
        spans = read_spans(self._memory, self._layout)
        self._now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        words = self._memory.words(headers.addr, headers.words.shape[1])[0]
        # an object of 64 bytes has room behind a header of 56; on a stack something else stands there
        words[headers.places.is_local, MOST_WORDS:] = 0
        return Counted.of(len(rows), self.count(spans, replace(headers, words=words))), words

    def _take(self, counted: Counted, rows: I64, again: Counted, words: U64, is_better: Flags) -> None:
        """Replace what was read of some headers, where the last read is as good as those before it or better."""
        taken = rows[is_better]
        counted.put(taken, again.take(np.flatnonzero(is_better)))
        self.headers.words[taken] = words[is_better]
        before = COUNT(words[is_better]).astype(np.int64)
        after, known = self._memory.words(self.headers.addr[taken])
        count = np.where(known & (COUNT(after) < header_rules.MOST_ENTRIES), COUNT(after), COUNT(words[is_better]))
        is_still = again.is_map[is_better]
        count = np.where(is_still, before, count.astype(np.int64))
        self.least[taken], self.most[taken] = np.minimum(before, count), np.maximum(before, count)
        self.read_ns[taken] = self._now_ns

    def _bound(self, counted: Counted, rows: I64) -> None:
        """Let maps that never stood still have as many entries as their headers said, in buckets with room for them."""
        live = COUNT(self.headers.words[rows]).astype(np.int64)
        counted.live[rows] = live
        room = SLOTS_OF_BUCKET * counted.buckets[rows] - live
        counted.dead[rows] = np.clip(counted.dead[rows], 0, np.maximum(room, 0))
        counted.empty[rows] = np.minimum(counted.empty[rows], np.maximum(room, 0) // SLOTS_OF_BUCKET)

    def _are_near(self, counted: Counted, words: U64) -> Flags:
        """Return which headers lead to a map that is written: it lies as one, and holds about as much or is large.

        Where many buckets lie as a map's do, that is no chance: it may be cleared and filled while it is read.
        """
        count = COUNT(words).astype(np.int64)
        is_near = np.abs(count - counted.live) <= FAR + count // 8
        if self._layouts.implementation is Implementation.SWISS:
            is_large = Map.DIRECTORY_LENGTH(words) != 0
        else:
            is_large = Hmap.LOG2_SIZE(words) >= LEAST_LOG2
        found: Flags = counted.is_legal & (is_near | is_large) & (count <= SLOTS_OF_BUCKET * counted.buckets)
        return found & header_rules.looks(self._layouts.implementation, words)
