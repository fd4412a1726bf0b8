"""Swiss maps from their headers: directory, tables and groups are read, counted, and compared with each other.

A candidate is a map if its directory is an object of the right size, and each
table has the directory slots that its index says, the full slots that its
head says, and the deleted slots that follow from its growthLeft. A small map
must hold as many entries in its group as the header says.

go: internal/runtime/maps/map.go Map, internal/runtime/maps/table.go table,
internal/runtime/maps/group.go ctrlGroup [1.24..1.27]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from mapprobe import _core
from mapprobe.arrays import I64, U64, Flags, distinct_rows
from mapprobe.live.census.arrays import (
    HEADERS_AT_ONCE,
    NO_BUCKET,
    NOT_IN_FRAME,
    Arrays,
    Counted,
    Heap,
    choices,
    expanded,
    in_frames,
    is_crowded,
    kinds_of,
    largest,
    locate,
    mixed,
    pieces,
    samples,
    sum_at,
    taken_by,
    with_shapes,
)
from mapprobe.live.census.candidates import Headers, looks
from mapprobe.live.heap.spans import NOWHERE, Spans
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import Implementation

DIRECTORY, LENGTH, DEPTH = 2, 3, 4
TABLE_WORDS, TABLE_BYTES = 4, 32
WORD_BYTES = 8
MOST_GROUPS = 128  # go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]
SEVEN = np.uint64(7)


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables of some headers; one row a table.

    Attributes
    ----------
    header
        Row of the table's header.
    is_table
        The words of the table and its directory slots fit together.
    is_wrong
        One row a header, not a table: a directory slot leads to no table that belongs there.
    groups, count
        Address of the table's groups, and their number.
    used, deleted
        Full slots by the table's head, and deleted slots by its growthLeft.
    words
        The words of the table, ``(tables, TABLE_WORDS)``.
    """

    header: I64
    is_table: Flags
    is_wrong: Flags
    groups: U64
    count: I64
    used: I64
    deleted: I64
    words: U64

    def take(self, rows: I64 | slice, begin: int = 0) -> Tables:
        """Return some tables, with the rows of headers counted from `begin` on."""
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(Tables) if f.name != "is_wrong"}
        return Tables(**columns | {"is_wrong": self.is_wrong, "header": columns["header"] - begin})

    def part(self, headers: slice) -> Tables:
        """Return the tables of a range of headers; tables are in the order of their headers."""
        begin, end = np.searchsorted(self.header, [headers.start, headers.stop]).tolist()
        return replace(self.take(slice(begin, end), headers.start), is_wrong=self.is_wrong[headers])


@dataclass(slots=True)
class Tally:
    """The counts of each array's groups, with the first bucket size that fits; one row an array.

    Attributes
    ----------
    fits, legal
        A bit for each bucket size: the counts agree with the table; all control bytes are possible.
    is_legal
        All control bytes are possible with the size that was used for the counts.
    """

    fits: U64
    live: I64
    empty: I64
    dead: I64
    first: I64
    size: I64
    digest: U64
    is_legal: Flags
    legal: U64


@dataclass(frozen=True, slots=True)
class _Part:
    """Some headers, the meaning of their words, and their tables.

    Attributes
    ----------
    directory
        Address of the directory, or of the group of a small map.
    groups
        1 for a small map; 0 for other maps, and if too many headers lead to the same group.
    directory_bytes
        Size of the directory [bytes]; 0 if there is no object of the right size.
    """

    headers: Headers
    is_header: Flags
    is_small: Flags
    directory: U64
    groups: I64
    directory_bytes: I64
    tables: Tables


def count_swiss(at: Heap, headers: Headers) -> Iterator[Counted]:
    """Yield the counts of the groups of some headers, part by part."""
    words, is_header = headers.words, looks(Implementation.SWISS, headers.words)
    directory = np.where(is_header, words[:, DIRECTORY], np.uint64(0))
    is_small = ~is_header | (words[:, LENGTH] == 0)
    directory_bytes, groups = np.zeros(len(headers), np.int64), np.zeros(len(headers), np.int64)
    large = np.flatnonzero(~is_small & ~is_crowded(directory))
    directory_bytes[large] = _directories(at, words[large])
    tables = _read_tables(at.memory, at.spans, words, np.flatnonzero(directory_bytes))
    crowded = is_crowded(np.r_[directory[is_small], tables.groups])
    begin = len(crowded) - len(tables.groups)
    groups[is_small] = ~crowded[:begin]
    tables.count[crowded[begin:]] = 0
    tables = tables.take(np.argsort(tables.header, kind="stable"))
    for start in range(0, len(headers), HEADERS_AT_ONCE):
        rows = slice(start, min(len(headers), start + HEADERS_AT_ONCE))
        small = is_small[rows], directory[rows], groups[rows]
        part = _Part(headers.part(rows), is_header[rows], *small, directory_bytes[rows], tables.part(rows))
        yield _count_part(at, part)


