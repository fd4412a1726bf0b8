"""Classic maps from their headers: bucket arrays, old arrays and overflow chains are read and counted.

A candidate is a map if its arrays are objects for the number of buckets that
the header says, all tophash values are possible, every chain stays in the
heap and ends, and the buckets hold as many entries as the header says.

go: runtime/map.go hmap bmap mapextra tophash evacuated [1.18..1.23]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from mapprobe import _core
from mapprobe.arrays import I64, U64, Flags, distinct_rows
from mapprobe.live.census.arrays import (
    HEADERS_AT_ONCE,
    NO_BUCKET,
    Arrays,
    Counted,
    Crowds,
    Heap,
    choices,
    in_frames,
    is_crowded,
    kinds_of,
    largest,
    locate,
    mixed,
    samples,
    sum_at,
    taken_by,
    with_shapes,
)
from mapprobe.live.census.candidates import Headers, harmless, looks
from mapprobe.live.census.overflow import LONGEST_CHAIN, OLD, Charges, Sized, extra_of, overflow_bytes
from mapprobe.live.heap.spans import NOWHERE, Spans
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import Implementation

BUCKETS = 2
SAME_SIZE_GROW = np.uint64(8)  # go: runtime/map.go sameSizeGrow [1.18..1.23]
EXTRA_BYTES = 24  # go: runtime/map.go mapextra [1.18..1.23]
MOST_CHAINED, CHAINED_BESIDE = 4, 1024
"""Most overflow buckets of a map: this many for each bucket, and `CHAINED_BESIDE` more. A map begins to grow when it
has about as many overflow buckets as buckets.

