"""Arrays of buckets that no map owns: maps that grew have left them behind, or the map's header could not be found.

An object is such an array if the allocator keeps its type, and that is a bucket or group type of the binary; or if the
memory profile has sampled the call that allocated it, and that makes arrays of buckets and nothing else. Types are kept
from Go 1.22 on, of objects with pointers that are large or take more than 512 bytes. Of other arrays nobody can tell.

Arrays are listed before the headers are looked for. An array that a map allocates later is in no list, so it does not
seem to have no owner where its map was read before.

go: runtime/mbitmap*.go heapSetType* [1.22..1.27], runtime/mheap.go largeType [1.22..1.27]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mapprobe.arrays import U64
from mapprobe.live.census.arrays import NO_SHAPE, Arrays, are_among
from mapprobe.live.census.holders import keeps_type
from mapprobe.live.census.layouts import Layouts
from mapprobe.live.heap.allocation import allocated, are_allocated
from mapprobe.live.heap.profile import Samples, read_samples, stacks_of
from mapprobe.live.heap.spans import NOWHERE, Layout, Spans, read_spans
from mapprobe.live.memory import Memory

NONE = np.empty(0, np.uint64)
WORD_BITS = 64
MOST_SAMPLED = 1 << 14
"""Stacks of the memory profile that are looked at for a call that makes arrays."""


@dataclass(slots=True)
class Owned:
    """Where objects begin that a map's header leads to, of those that can be told to be arrays by themselves.

    Attributes
    ----------
    sampled
        Where objects begin whose allocation the memory profile has sampled, rising.
    """

    sampled: U64
    _met: list[U64] = field(default_factory=list)

    def note(self, arrays: Arrays) -> None:
        """Note the arrays that some headers lead to."""
        begin = arrays.addr - np.where(arrays.span != NOWHERE, arrays.offset, 0).astype(np.uint64)
        is_it = (arrays.span != NOWHERE) & ((arrays.shape != NO_SHAPE) | are_among(begin, self.sampled))
        self._met.append(begin[is_it])

    def note_objects(self, begin: U64) -> None:
        """Note overflow buckets that were not made with an array: where their objects begin."""
        self._met.append(begin)

    def all(self) -> U64:
        """Return where they begin, rising."""
        return np.unique(np.concatenate([NONE, *self._met]))


@dataclass(frozen=True, slots=True)
class Ownerless:
    """Arrays that no map owns: how many there are, and what their objects take."""

    arrays: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What of a heap can be told to be an array before any header is known.

    Attributes
    ----------
    typed
        Where arrays begin whose types the allocator keeps, rising.
    samples
        Objects whose allocation was sampled, arrays or not.
    owned
        Which arrays the headers lead to that are found later.
    """

    typed: U64
    samples: Samples
    owned: Owned


def list_arrays(memory: Memory, layout: Layout, spans: Spans, layouts: Layouts, *, has_types: bool) -> Listed:
    """Return what can be told to be an array; `has_types`: look for those whose types the allocator keeps."""
    typed = _typed_arrays(memory, layout, spans, layouts) if has_types else NONE
    samples = read_samples(memory, spans, layout.span)
    return Listed(typed, samples, Owned(samples.base))


def _typed_arrays(memory: Memory, layout: Layout, spans: Spans, layouts: Layouts) -> U64:
    """Return where the allocated objects begin whose type the allocator keeps, and which are arrays of buckets."""
    kept, types = keeps_type(spans, layouts), layouts.bucket_types_there
    large = kept & spans.is_large & are_among(spans.large_type, types)
    found = [spans.start[large]]
    for size in np.unique(spans.object_bytes[kept & ~spans.is_large]).tolist():
        rows = np.flatnonzero(kept & ~spans.is_large & (spans.object_bytes == np.uint64(size)))
        bits, _ = allocated(memory, spans, rows, layout)
        most = int(spans.objects[rows].max(initial=0))
        number = np.arange(most)
        is_set = bits[:, number // WORD_BITS] >> (number % WORD_BITS).astype(np.uint64) & np.uint64(1) != 0
        row, index = np.nonzero(is_set & (number < spans.objects[rows][:, None]))
        begin = spans.start[rows[row]] + index.astype(np.uint64) * np.uint64(size)
        words, _ = memory.words(begin)
        found.append(begin[are_among(words[:, 0], types)])
    return np.sort(np.concatenate(found))


def find_ownerless(
    memory: Memory, layout: Layout, listed: Listed, makes_arrays: Callable[[list[int]], bool]
) -> Ownerless:
    """Return the arrays that no map owns and that are still allocated.

    Parameters
    ----------
    listed
        From before the headers were looked for, and what these lead to.
    makes_arrays
        Says of a stack of return addresses whether the call makes arrays of buckets.
    """
    typed, samples, known = listed.typed, listed.samples, listed.owned.all()
    others = ~are_among(samples.base, known) & ~are_among(samples.base, typed)
    sampled = samples.base[others & _are_arrays(memory, samples, others, makes_arrays)]
    addrs = np.union1d(typed[~are_among(typed, known)], sampled)
    if not len(addrs):
        return Ownerless(0, 0)
    spans = read_spans(memory, layout)  # what was freed meanwhile is none
    span, offset = spans.find(addrs)
    there = (span != NOWHERE) & (offset == 0)
    addrs, span = addrs[there], span[there]
    span = span[are_allocated(memory, layout, spans, addrs, span)]
    return Ownerless(len(span), int(spans.object_bytes[span].sum()))


def _are_arrays(
    memory: Memory, samples: Samples, wanted: np.ndarray, makes_arrays: Callable[[list[int]], bool]
) -> np.ndarray:
    """Return which sampled objects were allocated by a call that makes arrays, of those that are wanted."""
    buckets = np.unique(samples.bucket[wanted])[:MOST_SAMPLED]
    stacks = stacks_of(memory, buckets)
    return are_among(samples.bucket, buckets[[makes_arrays(pcs) for pcs in stacks]]) if len(buckets) else wanted
