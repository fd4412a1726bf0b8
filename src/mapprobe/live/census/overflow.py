"""Bytes of the overflow buckets of classic maps: buckets in chains, and buckets that a map keeps while it grows.

An evacuated bucket of the old array is no longer in a chain of the map, but
its overflow buckets may stay in memory until the growth ends. Which object
refers to them depends on the bucket's type:

- without pointers: a list of all overflow buckets (`mapextra`);
- with pointers: the old array itself. An evacuated bucket still links to its
  chain if an iterator may need the chain, and a preallocated overflow bucket,
  which is a part of the array, is never unlinked from the next bucket.

go: runtime/map.go mapextra newoverflow evacuate [1.18..1.23]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapprobe.arrays import I64, U64, Flags, distinct_rows
from mapprobe.live.census.arrays import Arrays, Crowds, Heap, expanded, pieces
from mapprobe.live.census.candidates import CLASSIC_EXTRA
from mapprobe.live.heap.spans import NOWHERE, Spans
from mapprobe.live.memory import Memory

OLD = 3
"""Word of a header that has the address of the old array: 0 while the map does not grow."""
WORD_BYTES = 8
LEAST_PREALLOCATED_LOG2 = 4
"""Smaller arrays have no overflow buckets of their own. go: runtime/map.go makeBucketArray [1.18..1.23]"""
FIRST_EVACUATED, LAST_EVACUATED = 2, 4  # go: runtime/map.go evacuatedX evacuatedEmpty [1.18..1.23]
LONGEST_CHAIN = 1 << 13
"""Most buckets of a chain: all keys of a longer chain would have the same hash."""


@dataclass(frozen=True, slots=True)
class Sized:
    """Headers with their arrays, and the size of their buckets.

    Attributes
    ----------
    words
        Words of the headers, ``(headers, words)``; zeros for a header that is no map's.
    arrays
        Arrays of the headers: current arrays first, then old arrays.
    size
        Bytes of one bucket of each header, 0 where the size is not known.
    """

    words: U64
    arrays: Arrays
    size: I64


def overflow_bytes(at: Heap, sized: Sized, crowds: Crowds, chained: I64) -> I64:
    """Return the bytes that all overflow buckets of each header take.

    Parameters
    ----------
    crowds
        The lists of overflow buckets that were met so far.
    chained
        Bytes of the overflow buckets in chains, ``(headers,)``.
    """
    charges = Charges(at, sized.arrays, len(sized.size))
    kept = chained + _kept_by_array(at, sized, charges)
    _add_lists(at, sized, crowds, charges, kept)
    return kept


def extra_of(words: U64) -> U64:
    """Return the word of each header that has the address of its `mapextra`, 0 for none."""
    extra: U64 = words[:, CLASSIC_EXTRA + (words.shape[1] > CLASSIC_EXTRA + 1)]
    return extra


def _add_lists(at: Heap, sized: Sized, crowds: Crowds, charges: Charges, kept: I64) -> None:
    """For growing maps with lists of overflow buckets, replace the bytes that were counted by those of the lists."""
    words, size, memory = sized.words, sized.size, at.memory
    extra = extra_of(words)
    rows = np.flatnonzero((words[:, OLD] != 0) & (extra != 0) & (size > 0))
    lists = memory.words(extra[rows], 2)[0].reshape(-1)
    owner, lists = np.repeat(rows, 2)[lists != 0], lists[lists != 0]
    slices, known = memory.words(lists, 2)
    addr, length = slices[:, 0], slices[:, 1]
    is_list = known & _has_room(at.spans, addr, length) & ~crowds.joined_by(addr)
    # a word that leads to no list was read while the map was written
    is_whole = np.ones(len(words), np.bool_)
    is_whole[owner[~is_list]] = False
    going = is_whole[owner]
    owner, addr, length = owner[going], addr[going], length[going].astype(np.int64)
    kept[owner] = 0
    for some, start, count in pieces(np.arange(len(owner)), length):
        places = addr[some] + (WORD_BYTES * start).astype(np.uint64)
        links = memory.words(expanded(places, count, np.full(len(some), WORD_BYTES))[0])[0][:, 0]
        header = np.repeat(owner[some], count)
        taken, is_bucket = charges.of(header, links, size[header])
        np.add.at(kept, header, np.where(is_bucket, taken, 0))


def _has_room(spans: Spans, addr: U64, length: U64) -> Flags:
    """Return which lists are within an object: that many words, from their addresses on."""
    span, offset = spans.find(addr)
    room = (spans.object_bytes[span].astype(np.int64) - offset) // WORD_BYTES
    found: Flags = (span != NOWHERE) & (addr % np.uint64(WORD_BYTES) == 0) & (length <= room.astype(np.uint64))
    return found


def _kept_by_array(at: Heap, sized: Sized, charges: Charges) -> I64:
    """Return the bytes of overflow buckets that only the old array of each header still refers to."""
    owner, link, is_chained = _links_of_old_arrays(at, sized)
    walk = _Walk(at.memory, sized.size, charges)
    walk.follow(owner[is_chained], link[is_chained])
    return walk.follow(owner[~is_chained], link[~is_chained])


def _links_of_old_arrays(at: Heap, sized: Sized) -> tuple[I64, U64, Flags]:
    """Return the overflow buckets to which the buckets of old arrays link.

    Returns
    -------
    The header of each, its address, and whether the bucket that links to it is not evacuated, so that it is already
    counted with the chain.
    """
    arrays, memory = sized.arrays, at.memory
    rows = len(sized.size) + np.flatnonzero(arrays.buckets[len(sized.size) :])
    rows = rows[(sized.size[arrays.header[rows]] > 0) & (arrays.span[rows] != NOWHERE)]
    size, main = sized.size[arrays.header[rows]], arrays.buckets[rows]
    room = at.spans.object_bytes[arrays.span[rows]].astype(np.int64) - arrays.offset[rows]
    total = np.where(main >= 1 << LEAST_PREALLOCATED_LOG2, np.maximum(room // size, main), main)
    owners, links, chained = [np.empty(0, np.int64)], [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
    for some, start, count in pieces(np.arange(len(rows)), total):
        begin = arrays.addr[rows[some]] + (start * size[some]).astype(np.uint64)
        places, number, _ = expanded(begin, count, size[some])
        each = np.repeat(some, count)
        link = memory.words(places + (size[each] - WORD_BYTES).astype(np.uint64))[0][:, 0]
        found = np.flatnonzero(link)
        each = each[found]
        top = memory.words(places[found])[0][:, 0] & np.uint64(255)
        is_evacuated = (top >= FIRST_EVACUATED) & (top <= LAST_EVACUATED)
        owners.append(arrays.header[rows[each]])
        links.append(link[found])
        is_main = number[found] + np.repeat(start, count)[found] < main[each]
        chained.append(is_main & ~is_evacuated)
    return np.concatenate(owners), np.concatenate(links), np.concatenate(chained)


class _Walk:
    """A walk along overflow buckets that visits each of them once."""

    def __init__(self, memory: Memory, size: I64, charges: Charges) -> None:
        self._memory, self._size, self._charges = memory, size, charges
        self._met = Crowds(1)

    def follow(self, owner: I64, link: U64) -> I64:
        """Return by header the bytes of the overflow buckets from some links on that were not visited before."""
        found = np.zeros(len(self._size), np.int64)
        for _ in range(LONGEST_CHAIN):
            is_new = ~self._met.joined_by(link)
            owner, link = owner[is_new], link[is_new]
            taken, is_there = self._charges.of(owner, link, self._size[owner])
            owner, link, taken = owner[is_there], link[is_there], taken[is_there]
            if not len(owner):
                break
            np.add.at(found, owner, taken)
            link = self._memory.words(link + (self._size[owner] - WORD_BYTES).astype(np.uint64))[0][:, 0]
            owner, link = owner[link != 0], link[link != 0]
        return found


class Charges:
    """The bytes of overflow buckets: 0 for a preallocated one, which is part of an array."""

    def __init__(self, at: Heap, arrays: Arrays, count: int) -> None:
        self._spans, self._layouts, self._owned = at.spans, at.layouts, at.owned
        # start and end of the main array's object, and of the old array's object
        self._objects = np.zeros((count, 4), np.uint64)
        begin = arrays.addr - arrays.offset.astype(np.uint64)
        end = begin + np.where(arrays.span != NOWHERE, at.spans.object_bytes[arrays.span], np.uint64(0))
        is_old = np.arange(len(arrays.addr)) >= count
        column = np.where(is_old, 2, 0)
        self._objects[arrays.header, column], self._objects[arrays.header, column + 1] = begin, end

    def of(self, owner: I64, link: U64, size: I64) -> tuple[I64, Flags]:
        """Return the size of each bucket [bytes], and which links lead to an object, or a part of one, that fits."""
        objects = self._objects[owner]
        is_within = (link >= objects[:, 0]) & (link < objects[:, 1]) | (link >= objects[:, 2]) & (link < objects[:, 3])
        span, offset = self._spans.find(link)
        inside = (span != NOWHERE) & (link & np.uint64(7) == 0)
        points = self._spans.has_pointers[span]
        first, number = distinct_rows([size, points]) if len(size) else (np.empty(0, np.int64), size)
        places = np.array(
            [self._layouts.placed(int(size[row]), bool(points[row])) for row in first.tolist()], np.int64
        ).reshape(-1, 2)
        own = inside & (self._spans.object_bytes[span].astype(np.int64) == places[number, 0])
        own &= offset == places[number, 1]
        self._owned.note_objects(link[own] - offset[own].astype(np.uint64))
        return np.where(is_within, 0, places[number, 0]), is_within & inside | own
