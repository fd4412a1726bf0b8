"""A copy of one map's buckets in parts, each of which can be read again by itself while the map is written.

A part is what one operation may change. In a classic map a part is a bucket with its overflow chain and, while the map
grows, the buckets that it is evacuated from and to; in a Swiss map a part is a group. Part 0 is the layout of the map:
its arrays, its directory and tables. `touched` says by the hashes of operations which parts they may have changed; it
may name a part too many, but never one too few.
"""

from __future__ import annotations

import bisect
from typing import NamedTuple, Protocol

import numpy as np

from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.snapshot.buckets import (
    NONE,
    SAME_SIZE_GROW,
    TABLE,
    Buckets,
    Raw,
    Read,
    TornRead,
    bucket_array,
    classic_shape,
    control_words,
    grouped,
    joined,
    listed,
    read_chains,
    read_groups,
    rows_in_use,
    swiss_directory,
    table_heads,
)
from mapprobe.vocabulary import Implementation

LAYOUT = 0
"""Number of the part that is the layout of the map."""
CLASSIC_LAYOUT = np.array([0, 0xFF00 | SAME_SIZE_GROW, (1 << 64) - 1, (1 << 64) - 1, 0, 0], np.uint64)
"""Bits of an hmap's words that are its layout: B, whether it grows to the same size, its arrays.

go: runtime/map.go hmap [1.18..1.23]"""
SWISS_LAYOUT = np.array([0, 0, (1 << 64) - 1, (1 << 64) - 1, 0xFF, 0], np.uint64)
"""Bits of a Map's words that are its layout: its directory. go: internal/runtime/maps/map.go Map [1.24..1.27]"""
EVACUATED = 4
"""Number of the hmap's word `nevacuate`, which says how many old buckets are evacuated."""
MOST_AT_ONCE = 1 << 20
"""Most parts, besides those of their keys, that operations between two looks may have changed."""
HIGHS = np.uint64(0x8080808080808080)
DELETED_BIT = np.uint64(6)

Pairs = tuple[I64, I64]
"""Pairs of an operation and a part that it touched: the rows of both."""
Piece = object


class Operations(NamedTuple):
    """Inserts, updates and deletes of one map, in order.

    Attributes
    ----------
    hashes
        Hashes of the keys, ``(n,)``.
    headers
        The map's header before each operation, ``(6, n)``.
    header
        The header after all of these operations, and possibly further ones, ``(6,)``.
    """

    hashes: U64
    headers: U64
    header: U64

    @property
    def has_grown(self) -> Flags:
        """Which operations may have added an entry, ``(n,)``."""
        counts = np.append(self.headers[0], self.header[0])
        found: Flags = (counts[1:] > counts[:-1]) | (np.arange(1, len(counts)) == len(self.hashes))
        return found


NO_PAIRS = np.empty(0, np.int64), np.empty(0, np.int64)


class Copy(Protocol):
    """A copy of one map, in parts."""

    parts: int
    """Number of parts."""

    def is_laid_out(self, header: U64) -> bool:
        """True if a header has the arrays that were copied."""

    def lay_out(self, header: U64, *, was_sure: bool) -> range:
        """Read the layout of the map, and all parts that are not copied yet; return the numbers of these parts.

        Parameters
        ----------
        was_sure
            The layout did not change while it was read the last time.
        """

    def held(self) -> Flags:
        """Return which parts still belong to the map, ``(parts,)``."""

    def touched(self, operations: Operations, full: Flags) -> Pairs:
        """Return which parts operations may have changed.

        Parameters
        ----------
        full
            Parts that may have been filled up since they were read, ``(parts,)``.
        """

    def filled(self, counts: I64) -> Flags:
        """Return which parts may be full when this many keys were put into each since it was read, ``(parts,)``."""

    def changed_whole(self, operations: Operations) -> Pairs:
        """Return further parts that operations may have changed; to be called once for each operation."""

    def fetch(self, part: int) -> Piece:
        """Read a part."""

    def put(self, part: int, piece: Piece) -> None:
        """Replace a part by what was read."""

    def buckets(self) -> Buckets:
        """Return all buckets in the model's order."""


