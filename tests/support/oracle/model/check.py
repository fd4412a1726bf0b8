"""Invariants of every map between two operations, as functions that return the violations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mapprobe.vocabulary import NONE
from support.oracle.model import classic, evacuation, swiss, table
from support.oracle.model.chain import is_evacuated, top_hash
from support.oracle.model.directory import table_of
from support.oracle.model.sizes import over_load_factor
from support.oracle.model.state import (
    ARRAY,
    CHAINED,
    COUNT,
    DIRECTORY_LENGTH,
    EVACUATED,
    FIRST_GROUP,
    GROWTH_LEFT,
    HEAP,
    INDEX,
    LOCAL_DEPTH,
    LOG2,
    LOG2_GROUPS,
    NOWHERE,
    OLD_ARRAY,
    OLD_CHAINED,
    ON_HEAP,
    U32,
    USED,
    WAITING,
    State,
    int64,
)

LONGEST_TABLE_LOG2 = table.MAX_GROUPS_LOG2


def check_classic(state: State, m: int) -> None:
    """Hold map `m` to the invariants of a classic map.

    Raises
    ------
    AssertionError
        With the invariant that does not hold.
    """
    row = state.maps[m]
    buckets = np.empty(classic.count_buckets(state, m), np.uint32)
    parts = np.empty_like(buckets)
    _require(classic.list_buckets(state, m, buckets, parts) == len(buckets), m, "count_buckets counts what is listed")
    _check_slots(state, m, buckets, classic.live_mask)
    counts = [int(np.count_nonzero(parts == part)) for part in range(4)]
    if row[ARRAY] != NOWHERE:
        _require(counts == [1 << row[LOG2], row[CHAINED], row[WAITING], row[OLD_CHAINED]], m, "parts are counted")
    on_heap = np.count_nonzero(state.bucket_kinds[buckets[parts == 1]] == ON_HEAP)
    _require(on_heap == row[HEAP], m, "overflow buckets of the heap are counted")
    _check_chains(state, m, buckets, parts)
    if evacuation.is_growing(state, m):
        _check_growth(state, m)
    else:
        _require(not over_load_factor(state.rules, row[COUNT], row[LOG2]), m, "entries keep to the load factor")


def _check_chains(state: State, m: int, buckets: U32, parts: U32) -> None:
    row = state.maps[m]
    home, log2, nothing_behind = 0, 0, False
    for bucket, part in zip(buckets.tolist(), parts.tolist(), strict=True):
        if part in (0, 2):
            home = bucket - int(row[ARRAY] if part == 0 else row[OLD_ARRAY])
            log2 = int(row[LOG2] if part == 0 else evacuation.old_log2(state, m))
            nothing_behind = False
        for slot, byte in enumerate(_bytes(state, bucket)):
            _require(byte == 0 or not nothing_behind, m, "nothing stands behind emptyRest")
            nothing_behind |= byte == 0
            _require(byte not in (2, 3, 4), m, "no listed bucket is evacuated")
            if byte >= 5:
                hash = state.hashes[bucket, slot]
                _require(byte == int(top_hash(hash)), m, "tophash is of the entry's hash")
                _require(int(hash) & ((1 << log2) - 1) == home, m, "entries stand in the bucket of their low bits")


def _check_growth(state: State, m: int) -> None:
    row = state.maps[m]
    old_buckets = 1 << evacuation.old_log2(state, m)
    done = [is_evacuated(state.control[row[OLD_ARRAY] + n]) for n in range(old_buckets)]
    _require(0 <= row[EVACUATED] < old_buckets, m, "growth ends with its last evacuation")
    _require(all(done[: row[EVACUATED]]), m, "buckets below the evacuation mark are evacuated")
    _require(done.count(False) == row[WAITING], m, "waiting buckets are counted")
    for n in range(1 << row[LOG2]):
        bucket = row[ARRAY] + n
        empty = not classic.live_mask(state.control[bucket]) and state.next_bucket[bucket] == NONE
        _require(done[n % old_buckets] or empty, m, "a bucket is filled only after its old one is evacuated")


def check_swiss(state: State, m: int) -> None:
    """Hold map `m` to the invariants of a Swiss map.

    Raises
    ------
    AssertionError
        With the invariant that does not hold.
    """
    row = state.maps[m]
    buckets = np.empty(swiss.count_buckets(state, m), np.uint32)
    parts = np.empty_like(buckets)
    _require(swiss.list_buckets(state, m, buckets, parts) == len(buckets), m, "count_buckets counts what is listed")
    _check_slots(state, m, buckets, swiss.live_mask)
    if row[DIRECTORY_LENGTH] == 0:
        for byte in (b for bucket in buckets.tolist() for b in _bytes(state, bucket)):
            _require(byte != int(table.CTRL_DELETED), m, "small maps hold no tombstones")
        return
    _require(row[DIRECTORY_LENGTH] == 1 << row[LOG2], m, "the directory is as long as it is deep")
    slots = state.directory[row[ARRAY] : row[ARRAY] + row[DIRECTORY_LENGTH]].tolist()
    distinct = list(dict.fromkeys(slots))
    runs = 1 + sum(a != b for a, b in pairwise(slots))
    _require(runs == len(distinct), m, "a table's places in the directory are all in a row")
    _require(sum(state.tables[t, USED] for t in distinct) == row[COUNT], m, "tables hold the map's entries")
    for t in distinct:
        entries = 1 << (row[LOG2] - state.tables[t, LOCAL_DEPTH])
        _require(slots.index(t) == state.tables[t, INDEX], m, "a table knows its first place in the directory")
        _require(slots.count(t) == entries, m, "a table has as many places as its depth says")
        _check_table(state, m, t)


def _check_table(state: State, m: int, t: int) -> None:
    row = state.tables[t]
    groups = 1 << row[LOG2_GROUPS]
    _require(1 <= row[LOG2_GROUPS] <= LONGEST_TABLE_LOG2, m, "tables have 16 to 1024 slots")
    every = [_bytes(state, row[FIRST_GROUP] + n) for n in range(groups)]
    empty, deleted = int(table.CTRL_EMPTY), int(table.CTRL_DELETED)
    tombstones = sum(control.count(deleted) for control in every)
    used = sum(byte < empty for control in every for byte in control)
    _require(used == row[USED], m, "a table counts its entries")
    left = table.max_growth_left(row[LOG2_GROUPS]) - used - tombstones
    _require(left == row[GROWTH_LEFT] >= 0, m, "growth left is what neither entries nor tombstones take")
    for n, control in enumerate(every):
        _require(empty not in control or deleted not in control, m, "no group has empty slots and tombstones")
        for slot, byte in enumerate(control):
            if byte < empty:
                hash = int(state.hashes[row[FIRST_GROUP] + n, slot])
                _require(byte == hash & 0x7F, m, "control bytes are of the entry's hash")
                _require(table_of(state, m, np.uint64(hash)) == t, m, "entries stand in the table of their top bits")
                _require(_reaches(every, hash, n), m, "entries can be reached")


def _reaches(every: list[list[int]], hash: int, home: int) -> bool:
    offset = (hash >> 7) % len(every)
    for step in range(1, len(every) + 1):
        if offset == home:
            return True
        if int(table.CTRL_EMPTY) in every[offset]:
            return False
        offset = (offset + step) % len(every)
    return False


def _check_slots(state: State, m: int, buckets: U32, live_mask: Callable[[np.uint64], np.uint64]) -> None:
    """Check what holds of the slots of both implementations."""
    _require(len(set(buckets.tolist())) == len(buckets), m, "no bucket is listed twice")
    masks = np.array([int(live_mask(state.control[b])) for b in buckets], np.uint64)
    live = (masks[:, None] >> np.arange(7, 64, 8, dtype=np.uint64)) & np.uint64(1) != 0
    _require(int64(live.sum()) == state.maps[m, COUNT], m, "live slots are the map's entries")
    keys = np.stack([state.hashes[buckets][live], state.key_types[buckets][live]])
    _require(np.unique(keys, axis=1).shape[1] == keys.shape[1], m, "no key is there twice")
    inserted, deleted = state.insert_stacks[buckets] != NONE, state.delete_stacks[buckets] != NONE
    _require(bool(np.all(inserted[live])), m, "live slots have an insert stack")
    _require(bool(np.all(deleted[inserted & ~live])), m, "dead slots have a delete stack")
    _require(not np.any(deleted & ~inserted & ~live), m, "slots are filled before they are emptied")


def _bytes(state: State, bucket: int) -> list[int]:
    return list(int(state.control[bucket]).to_bytes(8, "little"))


def _require(holds: object, m: int, invariant: str) -> None:
    if not holds:
        raise AssertionError(f"map {m}: {invariant}: it does not hold")
