"""Reads all buckets of a map from memory, in the model's order.

The memory may not be a map (any more), or may change during the read: then its
parts don't fit together, and `TornRead` is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64, U32, U64
from mapprobe.errors import MemoryReadError
from mapprobe.vocabulary import Implementation

Read = Callable[[int, int], bytes | bytearray]
Room = Callable[[int], int]
"""Returns how many bytes one object has from an address on."""
Raw = npt.NDArray[np.uint8]
Heads = npt.NDArray[np.void]

CHUNK_BYTES = 1 << 20
UNCHECKED_BYTES = 1 << 16
SAME_SIZE_GROW = 8
LARGEST_LOG2 = 48
CHUNK_LOG2 = np.uint64(15)
NEAR_BYTES = 1 << 14
"""Buckets at most this far apart are read at once [bytes]: reading 16 KiB more takes as long as another read."""
LONGEST_CHAIN = 1 << 16
MOST_OVERFLOW = 1 << 22
"""Most overflow buckets of one map: more of them form a circle, or would take too long to read."""
LARGEST_TABLE = 1024  # go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]
SLOTS = 8
MAIN, OLD = 0, 2
TABLE = np.dtype(
    {
        "names": ["used", "capacity", "growth_left", "local_depth", "index", "groups", "length_mask"],
        "formats": ["<u2", "<u2", "<u2", "u1", "<i8", "<u8", "<u8"],
        "offsets": [0, 2, 4, 6, 8, 16, 24],
        "itemsize": 32,
    }
)
"""go: internal/runtime/maps/table.go table [1.24..1.27]"""


class TornRead(Exception):  # noqa: N818 - it isn't an error: the map is read again
    """The map changed while it was read, or there is no map (any more) at its address."""


class Buckets(NamedTuple):
    """The buckets of one map in the model's order.

    Attributes
    ----------
    control, part, home
        As in `schema.SNAPSHOT_BUCKETS`, ``(n_buckets,)``.
    raw
        Memory of the buckets, ``(n_buckets, bucket_bytes)``.
    """

    control: U64
    part: U32
    home: U32
    raw: Raw


NONE = Buckets(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty((0, 0), np.uint8))


def joined(arrays: list[Buckets]) -> Buckets:
    """Return the buckets of several arrays, one array after the other."""
    if len(arrays) == 1:
        return arrays[0]
    return Buckets(*(np.concatenate(columns) for columns in zip(*arrays, strict=True)))


def control_words(raw: Raw) -> U64:
    """Return the first eight bytes of each row."""
    return np.ascontiguousarray(raw[:, :8]).view(np.uint64).reshape(-1)


def read_buckets(read: Read, implementation: Implementation, header: U64, bucket_bytes: int, room: Room) -> Buckets:
    """Return all buckets of a map.

    Parameters
    ----------
    header
        The first six words of the header, ``(6,)``.

    Raises
    ------
    TornRead
        If the parts of the map don't fit together.
    MemoryReadError
        If the map's memory can't be read.
    """
    reader = _read_classic if implementation is Implementation.CLASSIC else _read_swiss
    return reader(within(read, room), header, bucket_bytes)


def within(read: Read, room: Room) -> Read:
    """Return a `read` that refuses large reads beyond one object: memory that is no map may lead to any length."""

    def checked(addr: int, length: int) -> bytes | bytearray:
        if length > UNCHECKED_BYTES and length > room(addr):
            raise TornRead("its header is no map's")
        return in_chunks(read, addr, length)

    return checked


def words(read: Read, addr: int, count: int) -> U64:
    """Return `count` words of eight bytes."""
    return np.frombuffer(read(addr, 8 * count), np.uint64)


def in_chunks(read: Read, addr: int, length: int) -> bytes | bytearray:
    """Read in chunks, so that an impossible length fails before its memory is allocated."""
    if length <= CHUNK_BYTES:
        return read(addr, length)
    parts = bytearray()
    while len(parts) < length:
        parts += read(addr + len(parts), min(CHUNK_BYTES, length - len(parts)))
    return parts


def _read_classic(read: Read, header: U64, bucket_bytes: int) -> Buckets:
    """Return an hmap's buckets."""
    shape = classic_shape(header)
    if not shape.main:
        return NONE
    seen: set[int] = set()
    arrays = []
    for base, log2, part in shape.arrays():
        raw = bucket_array(read, base, log2, bucket_bytes)
        arrays.append(listed(raw, read_chains(read, raw, rows_in_use(raw, part), seen), part))
    return joined(arrays)