def copy_of(implementation: Implementation, read: Read, bucket_bytes: int) -> Copy:
    """Return an empty copy."""
    return (ClassicCopy if implementation is Implementation.CLASSIC else SwissCopy)(read, bucket_bytes)


class ClassicCopy:
    """A copy of an hmap: part n + 1 has the buckets whose numbers end in the bits of n, of old buckets if it grows."""

    def __init__(self, read: Read, bucket_bytes: int) -> None:
        self._read, self._bucket_bytes = read, bucket_bytes
        self._header = np.zeros(6, np.uint64)
        self._arrays: list[tuple[Raw, dict[int, list[Raw]], int, int]] = []
        self.parts, self._mask, self._is_growing = 1, 0, False

    def is_laid_out(self, header: U64) -> bool:
        """True if a header has the same arrays."""
        return bool(((header ^ self._header) & CLASSIC_LAYOUT == 0).all())

    def lay_out(self, header: U64, *, was_sure: bool) -> range:
        """Read the whole map."""
        self._header, shape = header, classic_shape(header)
        self._arrays, seen = [], set[int]()
        for base, log2, part in shape.arrays():
            raw = np.require(bucket_array(self._read, base, log2, self._bucket_bytes), requirements="W")
            self._arrays.append((raw, read_chains(self._read, raw, rows_in_use(raw, part), seen), base, part))
        self._is_growing = bool(shape.old)
        size = 1 << (shape.old_log2 if shape.old else shape.log2) if shape.main else 0
        self.parts, self._mask = 1 + size, max(0, size - 1)
        return range(1, self.parts)

    def held(self) -> Flags:
        """Return that all parts belong to the map."""
        return np.ones(self.parts, np.bool_)

    def touched(self, operations: Operations, full: Flags) -> Pairs:
        """Return the parts of the hashes."""
        rows = np.arange(len(operations.hashes))
        if self.parts == 1:  # the first insert makes its array
            return rows, np.full(len(rows), LAYOUT)
        return rows, (operations.hashes & np.uint64(self._mask)).astype(np.int64) + 1

    def filled(self, counts: I64) -> Flags:
        """Return that no part is ever full, as chains grow."""
        return np.zeros(len(counts), np.bool_)

    def changed_whole(self, operations: Operations) -> Pairs:
        """Return the parts of the buckets that were evacuated besides those of the hashes.

        go: runtime/map.go growWork advanceEvacuationMark [1.18..1.23]
        """
        if not self._is_growing:
            return NO_PAIRS
        end = operations.header[EVACUATED] if self.is_laid_out(operations.header) else np.uint64(self._mask)
        marks = np.minimum(np.append(operations.headers[EVACUATED], end), np.uint64(self._mask)).astype(np.int64)
        lengths = np.maximum(np.diff(marks), 0) + 1
        if lengths.sum() > MOST_AT_ONCE:
            raise TornRead("it is evacuated faster than it can be read")
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        evacuated = np.repeat(marks[:-1], lengths) + np.arange(int(lengths.sum())) - starts
        return np.repeat(np.arange(len(lengths)), lengths), evacuated + 1

    def fetch(self, part: int) -> Piece:
        """Read the buckets of a part and their chains."""
        found = []
        for raw, _, base, kind in self._arrays:
            for row in range(part - 1, len(raw), self._mask + 1):
                bucket = bucket_array(self._read, base + row * self._bucket_bytes, 0, self._bucket_bytes)
                chain = read_chains(self._read, bucket, rows_in_use(bucket, kind), set())
                found.append((row, bucket[0], chain.get(0)))
        return found

    def put(self, part: int, piece: Piece) -> None:
        """Replace the buckets of a part and their chains."""
        assert isinstance(piece, list)
        rows = iter(piece)
        for raw, chains, _, _ in self._arrays:
            for _ in range(part - 1, len(raw), self._mask + 1):
                row, bucket, chain = next(rows)
                raw[row] = bucket
                chains.pop(row, None)
                if chain:
                    chains[row] = chain

    def buckets(self) -> Buckets:
        """Return main buckets, each with its chain, then old buckets."""
        if not self._arrays:
            return NONE
        return joined([listed(raw, chains, kind) for raw, chains, _, kind in self._arrays])


