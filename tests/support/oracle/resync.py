"""Resync in the oracle: the model of a map is set to what was read of its memory.

A map's memory stands as after all its events before the read began: it comes
in before the first later event of that map, wherever those of other maps are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import U32, U64
from mapprobe.recording.packing import common_columns, times
from mapprobe.vocabulary import BEFORE
from support.oracle import ledger as rules
from support.oracle.closing import as_events
from support.oracle.columns import NOWHERE, Columns
from support.oracle.deaths import drop_live
from support.oracle.doubts import TWIN, may_meet, settle_doubt
from support.oracle.ledger import Context, Ledger
from support.oracle.model import classic, swiss
from support.oracle.model.classic import MAIN_PART, OLD_PART, SAME_SIZE_GROW
from support.oracle.model.resumption import has_room_to_resume, resume_classic, resume_swiss
from support.oracle.model.state import State
from support.oracle.operations import has_room

SLOTS = 8
TABLE_GROUPS = [1 << n for n in range(8)]


@dataclass(frozen=True, slots=True)
class Reading:
    """One map as it was read with the hashes of its entries: a row of `schema.SNAPSHOT_MAPS` and its buckets."""

    addr: int
    time_ns: int
    row: int
    control: U64
    part: U32
    home: U32
    hashes: U64
    key_types: U64


class Readings:
    """What was read of maps while they lived, each to come in before its map's next event."""

    def __init__(self, snapshot_maps: pa.Table, snapshot_buckets: pa.Table, is_swiss: bool) -> None:
        alive = snapshot_maps.filter(pc.and_(pc.invert(snapshot_maps["at_end"]), pc.is_null(snapshot_maps["skipped"])))
        self.headers: Columns = as_events(alive)
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
        """Return the readings that come in within a batch of packed events, each with the row that it precedes."""
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
        """Return the readings that no event came after."""
        return [reading for waiting in self._waiting.values() for reading in waiting]


def is_whole(headers: Columns, reading: Reading, is_swiss: bool) -> bool:
    """True if the parts of a reading fit together: a damaged recording has others."""
    row, part, home = reading.row, reading.part, reading.home.astype(np.int64)
    log2, length = int(headers.common.log2_size[row]), int(headers.common.directory_length[row])
    if not len(part):
        return int(headers.count[row]) == 0
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
    is_same_size = int(headers.common.flags[row]) & SAME_SIZE_GROW
    old_length = (1 << log2 if is_same_size else 1 << log2 >> 1) if headers.common.old_array_addr[row] else 0
    follows = (part[1:] == part[:-1] - part[:-1] % 2 + 1) & (home[1:] == home[:-1])
    return bool(
        part[0] == MAIN_PART
        and (is_first[1:] | follows).all()
        and np.array_equal(mains, np.arange(len(mains))) and len(mains) == 1 << log2
        and (np.diff(olds) > 0).all() and (olds < old_length).all()
        and (np.diff(part[is_first].astype(np.int64)) >= 0).all()
    )  # fmt: skip


def resync(
    state: State,
    ledger: Ledger,
    context: Context,
    headers: Columns,
    reading: Reading,
    make_room: Callable[[], State],
) -> None:
    """Let the model hold a map as it was read.

    Parameters
    ----------
    headers
        `Readings.headers`.
    make_room
        Returns the state with the room that was found short.
    """
    m = rules.find(ledger, np.uint64(reading.addr))
    if m == NOWHERE or ledger.facts[m, rules.IS_DEAD] or ledger.facts[m, rules.TYPE] < 0:
        return
    h, row, is_swiss = headers, reading.row, bool(context.is_swiss[0])
    common = headers.common
    log2 = int(common.log2_size[row])
    while not has_room_to_resume(state, is_swiss, m, log2, len(reading.control)):
        state = make_room()
    ledger.words[m, rules.RESUMED_NS] = reading.time_ns
    if ledger.facts[m, rules.MODELLED] and ledger.facts[m, rules.PENDING]:
        while not has_room(state, context, m):
            state = make_room()
        settle_doubt(state, ledger, context, m, h.count[row])
    if ledger.facts[m, rules.MODELLED]:
        if is_held(state, is_swiss, m, reading):
            return
        drop_live(state, ledger, context, m)
    rules.settle(ledger, m, h.count[row])
    key_types = twins_apart(reading) if may_meet(ledger, context, m) else reading.key_types
    buckets = (reading.control, reading.part, reading.home, reading.hashes, key_types)
    count, flags = int(h.count[row]), int(common.flags[row])
    if is_swiss:
        resume_swiss(state, m, count, flags, log2, int(common.directory_length[row]), *buckets)
    else:
        overflow_count, evacuated = int(h.overflow_count[row]), int(h.evacuated[row])
        is_growing = bool(common.old_array_addr[row] != 0)
        resume_classic(state, m, count, flags, log2, overflow_count, evacuated, is_growing, *buckets)
    rules.add_live(ledger, context, m, BEFORE, count)
    ledger.words[m, rules.SEED], ledger.words[m, rules.ARRAY] = common.seed[row], common.array_addr[row]
    ledger.facts[m, rules.MODELLED] = 1
    ledger.facts[m, rules.PEAK] = max(int(ledger.facts[m, rules.PEAK]), count)


def twins_apart(reading: Reading) -> U64:
    """Return the key types of a map's entries, those of entries of one hash told apart (`doubts`)."""
    slots = np.flatnonzero(reading.hashes)
    keys = np.stack([reading.hashes.ravel()[slots], reading.key_types.ravel()[slots]])
    order = np.lexsort(keys)
    is_first = np.r_[True, (keys[:, order[1:]] != keys[:, order[:-1]]).any(axis=0)]
    place = np.arange(len(order))
    key_types = reading.key_types.copy()
    nth = (place - np.maximum.accumulate(np.where(is_first, place, 0))).astype(np.uint64)
    key_types.ravel()[slots[order]] += nth * TWIN
    return key_types


def is_held(state: State, is_swiss: bool, m: int, reading: Reading) -> bool:
    """True if the model holds map `m` as it was read: then it also knows who filled it."""
    model = swiss if is_swiss else classic
    count = model.count_buckets(state, m)
    if count != len(reading.control):
        return False
    buckets, parts = np.empty(count, np.uint32), np.empty(count, np.uint32)
    model.list_buckets(state, m, buckets, parts)
    is_live = reading.hashes != 0
    same_control = np.array_equal(state.control[buckets], reading.control) and np.array_equal(parts, reading.part)
    return same_control and np.array_equal(state.hashes[buckets][is_live], reading.hashes[is_live])


def buckets_by_map(buckets: pa.Table) -> dict[tuple[int, int], tuple[U64, U32, U32, U64, U64]]:
    """Return control, part, home, hashes and key types of each map that was read with them, by address and time."""
    buckets = buckets.filter(pc.is_valid(buckets["hashes"]))
    addr, when = np.array(buckets["map_addr"], np.uint64), np.array(buckets["time_ns"], np.uint64)
    if not len(addr):
        return {}
    columns = [np.array(buckets[name]) for name in ("control", "part", "home")]
    columns += [np.array(pc.list_flatten(buckets[name])).reshape(-1, SLOTS) for name in ("hashes", "key_types")]
    starts = np.flatnonzero(np.r_[True, (addr[1:] != addr[:-1]) | (when[1:] != when[:-1])])
    ends = np.r_[starts[1:], len(addr)]
    return {
        (int(addr[s]), int(when[s])): tuple(column[s:e] for column in columns)  # type: ignore[misc]
        for s, e in zip(starts.tolist(), ends.tolist(), strict=True)
    }
