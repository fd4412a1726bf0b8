"""Maps of one bucket or group, read many at once: a program may have a million of them.

Each is read as any other map (`snapshot.read_map`): header, bucket, header
again. Maps that have more buckets, can't be read, or were written during the
read are left out; the caller reads them one by one.

go: runtime/map.go hmap bmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import U64, Flags
from mapprobe.errors import FORGED, MemoryReadError
from mapprobe.live.snapshot.buckets import Read
from mapprobe.live.snapshot.entry_hashes import is_live
from mapprobe.vocabulary import Implementation

WORD = 8
HEADER_WORDS = 6
CLASSIC_SHAPE = np.uint64(0xFFFFFF00)
"""Bits of B and noverflow in an hmap's second word: both are 0 for a map of one bucket without a chain."""
CLASSIC_WRITING = np.uint64(4)
SWISS_WRITING = np.uint64(0xFF0000)


@dataclass(frozen=True, slots=True)
class SmallMaps:
    """Maps with one bucket or none; one row each.

    Attributes
    ----------
    row
        Row of the map among the addresses that were asked for.
    header
        The words of the header, ``(n, 6)``.
    control
        The control bytes of its bucket; of no meaning for a map without a bucket.
    has_bucket
        The map has a bucket.
    """

    row: npt.NDArray[np.int64]
    header: U64
    control: U64
    has_bucket: Flags


def read_small(read: Read, implementation: Implementation, addrs: Sequence[int]) -> SmallMaps:
    """Return the maps at some addresses that have at most one bucket and did not change during the read."""
    header, known = _words(read, addrs, HEADER_WORDS)
    is_classic = implementation is Implementation.CLASSIC
    if is_classic:
        known &= (header[:, 1] & (CLASSIC_SHAPE | CLASSIC_WRITING) == 0) & (header[:, 3] == 0)
    else:
        known &= (header[:, 3] == 0) & (header[:, 4] & SWISS_WRITING == 0)
    row = np.flatnonzero(known)
    header = header[row]
    bucket = header[:, 2]
    control, is_there = _words(read, bucket.tolist(), 1)
    control = control[:, 0]
    after, is_still = _words(read, [addrs[n] for n in row.tolist()], HEADER_WORDS)
    has_bucket = bucket != 0
    slots = is_live(implementation, control) & has_bucket[:, None]
    fits = is_still & (is_there | ~has_bucket) & (header == after).all(axis=1)
    fits &= slots.sum(axis=1).astype(np.uint64) == header[:, 0]
    return SmallMaps(row[fits], header[fits], control[fits], has_bucket[fits])


def _words(read: Read, addrs: Sequence[int], count: int) -> tuple[U64, Flags]:
    """Return `count` words at each address, and whether they could be read; address 0 can't."""
    length, nothing = WORD * count, bytes(WORD * count)
    parts = [_read(read, addr, length) if addr else None for addr in addrs]
    known = np.array([part is not None for part in parts], np.bool_)
    words = np.frombuffer(b"".join(part or nothing for part in parts), np.uint64).reshape(-1, count)
    return words, known


def _read(read: Read, addr: int, length: int) -> bytes | bytearray | None:
    try:
        return read(addr, length)
    except (MemoryReadError, *FORGED):
        return None