class SwissCopy:
    """A copy of a Map. Each group is a part; the groups of one table follow each other."""

    def __init__(self, read: Read, bucket_bytes: int) -> None:
        self._read, self._bucket_bytes = read, bucket_bytes
        self._header = np.zeros(6, np.uint64)
        self.parts = 1
        self._tables: dict[int, int] = {}
        self._fresh: list[int] = []
        self._raws: list[Raw] = []
        self._heads: list[int] = []
        self._addrs: list[int] = []
        self._firsts: list[int] = [1]
        self._growth_left: list[int] = []
        self._empty = np.zeros(1, np.int64)
        self._places = np.zeros(1, np.int64)

    def is_laid_out(self, header: U64) -> bool:
        """True if a header has the same directory."""
        return bool(((header ^ self._header) & SWISS_LAYOUT == 0).all())

    def lay_out(self, header: U64, *, was_sure: bool) -> range:
        """Read the directory, and the groups of tables that are new in it."""
        for table in () if was_sure else self._fresh:  # they may have been filled while they were read
            del self._tables[table]
        places = swiss_directory(self._read, header)
        before = self.parts
        if not len(places):
            group = int(header[2])
            self._tables = {group: self._add(0, group, 1, 0)} if group else {}
            self._fresh, self._places = list(self._tables), np.array(list(self._tables.values()), np.int64)
        else:
            heads = table_heads(self._read, places, self._bucket_bytes)
            tables = places[np.flatnonzero(np.r_[True, places[1:] != places[:-1]])].tolist()
            self._fresh = [table for table in tables if table not in self._tables]
            for table, head in zip(tables, heads, strict=True):
                if table not in self._tables:
                    groups = int(head["groups"]), int(head["length_mask"]) + 1
                    self._tables[table] = self._add(table, *groups, int(head["growth_left"]))
            self._tables = {table: self._tables[table] for table in tables}
            self._places = np.array([self._tables[table] for table in places.tolist()], np.int64)
        self._header = header
        self._note_empty(before)
        return range(before, self.parts)

    def _add(self, head: int, addr: int, groups: int, growth_left: int) -> int:
        self._raws.append(np.require(read_groups(self._read, addr, groups, self._bucket_bytes), requirements="W"))
        self._heads.append(head)
        self._addrs.append(addr)
        self._growth_left.append(growth_left)
        self.parts += groups
        self._firsts.append(self.parts)
        return len(self._raws) - 1

    def _note_empty(self, first: int) -> None:
        added = [empty_slots(control_words(raw)) for raw in self._since(first)]
        self._empty = np.concatenate([self._empty[:first], *added])

    def _since(self, first: int) -> list[Raw]:
        return self._raws[bisect.bisect_left(self._firsts, first) :] if first < self.parts else []

    def held(self) -> Flags:
        """Return which groups belong to a table in the directory."""
        found = np.zeros(self.parts, np.bool_)
        found[LAYOUT] = True
        for table in np.unique(self._places).tolist():
            found[self._firsts[table] : self._firsts[table + 1]] = True
        return found

    def touched(self, operations: Operations, full: Flags) -> Pairs:
        """Return the groups along the probe sequences of the hashes, up to the first group with an empty slot.

        go: internal/runtime/maps/table.go probeSeq.next [1.24..1.27]
        """
        hashes, rows = operations.hashes, np.arange(len(operations.hashes))
        if not len(self._places):  # the first insert makes its group
            return rows, np.full(len(rows), LAYOUT)
        table, firsts = self._table_of(hashes), np.array(self._firsts)
        first, mask = firsts[table], firsts[table + 1] - firsts[table] - 1
        offset = (hashes >> np.uint64(7)).astype(np.int64) & mask
        goes_past = full | (self._empty == 0)
        found_rows, found_parts = [rows], [first + offset]
        for step in range(1, int(mask.max(initial=0)) + 1):
            goes_on = goes_past[first + offset] & (step <= mask)
            if not goes_on.any():
                break
            rows, first, mask, offset = rows[goes_on], first[goes_on], mask[goes_on], offset[goes_on]
            offset = (offset + step) & mask
            found_rows.append(rows)
            found_parts.append(first + offset)
        return np.concatenate(found_rows), np.concatenate(found_parts)

    def filled(self, counts: I64) -> Flags:
        """Return which groups may have no empty slot left."""
        return counts >= self._empty

    def changed_whole(self, operations: Operations) -> Pairs:
        """Return all groups of tables that may have been full: an insert may then have pruned their tombstones.

        go: internal/runtime/maps/table.go (*table).pruneTombstones [1.25..1.27]
        """
        if not int(self._header[3]):
            return NO_PAIRS
        table = self._table_of(operations.hashes)
        rows, parts = [NO_PAIRS[0]], [NO_PAIRS[1]]
        has_grown = operations.has_grown
        for number in np.unique(table[has_grown]).tolist():
            here = np.flatnonzero(has_grown & (table == number))
            late = here[max(0, self._growth_left[number] - 1) :]
            self._growth_left[number] -= len(here)
            if len(late):
                groups = np.arange(self._firsts[number], self._firsts[number + 1])
                rows.append(np.repeat(late, len(groups)))
                parts.append(np.tile(groups, len(late)))
                head = np.frombuffer(self._read(self._heads[number], TABLE.itemsize), TABLE)[0]
                self._growth_left[number] = int(head["growth_left"])
        if sum(map(len, rows)) > MOST_AT_ONCE:
            raise TornRead("its tables fill up faster than they can be read")
        return np.concatenate(rows), np.concatenate(parts)

    def _table_of(self, hashes: U64) -> I64:
        """Return the tables of hashes.

        go: internal/runtime/maps/map.go (*Map).directoryIndex [1.24..1.27]
        """
        depth = len(self._places).bit_length() - 1
        found: I64 = (
            self._places[(hashes >> np.uint64(64 - depth)).astype(np.int64)]
            if depth
            else (np.full(len(hashes), self._places[0]))
        )
        return found

    def _place_of(self, part: int) -> tuple[int, int]:
        table = bisect.bisect_right(self._firsts, part) - 1
        return table, part - self._firsts[table]

    def fetch(self, part: int) -> Piece:
        """Read a group."""
        table, row = self._place_of(part)
        return read_groups(self._read, self._addrs[table] + row * self._bucket_bytes, 1, self._bucket_bytes)

    def put(self, part: int, piece: Piece) -> None:
        """Replace a group."""
        assert isinstance(piece, np.ndarray)
        table, row = self._place_of(part)
        self._raws[table][row] = piece[0]
        self._empty[part] = empty_slots(control_words(piece))[0]

    def buckets(self) -> Buckets:
        """Return the groups of each table, in the order of the directory."""
        if not len(self._places):
            return NONE
        homes = np.flatnonzero(np.r_[True, self._places[1:] != self._places[:-1]])
        pairs = zip(self._places[homes].tolist(), homes.tolist(), strict=True)
        return joined([grouped(self._raws[table], n, home) for n, (table, home) in enumerate(pairs)])


def empty_slots(control: U64) -> I64:
    """Return how many slots of each group are empty; a group with one ends every probe sequence.

    go: internal/runtime/maps/group.go ctrlGroupMatchEmpty [1.24..1.27]
    """
    found: I64 = np.bitwise_count(control & ~(control << DELETED_BIT) & HIGHS).astype(np.int64)
    return found
