"""Arrays of buckets or groups that headers lead to: their place in an object, and the bucket sizes that fit.

The size of the object usually determines the bucket size. If several sizes
fit, each is tried; a size whose control bytes are not a map's is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I32, I64, U64, Flags, distinct_rows
from mapprobe.live.census.candidates import Places, kept
from mapprobe.live.census.layouts import HEADER_BYTES, Layouts
from mapprobe.live.heap.spans import NOWHERE, Spans
from mapprobe.live.memory import Memory

if TYPE_CHECKING:
    from mapprobe.live.census.ownerless import Owned

BUCKETS_AT_ONCE = 1 << 19
HEADERS_AT_ONCE = 1 << 16
"""Most headers that are counted at once: their columns stay in the processor's cache, and take little memory."""
MOST_OWNERS = 8
"""Most headers that may lead to one array: a map has its own array, but lookalikes of headers may point to it too."""
NO_SHAPE = -1
NO_BUCKET = 1 << 62
MORE = 1 << 62
"""More than the size of any array [bytes]."""
NOT_IN_FRAME = -2
DTYPES: Mapping[Any, type[np.generic]] = {"Flags": np.bool_, "I32": np.int32, "I64": np.int64, "U64": np.uint64}
"""The dtype for each annotation of the fields of `Counted`."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """Arrays of buckets of some headers; one row each.

    Attributes
    ----------
    header
        Row of the header that leads to the array.
    addr
        Address of the first bucket.
    buckets
        Number of main buckets or groups, without preallocated overflow buckets.
    span
        Row of the array's span, `NOWHERE` if it is in no span.
    offset
        Offset of the array in its object [bytes].
    shape
        Id of the array's shape if the allocator keeps its type, else `NO_SHAPE`.
    frame
        `Places.bucket_bytes` for a single bucket on the same stack as its header, else `NOT_IN_FRAME`.
    """

    header: I64
    addr: U64
    buckets: I64
    span: I64
    offset: I64
    shape: I64
    frame: I64


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of each header's arrays; one row a header.

    Attributes
    ----------
    is_map
        Header and buckets agree: this is a map.
    is_placed
        The header's arrays are objects of the right size, whether their contents agree with the header or not.
    is_legal
        As `is_placed`, and all control bytes are possible.
    live, buckets, empty, dead
        Entries; buckets; buckets without an entry; slots that are marked as deleted (Swiss).
    allocated
        Size of buckets, tables and directory [bytes].
    sizes
        Number in `SizeSets` of the set of bucket sizes that fit.
    shape
        `Arrays.shape` of one of its arrays, `NO_SHAPE` if none has one.
    array, array_bytes
        Address of its largest array, or of its largest sampled array if any was sampled; the size of this array.
    sample, sample_bytes
        Address of a bucket with an entry, 0 if there is none; the bucket size with which it was found.
    digest
        Digest of all words that were read: it stays the same while nobody writes to the map.
    """

    is_map: Flags
    is_placed: Flags
    is_legal: Flags
    live: I64
    buckets: I64
    empty: I64
    dead: I64
    allocated: I64
    sizes: I32
    shape: I32
    array: U64
    array_bytes: I64
    sample: U64
    sample_bytes: I32
    digest: U64

    def take(self, rows: I64) -> Counted:
        """Return the rows of some headers."""
        return Counted(*(getattr(self, f.name)[rows] for f in fields(Counted)))

    @classmethod
    def of(cls, count: int, parts: Iterable[Counted]) -> Counted:
        """Return the rows of several parts, one after the other, `count` in all."""
        found = cls(*(np.empty(count, DTYPES[f.type]) for f in fields(Counted)))
        start = 0
        for part in parts:
            end = start + len(part.live)
            found.put(slice(start, end), part)
            start = end
        return found

    def keep(self, rows: I64) -> Counted:
        """Return some rows, which must be ascending; they overwrite the columns, so that no memory is taken."""
        return Counted(*(kept(getattr(self, f.name), rows) for f in fields(Counted)))

    def put(self, rows: I64 | slice, other: Counted) -> None:
        """Replace some rows."""
        for f in fields(Counted):
            getattr(self, f.name)[rows] = getattr(other, f.name)


