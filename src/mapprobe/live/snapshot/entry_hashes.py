"""Hashes of the entries of a map that was read, slot by slot, as the runtime computes them.

With these hashes the model can replay a map whose beginning was not seen. Each
hash is compared with the control byte and the bucket of its entry: if one does
not fit, no hash of the map is used. Keys are only hashed, and not kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import U64
from mapprobe.errors import FORGED, MapprobeError
from mapprobe.go.facts import KIND_INTERFACE
from mapprobe.go.keyhash import KeyHasher, gather
from mapprobe.go.types import TYPE_BYTES, MapType, Read
from mapprobe.live.snapshot.buckets import Buckets
from mapprobe.vocabulary import Implementation

Hashes = tuple[U64, U64]
"""Hash and key type of the entry in each slot, ``(n_buckets, 8)``; 0 for slots without an entry."""
Rehash = Callable[[int, U64, Buckets], Hashes | None]
"""Hashes the entries of a map, given type id, header and buckets; returns None if that is impossible."""

SLOTS = 8
POINTER_BYTES = 8
MIN_TOP_HASH = np.uint64(5)  # go: runtime/map.go minTopHash [1.18..1.23]
EMPTY_TOP = 5


def is_live(implementation: Implementation, control: U64) -> npt.NDArray[np.bool_]:
    """Return which slots hold an entry, ``(n_buckets, 8)``."""
    of_slot = control.view(np.uint8).reshape(-1, SLOTS)
    return of_slot >= EMPTY_TOP if implementation is Implementation.CLASSIC else of_slot < 0x80


class Rehasher:
    """Hashes the entries of one process's maps, as a `Rehash` for `snapshot.read_maps`.

    Parameters
    ----------
    map_types
        Map types by id; the list may grow.
    bias
        The load bias of the binary.
    """

    def __init__(
        self, implementation: Implementation, hasher: KeyHasher, read: Read, map_types: list[MapType], bias: int
    ) -> None:
        self._implementation, self._hasher, self._read = implementation, hasher, read
        self._map_types, self._bias = map_types, bias

    def __call__(self, type_id: int, header: U64, buckets: Buckets) -> Hashes | None:
        """Return the hashes of all entries, None if one of them isn't known."""
        try:
            return self._rehash(self._map_types[type_id], header, buckets)
        except (MapprobeError, *FORGED):  # the words are no type, or can't be read any more
            return None

    def _rehash(self, map_type: MapType, header: U64, buckets: Buckets) -> Hashes | None:
        is_classic = self._implementation is Implementation.CLASSIC
        live = is_live(self._implementation, buckets.control)
        row, slot = np.nonzero(live)
        keys = self._keys(map_type, buckets.raw, row, slot)
        seed = header[1] >> np.uint64(32) if is_classic else header[1]
        key_addr = int.from_bytes(self._read(map_type.type_addr + self._bias + TYPE_BYTES, POINTER_BYTES), "little")
        found, known = self._hasher.hashes(key_addr, keys, np.full(len(row), seed, np.uint64))
        fits = fits_classic if is_classic else fits_swiss
        control = buckets.control.view(np.uint8).reshape(-1, SLOTS)[row, slot].astype(np.uint64)
        if not known.all() or not fits(found, control, buckets, row, header).all():
            return None
        hashes, key_types = np.zeros((2, *live.shape), np.uint64)
        hashes[row, slot] = found
        if map_type.key_kind == KIND_INTERFACE:
            key_types[row, slot] = np.ascontiguousarray(keys[:, :POINTER_BYTES]).view(np.uint64).reshape(-1)
        return hashes, key_types

    def _keys(
        self, map_type: MapType, raw: npt.NDArray[np.uint8], row: npt.NDArray[np.int64], slot: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Return the keys of some slots, ``(rows, key_bytes)``.

        go: runtime/map.go bmap [1.18..1.23], internal/runtime/maps/group.go groupReference [1.24..1.27]
        """
        in_slot = POINTER_BYTES if map_type.indirect_key else map_type.key_bytes
        apart = in_slot if self._implementation is Implementation.CLASSIC else map_type.slot_bytes
        places = SLOTS + slot[:, None] * apart + np.arange(in_slot)
        keys: npt.NDArray[np.uint8] = raw[row[:, None], places]
        if map_type.indirect_key:
            addrs = np.ascontiguousarray(keys).view(np.uint64).reshape(-1)
            keys, there = gather(self._read, addrs, map_type.key_bytes)
            if not there.all():
                raise MapprobeError(f"type {map_type.name}: keys are not where its slots say")
        return keys


def fits_classic(
    hashes: U64, control: U64, buckets: Buckets, row: npt.NDArray[np.int64], header: U64
) -> npt.NDArray[np.bool_]:
    """Return for which entries the tophash and the bucket fit the hash, ``(entries,)``.

    go: runtime/map.go tophash bucketMask [1.18..1.23]
    """
    top = hashes >> np.uint64(56)
    top = np.where(top < MIN_TOP_HASH, top + MIN_TOP_HASH, top)
    log2 = int(header[1]) >> 8 & 0xFF
    is_old = buckets.part[row] >= 2
    is_same_size = int(header[1]) & 8 != 0
    mask = np.where(is_old & (not is_same_size), (1 << log2 >> 1) - 1, (1 << log2) - 1).astype(np.uint64)
    fits: npt.NDArray[np.bool_] = (top == control) & (hashes & mask == buckets.home[row])
    return fits


def fits_swiss(
    hashes: U64, control: U64, buckets: Buckets, row: npt.NDArray[np.int64], header: U64
) -> npt.NDArray[np.bool_]:
    """Return for which entries the control byte and the table fit the hash, ``(entries,)``.

    go: internal/runtime/maps/map.go h2 (*Map).directoryIndex [1.24..1.27]
    """
    fits: npt.NDArray[np.bool_] = hashes & np.uint64(0x7F) == control
    depth = int(header[4]) & 0xFF
    if int(header[3]) > 1:
        entries = np.unique(buckets.home)
        ends = np.append(entries[1:], int(header[3]))
        place = hashes >> np.uint64(64 - depth)
        table = np.searchsorted(entries, buckets.home[row])
        fits &= (place >= entries[table]) & (place < ends[table])
    return fits
