"""Reads maps from a process's memory, into the same arrays as the model's.

The process runs on while it is read. A read of a map is valid only if its
header was the same before and after, and no operation was writing it; the
recorder compares the time of the read with the events, so that a map that was
touched during the read is read again. Elements are never looked at, keys are
only hashed (`entry_hashes`), and neither is kept.

go/facts.py names the source of each offset in the runtime's structures.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.arrays import U32, U64
from mapprobe.errors import FORGED, MemoryReadError
from mapprobe.go.types import MapType
from mapprobe.live.snapshot.buckets import Read, Room, TornRead, read_buckets, words
from mapprobe.live.snapshot.entry_hashes import Hashes, Rehash, is_live
from mapprobe.live.snapshot.precopy import Source, read_moment
from mapprobe.live.snapshot.small import read_small
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import Implementation

HEADER_BYTES = 48
WRITTEN_AMID = "it was written while it was read"
GONE = "the memory that it points to can't be read"
NO_MAP = "there is no map at its address"
WRITING_CLASSIC = 4
NOVERFLOW_SHIFT = np.uint64(16)
CLASSIC_COMMON = np.uint64(0xFFFFFFFF_0000FFFF & ~WRITING_CLASSIC)
"""Of the second word of an hmap: flags, B and the seed, not noverflow."""
SWISS_COMMON = np.uint64(0x010000FF)
"""Of the fifth word of a Map: globalDepth and tombstonePossible."""


@dataclass(frozen=True, slots=True)
class MapImage:
    """One map as it was read: its raw header, and all its buckets in the model's order.

    Attributes
    ----------
    header
        Six words, ``(6,)``.
    control, part, home
        As in `schema.SNAPSHOT_BUCKETS`, ``(n_buckets,)``.
    hashes
        Hashes of the entries; None if not asked for or not known.
    started_ns, ended_ns
        When the read began and ended, on the clock of the events.
    """

    addr: int
    type_id: int
    header: U64
    control: U64
    part: U32
    home: U32
    hashes: Hashes | None
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Unread:
    """One map that was not read: the reason, the time of the attempt (0: none), and the header if it could be read."""

    addr: int
    why: str
    time_ns: int = 0
    header: U64 = field(default_factory=lambda: np.zeros(HEADER_BYTES // 8, np.uint64))
    died: bool = False


class Place(NamedTuple):
    """The process from which maps are read.

    Attributes
    ----------
    read
        Reads the memory of the process.
    implementation
        The family of its maps.
    room
        Returns how many bytes one object has from an address on.
    """

    read: Read
    implementation: Implementation
    room: Room


def read_map(place: Place, addr: int, type_id: int, map_type: MapType, rehash: Rehash | None = None) -> MapImage:
    """Read one map.

    Raises
    ------
    TornRead
        If the map was written during the read, or its parts don't fit together.
    MemoryReadError
        If its memory can't be read.
    """
    read, implementation, room = place
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    header = words(read, addr, HEADER_BYTES // 8)
    buckets = read_buckets(read, implementation, header, map_type.bucket_bytes, room)
    after = words(read, addr, HEADER_BYTES // 8)
    if not np.array_equal(header, after) or _is_writing(implementation, header):
        raise TornRead(WRITTEN_AMID)
    if int(np.count_nonzero(is_live(implementation, buckets.control))) != int(header[0]):
        raise TornRead("its buckets do not hold as many entries as its header says")
    ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    # keys outside their slots are never written, and stay until a collection ends
    hashes = rehash(type_id, header, buckets) if rehash else None
    return MapImage(addr, type_id, header, *buckets[:3], hashes, started, ended)


def read_moving(
    source: Source, addr: int, type_id: int, map_type: MapType, seconds: float, rehash: Rehash | None = None
) -> MapImage:
    """Read one map that is written during the read, in its state of one moment.

    Parameters
    ----------
    source
        The source, whose `read` comes from `buckets.within`.
    seconds
        Time for further rounds after the first read [s].

    Raises
    ------
    TornRead
        If the map is written faster than it can be read, or its parts don't fit together.
    MemoryReadError
        If its memory can't be read.
    """
    moment = read_moment(source, addr, map_type.bucket_bytes, seconds)
    hashes = rehash(type_id, moment.header, moment.buckets) if rehash else None
    return MapImage(addr, type_id, moment.header, *moment.buckets[:3], hashes, moment.time_ns, moment.time_ns)


def _is_writing(implementation: Implementation, header: U64) -> bool:
    if implementation is Implementation.CLASSIC:
        return bool(int(header[1]) & WRITING_CLASSIC)
    return bool(int(header[4]) >> 16 & 0xFF)


def read_maps(
    place: Place, maps: Iterable[tuple[int, int]], types: list[MapType], rehash: Rehash | None = None
) -> tuple[list[MapImage], list[Unread]]:
    """Read many maps.

    Parameters
    ----------
    maps
        Address and type id of each.
    types
        Map types by id.
    rehash
        Hashes the entries; None: hashes are not asked for.

    Returns
    -------
    The images of the maps that were read, and the maps that were not.
    """
    read, waiting = place.read, list(maps)
    images = [] if rehash else _small_images(read, place.implementation, waiting)
    unread: list[Unread] = []
    done = {image.addr for image in images}
    for addr, type_id in waiting:
        if addr in done:
            continue
        try:
            images.append(read_map(place, addr, type_id, types[type_id], rehash))
        except TornRead as torn:
            unread.append(unread_map(read, addr, str(torn)))
        except MemoryReadError:
            unread.append(unread_map(read, addr, GONE))
        except FORGED:
            unread.append(unread_map(read, addr, NO_MAP))
    return images, unread


def _small_images(read: Read, implementation: Implementation, maps: list[tuple[int, int]]) -> list[MapImage]:
    """Return the images of the maps with at most one bucket, without those that changed during the read."""
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    found = read_small(read, implementation, [addr for addr, _ in maps])
    ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    control = found.control[:, None]
    zeros = np.zeros((len(control), 1), np.uint32)
    images = []
    for n, (row, has_bucket) in enumerate(zip(found.row.tolist(), found.has_bucket.tolist(), strict=True)):
        addr, type_id = maps[row]
        part, words = zeros[n, : int(has_bucket)], control[n, : int(has_bucket)]
        images.append(MapImage(addr, type_id, found.header[n], words, part, part, None, started, ended))
    return images


def unread_map(read: Read, addr: int, why: str) -> Unread:
    """Return a map that could not be read, with its header if the header can be read."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    try:
        return Unread(addr, why, now, words(read, addr, HEADER_BYTES // 8))
    except (MemoryReadError, *FORGED):
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


def own_header_columns(implementation: Implementation, words: U64) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of `schema.HEADER` that change with every operation.

    Parameters
    ----------
    words
        Raw headers, ``(6, n)``.
    """
    if implementation is Implementation.CLASSIC:
        overflow_count = (words[1] >> NOVERFLOW_SHIFT).astype(np.uint16)
        return {"count": words[0], "overflow_count": overflow_count, "evacuated": words[4].astype(np.uint32)}
    zero = np.zeros(words.shape[1], np.uint32)
    return {"count": words[0], "overflow_count": zero.astype(np.uint16), "evacuated": zero}


def common_header_words(implementation: Implementation, words: U64) -> list[U64]:
    """Return words from which all other columns of `schema.HEADER` follow, of raw headers ``(6, n)``."""
    if implementation is Implementation.CLASSIC:
        return [words[1] & CLASSIC_COMMON, words[2], words[3]]
    return [words[1], words[2], words[3], words[4] & SWISS_COMMON, words[5]]


def map_columns(
    implementation: Implementation,
    images: list[MapImage],
    unread: list[Unread],
    type_ids: dict[int, int],
    *,
    at_end: bool,
) -> dict[str, object]:
    """Return the columns of `schema.SNAPSHOT_MAPS`: first the maps that were read, then the others."""
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
        "home": np.concatenate([image.home for image in images]),
        "hashes": _slots(images, 0),
        "key_types": _slots(images, 1),
    }


def _slots(images: list[MapImage], column: int) -> pa.Array:
    """Return a list of eight words for each bucket, null if the map's entries were not hashed."""
    known = np.concatenate([np.full(len(image.control), image.hashes is not None) for image in images])
    words = [image.hashes[column] if image.hashes else np.zeros((len(image.control), 8), np.uint64) for image in images]
    values = pa.array(np.concatenate(words).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, 8, mask=pa.array(~known))
