"""The maps as they stand in a process's memory, as the same arrays as the model's.

The process runs on while it is read. A map's read counts only if its header
was the same before and after, with no operation under way; the recorder
holds the time of the read against the events, so that a map that was touched
in between is read again. Keys and elements are never looked at: of a bucket
only its eight control bytes, and the links between buckets.

Where what stands in the binary's types and the runtime's structures is laid
out: go/facts.py names the source of each offset.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mapprobe import schema
from mapprobe.errors import MemoryReadError
from mapprobe.go.types import MapType
from mapprobe.schema import Implementation

Read = Callable[[int, int], bytes]
Room = Callable[[int], int]
"""How many bytes of one object there are from an address on."""
U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

HEADER_BYTES = 48
CHUNK_BYTES = 1 << 20
UNCHECKED_BYTES = 1 << 16
WRITING_CLASSIC = 4
SAME_SIZE_GROW = 8
LARGEST_LOG2 = 48
LONGEST_CHAIN = 1 << 20
MAIN, OVERFLOW, OLD, OLD_OVERFLOW = 0, 1, 2, 3
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


@dataclass(frozen=True, slots=True)
class MapImage:
    """One map as read: its raw header and all its buckets in the model's order.

    Attributes
    ----------
    header
        Six words, ``(6,)``.
    control, part
        ``(n_buckets,)``; see `schema.SNAPSHOT_BUCKETS`.
    started_ns, ended_ns
        When the read began and ended, on the clock of the events.
    """

    addr: int
    type_id: int
    header: U64
    control: U64
    part: U32
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Unread:
    """One map that was not read: why, when it was looked at (0: never), and its header where that was there."""

    addr: int
    why: str
    time_ns: int = 0
    header: U64 = field(default_factory=lambda: np.zeros(HEADER_BYTES // 8, np.uint64))
    died: bool = False


def read_map(
    read: Read, implementation: Implementation, addr: int, type_id: int, map_type: MapType, room: Room
) -> MapImage:
    """Read one map.

    Raises
    ------
    TornRead
        If it was written meanwhile, or its parts don't fit together.
    MemoryReadError
        If its memory is not there.
    """
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    header = _words(read, addr, HEADER_BYTES // 8)
    reader = _read_classic if implementation is Implementation.CLASSIC else _read_swiss
    control, part = reader(_within(read, room), header, map_type.bucket_bytes)
    after = _words(read, addr, HEADER_BYTES // 8)
    if not np.array_equal(header, after) or _is_writing(implementation, header):
        raise TornRead("it was written while it was read")
    is_live = control.view(np.uint8)
    live = (is_live >= 5) if implementation is Implementation.CLASSIC else (is_live < 0x80)
    if int(np.count_nonzero(live)) != int(header[0]):
        raise TornRead("its buckets do not hold as many entries as its header says")
    ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return MapImage(addr, type_id, header, control, part, started, ended)


def _is_writing(implementation: Implementation, header: U64) -> bool:
    if implementation is Implementation.CLASSIC:
        return bool(int(header[1]) & WRITING_CLASSIC)
    return bool(int(header[4]) >> 16 & 0xFF)


def _within(read: Read, room: Room) -> Read:
    """Return a `read` that refuses what is large and not one object: of memory that is no map it is any length."""

    def checked(addr: int, length: int) -> bytes:
        if length > UNCHECKED_BYTES and length > room(addr):
            raise TornRead("its header is no map's")
        return _bytes(read, addr, length)

    return checked


def _words(read: Read, addr: int, count: int) -> U64:
    return np.frombuffer(read(addr, 8 * count), np.uint64)


def _bytes(read: Read, addr: int, length: int) -> bytes:
    """Read in chunks: a length that is nonsense must not be allocated before the first bytes are there."""
    if length <= CHUNK_BYTES:
        return read(addr, length)
    parts = bytearray()
    while len(parts) < length:
        parts += read(addr + len(parts), min(CHUNK_BYTES, length - len(parts)))
    return bytes(parts)


def _read_classic(read: Read, header: U64, bucket_bytes: int) -> tuple[U64, U32]:
    """Return control words and parts of an hmap's buckets.

    go: runtime/map.go hmap, bmap [1.18..1.23]
    """
    second = int(header[1])
    flags, log2 = second & 0xFF, second >> 8 & 0xFF
    buckets, old_buckets = int(header[2]), int(header[3])
    if log2 > LARGEST_LOG2:
        raise TornRead("its header is no map's")
    if not buckets:
        return np.empty(0, np.uint64), np.empty(0, np.uint32)
    images = [_bucket_array(read, buckets, log2, bucket_bytes, MAIN, skip_evacuated=False)]
    if old_buckets:
        old_log2 = log2 if flags & SAME_SIZE_GROW else log2 - 1
        if old_log2 < 0:
            raise TornRead("its header is no map's")
        images.append(_bucket_array(read, old_buckets, old_log2, bucket_bytes, OLD, skip_evacuated=True))
    return np.concatenate([i[0] for i in images]), np.concatenate([i[1] for i in images])


def _bucket_array(
    read: Read, base: int, log2: int, bucket_bytes: int, part: int, *, skip_evacuated: bool
) -> tuple[U64, U32]:
    """Return each bucket of an array followed by its overflow chain."""
    raw = np.frombuffer(read(base, bucket_bytes << log2), np.uint8).reshape(-1, bucket_bytes)
    control = np.ascontiguousarray(raw[:, :8]).view(np.uint64).reshape(-1)
    overflow = np.ascontiguousarray(raw[:, -8:]).view(np.uint64).reshape(-1)
    if skip_evacuated:
        first = raw[:, 0]
        kept = (first < 2) | (first > 4)
        control, overflow = control[kept], overflow[kept]
    chains = [_chain(read, int(overflow[i]), bucket_bytes) for i in np.flatnonzero(overflow)]
    lengths = np.ones(len(control), np.int64)
    lengths[overflow != 0] += np.array([len(chain) for chain in chains], np.int64)
    ends = np.cumsum(lengths)
    out = np.empty(int(ends[-1]) if len(ends) else 0, np.uint64)
    parts = np.full(len(out), part, np.uint32)
    starts = ends - lengths
    out[starts] = control
    for start, chain in zip(starts[overflow != 0].tolist(), chains, strict=True):
        out[start + 1 : start + 1 + len(chain)] = chain
        parts[start + 1 : start + 1 + len(chain)] = part + 1
    return out, parts


def _chain(read: Read, bucket: int, bucket_bytes: int) -> list[int]:
    control: list[int] = []
    seen: set[int] = set()
    while bucket:
        if bucket in seen or len(seen) == LONGEST_CHAIN:
            raise TornRead("its overflow chain has no end")
        seen.add(bucket)
        raw = read(bucket, bucket_bytes)
        control.append(int.from_bytes(raw[:8], "little"))
        bucket = int.from_bytes(raw[-8:], "little")
    return control


def _read_swiss(read: Read, header: U64, group_bytes: int) -> tuple[U64, U32]:
    """Return control words and parts of a Map's groups.

    go: internal/runtime/maps/map.go Map [1.24..1.27]
    """
    directory, length, depth = int(header[2]), int(header[3]), int(header[4]) & 0xFF
    if length == 0:
        if not directory:
            return np.empty(0, np.uint64), np.empty(0, np.uint32)
        return np.frombuffer(read(directory, 8), np.uint64), np.zeros(1, np.uint32)
    if depth > LARGEST_LOG2 or length != 1 << depth:
        raise TornRead("its header is no map's")
    pointers = _words(read, directory, length)
    tables = pointers[np.r_[True, pointers[1:] != pointers[:-1]]]
    control, parts = [], []
    for number, table in enumerate(tables.tolist()):
        head = np.frombuffer(read(table, TABLE.itemsize), TABLE)[0]
        groups = int(head["length_mask"]) + 1
        if groups * 8 != int(head["capacity"]):
            raise TornRead("one of its tables is no table")
        raw = np.frombuffer(read(int(head["groups"]), groups * group_bytes), np.uint8)
        words = np.ascontiguousarray(raw.reshape(groups, group_bytes)[:, :8]).view(np.uint64).reshape(-1)
        control.append(words)
        parts.append(np.full(groups, number, np.uint32))
    return np.concatenate(control), np.concatenate(parts)


def read_maps(
    read: Read, implementation: Implementation, maps: Iterable[tuple[int, int]], types: list[MapType], room: Room
) -> tuple[list[MapImage], list[Unread]]:
    """Read many maps.

    Parameters
    ----------
    maps
        Address and type id of each.
    types
        Map types by id.
    room
        How much of one object there is from an address on.

    Returns
    -------
    The images, and what could not be read.
    """
    images: list[MapImage] = []
    unread: list[Unread] = []
    for addr, type_id in maps:
        try:
            images.append(read_map(read, implementation, addr, type_id, types[type_id], room))
        except TornRead as torn:
            unread.append(_unread(read, addr, str(torn)))
        except MemoryReadError:
            unread.append(_unread(read, addr, "what it points to is not there"))
    return images, unread


def _unread(read: Read, addr: int, why: str) -> Unread:
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    try:
        return Unread(addr, why, now, _words(read, addr, HEADER_BYTES // 8))
    except MemoryReadError:
        return Unread(addr, why, now)


def _classic_header(words: U64) -> dict[str, npt.NDArray[np.generic]]:
    """Split hmap into columns.

    go: runtime/map.go hmap [1.18..1.23]
    """
    zero = np.zeros(len(words), np.uint32)
    second = words[:, 1]
    return {
        "count": words[:, 0],
        "flags": (second & np.uint64(0xFF & ~WRITING_CLASSIC)).astype(np.uint8),
        "log2_size": (second >> np.uint64(8)).astype(np.uint8),
        "overflow_count": (second >> np.uint64(16)).astype(np.uint16),
        "seed": second >> np.uint64(32),
        "array_addr": words[:, 2],
        "old_array_addr": words[:, 3],
        "evacuated": words[:, 4].astype(np.uint32),
        "directory_length": zero,
        "clear_seq": zero,
    }


def _swiss_header(words: U64) -> dict[str, npt.NDArray[np.generic]]:
    """Split Map into columns.

    go: internal/runtime/maps/map.go Map [1.24..1.27]
    """
    zero = np.zeros(len(words), np.uint64)
    fifth = words[:, 4]
    return {
        "count": words[:, 0],
        "seed": words[:, 1],
        "array_addr": words[:, 2],
        "directory_length": words[:, 3].astype(np.uint32),
        "log2_size": fifth.astype(np.uint8),
        "flags": ((fifth >> np.uint64(24)) & np.uint64(1)).astype(np.uint8),
        "clear_seq": words[:, 5].astype(np.uint32),
        "old_array_addr": zero,
        "overflow_count": zero.astype(np.uint16),
        "evacuated": zero.astype(np.uint32),
    }


def header_columns(implementation: Implementation, words: U64) -> dict[str, npt.NDArray[np.generic]]:
    """Split raw headers ``(n, 6)`` of eight-byte words into the columns of `schema.HEADER`."""
    return _classic_header(words) if implementation is Implementation.CLASSIC else _swiss_header(words)


def map_columns(
    implementation: Implementation,
    images: list[MapImage],
    unread: list[Unread],
    type_ids: dict[int, int],
    *,
    at_end: bool,
) -> dict[str, object]:
    """Return the columns of `schema.SNAPSHOT_MAPS`: first the images, then what was not read."""
    addrs = [image.addr for image in images] + [m.addr for m in unread]
    headers = [image.header for image in images] + [m.header for m in unread]
    return {
        "map_addr": addrs,
        "type_id": [type_ids[addr] for addr in addrs],
        "time_ns": [image.started_ns for image in images] + [m.time_ns for m in unread],
        "at_end": [at_end] * len(addrs),
        "died": [False] * len(images) + [m.died for m in unread],
        "skipped": [None] * len(images) + [m.why for m in unread],
        **header_columns(implementation, np.array(headers, np.uint64).reshape(-1, HEADER_BYTES // 8)),
    }


def bucket_columns(images: list[MapImage]) -> dict[str, object]:
    """Return the columns of `schema.SNAPSHOT_BUCKETS`."""
    lengths = [len(image.control) for image in images]
    total = sum(lengths)
    if not total:
        return {name: [] for name in schema.SNAPSHOT_BUCKETS.names}
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return {
        "map_addr": np.repeat(np.array([image.addr for image in images], np.uint64), lengths),
        "time_ns": np.repeat(np.array([image.started_ns for image in images], np.uint64), lengths),
        "bucket": (np.arange(total) - starts).astype(np.uint32),
        "control": np.concatenate([image.control for image in images]),
        "part": np.concatenate([image.part for image in images]),
    }
