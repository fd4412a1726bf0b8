"""Copies that maps.Clone makes: up to Go 1.23 chains are packed again, from 1.25 on they are copied slot by slot.

No key is hashed, so no event tells where the entries stand; the runtime's
ways of copying do. Go 1.24 inserts the entries one by one, which is seen.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import NONE
from support.oracle.model import classic, swiss
from support.oracle.model.arena import fill_slot, key_type_of, lacks, take_buckets, take_directory
from support.oracle.model.chain import EMPTY_ONE, is_evacuated
from support.oracle.model.control import ONE, ZERO, get_byte
from support.oracle.model.evacuation import is_growing, new_overflow, old_log2
from support.oracle.model.state import (
    ARRAY,
    COUNT,
    DIRECTORY_LENGTH,
    FIRST_GROUP,
    FLAGS,
    GROUPS,
    GROWTH_LEFT,
    INDEX,
    LOCAL_DEPTH,
    LOG2,
    LOG2_GROUPS,
    NOWHERE,
    OLD_ARRAY,
    USED,
    State,
    int64,
)
from support.oracle.model.table import ALL_EMPTY, new_table


def has_room_to_clone(state: State, is_swiss: bool, original: int, m: int) -> bool:
    """True if map `original` can be copied to row `m`; else `enlarged` is due."""
    if is_swiss:
        slots = state.maps[original, DIRECTORY_LENGTH]
        return not lacks(state, m + 1, 2 * swiss.count_buckets(state, original) + 1, slots, 2 * slots)
    return not lacks(state, m + 1, 2 * classic.count_buckets(state, original) + 2, 0, 0)


def copy_bucket(state: State, bucket: int, to: int, live: np.uint64, stack: int) -> None:
    """Copy a bucket slot by slot; its entries are inserted by `stack`, its other slots virgin."""
    for slot in range(8):
        if live >> np.uint64(8 * slot + 7) & ONE:
            hash, key_type = state.hashes[bucket, slot], key_type_of(state, bucket, slot)
            fill_slot(state, to, slot, get_byte(state.control[bucket], slot), hash, key_type, stack)
    state.control[to] = state.control[bucket]


def clone_swiss(state: State, original: int, m: int, stack: int) -> None:
    """Make the fresh map `m` a copy of `original`, tombstones and all.

    go: internal/runtime/maps/map.go (*Map).Clone [1.25..1.27]
    """
    row, of = state.maps[m], state.maps[original]
    row[COUNT], row[FLAGS], row[LOG2] = of[COUNT], of[FLAGS], of[LOG2]
    row[DIRECTORY_LENGTH], row[GROUPS] = of[DIRECTORY_LENGTH], of[GROUPS]
    if of[ARRAY] == NOWHERE:
        return
    if of[DIRECTORY_LENGTH] == 0:
        row[ARRAY] = take_buckets(state, 0, ALL_EMPTY, stack)
        copy_bucket(state, of[ARRAY], row[ARRAY], swiss.live_mask(state.control[of[ARRAY]]), stack)
        return
    row[ARRAY] = take_directory(state, of[LOG2])
    last = copy = NOWHERE
    for n in range(of[DIRECTORY_LENGTH]):
        table = int64(state.directory[of[ARRAY] + n])
        if table != last:
            copy = clone_table(state, table, stack)
        last = table
        state.directory[row[ARRAY] + n] = copy


def clone_table(state: State, table: int, stack: int) -> int:
    """Return a copy of a table that `stack` made.

    go: internal/runtime/maps/table.go (*table).clone [1.25..1.27]
    """
    of = state.tables[table]
    copy = new_table(state, of[LOG2_GROUPS], of[INDEX], of[LOCAL_DEPTH], stack)
    row = state.tables[copy]
    row[USED], row[GROWTH_LEFT] = of[USED], of[GROWTH_LEFT]
    for n in range(1 << of[LOG2_GROUPS]):
        group = of[FIRST_GROUP] + n
        copy_bucket(state, group, row[FIRST_GROUP] + n, swiss.live_mask(state.control[group]), stack)
    return copy


def clone_classic(state: State, original: int, m: int, stack: int) -> None:
    """Fill the fresh map `m`, made for as many entries, with those of `original`.

    What waits in old buckets that lead to several new ones is left out: it is assigned, which is seen. So is
    here that a map of one bucket is packed again if its slots hold pointers to elements or to some kinds of keys.

    go: runtime/map.go mapclone2 [1.21..1.23]
    """
    row, of = state.maps[m], state.maps[original]
    if of[COUNT] == 0:
        return
    if row[ARRAY] == NOWHERE:
        row[ARRAY] = take_buckets(state, 0, ZERO, stack)
    if of[LOG2] == 0:
        copy_bucket(state, of[ARRAY], row[ARRAY], classic.live_mask(state.control[of[ARRAY]]), stack)
        row[COUNT] = of[COUNT]
        return
    length = 1 << row[LOG2]
    for n in range(length):
        to, slot = int64(row[ARRAY] + n), 0
        for j in range(n, 1 << of[LOG2], length):
            to, slot = copy_chain(state, of[ARRAY] + j, m, to, slot, stack)
    if not is_growing(state, original) or old_log2(state, original) < row[LOG2]:
        return
    for n in range(1 << old_log2(state, original)):
        old = of[OLD_ARRAY] + n
        if not is_evacuated(state.control[old]):
            tail = row[ARRAY] + (n & (length - 1))
            while state.next_bucket[tail] != NONE:
                tail = int64(state.next_bucket[tail])
            copy_chain(state, old, m, tail, 0, stack)


def copy_chain(state: State, bucket: int, m: int, to: int, slot: int, stack: int) -> tuple[int, int]:
    """Copy the entries of a chain to empty slots of map `m`, from one on; return the one behind the last filled.

    go: runtime/map.go moveToBmap [1.21..1.23]
    """
    while bucket != NONE:
        for from_slot in range(8):
            byte = get_byte(state.control[bucket], from_slot)
            if byte <= EMPTY_ONE:
                continue
            while slot < 8 and get_byte(state.control[to], slot) > EMPTY_ONE:
                slot += 1
            if slot == 8:
                to, slot = new_overflow(state, m, to, stack), 0
            key_type = key_type_of(state, bucket, from_slot)
            fill_slot(state, to, slot, byte, state.hashes[bucket, from_slot], key_type, stack)
            state.maps[m, COUNT] += 1
            slot += 1
        bucket = int64(state.next_bucket[bucket])
    return to, slot