@dataclass(slots=True)
class SizeSets:
    """Numbered sets of bucket sizes; a bucket size is its bytes, and whether such a bucket has pointers."""

    sets: list[frozenset[tuple[int, bool]]] = field(default_factory=lambda: [frozenset()])
    _numbers: dict[frozenset[tuple[int, bool]], int] = field(default_factory=lambda: {frozenset(): 0})

    def number(self, found: frozenset[tuple[int, bool]]) -> int:
        """Return the number of a set."""
        if found not in self._numbers:
            self._numbers[found] = len(self.sets)
            self.sets.append(found)
        return self._numbers[found]


@dataclass(frozen=True, slots=True)
class Heap:
    """The heap in which the buckets of headers are counted.

    Attributes
    ----------
    sets
        The sets to which `Counted.sizes` refers.
    owned
        Notes the arrays to which the headers lead.
    """

    memory: Memory
    spans: Spans
    layouts: Layouts
    sets: SizeSets
    owned: Owned

    @property
    def sampled(self) -> U64:
        """Addresses of objects whose allocation the memory profile has sampled (`live.heap.profile`), ascending."""
        return self.owned.sampled


def locate(memory: Memory, spans: Spans, layouts: Layouts, header: I64, addr: U64, buckets: I64) -> Arrays:
    """Return arrays with their spans and offsets, and with their shapes if the allocator keeps their types.

    go: runtime/mbitmap*.go (*mspan).typePointersOfUnchecked heapSetType* [1.22..1.24]
    """
    span, offset = spans.find(addr)
    types = np.zeros(len(addr), np.uint64)
    inside = span != NOWHERE
    large = np.flatnonzero(inside & (offset == 0))
    large = large[spans.is_large[span[large]] & spans.has_pointers[span[large]]]
    types[large] = spans.large_type[span[large]]
    headed = np.flatnonzero(inside & (offset == HEADER_BYTES))
    types[headed] = memory.words(addr[headed] - np.uint64(HEADER_BYTES))[0][:, 0]
    first, which = distinct_rows([types])
    shapes = [layouts.at(t) for t in types[first].tolist()]
    shape = np.array([NO_SHAPE if s is None else s for s in shapes], np.int64)[which]
    return Arrays(header, addr, buckets, span, offset, shape, np.full(len(addr), NOT_IN_FRAME))


def in_frames(arrays: Arrays, places: Places) -> Arrays:
    """Return the arrays, with `frame` set for those in stack frames: the first bucket of a map in a local variable."""
    if not len(places.header):
        return arrays
    top, high, bucket_bytes = (places.spread(name)[arrays.header] for name in ("top", "high", "bucket_bytes"))
    is_in = (arrays.span == NOWHERE) & (arrays.buckets == 1) & (arrays.addr & np.uint64(7) == 0)
    is_in &= (arrays.addr >= top) & (arrays.addr < high)
    return replace(arrays, frame=np.where(is_in, bucket_bytes, NOT_IN_FRAME))


def taken_by(arrays: Arrays, spans: Spans, layouts: Layouts, size: I64) -> I64:
    """Return the size of each array's object [bytes]; an array in a frame counts as if on the heap, as in a replay.

    Parameters
    ----------
    size
        Bytes of a bucket of each array.
    """
    taken = np.where(arrays.span != NOWHERE, spans.object_bytes[arrays.span].astype(np.int64), 0)
    rows = np.flatnonzero((arrays.frame != NOT_IN_FRAME) & (size > 0))
    if len(rows):
        first, number = distinct_rows([size[rows], arrays.frame[rows]])
        keys = zip(size[rows][first].tolist(), arrays.frame[rows][first].tolist(), strict=True)
        each = [
            layouts.placed(key, any(k == (key, True) for k in layouts.sizes_in_frame(frame))) for key, frame in keys
        ]
        taken[rows] = np.array([taken for taken, _ in each], np.int64)[number]
    return taken