def _count_part(at: Heap, part: _Part) -> Counted:
    """Return the counts of the groups of some headers."""
    words, count, tables = part.headers.words, len(part.headers), part.tables
    small = np.flatnonzero(part.is_small)
    header = np.r_[small, tables.header]
    addrs, groups = np.r_[part.directory[small], tables.groups], np.r_[part.groups[small], tables.count]
    arrays = locate(at.memory, at.spans, at.layouts, header, addrs, groups)
    at.owned.note(arrays)
    used = np.r_[words[small, 0].astype(np.int64), tables.used]
    deleted = np.r_[np.zeros(len(small), np.int64), tables.deleted]
    which, sizes = choices(arrays := in_frames(arrays, part.headers.places), at.spans, at.layouts)
    tally = _tally(at.memory, arrays, which, sizes, used, deleted)
    is_fit = (tally.fits != 0) & np.r_[np.ones(len(small), np.bool_), tables.is_table]
    is_placed = _all_of(header, np.array([bool(s) for s in sizes] + [False])[which], count)
    is_placed &= part.is_small | (part.directory_bytes > 0)
    is_placed &= part.is_header & ~tables.is_wrong & _all_of(tables.header, tables.is_table, count)
    # the counts of a map that is being written fit no size, but its control bytes still show which sizes are possible
    fits = np.where(tally.fits != 0, tally.fits, tally.legal)
    number, is_agreed = _size_sets(arrays, at, fits, (which, sizes), count)
    taken = taken_by(arrays, at.spans, at.layouts, tally.size)
    array, array_bytes = largest(header, arrays, taken, at.sampled, count)
    sample, sample_bytes = samples(header, arrays.addr, tally.first, tally.size, taken, count)
    live = sum_at(header, tally.live, count)
    digest = mixed(words, np.arange(words.shape[1])).sum(axis=1, dtype=np.uint64)
    np.add.at(digest, header, tally.digest)
    np.add.at(digest, tables.header, tables.words.sum(axis=1, dtype=np.uint64))
    return Counted(
        is_map=is_placed & is_agreed & _all_of(header, is_fit, count) & (live == words[:, 0].astype(np.int64)),
        is_placed=is_placed,
        is_legal=is_placed & _all_of(header, tally.is_legal, count),
        live=live,
        buckets=sum_at(header, arrays.buckets, count),
        empty=sum_at(header, tally.empty, count),
        dead=sum_at(header, tally.dead, count),
        allocated=part.directory_bytes + sum_at(header, taken, count)
        + sum_at(tables.header, np.full(len(tables.header), TABLE_BYTES), count),
        sizes=number.astype(np.int32),
        shape=with_shapes(header, arrays.shape, count),
        array=array,
        array_bytes=array_bytes,
        sample=sample,
        sample_bytes=sample_bytes.astype(np.int32),
        digest=digest,
    )  # fmt: skip


def _directories(at: Heap, words: U64) -> I64:
    """Return the size of each header's directory [bytes], 0 if there is no object of the right size."""
    taken = np.zeros(len(words), np.int64)
    span, offset = at.spans.find(words[:, DIRECTORY])
    rows = np.flatnonzero(span != NOWHERE)
    span, offset = span[rows], offset[rows]
    first, which = distinct_rows([words[rows, LENGTH]])
    lengths = words[rows[first], LENGTH].tolist()
    places = np.array([at.layouts.placed(8 * n, True) for n in lengths], np.int64).reshape(-1, 2)
    expected, begins = places[which, 0], places[which, 1]
    fits = (at.spans.object_bytes[span] == expected.astype(np.uint64)) & (offset == begins)
    taken[rows] = np.where(fits & at.spans.has_pointers[span], expected, 0)
    return taken


