"""Resync: set the model of a map to what was read of its memory during the recording.

The model follows such a map from then on, even if it had lost the map or never had it. A reading shows a map in the
state after all its events from before the read. So the model is set right before the first later event of the map;
events of other maps do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import _core
from mapprobe.arrays import U32, U64
from mapprobe.model.control import SLOTS_OF_BUCKET
from mapprobe.model.core import DEAD, MODELLED, NOWHERE, Rows, World, out_of_memory
from mapprobe.recording.packing import common_columns, times
from mapprobe.replay.closing import Headers, headers_of, unfollow, words_of
from mapprobe.replay.measured import SAME_SIZE_GROW
from mapprobe.vocabulary import BEFORE

MAIN_PART, OLD_PART = 0, 2
"""Numbers of the parts of a classic map (`schema.SNAPSHOT_BUCKETS`); the overflow buckets of a part have number + 1."""
TWIN = np.uint64(1 << 48)
"""Difference between the key types of two entries with one hash: above any address, as in src/core/doubts.c."""
TABLE_GROUPS = [1 << n for n in range(8)]
"""Groups that a Swiss table may have. go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One map as it was read with the hashes of its entries: a row of `schema.SNAPSHOT_MAPS` and its buckets.

    Attributes
    ----------
    addr, time_ns
        The address of the map's header, and when the read began.
    row
        The header's row in `Readings.headers`.
    control, part, home
        Columns of `schema.SNAPSHOT_BUCKETS`, ``(buckets,)``.
    hashes, key_types
        Hash and key type of the entry in each slot, ``(buckets, 8)``; 0 in a slot without an entry.
    """

    addr: int
    time_ns: int
    row: int
    control: U64
    part: U32
    home: U32
    hashes: U64
    key_types: U64


class Readings:
    """The readings of maps during the recording, each to be taken in before its map's next event."""

    def __init__(self, snapshot_maps: pa.Table, snapshot_buckets: pa.Table, is_swiss: bool) -> None:
        alive = snapshot_maps.filter(pc.and_(pc.invert(snapshot_maps["at_end"]), pc.is_null(snapshot_maps["skipped"])))
        self.headers = headers_of(alive)
        buckets = buckets_by_map(snapshot_buckets)
        self._waiting: dict[int, list[Reading]] = {}
        rows = zip(alive["map_addr"].to_pylist(), alive["time_ns"].to_pylist(), strict=True)
        for row, (addr, when) in enumerate(rows):
            reading = Reading(addr, when, row, *buckets[addr, when]) if (addr, when) in buckets else None
            if reading and is_whole(self.headers, reading, is_swiss):
                self._waiting.setdefault(addr, []).append(reading)
        for waiting in self._waiting.values():
            waiting.sort(key=lambda reading: reading.time_ns)

    def due(self, batch: pa.RecordBatch) -> list[tuple[int, Reading]]:
        """Return the readings to take in within a batch of packed events, each with the row that it precedes."""
        if not self._waiting:
            return []
        number, (header_addrs, offsets) = common_columns(batch, ("map_addr", "stack_offset"))
        addrs, when, on_heap = header_addrs[number], times(batch), (offsets == 0)[number]
        found: list[tuple[int, Reading]] = []
        touched = np.flatnonzero(on_heap & np.isin(addrs, np.fromiter(self._waiting, np.uint64)))
        for addr in np.unique(addrs[touched]).tolist():
            rows = touched[addrs[touched] == addr]
            waiting = self._waiting[addr]
            while waiting and len(later := rows[when[rows] >= waiting[0].time_ns]):
                found.append((int(later[0]), waiting.pop(0)))
            if not waiting:
                del self._waiting[addr]
        return sorted(found, key=lambda due: due[0])

    def rest(self) -> list[Reading]:
        """Return the readings whose maps had no later event."""
        return [reading for waiting in self._waiting.values() for reading in waiting]


def is_whole(headers: Headers, reading: Reading, is_swiss: bool) -> bool:
    """True if the parts of a reading fit together; in a damaged recording they may not."""
    row, part, home = reading.row, reading.part, reading.home.astype(np.int64)
    log2, length = int(headers["log2_size"][row]), int(headers["directory_length"][row])
    if not len(part):
        return int(headers["count"][row]) == 0
    first = np.r_[True, part[1:] != part[:-1]]
    if is_swiss and (home[1:] != home[:-1])[~first[1:]].any():
        return False
    if is_swiss:
        groups = np.diff(np.append(np.flatnonzero(first), len(part)))
        starts = home[first]
        spans = np.diff(np.append(starts, length))
        is_table = np.isin(groups, TABLE_GROUPS).all() and (spans > 0).all() and starts[0] == 0
        is_even = not (spans & (spans - 1)).any() and not (starts % np.maximum(spans, 1)).any()
        return bool(is_table and is_even and length == 1 << log2) if length else len(part) == 1
    is_first = (part == MAIN_PART) | (part == OLD_PART)
    mains, olds = home[part == MAIN_PART], home[part == OLD_PART]
    is_same_size = int(headers["flags"][row]) & SAME_SIZE_GROW
    old_length = (1 << log2 if is_same_size else 1 << log2 >> 1) if headers["old_array_addr"][row] else 0
    follows = (part[1:] == part[:-1] - part[:-1] % 2 + 1) & (home[1:] == home[:-1])
    return bool(
        part[0] == MAIN_PART
        and (is_first[1:] | follows).all()
        and np.array_equal(mains, np.arange(len(mains))) and len(mains) == 1 << log2
        and (np.diff(olds) > 0).all() and (olds < old_length).all()
        and (np.diff(part[is_first].astype(np.int64)) >= 0).all()
    )  # fmt: skip


