"""How the buckets of a map stand in memory: read whole, in the model's order.

What is read may be no map (any more), or change meanwhile: then its parts
don't fit together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mapprobe.schema import Implementation

Read = Callable[[int, int], bytes]
Room = Callable[[int], int]
"""How many bytes of one object there are from an address on."""
U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

CHUNK_BYTES = 1 << 20
UNCHECKED_BYTES = 1 << 16
SAME_SIZE_GROW = 8
LARGEST_LOG2 = 48
LONGEST_CHAIN = 1 << 20
FORGED = (ArithmeticError, LookupError, MemoryError, ValueError)
"""What computing with words that are no map's may raise beside our own errors: of memory it says no more than that."""
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
    """The map changed while it was read, or what stands there is no map (any more)."""


class Buckets(NamedTuple):
    """The buckets of one map in the model's order: see `schema.SNAPSHOT_BUCKETS` for all but `raw`.

    Attributes
    ----------
    control, part, home
        ``(n_buckets,)``.
    raw
        Their memory, ``(n_buckets, bucket_bytes)``.
    """

    control: U64
    part: U32
    home: U32
    raw: npt.NDArray[np.uint8]


NONE = Buckets(np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty((0, 0), np.uint8))


def joined(arrays: list[Buckets]) -> Buckets:
    """Return the buckets of several arrays behind each other."""
    return Buckets(*(np.concatenate(columns) for columns in zip(*arrays, strict=True)))


def control_words(raw: npt.NDArray[np.uint8]) -> U64:
    """Return the first eight bytes of each row."""
    return np.ascontiguousarray(raw[:, :8]).view(np.uint64).reshape(-1)


def read_buckets(read: Read, implementation: Implementation, header: U64, bucket_bytes: int, room: Room) -> Buckets:
    """Return all buckets of a map.

    Parameters
    ----------
    header
        Its first words, ``(6,)``.

    Raises
    ------
    TornRead
        If its parts don't fit together.
    MemoryReadError
        If its memory is not there.
    """
    reader = _read_classic if implementation is Implementation.CLASSIC else _read_swiss
    return reader(within(read, room), header, bucket_bytes)


def within(read: Read, room: Room) -> Read:
    """Return a `read` that refuses what is large and not one object: of memory that is no map it is any length."""

    def checked(addr: int, length: int) -> bytes:
        if length > UNCHECKED_BYTES and length > room(addr):
            raise TornRead("its header is no map's")
        return in_chunks(read, addr, length)

    return checked


def words(read: Read, addr: int, count: int) -> U64:
    """Return `count` words of eight bytes."""
    return np.frombuffer(read(addr, 8 * count), np.uint64)


def in_chunks(read: Read, addr: int, length: int) -> bytes:
    """Read in chunks: a length that is nonsense must not be allocated before the first bytes are there."""
    if length <= CHUNK_BYTES:
        return read(addr, length)
    parts = bytearray()
    while len(parts) < length:
        parts += read(addr + len(parts), min(CHUNK_BYTES, length - len(parts)))
    return bytes(parts)


def _read_classic(read: Read, header: U64, bucket_bytes: int) -> Buckets:
    """Return an hmap's buckets.

    go: runtime/map.go hmap, bmap [1.18..1.23]
    """
    second = int(header[1])
    flags, log2 = second & 0xFF, second >> 8 & 0xFF
    buckets, old_buckets = int(header[2]), int(header[3])
    if log2 > LARGEST_LOG2:
        raise TornRead("its header is no map's")
    if not buckets:
        return NONE
    images = [_bucket_array(read, buckets, log2, bucket_bytes, MAIN, skip_evacuated=False)]
    if old_buckets:
        old_log2 = log2 if flags & SAME_SIZE_GROW else log2 - 1
        if old_log2 < 0:
            raise TornRead("its header is no map's")
        images.append(_bucket_array(read, old_buckets, old_log2, bucket_bytes, OLD, skip_evacuated=True))
    return joined(images)


def _bucket_array(read: Read, base: int, log2: int, bucket_bytes: int, part: int, *, skip_evacuated: bool) -> Buckets:
    """Return each bucket of an array followed by its overflow chain."""
    raw = np.frombuffer(read(base, bucket_bytes << log2), np.uint8).reshape(-1, bucket_bytes)
    home = np.arange(len(raw), dtype=np.uint32)
    if skip_evacuated:
        home = home[(raw[:, 0] < 2) | (raw[:, 0] > 4)]
        raw = raw[home]
    following = np.ascontiguousarray(raw[:, -8:]).view(np.uint64).reshape(-1)
    chained = np.flatnonzero(following)
    chains = [_chain(read, int(following[i]), bucket_bytes) for i in chained]
    lengths = np.ones(len(raw), np.int64)
    lengths[chained] += np.array([len(chain) for chain in chains], np.int64)
    starts = np.cumsum(lengths) - lengths
    rows = np.empty((int(lengths.sum()), bucket_bytes), np.uint8)
    parts = np.full(len(rows), part, np.uint32)
    rows[starts] = raw
    for start, chain in zip(starts[chained].tolist(), chains, strict=True):
        rows[start + 1 : start + 1 + len(chain)] = chain
        parts[start + 1 : start + 1 + len(chain)] = part + 1
    return Buckets(control_words(rows), parts, np.repeat(home, lengths), rows)


def _chain(read: Read, bucket: int, bucket_bytes: int) -> list[npt.NDArray[np.uint8]]:
    chain: list[npt.NDArray[np.uint8]] = []
    seen: set[int] = set()
    while bucket:
        if bucket in seen or len(seen) == LONGEST_CHAIN:
            raise TornRead("its overflow chain has no end")
        seen.add(bucket)
        raw = read(bucket, bucket_bytes)
        chain.append(np.frombuffer(raw, np.uint8))
        bucket = int.from_bytes(raw[-8:], "little")
    return chain


def _read_swiss(read: Read, header: U64, group_bytes: int) -> Buckets:
    """Return a Map's groups.

    go: internal/runtime/maps/map.go Map [1.24..1.27]
    """
    directory, length, depth = int(header[2]), int(header[3]), int(header[4]) & 0xFF
    if length == 0:
        return _groups(read, directory, 1, group_bytes, 0, 0) if directory else NONE
    if depth > LARGEST_LOG2 or length != 1 << depth:
        raise TornRead("its header is no map's")
    pointers = words(read, directory, length)
    firsts = np.flatnonzero(np.r_[True, pointers[1:] != pointers[:-1]])
    tables: list[Buckets] = []
    for number, home in enumerate(firsts.tolist()):
        head = np.frombuffer(read(int(pointers[home]), TABLE.itemsize), TABLE)[0]
        groups = int(head["length_mask"]) + 1
        if groups * 8 != int(head["capacity"]):
            raise TornRead("one of its tables is no table")
        tables.append(_groups(read, int(head["groups"]), groups, group_bytes, number, home))
    return joined(tables)


def _groups(read: Read, addr: int, groups: int, group_bytes: int, part: int, home: int) -> Buckets:
    raw = np.frombuffer(read(addr, groups * group_bytes), np.uint8).reshape(groups, group_bytes)
    return Buckets(control_words(raw), np.full(groups, part, np.uint32), np.full(groups, home, np.uint32), raw)