def kinds_of(layouts: Layouts, sizes: Iterable[int], has_pointers: bool, frame: int) -> frozenset[tuple[int, bool]]:
    """Return the kinds of buckets with one of these sizes: size, and whether such a bucket has pointers."""
    if frame == NOT_IN_FRAME:
        return frozenset((size, has_pointers) for size in sizes)
    return frozenset(key for key in layouts.sizes_in_frame(frame) if key[0] in set(sizes))


def choices(arrays: Arrays, spans: Spans, layouts: Layouts) -> tuple[I64, list[tuple[int, ...]]]:
    """Return tuples of bucket sizes, and for each array the number of the tuple of sizes that it may have."""
    inside = arrays.span != NOWHERE
    row = np.where(inside, arrays.span, 0)
    columns = (
        np.where(inside, spans.object_bytes[row].astype(np.int64), 0),
        arrays.offset,
        spans.has_pointers[row].astype(np.int64),
        arrays.buckets,
        arrays.shape,
        arrays.frame,
    )
    first, which = distinct_rows(columns)
    found = list[tuple[int, ...]]()
    for object_bytes, offset, has_pointers, buckets, shape, frame in zip(
        *(c[first].tolist() for c in columns), strict=True
    ):
        place = object_bytes, offset
        if frame != NOT_IN_FRAME:
            found.append(tuple(sorted({size for size, _ in layouts.sizes_in_frame(frame)})))
        elif not object_bytes or buckets <= 0:  # in no span; or an old array of a map that can't have one
            found.append(())
        elif shape != NO_SHAPE:
            size, points = layouts.shapes[shape].size
            fits = points == bool(has_pointers) and layouts.array_placed(size, points, buckets) == place
            found.append((size,) if fits else ())
        else:
            found.append(layouts.sizes_that_fit(buckets, *place, bool(has_pointers)))
    return which.astype(np.int64), found


def portions(rows: I64, buckets: I64) -> Iterator[I64]:
    """Yield rows in portions of about `BUCKETS_AT_ONCE` buckets."""
    ends = np.cumsum(buckets)
    start = 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + BUCKETS_AT_ONCE, "right")))
        yield rows[start:end]
        start = end


def pieces(rows: I64, counts: I64, at_once: int = BUCKETS_AT_ONCE) -> Iterator[tuple[I64, I64, I64]]:
    """Yield portions of about `at_once` buckets: rows, the number of the first bucket of each, how many buckets.

    A long row is split into several portions, which follow each other.
    """
    is_long = counts > at_once
    short = np.flatnonzero(~is_long)
    for part in portions(short, counts[short]):
        yield rows[part], np.zeros(len(part), np.int64), counts[part]
    for row in np.flatnonzero(is_long).tolist():
        for start in range(0, int(counts[row]), at_once):
            yield rows[[row]], np.array([start]), np.array([min(at_once, int(counts[row]) - start)])


def is_crowded(addr: U64) -> Flags:
    """Return which rows lead to an address to which `MOST_OWNERS` earlier rows lead already."""
    order = np.argsort(addr, kind="stable")
    ordered = addr[order]
    found: Flags = np.zeros(len(addr), np.bool_)
    found[order[MOST_OWNERS:]] = ordered[MOST_OWNERS:] == ordered[:-MOST_OWNERS]
    return found