def resync(world: World, types: Rows, headers: Headers, reading: Reading) -> None:
    """Set the model of a map to a reading.

    Parameters
    ----------
    types
        The facts of the world's map types (`context.type_facts`).
    headers
        `Readings.headers`.

    Raises
    ------
    MapprobeError
        If there is not enough memory.
    """
    m, row = world.find(reading.addr), reading.row
    if m == NOWHERE:
        return
    of_map, fact = world.maps[m : m + 1], world.facts[m : m + 1]
    if of_map["state"][0] & DEAD or of_map["type"][0] < 0:
        return
    count = int(headers["count"][row])
    world.extras["resumed_ns"][m] = reading.time_ns
    try:
        if of_map["state"][0] & MODELLED and fact["pending"][0]:
            _core.settle_doubt(world.handle, m, count)
        if of_map["state"][0] & MODELLED:
            if is_held(world, m, reading):
                return
            _core.drop_live(world.handle, m)
        _core.settle(world.handle, m, count)
        key_types = twins_apart(reading) if types["may_meet"][of_map["type"][0]] else reading.key_types
        buckets = (reading.control, reading.part, reading.home, reading.hashes, key_types)
        is_resumed = _core.resume(world.handle, m, words_of(headers, row), *map(np.ascontiguousarray, buckets))
    except MemoryError:
        raise out_of_memory() from None
    if not is_resumed:  # the reading does not fit together: the recording is damaged
        unfollow(world, np.array([m]))
        return
    _core.add_live(world.handle, m, BEFORE, count)
    fact["seed"], fact["array_addr"] = headers["seed"][row], headers["array_addr"][row]
    of_map["state"] |= np.uint8(MODELLED)
    of_map["peak"] = max(int(of_map["peak"][0]), count)


def twins_apart(reading: Reading) -> U64:
    """Return the key types of a map's entries ``(buckets, 8)``, made unequal where entries share hash and key type.

    The nth of these entries has n times `TWIN` added, as in src/core/doubts.c.
    """
    slots = np.flatnonzero(reading.hashes)
    keys = np.stack([reading.hashes.ravel()[slots], reading.key_types.ravel()[slots]])
    order = np.lexsort(keys)
    is_first = np.r_[True, (keys[:, order[1:]] != keys[:, order[:-1]]).any(axis=0)]
    place = np.arange(len(order))
    key_types = reading.key_types.copy()
    nth = (place - np.maximum.accumulate(np.where(is_first, place, 0))).astype(np.uint64)
    key_types.ravel()[slots[order]] += nth * TWIN
    return key_types


def is_held(world: World, m: int, reading: Reading) -> bool:
    """True if the model's buckets of map `m` equal the reading: the model then stays, as it knows who filled them."""
    buckets, parts = world.buckets_of(m)
    if len(buckets) != len(reading.control):
        return False
    is_live, held = reading.hashes != 0, world.buckets[buckets]
    same_control = np.array_equal(held["control"], reading.control) and np.array_equal(parts, reading.part)
    return same_control and np.array_equal(held["hashes"][is_live], reading.hashes[is_live])


def buckets_by_map(buckets: pa.Table) -> dict[tuple[int, int], tuple[U64, U32, U32, U64, U64]]:
    """Return control, part, home, hashes and key types of each map that was read with hashes, by address and time."""
    buckets = buckets.filter(pc.is_valid(buckets["hashes"]))
    addr, when = np.array(buckets["map_addr"], np.uint64), np.array(buckets["time_ns"], np.uint64)
    if not len(addr):
        return {}
    columns = [np.array(buckets[name]) for name in ("control", "part", "home")]
    columns += [
        np.array(pc.list_flatten(buckets[name])).reshape(-1, SLOTS_OF_BUCKET) for name in ("hashes", "key_types")
    ]
    starts = np.flatnonzero(np.r_[True, (addr[1:] != addr[:-1]) | (when[1:] != when[:-1])])
    ends = np.r_[starts[1:], len(addr)]
    return {
        (int(addr[s]), int(when[s])): tuple(column[s:e] for column in columns)  # type: ignore[misc]
        for s, e in zip(starts.tolist(), ends.tolist(), strict=True)
    }
