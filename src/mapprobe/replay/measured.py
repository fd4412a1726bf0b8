"""Maps measured by their memory: the slots that a snapshot of a map shows, and the bytes that the allocator charges.

A map that could not be replayed is measured. Memory shows which slots are live, but not who emptied a slot. It shows
that an empty slot was used before only by a tombstone, which a delete leaves in a full group of a Swiss map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import I64, U64
from mapprobe.model.holdings import (
    ALLOCATED,
    BUCKETS,
    DEAD,
    HOLDINGS,
    LIVE,
    NEEDED,
    RETAINED,
    RETAINED_BUCKETS,
    SLOTS,
    VIRGIN,
)
from mapprobe.model.sizes import POINTER_BYTES, TABLE_BYTES, Sizes

SLOTS_OF_BUCKET = 8
EMPTY_ONE = 1  # go: runtime/map.go emptyOne [1.18..1.23]
FIRST_FREE = 0x80  # go: internal/runtime/maps/group.go ctrlEmpty [1.24..1.27]
CTRL_DELETED = 0xFE  # go: internal/runtime/maps/group.go ctrlDeleted [1.24..1.27]
SAME_SIZE_GROW = 8  # go: runtime/map.go sameSizeGrow [1.18..1.23]
MOST_BYTES = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Image:
    """The snapshot of one map, added up.

    Attributes
    ----------
    time_ns
        When the map was read.
    parts
        Buckets of each part (`schema.SNAPSHOT_BUCKETS`), ``(parts,)``.
    dead_slots
        Slots of a Swiss map that are marked as deleted; a classic map has no such marks.
    """

    time_ns: int
    log2_size: int
    flags: int
    is_growing: bool
    directory_length: int
    parts: I64
    live_slots: int
    dead_slots: int
    retained_buckets: int

    @property
    def buckets(self) -> int:
        """Number of all buckets."""
        return int(self.parts.sum())


def read_images(maps: pa.Table, buckets: pa.Table, is_swiss: bool, addrs: U64) -> Iterator[Image | None]:
    """Add up the last snapshot of each of the maps at `addrs`, ``(maps,)``; yield None for a map that was not read."""
    columns = ["map_addr", "time_ns", "log2_size", "flags", "old_array_addr", "directory_length"]
    rows = maps.select(columns).filter(pc.is_null(maps["skipped"]))
    headers = {name: np.array(rows[name], np.uint64) for name in columns}
    row_of = last_rows(headers["map_addr"], addrs)
    images = Images(buckets.filter(pc.is_in(buckets["map_addr"], pa.array(addrs, pa.uint64()))))
    when = headers["time_ns"][row_of] if len(rows) else np.zeros(len(addrs), np.uint64)
    for row, n in zip(row_of.tolist(), images.find(addrs, when).tolist(), strict=True):
        if row < 0:
            yield None
            continue
        control, part = images.image(n)
        live = live_slots(control, is_swiss).sum(axis=1)
        yield Image(
            time_ns=int(headers["time_ns"][row]),
            log2_size=int(headers["log2_size"][row]),
            flags=int(headers["flags"][row]),
            is_growing=bool(headers["old_array_addr"][row]),
            directory_length=int(headers["directory_length"][row]),
            parts=np.bincount(part) if len(part) else np.zeros(0, np.int64),
            live_slots=int(live.sum()),
            dead_slots=int(np.count_nonzero(control.view(np.uint8) == CTRL_DELETED)) if is_swiss else 0,
            retained_buckets=int(np.count_nonzero(live == 0)),
        )


def last_rows(addrs: U64, wanted: U64) -> I64:
    """Return the last row in `addrs` of each wanted address, ``(wanted,)``; -1 if there is none."""
    if not len(addrs):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(addrs, kind="stable")
    place = np.searchsorted(addrs, wanted, "right", sorter=order) - 1
    row = order[np.maximum(place, 0)]
    found: I64 = np.where((place >= 0) & (addrs[row] == wanted), row, -1)
    return found


def live_slots(control: U64, is_swiss: bool) -> npt.NDArray[np.bool_]:
    """Return which slots of buckets hold an entry, by the control words of buckets not evacuated, ``(buckets, 8)``."""
    of_slot = np.ascontiguousarray(control).view(np.uint8).reshape(-1, SLOTS_OF_BUCKET)
    return of_slot < FIRST_FREE if is_swiss else of_slot > EMPTY_ONE


def measured_classic_bytes(sizes: Sizes, bucket_bytes: int, has_pointers: bool, image: Image) -> int:
    """Return the bytes that the allocator charges for the buckets of a classic map that was read.

    As many of the map's overflow buckets count as preallocated as its array has preallocated ones.
    """
    main, overflow, _, old_overflow = np.append(image.parts, np.zeros(4, np.int64))[:4].tolist()
    if not main:
        return 0
    buckets = sizes.array_buckets(bucket_bytes, has_pointers, image.log2_size)
    total = sizes.charged(buckets * bucket_bytes, has_pointers)
    on_heap = max(0, overflow - (buckets - main))
    if image.is_growing:
        old_log2 = image.log2_size if image.flags & SAME_SIZE_GROW else max(0, image.log2_size - 1)
        buckets = sizes.array_buckets(bucket_bytes, has_pointers, old_log2)
        total += sizes.charged(buckets * bucket_bytes, has_pointers)
        on_heap += max(0, old_overflow - (buckets - (1 << old_log2)))
    return int(total + on_heap * sizes.charged(bucket_bytes, has_pointers))


def measured_swiss_bytes(sizes: Sizes, bucket_bytes: int, has_pointers: bool, image: Image) -> int:
    """Return the bytes that the allocator charges for the groups, tables and directory of a Swiss map that was read."""
    if not image.buckets:
        return 0
    if not image.directory_length:
        return sizes.charged(bucket_bytes, has_pointers)
    # the number of groups in a table is a power of two
    groups = [1 << max(0, count.bit_length() - 1) for count in image.parts.tolist()]
    tables = sum(sizes.charged(bucket_bytes * count, has_pointers) for count in groups)
    directory = sizes.charged(POINTER_BYTES << image.log2_size, True)
    return tables + len(groups) * sizes.charged(TABLE_BYTES, True) + directory


EMPTY = (np.empty(0, np.uint64), np.empty(0, np.uint32))


class Images:
    """Control words and parts of each image in `schema.SNAPSHOT_BUCKETS`, found by address and time."""

    def __init__(self, buckets: pa.Table) -> None:
        addr, when = np.array(buckets["map_addr"], np.uint64), np.array(buckets["time_ns"], np.uint64)
        is_first = np.ones(len(addr), np.bool_)
        is_first[1:] = (addr[1:] != addr[:-1]) | (when[1:] != when[:-1])
        starts = np.flatnonzero(is_first)
        self._ends = np.append(starts, len(addr))
        # if two images have the same address and time, the last one counts: the stable sort keeps it last
        self._order = np.lexsort((when[starts], addr[starts]))
        self._addr, self._when = addr[starts][self._order], when[starts][self._order]
        self._control, self._part = np.array(buckets["control"], np.uint64), np.array(buckets["part"], np.uint32)

    def find(self, addrs: U64, times: U64) -> I64:
        """Return the number of each map's image by address and time, ``(maps,)``; -1 for an image without buckets."""
        found = np.full(len(addrs), -1, np.int64)
        first, end = (np.searchsorted(self._addr, addrs, side) for side in ("left", "right"))
        for n in range(int((end - first).max(initial=0))):  # as often as an address was read
            place = first + n
            is_it = place < end
            is_it[is_it] = self._when[place[is_it]] == times[is_it]
            found[is_it] = self._order[place[is_it]]
        return found

    def image(self, number: int) -> tuple[U64, npt.NDArray[np.uint32]]:
        """Return control words and parts of an image by its number; empty arrays for number -1."""
        if number < 0:
            return EMPTY
        rows = slice(self._ends[number], self._ends[number + 1])
        return self._control[rows], self._part[rows]

    def of(self, addr: int, time_ns: int) -> tuple[U64, npt.NDArray[np.uint32]]:
        """Return control words and parts of the image of one map."""
        return self.image(int(self.find(np.array([addr], np.uint64), np.array([time_ns], np.uint64))[0]))


def measure(image: Image, is_swiss: bool, sizes: Sizes, bucket_bytes: int, has_pointers: bool) -> I64:
    """Return the holdings of a map, measured by its memory, ``(HOLDINGS,)``.

    Empty slots without a mark of a delete count as virgin.
    """
    measured = measured_swiss_bytes if is_swiss else measured_classic_bytes
    fresh_bytes = sizes.fresh_swiss if is_swiss else sizes.fresh_classic
    out = np.zeros(HOLDINGS, np.int64)
    out[LIVE] = image.live_slots
    out[SLOTS] = 8 * image.buckets
    out[DEAD] = image.dead_slots
    out[VIRGIN] = out[SLOTS] - image.live_slots - image.dead_slots
    out[BUCKETS] = image.buckets
    out[RETAINED_BUCKETS] = image.retained_buckets
    out[ALLOCATED] = min(measured(sizes, bucket_bytes, has_pointers, image), MOST_BYTES)
    out[NEEDED] = min(fresh_bytes(bucket_bytes, has_pointers, image.live_slots), MOST_BYTES)
    out[RETAINED] = max(0, out[ALLOCATED] - out[NEEDED])
    return out