def _read_tables(memory: Memory, spans: Spans, words: U64, rows: I64) -> Tables:
    """Return the tables of the headers in `rows`, which have a directory.

    A table has one run of directory slots, which begins at its index. At the first slot that contradicts this the
    header is given up, so that a forged directory does not lead to more tables than exist.
    """
    is_wrong = np.zeros(len(words), np.bool_)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, TABLE_WORDS), np.uint64))]
    last = (-1, 0)
    for header, start, length in pieces(rows, words[rows, LENGTH].astype(np.int64)):
        going = ~is_wrong[header]
        header, start, length = header[going], start[going], length[going]
        if not len(header):
            continue
        begin = words[header, DIRECTORY] + (WORD_BYTES * start).astype(np.uint64)
        places, entry, _ = expanded(begin, length, np.full(len(header), WORD_BYTES))
        pointer, owner = memory.words(places)[0][:, 0], np.repeat(header, length)
        entry += np.repeat(start, length)
        is_first = np.r_[True, (pointer[1:] != pointer[:-1]) | (owner[1:] != owner[:-1])]
        is_first[0] = last != (owner[0], pointer[0])
        last = owner[-1], pointer[-1]
        first = np.flatnonzero(is_first)
        raw, is_known = _known_tables(memory, spans, pointer[first], entry[first])
        is_wrong[owner[first[~is_known]]] = True
        first, raw = first[is_known], raw[is_known]
        parts.append((owner[first], entry[first], raw))
    header, entry, raw = (np.concatenate(column) for column in zip(*parts, strict=True))
    kept = ~is_wrong[header]
    return _tables(words, header[kept], entry[kept], raw[kept], is_wrong)


def _known_tables(memory: Memory, spans: Spans, addr: U64, entry: I64) -> tuple[U64, Flags]:
    """Return the words at some addresses, and which of them are objects of a table's size with this index."""
    span, offset = spans.find(addr)
    is_table = (span != NOWHERE) & (offset == 0) & (spans.object_bytes[span] == np.uint64(TABLE_BYTES))
    raw, known = memory.words(np.where(is_table, addr, np.uint64(0)), TABLE_WORDS)
    return raw, is_table & known & (raw[:, 1] == entry.astype(np.uint64))


def _tables(words: U64, header: I64, entry: I64, raw: U64, is_wrong: Flags) -> Tables:
    """Return tables made from their words; the tables of one header are in a row, by directory slot."""
    ends_at = np.append(entry[1:], 0)
    is_last = np.append(header[1:] != header[:-1], True)[: len(header)]
    run = np.where(is_last, words[header, LENGTH].astype(np.int64), ends_at[: len(header)]) - entry
    head, length_mask = raw[:, 0], raw[:, 3]
    capacity, local_depth = (head >> np.uint64(16)) & np.uint64(0xFFFF), (head >> np.uint64(48)) & np.uint64(0xFF)
    groups = (capacity >> np.uint64(3)).astype(np.int64)
    depth = words[header, DEPTH] & np.uint64(0xFF)
    is_table = (groups > 0) & (groups <= MOST_GROUPS) & (groups & (groups - 1) == 0) & (capacity & SEVEN == 0)
    is_table &= length_mask == (groups - 1).astype(np.uint64)
    below = np.where(local_depth <= depth, depth - local_depth, np.uint64(63))
    is_table &= run.astype(np.uint64) == np.uint64(1) << np.minimum(below, np.uint64(63))
    used, growth_left = (head & np.uint64(0xFFFF)).astype(np.int64), (head >> np.uint64(32) & np.uint64(0xFFFF))
    deleted = 7 * groups - used - growth_left.astype(np.int64)
    return Tables(header, is_table, is_wrong, raw[:, 2], np.where(is_table, groups, 0), used, deleted, raw)


def _empty_tally(count: int) -> Tally:
    """Return a tally of `count` arrays, with nothing counted yet."""
    fits, digest, legal = (np.zeros(count, np.uint64) for _ in range(3))
    live, empty, dead, size = (np.zeros(count, np.int64) for _ in range(4))
    first = np.full(count, NO_BUCKET, np.int64)
    return Tally(fits, live, empty, dead, first, size, digest, np.zeros(count, np.bool_), legal)


