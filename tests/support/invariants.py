"""Invariants of every map between two operations, as functions that return the violations."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mapprobe import _core
from mapprobe.arrays import I64, U32
from mapprobe.model.core import GROWING, HAS_DIRECTORY, World
from mapprobe.vocabulary import NONE

EMPTY_REST, MIN_TOP_HASH = 0, 5
SAME_SIZE_GROW = 8
ON_HEAP = 2
CTRL_EMPTY, CTRL_DELETED = 0x80, 0xFE
LONGEST_TABLE_LOG2 = 7


def check_classic(world: World, m: int, rules: I64) -> None:
    """Hold map `m` of a release with these rules to the invariants of a classic map.

    Raises
    ------
    AssertionError
        With the invariant that does not hold.
    """
    row, chains = world.maps[m], world.chains[m]
    buckets, parts = world.buckets_of(m)
    listed = _core.list_buckets(world.handle, m, np.empty_like(buckets), np.empty_like(parts))
    require(listed == len(buckets), m, "count_buckets counts what is listed")
    check_slots(world, m, buckets)
    counts = [int(np.count_nonzero(parts == part)) for part in range(4)]
    if row["array"] != NONE:
        expected = [1 << int(row["log2"]), chains["chained"], chains["waiting"], chains["old_chained"]]
        require(counts == expected, m, "parts are counted")
    on_heap = np.count_nonzero(world.buckets["kind"][buckets[parts == 1]] == ON_HEAP)
    require(on_heap == chains["heap"], m, "overflow buckets of the heap are counted")
    check_chains(world, m, buckets, parts)
    is_growing = bool(row["state"] & GROWING)
    require(is_growing == (chains["old_array"] != NONE), m, "a map grows while it has an old array")
    if is_growing:
        check_growth(world, m)
    else:
        is_over = _core.over_load_factor(rules, int(row["count"]), int(row["log2"]))
        require(not is_over, m, "entries keep to the load factor")


def check_chains(world: World, m: int, buckets: U32, parts: U32) -> None:
    row, chains = world.maps[m], world.chains[m]
    hashes = world.buckets["hashes"][buckets].tolist()
    home, log2, nothing_behind = 0, 0, False
    for n, (bucket, part) in enumerate(zip(buckets.tolist(), parts.tolist(), strict=True)):
        if part in (0, 2):
            home = bucket - int(row["array"] if part == 0 else chains["old_array"])
            log2 = int(row["log2"]) if part == 0 else old_log2(row)
            nothing_behind = False
        for slot, byte in enumerate(control_bytes(world, bucket)):
            require(byte == EMPTY_REST or not nothing_behind, m, "nothing stands behind emptyRest")
            nothing_behind |= byte == EMPTY_REST
            require(byte not in (2, 3, 4), m, "no listed bucket is evacuated")
            if byte >= MIN_TOP_HASH:
                hash = hashes[n][slot]
                require(byte == top_hash(hash), m, "tophash is of the entry's hash")
                require(hash & ((1 << log2) - 1) == home, m, "entries stand in the bucket of their low bits")


def check_growth(world: World, m: int) -> None:
    row, chains = world.maps[m], world.chains[m]
    old_buckets, first, old = 1 << old_log2(row), int(row["array"]), int(chains["old_array"])
    done = [1 < control_bytes(world, old + n)[0] < MIN_TOP_HASH for n in range(old_buckets)]
    mark = int(chains["evacuated"])
    require(0 <= mark < old_buckets, m, "growth ends with its last evacuation")
    require(all(done[:mark]), m, "buckets below the evacuation mark are evacuated")
    require(done.count(False) == chains["waiting"], m, "waiting buckets are counted")
    for n in range(1 << int(row["log2"])):
        bucket = world.buckets[first + n]
        is_empty = not _core.live_slots(world.handle, int(bucket["control"])) and bucket["next"] == NONE
        require(done[n % old_buckets] or is_empty, m, "a bucket is filled only after its old one is evacuated")


def top_hash(hash: int) -> int:
    """Return the control byte of an entry of a classic map."""
    top = hash >> 56
    return top + MIN_TOP_HASH if top < MIN_TOP_HASH else top


def old_log2(row: np.void) -> int:
    """Return log2 of the length of the array that a map grows out of."""
    return int(row["log2"]) - (0 if row["flags"] & SAME_SIZE_GROW else 1)


def check_swiss(world: World, m: int) -> None:
    """Hold map `m` to the invariants of a Swiss map.

    Raises
    ------
    AssertionError
        With the invariant that does not hold.
    """
    row, shape, tables = world.maps[m], world.shapes[m], world.rows("tables")
    buckets, _ = world.buckets_of(m)
    require(_core.count_buckets(world.handle, m) == len(buckets), m, "count_buckets counts what is listed")
    check_slots(world, m, buckets)
    if not row["state"] & HAS_DIRECTORY:
        for byte in (b for bucket in buckets.tolist() for b in control_bytes(world, bucket)):
            require(byte != CTRL_DELETED, m, "small maps hold no tombstones")
        return
    slots = world.directory[row["array"] : row["array"] + (1 << int(row["log2"]))].tolist()
    distinct = list(dict.fromkeys(slots))
    runs = 1 + sum(a != b for a, b in pairwise(slots))
    require(runs == len(distinct), m, "a table's places in the directory are all in a row")
    require(sum(int(tables["used"][t]) for t in distinct) == row["count"], m, "tables hold the map's entries")
    groups = sum(1 << int(tables["log2_groups"][t]) for t in distinct)
    require(groups == shape["groups"] == len(buckets), m, "groups of all tables are counted")
    for t in distinct:
        entries = 1 << (int(row["log2"]) - int(tables["local_depth"][t]))
        require(slots.index(t) == tables["index"][t], m, "a table knows its first place in the directory")
        require(slots.count(t) == entries, m, "a table has as many places as its depth says")
        check_table(world, m, t)


def check_table(world: World, m: int, t: int) -> None:
    row = world.rows("tables")[t]
    first, groups = int(row["first"]), 1 << int(row["log2_groups"])
    require(1 <= row["log2_groups"] <= LONGEST_TABLE_LOG2, m, "tables have 16 to 1024 slots")
    every = [control_bytes(world, first + n) for n in range(groups)]
    hashes = world.buckets["hashes"][first : first + groups].tolist()
    tombstones = sum(control.count(CTRL_DELETED) for control in every)
    used = sum(byte < CTRL_EMPTY for control in every for byte in control)
    require(used == row["used"], m, "a table counts its entries")
    left = 7 * groups - used - tombstones
    require(left == row["growth_left"] >= 0, m, "growth left is what neither entries nor tombstones take")
    for n, control in enumerate(every):
        no_mix = CTRL_EMPTY not in control or CTRL_DELETED not in control
        require(no_mix, m, "no group has empty slots and tombstones")
        for slot, byte in enumerate(control):
            if byte < CTRL_EMPTY:
                hash = hashes[n][slot]
                require(byte == hash & 0x7F, m, "control bytes are of the entry's hash")
                require(table_of(world, m, hash) == t, m, "entries stand in the table of their top bits")
                require(_reaches(every, hash, n), m, "entries can be reached")


def table_of(world: World, m: int, hash: int) -> int:
    """Return the table that a hash belongs to."""
    row = world.maps[m]
    return int(world.directory[int(row["array"]) + (hash >> (64 - int(row["log2"])))])


def _reaches(every: list[list[int]], hash: int, home: int) -> bool:
    offset = (hash >> 7) % len(every)
    for step in range(1, len(every) + 1):
        if offset == home:
            return True
        if CTRL_EMPTY in every[offset]:
            return False
        offset = (offset + step) % len(every)
    return False


def check_slots(world: World, m: int, buckets: U32) -> None:
    """Check what holds of the slots of both implementations."""
    require(len(set(buckets.tolist())) == len(buckets), m, "no bucket is listed twice")
    rows = world.buckets[buckets]
    masks = [_core.live_slots(world.handle, control) for control in rows["control"].tolist()]
    live = np.array(masks, np.uint8)[:, None] >> np.arange(8, dtype=np.uint8) & 1 != 0
    require(int(live.sum()) == world.maps["count"][m], m, "live slots are the map's entries")
    key_types = world.rows("keys")["key_types"][buckets]
    if not world.handle.has_key_types:
        key_types = np.zeros_like(key_types)
    keys = np.stack([rows["hashes"][live], key_types[live]])
    require(np.unique(keys, axis=1).shape[1] == keys.shape[1], m, "no key is there twice")
    inserted, deleted = rows["insert_stacks"] != NONE, rows["hashes"] & np.uint64(NONE) != NONE
    require(bool(np.all(inserted[live])), m, "live slots have an insert stack")
    require(bool(np.all(deleted[inserted & ~live])), m, "dead slots have a delete stack")
    require(not np.any(deleted & ~inserted & ~live), m, "slots are filled before they are emptied")


def control_bytes(world: World, bucket: int) -> list[int]:
    return list(int(world.buckets["control"][bucket]).to_bytes(8, "little"))


def require(holds: object, m: int, invariant: str) -> None:
    if not holds:
        raise AssertionError(f"map {m}: {invariant}: it does not hold")