class Crowds:
    """Counts how many rows lead to one address, part by part; it keeps sorted arrays of ever shorter lengths.

    Parameters
    ----------
    most
        Most rows that may lead to one address.
    """

    def __init__(self, most: int = MOST_OWNERS) -> None:
        self._most, self._met = most, list[U64]()

    def joined_by(self, addr: U64) -> Flags:
        """Return which rows lead to an address to which `most` earlier rows lead, rows of earlier calls included."""
        order = np.argsort(addr, kind="stable")
        ordered = addr[order]
        before = np.arange(len(addr)) - np.searchsorted(ordered, ordered)
        for met in self._met:
            before += np.searchsorted(met, ordered, "right") - np.searchsorted(met, ordered)
        self._met.append(ordered)
        while len(self._met) > 1 and len(self._met[-2]) <= 2 * len(self._met[-1]):
            self._met[-2:] = [np.sort(np.concatenate(self._met[-2:]))]
        found: Flags = np.zeros(len(addr), np.bool_)
        found[order] = before >= self._most
        return found


def expanded(addr: U64, buckets: I64, size: I64) -> tuple[U64, I64, I64]:
    """Return for each bucket of some arrays its address and its number, and the row of each array's first bucket."""
    starts = np.cumsum(buckets) - buckets
    number = np.arange(int(buckets.sum()), dtype=np.int64) - np.repeat(starts, buckets)
    places = np.repeat(addr, buckets) + (number * np.repeat(size, buckets)).astype(np.uint64)
    return places, number, starts


def mixed(words: U64, number: npt.NDArray[np.int64]) -> U64:
    """Return words mixed with their numbers, so that their sum depends on their order (as in src/core/walk.h)."""
    found: U64 = words * (2 * number + 1).astype(np.uint64) ^ words >> np.uint64(29)
    return found


def largest(header: I64, arrays: Arrays, taken: I64, sampled: U64, count: int) -> tuple[U64, I64]:
    """Return address and size [bytes] of the largest array of each of `count` headers; sampled arrays come first.

    Parameters
    ----------
    sampled
        `Heap.sampled`.
    """
    array, array_bytes = np.zeros(count, np.uint64), np.zeros(count, np.int64)
    addr = arrays.addr
    array[header], array_bytes[header] = addr, taken
    rows = of_several(header, count)
    rank = taken[rows] + np.where(are_among(addr[rows] - arrays.offset[rows].astype(np.uint64), sampled), MORE, 0)
    rows = rows[np.argsort(rank, kind="stable")]
    array[header[rows]], array_bytes[header[rows]] = addr[rows], taken[rows]
    return array, array_bytes


def of_several(header: I64, count: int) -> I64:
    """Return the rows of arrays whose header has several arrays."""
    found: I64 = np.flatnonzero((np.bincount(header, minlength=count) > 1)[header])
    return found


def are_among(values: U64, known: U64) -> Flags:
    """Return which values are in a sorted array."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    found: Flags = known[np.searchsorted(known, values).clip(max=len(known) - 1)] == values
    return found


def samples(header: I64, addr: U64, first: I64, size: I64, taken: I64, count: int) -> tuple[U64, I64]:
    """Return for each header the address of a bucket with an entry, in its largest array that has one, and its size.

    Parameters
    ----------
    first
        Number of the first bucket with an entry in each array, `NO_BUCKET` if there is none.
    """
    found, found_bytes = np.zeros(count, np.uint64), np.zeros(count, np.int64)
    rows = np.flatnonzero(first != NO_BUCKET)
    several = of_several(header[rows], count)
    for part in (rows, rows[several[np.argsort(taken[rows[several]], kind="stable")]]):
        found[header[part]] = addr[part] + (first[part] * size[part]).astype(np.uint64)
        found_bytes[header[part]] = size[part]
    return found, found_bytes


def with_shapes(header: I64, shape: I64, count: int) -> I32:
    """Return for each of `count` headers the shape of one of its arrays, `NO_SHAPE` if none has a shape."""
    found = np.full(count, NO_SHAPE, np.int32)
    np.maximum.at(found, header, shape.astype(np.int32))
    return found


def sum_at(header: I64, values: npt.NDArray[np.int64], count: int) -> I64:
    """Return the sum of the values of each of `count` headers."""
    found = np.zeros(count, np.int64)
    np.add.at(found, header, values)
    return found
