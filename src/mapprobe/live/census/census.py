"""A census: every map of a heap; candidates that were written during the read are read again.

If the words of a candidate do not fit together, it is no map, or it was
written while it was read. It is read again: if it has not changed, it is no
map; if it fits together, it is a map. A candidate that changes at each read,
but has arrays of the right size and possible control bytes, is a map that
never stood still: its header says how many entries it had, and the counts of
its buckets get bounds from this.
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
from mapprobe.vocabulary import Implementation

ROUNDS = 12
"""Most times that a candidate is read again."""
SLOTS = 8
PAUSE_SECONDS = 0.002
"""Time between two rounds [s]: a thread that lost its CPU in the middle of an operation may finish the operation."""
MOST_HEADER_WORDS = 7
FAR = 16
"""A map that is being written may differ from the count in its header by this many entries and an eighth of them."""
LARGE, ENOUGH = 1 << 16, 3
"""A map of more than `LARGE` buckets is read `ENOUGH` times at most once it is known to be a map: each read of it takes
long, and it changes during each."""
WORD_OF_LENGTH, LOG2_SHIFT, LEAST_LOG2 = 3, np.uint64(8), np.uint64(3)


@dataclass(frozen=True, slots=True)
class Census:
    """The maps that a census found.

    Attributes
    ----------
    headers, counted
        Header and counts of each map; one row a map.
    is_settled
        The map did not change while it was read.
    live_least, live_most
        The least and the most entries that the map had when it was read, by its header.
    read_ns
        When the last read of the map began, on the clock of the events.
    sets
        The sets to which `Counted.sizes` refers.
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
    """Find every map of a heap, and the maps that are local variables.

    Parameters
    ----------
    words
        Number of words of a header (`header_words`).
    find_locals
        Returns the candidates on goroutines' stacks.
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
    # separately: candidates on stacks may have buckets of any size, and each size is tried
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
    """Which candidates are maps, and how many of the others changed at each read."""

    is_map: Flags
    never_still: int


class _Taker:
    """The candidates, as they were read last."""

    def __init__(self, memory: Memory, layout: Layout, layouts: Layouts, headers: Headers, owned: Owned) -> None:
        self._memory, self._layout, self._layouts, self._owned = memory, layout, layouts, owned
        self._sets = SizeSets()
        self.headers = headers
        self.least, self.most = headers.words[:, 0].astype(np.int64), headers.words[:, 0].astype(np.int64)
        self.read_ns = np.zeros(len(headers), np.uint64)
        self._now_ns = 0

    def count(self, spans: Spans, headers: Headers) -> Iterator[Counted]:
        """Yield the counts of the buckets of some headers, part by part."""
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
        """Read the candidates again that do not fit together, until they fit or have not changed.

        `counted` is updated: for each candidate it has the last read that fits, else the last one that is near enough,
        else the last one.
        """
        # stacks have many words that look like headers: only those that lead to buckets are read again
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
            is_busy = header_rules.is_writing(self._layouts.implementation, words)
            is_going = ~again.is_map & (changed[waiting] | is_busy)
            is_enough = is_near[waiting] & changed[waiting] & (again.buckets > LARGE) & (number + 1 >= ENOUGH)
            is_kept[waiting[is_going & is_enough]] = True
            waiting = waiting[is_going & ~is_enough]
        is_kept[waiting[is_near[waiting]]] = True
        self._bound(counted, np.flatnonzero(is_kept))
        left_out = changed[waiting] & ~is_kept[waiting] & ~is_local[waiting]
        return _Kept(counted.is_map | is_kept, int(np.count_nonzero(left_out)))

    def _read_again(self, rows: I64) -> tuple[Counted, U64]:
        """Read some headers and their buckets again: return the counts, and the headers' words before counting."""
        headers = self.headers.take(rows)
        spans = read_spans(self._memory, self._layout)
        self._now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        words = self._memory.words(headers.addr, headers.words.shape[1])[0]
        # an object of 64 bytes has a free word after a header of 56 bytes; on a stack, this word is another variable
        words[headers.places.is_local, MOST_HEADER_WORDS:] = 0
        return Counted.of(len(rows), self.count(spans, replace(headers, words=words))), words

    def _take(self, counted: Counted, rows: I64, again: Counted, words: U64, is_better: Flags) -> None:
        """Replace the counts of headers whose last read is at least as good as the reads before."""
        taken = rows[is_better]
        counted.put(taken, again.take(np.flatnonzero(is_better)))
        self.headers.words[taken] = words[is_better]
        before = words[is_better, 0].astype(np.int64)
        after, known = self._memory.words(self.headers.addr[taken])
        count = np.where(known & (after[:, 0] < header_rules.MOST_ENTRIES), after[:, 0], words[is_better, 0])
        is_still = again.is_map[is_better]
        count = np.where(is_still, before, count.astype(np.int64))
        self.least[taken], self.most[taken] = np.minimum(before, count), np.maximum(before, count)
        self.read_ns[taken] = self._now_ns

    def _bound(self, counted: Counted, rows: I64) -> None:
        """Give maps that never stood still the entries of their headers; the other slots bound the other counts."""
        live = self.headers.words[rows, 0].astype(np.int64)
        counted.live[rows] = live
        room = SLOTS * counted.buckets[rows] - live
        counted.dead[rows] = np.clip(counted.dead[rows], 0, np.maximum(room, 0))
        counted.empty[rows] = np.minimum(counted.empty[rows], np.maximum(room, 0) // SLOTS)

    def _are_near(self, counted: Counted, words: U64) -> Flags:
        """Return which headers are of maps being written: their counts nearly agree, or their arrays are large.

        Many buckets in the right object are no coincidence: such a map may be cleared and filled during the read.
        """
        count = words[:, 0].astype(np.int64)
        is_near = np.abs(count - counted.live) <= FAR + count // 8
        if self._layouts.implementation is Implementation.SWISS:
            is_large = words[:, WORD_OF_LENGTH] != 0
        else:
            is_large = (words[:, 1] >> LOG2_SHIFT & np.uint64(255)) >= LEAST_LOG2
        found: Flags = counted.is_legal & (is_near | is_large) & (count <= SLOTS * counted.buckets)
        return found & header_rules.looks(self._layouts.implementation, words)
