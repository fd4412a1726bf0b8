"""Arrays of buckets that no map owns: old arrays of maps that grew, or arrays of maps whose header was not found.

An object is known to be an array of buckets if the allocator keeps its type and this is a bucket or group type of the
binary; or if the memory profile has sampled its allocation, by a call that makes only arrays of buckets. Types are kept
from Go 1.22 on, for objects with pointers that are large or take more than 512 bytes. Other arrays can't be recognised.

Arrays are listed before the headers are looked for. So an array that a map allocates later is in no list, and does not
seem to have no owner if its map was read before.

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
from mapprobe.live.heap.profile import Samples, read_samples, stacks_of
from mapprobe.live.heap.spans import NOWHERE, Layout, Spans, allocated, are_allocated, read_spans
from mapprobe.live.memory import Memory

NONE = np.empty(0, np.uint64)
WORD_BITS = 64
MOST_SAMPLED = 1 << 14
"""Most stacks of the memory profile that are searched for a call that makes arrays."""


@dataclass(slots=True)
class Owned:
    """Addresses of the objects that headers lead to, as far as they can be recognised as arrays without a header.

    Attributes
    ----------
    sampled
        Addresses of objects whose allocation the memory profile has sampled, ascending.
    """

    sampled: U64
    _met: list[U64] = field(default_factory=list)

    def note(self, arrays: Arrays) -> None:
        """Note the arrays that some headers lead to."""
        begin = arrays.addr - np.where(arrays.span != NOWHERE, arrays.offset, 0).astype(np.uint64)
        is_it = (arrays.span != NOWHERE) & ((arrays.shape != NO_SHAPE) | are_among(begin, self.sampled))
        self._met.append(begin[is_it])

    def note_objects(self, begin: U64) -> None:
        """Note the addresses of overflow buckets that are objects of their own."""
        self._met.append(begin)

    def all(self) -> U64:
        """Return all addresses that were noted, ascending."""
        return np.unique(np.concatenate([NONE, *self._met]))


@dataclass(frozen=True, slots=True)
class Ownerless:
    """Arrays that no map owns: their number, and the size of their objects [bytes]."""

    arrays: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Listed:
    """Objects that can be recognised as arrays before any header is known.

    Attributes
    ----------
    typed
        Addresses of arrays whose types the allocator keeps, ascending.
    samples
        Objects whose allocation was sampled, arrays or not.
    owned
        The arrays to which headers lead; filled when the headers are read.
    """

    typed: U64
    samples: Samples
    owned: Owned


def list_arrays(memory: Memory, layout: Layout, spans: Spans, layouts: Layouts, *, has_types: bool) -> Listed:
    """Return the objects that can be recognised as arrays; `has_types`: also those whose types the allocator keeps."""
    typed = _typed_arrays(memory, layout, spans, layouts) if has_types else NONE
    samples = read_samples(memory, spans, layout.span)
    return Listed(typed, samples, Owned(samples.base))


def _typed_arrays(memory: Memory, layout: Layout, spans: Spans, layouts: Layouts) -> U64:
    """Return the addresses of allocated objects whose types are kept and are those of arrays of buckets, ascending."""
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
        The arrays that were listed before the headers were read, and the arrays to which these led.
    makes_arrays
        Tells for a stack of return addresses whether the call makes arrays of buckets.
    """
    typed, samples, known = listed.typed, listed.samples, listed.owned.all()
    others = ~are_among(samples.base, known) & ~are_among(samples.base, typed)
    sampled = samples.base[others & _are_arrays(memory, samples, others, makes_arrays)]
    addrs = np.union1d(typed[~are_among(typed, known)], sampled)
    if not len(addrs):
        return Ownerless(0, 0)
    spans = read_spans(memory, layout)  # again, as some arrays may have been freed since
    span, offset = spans.find(addrs)
    there = (span != NOWHERE) & (offset == 0)
    addrs, span = addrs[there], span[there]
    span = span[are_allocated(memory, layout, spans, addrs, span)]
    return Ownerless(len(span), int(spans.object_bytes[span].sum()))


def _are_arrays(
    memory: Memory, samples: Samples, wanted: np.ndarray, makes_arrays: Callable[[list[int]], bool]
) -> np.ndarray:
    """Return which of the wanted sampled objects were allocated by a call that makes arrays."""
    buckets = np.unique(samples.bucket[wanted])[:MOST_SAMPLED]
    stacks = stacks_of(memory, buckets)
    return are_among(samples.bucket, buckets[[makes_arrays(pcs) for pcs in stacks]]) if len(buckets) else wanted
