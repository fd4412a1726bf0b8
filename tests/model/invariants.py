"""What holds of every map between two operations, as functions that say what does not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mapprobe import _core
from mapprobe.core import HAS_DIRECTORY, World
from mapprobe.schema import NONE

U32 = npt.NDArray[np.uint32]

CTRL_EMPTY, CTRL_DELETED = 0x80, 0xFE
LONGEST_TABLE_LOG2 = 7


def check_classic(world: World, m: int) -> None:
    """Hold map `m` to the invariants of a classic map.

    Raises
    ------
    AssertionError
        With the invariant that does not hold.
    """
    raise NotImplementedError


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
    slots = world.directory[row["array"] : row["array"] + (1 << row["log2"])].tolist()
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