class ClassicShape(NamedTuple):
    """Addresses and sizes of an hmap's arrays; `old` is 0 unless the map grows."""

    main: int
    log2: int
    old: int
    old_log2: int

    def arrays(self) -> list[tuple[int, int, int]]:
        """Return address, log2 of the number of buckets, and part of each array."""
        found = [(self.main, self.log2, MAIN), (self.old, self.old_log2, OLD)]
        return [array for array in found if array[0]]


def classic_shape(header: U64) -> ClassicShape:
    """Return the arrays of an hmap, by its header.

    go: runtime/map.go hmap [1.18..1.23]

    Raises
    ------
    TornRead
        If no map can have such a header.
    """
    second = int(header[1])
    flags, log2 = second & 0xFF, second >> 8 & 0xFF
    main, old = int(header[2]), int(header[3])
    old_log2 = log2 if flags & SAME_SIZE_GROW else log2 - 1
    if log2 > LARGEST_LOG2 or (old and (old_log2 < 0 or not main)):
        raise TornRead("its header is no map's")
    return ClassicShape(main, log2, old, old_log2)


def bucket_array(read: Read, base: int, log2: int, bucket_bytes: int) -> Raw:
    """Return the main buckets of an array, ``(1 << log2, bucket_bytes)``.

    go: runtime/map.go bmap [1.18..1.23]
    """
    return np.frombuffer(read(base, bucket_bytes << log2), np.uint8).reshape(-1, bucket_bytes)


def rows_in_use(raw: Raw, part: int) -> I64:
    """Return which main buckets count: all of a current array, and those of an old array that are not evacuated.

    go: runtime/map.go evacuated [1.18..1.23]
    """
    if part == MAIN:
        return np.arange(len(raw))
    return np.flatnonzero((raw[:, 0] < 2) | (raw[:, 0] > 4))


def read_chains(read: Read, raw: Raw, rows: I64, seen: set[int]) -> dict[int, list[Raw]]:
    """Return the overflow buckets of some main buckets, by row.

    Parameters
    ----------
    seen
        Addresses of overflow buckets that were met: each is in one chain, once.
    """
    chains: dict[int, list[Raw]] = {}
    following = next_buckets(raw[rows])
    rows, addrs = rows[following != 0], following[following != 0]
    for _ in range(LONGEST_CHAIN):
        if not len(addrs):
            return chains
        found = set(addrs.tolist())
        if len(found) < len(addrs) or not seen.isdisjoint(found) or len(seen) > MOST_OVERFLOW:
            break
        seen |= found
        buckets = read_each(read, addrs, raw.shape[1])
        for row, bucket in zip(rows.tolist(), buckets, strict=True):
            chains.setdefault(row, []).append(bucket)
        following = next_buckets(buckets)
        rows, addrs = rows[following != 0], following[following != 0]
    raise TornRead("its overflow chain has no end")


def next_buckets(raw: Raw) -> U64:
    """Return the overflow bucket of each bucket, 0 for none."""
    return np.ascontiguousarray(raw[:, -8:]).view(np.uint64).reshape(-1)


def read_each(read: Read, addrs: U64, length: int) -> Raw:
    """Read `length` bytes at each address, ``(addrs, length)``; addresses near each other are read at once."""
    order = np.argsort(addrs)
    found = np.empty((len(addrs), length), np.uint8)
    first = addrs[order]
    is_apart = np.r_[True, (first[1:] - first[:-1] > np.uint64(NEAR_BYTES)) | (np.diff(first >> CHUNK_LOG2) != 0)]
    starts = np.flatnonzero(is_apart)
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        base = int(first[start])
        rows, places = order[start:end], (first[start:end] - np.uint64(base)).astype(np.int64)
        try:
            run = np.frombuffer(read(base, int(places[-1]) + length), np.uint8)
        except MemoryReadError:  # there is a hole between them
            if end - start == 1:
                raise
            for row in rows.tolist():
                found[row] = np.frombuffer(read(int(addrs[row]), length), np.uint8)
        else:
            found[rows] = run[places[:, None] + np.arange(length)]
    return found


