"""Maps as their memory showed them: what a snapshot says of one, and what the allocator charges for it.

Of a map that could not be replayed this is all there is: its slots are live or not. Who emptied them nobody saw, and
that they were ever used only marks of deletes tell, which Swiss maps leave in full groups.
"""

from __future__ import annotations

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
    """What a snapshot says of one map, added up.

    Attributes
    ----------
    time_ns
        When it was read.
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
        """All buckets."""
        return int(self.parts.sum())


def read_images(maps: pa.Table, buckets: pa.Table, is_swiss: bool, addrs: pa.Array) -> dict[int, Image]:
    """Add up the last snapshot of each of the maps at `addrs` (uint64) that was read."""
    maps, buckets = (table.filter(pc.is_in(table["map_addr"], addrs)) for table in (maps, buckets))
    by_map = images_by_map(buckets)
    images: dict[int, Image] = {}
    for row in maps.filter(pc.is_null(maps["skipped"])).to_pylist():
        control, part = by_map.get((row["map_addr"], row["time_ns"]), EMPTY)
        live = live_slots(control, is_swiss).sum(axis=1)
        images[row["map_addr"]] = Image(
            time_ns=row["time_ns"],
            log2_size=row["log2_size"],
            flags=row["flags"],
            is_growing=row["old_array_addr"] != 0,
            directory_length=row["directory_length"],
            parts=np.bincount(part) if len(part) else np.zeros(0, np.int64),
            live_slots=int(live.sum()),
            dead_slots=int(np.count_nonzero(control.view(np.uint8) == CTRL_DELETED)) if is_swiss else 0,
            retained_buckets=int(np.count_nonzero(live == 0)),
        )
    return images


def live_slots(control: U64, is_swiss: bool) -> npt.NDArray[np.bool_]:
    """Return which slots of buckets that are not evacuated hold an entry, by their control words, ``(buckets, 8)``."""
    of_slot = np.ascontiguousarray(control).view(np.uint8).reshape(-1, SLOTS_OF_BUCKET)
    return of_slot < FIRST_FREE if is_swiss else of_slot > EMPTY_ONE


def measured_classic_bytes(sizes: Sizes, bucket_bytes: int, has_pointers: bool, image: Image) -> int:
    """Return what the buckets of a classic map that was read are charged.

    Of its overflow buckets as many count as preallocated as its array has.
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
    """Return what the groups, tables and directory of a Swiss map that was read are charged."""
    if not image.buckets:
        return 0
    if not image.directory_length:
        return sizes.charged(bucket_bytes, has_pointers)
    # a table has a power of two of groups
    groups = [1 << max(0, count.bit_length() - 1) for count in image.parts.tolist()]
    tables = sum(sizes.charged(bucket_bytes * count, has_pointers) for count in groups)
    directory = sizes.charged(POINTER_BYTES << image.log2_size, True)
    return tables + len(groups) * sizes.charged(TABLE_BYTES, True) + directory


EMPTY = (np.empty(0, np.uint64), np.empty(0, np.uint32))


def images_by_map(
    buckets: pa.Table,
) -> dict[tuple[int, int], tuple[U64, npt.NDArray[np.uint32]]]:
    """Return control words and parts of each image in `schema.SNAPSHOT_BUCKETS`, by address and time."""
    addr, when = np.array(buckets["map_addr"], np.uint64), np.array(buckets["time_ns"], np.uint64)
    if not len(addr):
        return {}
    control, part = np.array(buckets["control"], np.uint64), np.array(buckets["part"], np.uint32)
    starts = np.flatnonzero(np.r_[True, (addr[1:] != addr[:-1]) | (when[1:] != when[:-1])])
    ends = np.r_[starts[1:], len(addr)]
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    return {(int(addr[s]), int(when[s])): (control[s:e], part[s:e]) for s, e in spans}


def measure(image: Image, is_swiss: bool, sizes: Sizes, bucket_bytes: int, has_pointers: bool) -> I64:
    """Return the holdings ``(HOLDINGS,)`` of a map as its memory showed it.

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