def _tally(memory: Memory, arrays: Arrays, which: I64, sizes: list[tuple[int, ...]], used: I64, deleted: I64) -> Tally:
    """Count groups with each bucket size that an array may have; bit n of `fits` stands for the n-th size."""
    tally = _empty_tally(len(arrays.addr))
    how_many = np.array([len(s) for s in sizes] + [0], np.int64)[which]
    for n in range(int(how_many.max(initial=0))):
        size = np.array([s[n] if n < len(s) else 0 for s in sizes] + [0], np.int64)[which]
        # a single group begins at the same address with any size: one count is enough
        rows = np.flatnonzero((size > 0) & (arrays.buckets > 0) & ((arrays.buckets > 1) | (n == 0)))
        if len(rows):
            _tally_groups(memory, tally, arrays, _Try(np.uint64(n), rows, size[rows]), (used, deleted))
    alone = arrays.buckets == 1
    all_of_them = (np.uint64(1) << np.minimum(how_many, 63).astype(np.uint64)) - np.uint64(1)
    tally.fits = np.where(alone & (tally.fits != 0), all_of_them, tally.fits)
    tally.legal = np.where(alone & (tally.legal != 0), all_of_them, tally.legal)
    return tally


class _Try(NamedTuple):
    """The n-th bucket size of each array: the number n, the rows of arrays with as many sizes, and the sizes."""

    number: np.uint64
    rows: I64
    size: I64


def _tally_groups(memory: Memory, tally: Tally, arrays: Arrays, attempt: _Try, expected: tuple[I64, I64]) -> None:
    """Count the groups of some arrays with one size each; `expected`: used and deleted slots by the tables."""
    (number, rows, size), (used, deleted) = attempt, expected
    live, dead_slots, empty, first_live = (np.empty(len(rows), np.int64) for _ in range(4))
    digest, legal = np.empty(len(rows), np.uint64), np.empty(len(rows), np.bool_)
    sums = live, dead_slots, empty, first_live, digest, legal
    _core.sum_groups(memory.source, (arrays.addr[rows], arrays.buckets[rows], size), NO_BUCKET, sums)
    fits = legal & (live == used[rows]) & (dead_slots == deleted[rows])
    first = (tally.fits[rows] == 0) & (fits | (legal & ~tally.is_legal[rows]) | (number == 0))
    chosen = rows[first]
    tally.live[chosen], tally.dead[chosen] = live[first], dead_slots[first]
    tally.size[chosen] = size[first]
    tally.first[chosen] = first_live[first]
    tally.is_legal[chosen] = legal[first]
    tally.empty[chosen] = empty[first]
    tally.digest[chosen] = digest[first]
    tally.fits[rows] |= fits.astype(np.uint64) << number
    tally.legal[rows] |= legal.astype(np.uint64) << number


def _all_of(header: I64, flags: Flags, count: int) -> Flags:
    """Return which of `count` headers have no row whose flag is false."""
    found = np.ones(count, np.bool_)
    found[header[~flags]] = False
    return found


def _size_sets(
    arrays: Arrays, at: Heap, fits: U64, choice: tuple[I64, list[tuple[int, ...]]], count: int
) -> tuple[I64, Flags]:
    """Return the number in `SizeSets` of the sizes that fit all arrays of a header, and which headers have any."""
    (which, sizes), spans, layouts, sets = choice, at.spans, at.layouts, at.sets
    points = spans.has_pointers[arrays.span] & (arrays.span != NOWHERE)
    first, number = distinct_rows([which, fits, points, arrays.frame])
    numbers = list[int]()
    for row, mask in zip(first.tolist(), fits[first].tolist(), strict=True):
        of_row, frame = sizes[which[row]], int(arrays.frame[row])
        # a single group in a frame fits with any size, and there may be more sizes than bits
        fit = [size for bit, size in enumerate(of_row) if mask >> bit & 1 or (mask and frame != NOT_IN_FRAME)]
        numbers.append(sets.number(kinds_of(layouts, fit, bool(points[row]), frame)))
    set_of = np.array(numbers, np.int64)[number]
    least, most = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(least, arrays.header, set_of)
    np.maximum.at(most, arrays.header, set_of)
    found = np.where(least == most, most, 0)
    mixed_rows = np.flatnonzero((least != most) & (most > 0))
    if len(mixed_rows):
        order = np.argsort(arrays.header, kind="stable")
        begins = np.searchsorted(arrays.header[order], mixed_rows)
        ends = np.searchsorted(arrays.header[order], mixed_rows, "right")
        for row, begin, end in zip(mixed_rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
            of_arrays = [sets.sets[n] for n in np.unique(set_of[order[begin:end]]).tolist()]
            found[row] = sets.number(frozenset.intersection(*of_arrays))
    return found, found > 0
