"""A map that was read from memory is put into the model, with hashes; from then on it is replayed like any other.

Nobody saw who filled and emptied its slots: that was `vocabulary.BEFORE`. A slot
that is marked as emptied was in use before; of one that isn't nobody knows,
it counts as virgin.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import BEFORE
from support.oracle.model import classic, swiss
from support.oracle.model.arena import lacks, set_key_type, take_buckets, take_directory
from support.oracle.model.chain import ALL_EVACUATED, EMPTY_ONE
from support.oracle.model.classic import MAIN_PART, OLD_PART
from support.oracle.model.control import ZERO, get_byte
from support.oracle.model.evacuation import ITERATOR, OLD_ITERATOR, SAME_SIZE_GROW, new_overflow, old_log2
from support.oracle.model.sizes import array_buckets
from support.oracle.model.state import (
    ARRAY,
    BUCKET_BYTES,
    COUNT,
    DIRECTORY_LENGTH,
    EVACUATED,
    FIRST_GROUP,
    FLAGS,
    GROUPS,
    GROWTH_LEFT,
    HAS_POINTERS,
    LAST_INSERT,
    LOG2,
    OLD_ARRAY,
    OLD_CHAINED,
    OLD_HEAP,
    ON_HEAP,
    OVERFLOW_COUNT,
    PREALLOCATED,
    U32,
    U64,
    USED,
    WAITING,
    State,
    int64,
)
from support.oracle.model.table import ALL_EMPTY, CTRL_DELETED, live_mask, new_table

OVERFLOW_PART = 1
KEPT_FLAGS = ITERATOR | OLD_ITERATOR | SAME_SIZE_GROW


def has_room_to_resume(state: State, is_swiss: bool, m: int, log2: int, buckets: int) -> bool:
    """True if `resume_classic` or `resume_swiss` can be called; else `enlarged` is due."""
    if is_swiss:
        return not lacks(state, m + 1, buckets, buckets, 1 << log2)
    return not lacks(state, m + 1, buckets + (2 << log2), 0, 0)


def resume_classic(
    state: State, m: int, count: int, flags: int, log2: int, overflow_count: int, evacuated: int, is_growing: bool,
    control: U64, part: U32, home: U32, hashes: U64, key_types: U64,
) -> None:  # fmt: skip
    """Let map `m` be as its header and its buckets in BUCKET_ORDER say.

    go: runtime/map.go hmap bmap [1.18..1.23]
    """
    classic.forget(state, m)
    row = state.maps[m]
    row[FLAGS], row[LOG2], row[COUNT] = flags & KEPT_FLAGS, log2, count
    if len(control):
        row[ARRAY] = take_buckets(state, log2, ZERO, BEFORE)
    if is_growing:
        row[EVACUATED] = evacuated
        row[OLD_ARRAY] = take_buckets(state, old_log2(state, m), ALL_EVACUATED, BEFORE)
    tail = 0
    for n in range(len(control)):
        if part[n] == MAIN_PART:
            tail = int64(row[ARRAY] + home[n])
        elif part[n] == OVERFLOW_PART:
            tail = new_overflow(state, m, tail, BEFORE)
        elif part[n] == OLD_PART:
            tail = int64(row[OLD_ARRAY] + home[n])
            row[WAITING] += 1
        else:
            tail = old_overflow(state, m, tail)
        show_bucket(state, tail, control[n], classic.live_mask(control[n]), hashes[n], key_types[n], EMPTY_ONE)
    row[OVERFLOW_COUNT] = overflow_count


def old_overflow(state: State, m: int, tail: int) -> int:
    """Chain an overflow bucket to one of the old array; the first ones count as preallocated with it."""
    row = state.maps[m]
    bucket = take_buckets(state, 0, ZERO, BEFORE)
    log2 = old_log2(state, m)
    preallocated = array_buckets(state.rules, row[BUCKET_BYTES], row[HAS_POINTERS], log2) - (1 << log2)
    if row[OLD_CHAINED] - row[OLD_HEAP] < preallocated:
        state.bucket_kinds[bucket] = PREALLOCATED
    else:
        state.bucket_kinds[bucket] = ON_HEAP
        row[OLD_HEAP] += 1
    row[OLD_CHAINED] += 1
    state.next_bucket[tail] = bucket
    return bucket


def resume_swiss(
    state: State, m: int, count: int, flags: int, log2: int, directory_length: int,
    control: U64, part: U32, home: U32, hashes: U64, key_types: U64,
) -> None:  # fmt: skip
    """Let map `m` be as its header and its groups in BUCKET_ORDER say.

    go: internal/runtime/maps/map.go Map, internal/runtime/maps/table.go table [1.24..1.27]
    """
    swiss.forget(state, m)
    row = state.maps[m]
    row[FLAGS], row[COUNT] = flags, count
    if directory_length == 0:
        if len(control):
            row[ARRAY] = take_buckets(state, 0, ALL_EMPTY, BEFORE)
            show_bucket(state, row[ARRAY], control[0], live_mask(control[0]), hashes[0], key_types[0], CTRL_DELETED)
        return
    row[LOG2], row[DIRECTORY_LENGTH], row[GROUPS] = log2, directory_length, len(control)
    row[ARRAY] = take_directory(state, log2)
    n = 0
    while n < len(control):
        groups = 1
        while n + groups < len(control) and part[n + groups] == part[n]:
            groups += 1
        end = int64(home[n + groups]) if n + groups < len(control) else directory_length
        table = resume_table(state, int64(home[n]), end, log2, groups)
        for g in range(groups):
            group = state.tables[table, FIRST_GROUP] + g
            live = live_mask(control[n + g])
            show_bucket(state, group, control[n + g], live, hashes[n + g], key_types[n + g], CTRL_DELETED)
            count_group(state, table, control[n + g], live)
        for slot in range(int64(home[n]), end):
            state.directory[row[ARRAY] + slot] = table
        n += groups


def resume_table(state: State, home: int, end: int, log2: int, groups: int) -> int:
    """Return an empty table that stands in the directory from `home` to `end`."""
    depth = log2
    while 1 << (log2 - depth) < end - home:
        depth -= 1
    groups_log2 = 0
    while 1 << groups_log2 < groups:
        groups_log2 += 1
    return new_table(state, groups_log2, home, depth, BEFORE)


def count_group(state: State, table: int, control: np.uint64, live: np.uint64) -> None:
    """Count the entries and tombstones of a group of a table.

    Go holds that growthLeft, entries and tombstones make up what an empty table takes.
    go: internal/runtime/maps/table_debug.go (*table).checkInvariants [1.24..1.27]
    """
    for slot in range(8):
        if live >> np.uint64(8 * slot + 7) & np.uint64(1):
            state.tables[table, USED] += 1
            state.tables[table, GROWTH_LEFT] -= 1
        elif get_byte(control, slot) == CTRL_DELETED:
            state.tables[table, GROWTH_LEFT] -= 1


def show_bucket(
    state: State, bucket: int, control: np.uint64, live: np.uint64, hashes: U64, key_types: U64, emptied: np.uint64
) -> None:
    """Fill a virgin bucket with what was read; the control byte `emptied` tells a slot that was in use."""
    state.control[bucket] = control
    for slot in range(8):
        is_live = live >> np.uint64(8 * slot + 7) & np.uint64(1)
        if is_live:
            state.hashes[bucket, slot] = hashes[slot]
            set_key_type(state, bucket, slot, key_types[slot])
        if is_live or get_byte(control, slot) == emptied:
            state.insert_stacks[bucket, slot] = BEFORE
            state.bucket_stacks[bucket, LAST_INSERT] = BEFORE
        if not is_live and get_byte(control, slot) == emptied:
            state.delete_stacks[bucket, slot] = BEFORE