def listed(raw: Raw, chains: dict[int, list[Raw]], part: int) -> Buckets:
    """Return each bucket of an array that counts followed by its overflow chain."""
    if not chains and part == MAIN:
        count = len(raw)
        return Buckets(control_words(raw), np.full(count, part, np.uint32), np.arange(count, dtype=np.uint32), raw)
    home = rows_in_use(raw, part)
    lengths = np.ones(len(raw), np.int64)
    lengths[list(chains)] += np.array([len(chain) for chain in chains.values()], np.int64)
    lengths = lengths[home]
    starts = np.zeros(len(raw), np.int64)
    starts[home] = np.cumsum(lengths) - lengths
    rows = np.empty((int(lengths.sum()), raw.shape[1]), np.uint8)
    parts = np.full(len(rows), part, np.uint32)
    rows[starts[home]] = raw[home]
    for row, chain in chains.items():
        start = int(starts[row]) + 1
        rows[start : start + len(chain)] = chain
        parts[start : start + len(chain)] = part + 1
    return Buckets(control_words(rows), parts, np.repeat(home, lengths).astype(np.uint32), rows)


def _read_swiss(read: Read, header: U64, group_bytes: int) -> Buckets:
    """Return a Map's groups."""
    places = swiss_directory(read, header)
    if not len(places):
        directory = int(header[2])
        return grouped(read_groups(read, directory, 1, group_bytes), 0, 0) if directory else NONE
    heads = table_heads(read, places, group_bytes)
    firsts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    tables = [
        grouped(read_groups(read, int(head["groups"]), int(head["length_mask"]) + 1, group_bytes), number, home)
        for number, (home, head) in enumerate(zip(firsts.tolist(), heads, strict=True))
    ]
    return joined(tables)


def swiss_directory(read: Read, header: U64) -> U64:
    """Return the address of the table in each directory slot of a Map; none if the map is small.

    go: internal/runtime/maps/map.go Map [1.24..1.27]

    Raises
    ------
    TornRead
        If no map can have such a directory: each table has one run of slots.
    """
    length, depth = int(header[3]), int(header[4]) & 0xFF
    if length == 0:
        return np.empty(0, np.uint64)
    if depth > LARGEST_LOG2 or length != 1 << depth:
        raise TornRead("its header is no map's")
    places = words(read, int(header[2]), length)
    runs = 1 + int(np.count_nonzero(places[1:] != places[:-1]))
    if len(np.unique(places)) != runs:
        raise TornRead("its directory names a table twice")
    return places


def table_heads(read: Read, places: U64, group_bytes: int) -> Heads:
    """Return the head of each distinct table of a directory, in order.

    Raises
    ------
    TornRead
        If one is no table, or two tables overlap.
    """
    tables = places[np.flatnonzero(np.r_[True, places[1:] != places[:-1]])]
    heads = np.frombuffer(b"".join(read(addr, TABLE.itemsize) for addr in tables.tolist()), TABLE)
    groups = heads["length_mask"] + np.uint64(1)
    is_table = (heads["capacity"] <= LARGEST_TABLE) & (groups * np.uint64(SLOTS) == heads["capacity"]) & (groups > 0)
    is_table &= heads["length_mask"] & groups == 0
    if not is_table.all():
        raise TornRead("its directory leads to something that is no table")
    order = np.argsort(heads["groups"])
    starts = heads["groups"][order]
    if (np.diff(starts) < groups[order][:-1] * np.uint64(group_bytes)).any():
        raise TornRead("two of its tables have the same groups")
    return heads


def read_groups(read: Read, addr: int, groups: int, group_bytes: int) -> Raw:
    """Return consecutive groups, ``(groups, group_bytes)``."""
    return np.frombuffer(read(addr, groups * group_bytes), np.uint8).reshape(groups, group_bytes)


def grouped(raw: Raw, part: int, home: int) -> Buckets:
    """Return the groups of one table as buckets."""
    count = len(raw)
    return Buckets(control_words(raw), np.full(count, part, np.uint32), np.full(count, home, np.uint32), raw)