go: runtime/map.go tooManyOverflowBuckets [1.18..1.23]"""
WORD = np.uint64(8)


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of each header's buckets with one bucket size; one row a header."""

    live: I64
    buckets: I64
    empty: I64
    overflow: I64
    first: I64
    is_wrong: Flags
    digest: U64

    @classmethod
    def of(cls, count: int) -> Tally:
        """Return a tally of `count` headers, with nothing counted yet."""
        live, buckets, empty, overflow = (np.zeros(count, np.int64) for _ in range(4))
        first, is_wrong = np.full(count, NO_BUCKET, np.int64), np.zeros(count, np.bool_)
        return cls(live, buckets, empty, overflow, first, is_wrong, np.zeros(count, np.uint64))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some headers and their arrays, old arrays after the others.

    Attributes
    ----------
    words
        Words of the headers, zeros for words that no header can have.
    crowds
        The lists of overflow buckets that were met so far.
    """

    headers: Headers
    is_header: Flags
    words: U64
    arrays: Arrays
    is_old: Flags
    crowds: Crowds


def count_classic(at: Heap, headers: Headers) -> Iterator[Counted]:
    """Yield the counts of the buckets of some headers, part by part."""
    words, is_header = headers.words, looks(Implementation.CLASSIC, headers.words)
    old = np.flatnonzero(is_header & (words[:, OLD] != 0))
    main = np.where(is_header, words[:, BUCKETS], np.uint64(0))
    crowded = is_crowded(np.r_[main, words[old, OLD]])
    crowds = Crowds()
    for start in range(0, len(headers), HEADERS_AT_ONCE):
        rows = slice(start, min(len(headers), start + HEADERS_AT_ONCE))
        begin, end = (len(headers) + np.searchsorted(old, [rows.start, rows.stop])).tolist()
        part = headers.part(rows)
        own, _ = harmless(Implementation.CLASSIC, part.words)
        arrays, is_old = _arrays(at, own, np.r_[crowded[rows], crowded[begin:end]])
        yield _count_part(at, _Part(part, is_header[rows], own, in_frames(arrays, part.places), is_old, crowds))


def _count_part(at: Heap, part: _Part) -> Counted:
    """Return the counts of the buckets of some headers."""
    spans, layouts = at.spans, at.layouts
    words, arrays, is_old, count = part.words, part.arrays, part.is_old, len(part.headers)
    which, sizes = choices(arrays, spans, layouts)
    set_of, choice = _choices_of_headers(arrays, which, sizes, count)
    is_placed = part.is_header & np.array([bool(s) for s in choice], np.bool_)[set_of] & _has_extra(spans, words)
    found, found_size = Tally.of(count), np.zeros(count, np.int64)
    fits, legal = np.zeros((2, count), np.uint64)
    for n in range(max((len(s) for s in choice), default=0)):
        size = np.array([s[n] if n < len(s) else 0 for s in choice], np.int64)[set_of]
        tally = Tally.of(count)
        rows = np.flatnonzero((size > 0) & is_placed)
        _tally_arrays(at, arrays, is_old, size, tally)
        is_fit = ~tally.is_wrong & (tally.live == words[:, 0].astype(np.int64))
        is_better = is_fit | (found.is_wrong & ~tally.is_wrong)
        first = rows[(fits[rows] == 0) & (is_better[rows] | (n == 0))]
        for f in fields(Tally):
            getattr(found, f.name)[first] = getattr(tally, f.name)[first]
        found_size[first] = size[first]
        fits[rows] |= is_fit[rows].astype(np.uint64) << np.uint64(min(n, 63))
        legal[rows] |= (~tally.is_wrong[rows]).astype(np.uint64) << np.uint64(min(n, 63))
    taken = taken_by(arrays, spans, layouts, found_size[arrays.header])
    array, array_bytes = largest(arrays.header, arrays, taken, at.sampled, count)
    main = arrays.header[:count]
    sample, sample_bytes = samples(main, arrays.addr[:count], found.first, found_size, taken[:count], count)
    digest = found.digest + mixed(part.headers.words, np.arange(words.shape[1])).sum(axis=1, dtype=np.uint64)
    # the counts of a map that is being written fit no size, but its control bytes still show which sizes are possible
    is_sized = (fits != 0) | (is_placed & ~found.is_wrong)
    return Counted(
        is_map=is_placed & (fits != 0),
        is_placed=is_placed,
        is_legal=is_placed & ~found.is_wrong,
        live=found.live,
        buckets=found.buckets,
        empty=found.empty,
        dead=np.zeros(count, np.int64),
        allocated=sum_at(arrays.header, taken, count)
        + overflow_bytes(at, Sized(words, arrays, np.where(is_sized, found_size, 0)), part.crowds, found.overflow),
        sizes=_size_sets(arrays, at, np.where(fits != 0, fits, legal), (set_of, choice)).astype(np.int32),
        shape=with_shapes(arrays.header, arrays.shape, count),
        array=array,
        array_bytes=array_bytes,
        sample=sample,
        sample_bytes=sample_bytes.astype(np.int32),
        digest=digest,
    )  # fmt: skip


def _arrays(at: Heap, words: U64, crowded: Flags) -> tuple[Arrays, Flags]:
    """Return the arrays of some headers, old ones after the others, and which are old; crowded ones have no buckets."""
    flags, log2 = words[:, 1] & np.uint64(255), (words[:, 1] >> WORD) & np.uint64(255)
    main, old = np.arange(len(words)), np.flatnonzero(words[:, OLD])
    is_same_size = flags[old] & SAME_SIZE_GROW != 0
    # a map of one bucket can't have an old array: with 0 buckets no size fits, so the candidate is no map
    halved = np.where(log2[old] > 0, np.uint64(1) << (np.maximum(log2[old], np.uint64(1)) - np.uint64(1)), np.uint64(0))
    buckets = np.r_[np.uint64(1) << log2, np.where(is_same_size, np.uint64(1) << log2[old], halved)]
    header = np.r_[main, old]
    addr = np.r_[words[:, BUCKETS], words[old, OLD]]
    arrays = locate(at.memory, at.spans, at.layouts, header, addr, np.where(crowded, 0, buckets.astype(np.int64)))
    at.owned.note(arrays)
    return arrays, np.r_[np.zeros(len(main), np.bool_), np.ones(len(old), np.bool_)]


def _choices_of_headers(
    arrays: Arrays, which: I64, sizes: list[tuple[int, ...]], count: int
) -> tuple[I64, list[tuple[int, ...]]]:
    """Return for each header the number of the tuple of sizes that all its arrays may have, and all tuples."""
    of_old = np.full(count, -1, np.int64)
    of_old[arrays.header[count:]] = which[count:]
    first, number = distinct_rows([which[:count], of_old]) if count else (np.empty(0, np.int64), which)
    found = []
    for main, old in zip(which[first].tolist(), of_old[first].tolist(), strict=True):
        found.append(sizes[main] if old < 0 else tuple(sorted({*sizes[main]} & {*sizes[old]})))
    return number.astype(np.int64), found


def _has_extra(spans: Spans, words: U64) -> Flags:
    """Return which headers have no `extra`, or one that points to an object of the size of `mapextra`."""
    extra = extra_of(words)
    span, offset = spans.find(extra)
    fits: Flags = (span != NOWHERE) & (offset == 0) & (spans.object_bytes[span] == np.uint64(EXTRA_BYTES))
    fits |= extra == 0
    return fits


def _tally_arrays(at: Heap, arrays: Arrays, is_old: Flags, size: I64, tally: Tally) -> None:
    """Count all buckets, chains included, of the headers whose `size` is not 0."""
    rows = np.flatnonzero((size[arrays.header] > 0) & (arrays.buckets > 0))
    header = arrays.header[rows]
    sums = _Sums.of(at.memory, (arrays.addr[rows], arrays.buckets[rows], size[header]), is_old[rows])
    sums.add_to(tally, header)
    np.minimum.at(tally.first, header, sums.first)
    np.add.at(tally.digest, header, sums.digest)
    _tally_chains(at, arrays, size, tally, header[sums.chained], sums.links)


def _tally_chains(at: Heap, arrays: Arrays, size: I64, tally: Tally, owner: I64, link: U64) -> None:
    """Count overflow buckets: all chains are followed together, one link at a time.

    A chain that meets a bucket twice is a circle. To detect this, the bucket at each depth that is a power of two is
    kept, and compared with the buckets after it.
    """
    charges = Charges(at, arrays, len(size))
    most = MOST_CHAINED * sum_at(arrays.header, arrays.buckets, len(size)) + CHAINED_BESIDE
    chained, kept = np.zeros(len(size), np.int64), np.zeros(len(link), np.uint64)
    for depth in range(LONGEST_CHAIN):
        chained += np.bincount(owner, minlength=len(size))
        tally.is_wrong[(chained > most)] = True
        tally.is_wrong[owner[link == kept]] = True
        going = ~tally.is_wrong[owner]
        owner, link, kept = owner[going], link[going], kept[going]
        if not len(owner):
            return
        if depth & (depth + 1) == 0:
            kept = link
        taken, is_there = charges.of(owner, link, size[owner])
        tally.is_wrong[owner[~is_there]] = True
        owner, link, taken, kept = owner[is_there], link[is_there], taken[is_there], kept[is_there]
        sums = _Sums.of(at.memory, (link, np.ones(len(link), np.int64), size[owner]), np.zeros(len(link), np.bool_))
        sums.add_to(tally, owner)
        np.add.at(tally.overflow, owner, taken)
        np.add.at(tally.digest, owner, sums.digest * np.uint64(2 * depth + 1))
        owner, link, kept = owner[sums.chained], sums.links, kept[sums.chained]
    tally.is_wrong[owner] = True


@dataclass(frozen=True, slots=True)
class _Sums:
    """The counts of each array's buckets; one row an array.

    Attributes
    ----------
    first
        Number of the first bucket with an entry; `NO_BUCKET` if there is none, or for an old array.
    chained, links
        For each bucket with an overflow bucket: the row of its array, and the address of the overflow bucket.
    """

    live: I64
    buckets: I64
    empty: I64
    first: I64
    digest: U64
    is_wrong: Flags
    chained: I64
    links: U64

    @classmethod
    def of(cls, memory: Memory, arrays: tuple[U64, I64, I64], is_old: Flags) -> _Sums:
        """Read arrays, given by addresses, numbers of buckets and bytes of a bucket, and return their counts."""
        live, buckets, empty, first = (np.empty(len(is_old), np.int64) for _ in range(4))
        digest, is_wrong = np.empty(len(is_old), np.uint64), np.empty(len(is_old), np.bool_)
        sums = live, buckets, empty, first, digest, is_wrong
        chained, links = _core.sum_buckets(memory.source, arrays, is_old, NO_BUCKET, sums)
        return cls(*sums, np.frombuffer(chained, np.int64), np.frombuffer(links, np.uint64))

    def add_to(self, tally: Tally, owner: I64) -> None:
        """Add the counts to those of the headers; `owner` is the header of each array."""
        np.add.at(tally.live, owner, self.live)
        np.add.at(tally.buckets, owner, self.buckets)
        np.add.at(tally.empty, owner, self.empty)
        tally.is_wrong[owner[self.is_wrong]] = True


def _size_sets(arrays: Arrays, at: Heap, fits: U64, choice: tuple[I64, list[tuple[int, ...]]]) -> I64:
    """Return for each header the number in `SizeSets` of the bucket sizes that fit."""
    set_of, sizes = choice
    count = len(set_of)
    if not count:
        return np.empty(0, np.int64)
    span, frame = arrays.span[:count], arrays.frame[:count]
    points = at.spans.has_pointers[span] & (span != NOWHERE)
    first, number = distinct_rows([set_of, fits, points, frame])
    numbers = list[int]()
    for row, mask in zip(first.tolist(), fits[first].tolist(), strict=True):
        fit = [size for n, size in enumerate(sizes[set_of[row]]) if mask >> n & 1]
        numbers.append(at.sets.number(kinds_of(at.layouts, fit, bool(points[row]), int(frame[row]))))
    found: I64 = np.array(numbers, np.int64)[number]
    return found
