"""Runs of buckets and directory slots, and single tables: take, give back, fill.

Runs are powers of two long. What is given back is used again for runs of the
same length; the rest comes from the end of the arena, where `lacks` has
looked for room before.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import NONE
from support.oracle.model.control import with_byte
from support.oracle.model.state import (
    BUCKETS,
    DIRECTORY,
    FIRST_GROUP,
    FREE_BUCKETS,
    FREE_DIRECTORIES,
    FREE_TABLES,
    GROWTH,
    HAS_KEY_TYPES,
    LAST_DELETE,
    LAST_INSERT,
    MAIN,
    ROOM_BUCKETS,
    ROOM_DIRECTORY,
    ROOM_MAPS,
    ROOM_TABLES,
    TABLES,
    WANTED_BUCKETS,
    WANTED_DIRECTORY,
    WANTED_MAPS,
    WANTED_TABLES,
    State,
    int64,
)


def lacks(state: State, maps: int, buckets: int, tables: int, directory: int) -> bool:
    """True if there is no room for map row `maps` - 1 or so many more rows; what is short is noted in `tops`."""
    tops = state.tops
    if (
        maps <= tops[ROOM_MAPS]
        and tops[BUCKETS] + buckets <= tops[ROOM_BUCKETS]
        and tops[TABLES] + tables <= tops[ROOM_TABLES]
        and tops[DIRECTORY] + directory <= tops[ROOM_DIRECTORY]
    ):
        return False
    tops[WANTED_MAPS] = maps
    tops[WANTED_BUCKETS] = tops[BUCKETS] + buckets
    tops[WANTED_TABLES] = tops[TABLES] + tables
    tops[WANTED_DIRECTORY] = tops[DIRECTORY] + directory
    return True


def take_buckets(state: State, log2: int, control: np.uint64, stack: int) -> int:
    """Return the first of 2**`log2` virgin buckets that `stack` allocated, each with these control bytes."""
    first = state.free[FREE_BUCKETS + log2]
    if first == NONE:
        first = state.tops[BUCKETS]
        state.tops[BUCKETS] += 1 << log2
    else:
        state.free[FREE_BUCKETS + log2] = int64(state.next_bucket[first])
    for b in range(first, first + (1 << log2)):
        state.control[b] = control
        state.insert_stacks[b, :] = NONE
        state.delete_stacks[b, :] = NONE
        state.bucket_stacks[b, GROWTH] = stack
        state.bucket_stacks[b, LAST_INSERT] = NONE
        state.bucket_stacks[b, LAST_DELETE] = NONE
        state.bucket_kinds[b] = MAIN
        state.next_bucket[b] = NONE
    return int64(first)


def give_buckets(state: State, first: int, log2: int) -> None:
    """Give a run of buckets back."""
    state.next_bucket[first] = state.free[FREE_BUCKETS + log2]
    state.free[FREE_BUCKETS + log2] = first


def take_directory(state: State, log2: int) -> int:
    """Return the first of 2**`log2` directory slots."""
    first = state.free[FREE_DIRECTORIES + log2]
    if first == NONE:
        first = state.tops[DIRECTORY]
        state.tops[DIRECTORY] += 1 << log2
    else:
        state.free[FREE_DIRECTORIES + log2] = int64(state.directory[first])
    return int64(first)


def give_directory(state: State, first: int, log2: int) -> None:
    """Give a run of directory slots back."""
    state.directory[first] = state.free[FREE_DIRECTORIES + log2]
    state.free[FREE_DIRECTORIES + log2] = first


def take_table(state: State) -> int:
    """Return a table row."""
    table = state.free[FREE_TABLES]
    if table == NONE:
        table = state.tops[TABLES]
        state.tops[TABLES] += 1
    else:
        state.free[FREE_TABLES] = state.tables[table, FIRST_GROUP]
    return int64(table)


def give_table(state: State, table: int) -> None:
    """Give a table row back."""
    state.tables[table, FIRST_GROUP] = state.free[FREE_TABLES]
    state.free[FREE_TABLES] = table


def set_key_type(state: State, bucket: int, slot: int, key_type: np.uint64) -> None:
    """Set the key type of a slot; until there is one that isn't 0, no key type is looked at and takes memory."""
    if key_type != np.uint64(0):
        state.tops[HAS_KEY_TYPES] = 1
    if state.tops[HAS_KEY_TYPES] != 0:
        state.key_types[bucket, slot] = key_type


def fill_slot(
    state: State, bucket: int, slot: int, byte: np.uint64, hash: np.uint64, key_type: np.uint64, stack: int
) -> None:
    """Put an entry, inserted by `stack`, into a slot."""
    state.control[bucket] = with_byte(state.control[bucket], slot, byte)
    state.hashes[bucket, slot] = hash
    set_key_type(state, bucket, slot, key_type)
    state.insert_stacks[bucket, slot] = stack
    state.bucket_stacks[bucket, LAST_INSERT] = stack


def is_key(state: State, bucket: int, slot: int, hash: np.uint64, key_type: np.uint64) -> bool:
    """True if the entry in a live slot has this hash and key type."""
    if state.hashes[bucket, slot] != hash:
        return False
    if state.tops[HAS_KEY_TYPES] == 0:
        return bool(key_type == np.uint64(0))
    return bool(state.key_types[bucket, slot] == key_type)


def key_type_of(state: State, bucket: int, slot: int) -> np.uint64:
    """Return the key type of the entry in a slot."""
    if state.tops[HAS_KEY_TYPES] == 0:
        return np.uint64(0)
    return np.uint64(state.key_types[bucket, slot])


def move_entry(state: State, bucket: int, slot: int, to: int, to_slot: int, byte: np.uint64) -> None:
    """Copy an entry with its hash, key type and insert stack to a slot of another bucket."""
    stack = int64(state.insert_stacks[bucket, slot])
    fill_slot(state, to, to_slot, byte, state.hashes[bucket, slot], key_type_of(state, bucket, slot), stack)


def note_emptied(state: State, bucket: int, live: np.uint64, stack: int) -> None:
    """Note that `stack` emptied the slots of a mask, if any, in a bucket whose control bytes change elsewhere."""
    if live == np.uint64(0):
        return
    state.bucket_stacks[bucket, LAST_DELETE] = stack
    for slot in range(8):
        if (live >> np.uint64(8 * slot + 7)) & np.uint64(1):
            state.delete_stacks[bucket, slot] = stack
