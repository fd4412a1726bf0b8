"""A census: every map of a heap, read again where it was written meanwhile.

What reads as no map either is none, or was written while it was read. It is
read again: what then is the same is no map, what fits by then is one. What
changes at each read, lies as a map's buckets do and holds nothing that none
can is a map that never stood still.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapprobe.heapwalk import headers as header_rules
from mapprobe.heapwalk.arrays import Counted, SizeSets
from mapprobe.heapwalk.classic import count_classic
from mapprobe.heapwalk.headers import Headers, find_headers
from mapprobe.heapwalk.layouts import Layouts
from mapprobe.heapwalk.locals import with_buckets_of_their_own
from mapprobe.heapwalk.memory import I64, U64, Flags, Memory
from mapprobe.heapwalk.origins import Samples, read_samples
from mapprobe.heapwalk.spans import Layout, Spans, read_spans
from mapprobe.heapwalk.swiss import count_swiss
from mapprobe.schema import Implementation

ROUNDS = 12
PAUSE_SECONDS = 0.002
"""Between rounds: a thread that was stopped amid an operation goes on meanwhile."""
MOST_HEADER_WORDS = 7
FAR = 16
"""So many entries more or fewer than its header says, and one in eight, a map may be amid writes."""


@dataclass(frozen=True, slots=True)
class Census:
    """What was found.

    Attributes
    ----------
    headers, counted
        Of each map, one row each.
    is_settled
        It stood still while it was read.
    sets
        What `Counted.sizes` refers to.
    spans
        The heap as it was at the beginning.
    samples
        Objects whose allocation was sampled.
    looked_at, lookalikes, never_written, never_still
        As in `censused.CENSUS_ABOUT`.
    """

    headers: Headers
    counted: Counted
    is_settled: Flags
    sets: SizeSets
    spans: Spans
    samples: Samples
    looked_at: int
    lookalikes: int
    never_written: int
    never_still: int


def take_census(
    memory: Memory, layout: Layout, layouts: Layouts, words: int, find_locals: Callable[[Spans], Headers]
) -> Census:
    """Find every map of a heap, and those that are local variables.

    Parameters
    ----------
    words
        Of a header: `header_words`.
    find_locals
        Returns what may be headers on stacks.

    Raises
    ------
    TargetError
        If the heap can't be read.
    """
    spans = read_spans(memory, layout)
    found = find_headers(memory, spans, layout, layouts.implementation, words)
    sets = SizeSets()
    samples = read_samples(memory, spans, layout.span)
    on_stacks = find_locals(spans)
    headers = header_rules.joined([found.headers, on_stacks], found.headers.words.shape[1])
    taker = _Taker(memory, layout, layouts, sets, headers, samples.base)
    # apart: those on stacks may be of any size, and each is tried
    counted = Counted.of(taker.count(spans, part) for part in (found.headers, on_stacks))
    kept = taker.settle(counted)
    rows = np.flatnonzero(with_buckets_of_their_own(memory, layout, spans, taker.headers, kept.is_map))
    on_heap = int(np.count_nonzero(~headers.places.is_local[rows]))
    return Census(
        headers=taker.headers.take(rows),
        counted=counted.take(rows),
        is_settled=counted.is_map[rows],
        sets=sets,
        spans=spans,
        samples=samples,
        looked_at=found.looked_at,
        lookalikes=len(found.headers) - on_heap - kept.never_still,
        never_written=found.unwritten,
        never_still=kept.never_still,
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    """Which headers are maps, and how many of the others changed at each read."""

    is_map: Flags
    never_still: int


class _Taker:
    """Headers, as they were read last."""

    def __init__(
        self, memory: Memory, layout: Layout, layouts: Layouts, sets: SizeSets, headers: Headers, sampled: U64
    ) -> None:
        self._memory, self._layout, self._layouts, self._sets = memory, layout, layouts, sets
        self._sampled = sampled
        self.headers = headers

    def count(self, spans: Spans, headers: Headers) -> Counted:
        """Return what the buckets of some headers came to."""
        count = count_swiss if self._layouts.implementation is Implementation.SWISS else count_classic
        return count(self._memory, spans, self._layouts, headers, self._sets, self._sampled)

    def settle(self, counted: Counted) -> _Kept:
        """Read those again that are no maps, until they are or didn't change; `counted` has the last read of each."""
        # on stacks there is a lot that looks like a header: only what leads to buckets is looked at again
        waiting = np.flatnonzero(~counted.is_map & (counted.is_placed | ~self.headers.places.is_local))
        changed = np.zeros(len(counted.is_map), np.bool_)
        for _ in range(ROUNDS):
            if not len(waiting):
                break
            select.select([], [], [], PAUSE_SECONDS)
            self._read_headers(waiting)
            again = self.count(read_spans(self._memory, self._layout), self.headers.take(waiting))
            changed[waiting] = again.digest != counted.digest[waiting]
            is_busy = header_rules.is_writing(self._layouts.implementation, self.headers.words[waiting])
            counted.put(waiting, again)
            waiting = waiting[~again.is_map & (changed[waiting] | is_busy & again.is_legal)]
        is_near = self._is_near(counted, waiting)
        is_map = counted.is_map.copy()
        is_map[waiting[is_near]] = True
        is_local = self.headers.places.is_local[waiting]
        return _Kept(is_map, int(np.count_nonzero(changed[waiting] & ~is_near & ~is_local)))

    def _is_near(self, counted: Counted, waiting: I64) -> Flags:
        """Return which of those that never stood still are maps for all that: as near to one as writes leave it."""
        words = self.headers.words[waiting]
        count, live = words[:, 0].astype(np.int64), counted.live[waiting]
        found: Flags = counted.is_legal[waiting] & (np.abs(count - live) <= FAR + count // 8)
        return found & header_rules.looks(self._layouts.implementation, words)

    def _read_headers(self, rows: I64) -> None:
        words = self._memory.words(self.headers.addr[rows], self.headers.words.shape[1])[0]
        # an object of 64 bytes has room behind a header of 56; on a stack something else stands there
        words[self.headers.places.is_local[rows], MOST_HEADER_WORDS:] = 0
        self.headers.words[rows] = words
