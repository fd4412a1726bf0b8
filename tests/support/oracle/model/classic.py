"""Go's map up to 1.23: an array of buckets with overflow chains, evacuated bucket by bucket when it grows.

An entry goes to the bucket that the low B bits of its hash name, into the
first empty slot of that bucket's chain. Functions bear the names of those in
runtime/map.go that they follow.

BUCKET_ORDER: each main bucket (part 0) followed by its overflow chain (part 1); then, while the map
grows, each old bucket that waits for evacuation (part 2) followed by its chain (part 3).
"""

from __future__ import annotations

import numpy as np

from support.oracle.model import sizes
from support.oracle.model.arena import fill_slot, give_buckets, lacks, note_emptied, take_buckets
from support.oracle.model.chain import (
    EMPTY_ONE,
    NOT_THERE,
    give_chain,
    is_evacuated,
    is_last,
    list_chain,
    live_mask,
    mark_rest,
    search,
    top_hash,
)
from support.oracle.model.control import ZERO, with_byte
from support.oracle.model.evacuation import (
    ITERATOR,
    OLD_ITERATOR,
    RANDOM_OVERFLOW_LOG2,
    SAME_SIZE_GROW,
    drop_old_array,
    grow_work,
    hash_grow,
    is_growing,
    new_overflow,
    next_insert_grows,
    old_log2,
)
from support.oracle.model.state import (
    ARRAY,
    BUCKET_BYTES,
    CHAINED,
    COUNT,
    CREATED_BY,
    EVACUATED,
    FLAGS,
    HAS_POINTERS,
    HEAP,
    LAST_DELETE,
    LOG2,
    NOWHERE,
    OLD_ARRAY,
    OLD_CHAINED,
    OLD_HEAP,
    OVERFLOW_COUNT,
    PREALLOCATED_USED,
    U32,
    WAITING,
    State,
    int64,
)

__all__ = [
    "BUCKET_ORDER",
    "NOT_THERE",
    "RANDOM_OVERFLOW_LOG2",
    "SAME_SIZE_GROW",
    "agrees",
    "allocated_bytes",
    "begin_insert",
    "clear",
    "count",
    "count_buckets",
    "create",
    "delete",
    "delete_evacuated",
    "evacuate_for",
    "forget",
    "fresh_bytes",
    "has_room",
    "has_room_to_create",
    "holds",
    "insert",
    "insert_evacuated",
    "list_buckets",
    "live_mask",
    "needed_bytes",
    "set_iterator_flags",
    "set_overflow_count",
    "set_type",
]

fresh_bytes = sizes.fresh_classic_bytes

BUCKET_ORDER = ("main", "overflow", "old", "old overflow")
"""What `part` says of a bucket, by its number."""

MAIN_PART, OLD_PART = 0, 2


def count(state: State, m: int) -> int:
    """Return how many entries map `m` holds."""
    return int64(state.maps[m, COUNT])


def has_room_to_create(state: State, m: int, hint: int, bucket_bytes: int) -> bool:
    """True if `create` can be called; else `enlarged` is due."""
    return not lacks(state, m + 1, 1 << sizes.classic_log2(state.rules, hint, bucket_bytes), 0, 0)


def has_room(state: State, m: int) -> bool:
    """True if any one operation on map `m` can be done; else `enlarged` is due."""
    # An evacuation chains at most as many buckets as it takes apart, and an insert one of its own.
    buckets = state.maps[m, CHAINED] + 2
    if is_growing(state, m):
        buckets += state.maps[m, OLD_CHAINED]
    if next_insert_grows(state, m):
        buckets += 2 << state.maps[m, LOG2]
    return not lacks(state, m + 1, buckets, 0, 0)


def create(state: State, m: int, hint: int, bucket_bytes: int, has_pointers: int, stack: int) -> None:
    """Make row `m` a fresh map for `hint` entries, made by `stack`.

    go: runtime/map.go makemap [1.18..1.23]
    """
    row = state.maps[m]
    row[:] = 0
    row[ARRAY] = NOWHERE
    row[OLD_ARRAY] = NOWHERE
    row[CREATED_BY] = stack
    row[LOG2] = sizes.classic_log2(state.rules, hint, bucket_bytes)
    set_type(state, m, bucket_bytes, has_pointers)
    if row[LOG2] > 0:
        row[ARRAY] = take_buckets(state, row[LOG2], ZERO, stack)


def set_type(state: State, m: int, bucket_bytes: int, has_pointers: int) -> None:
    """Say how large the buckets of map `m` are and whether they hold pointers."""
    state.maps[m, BUCKET_BYTES] = bucket_bytes
    state.maps[m, HAS_POINTERS] = has_pointers


def set_overflow_count(state: State, m: int, overflow_count: int) -> None:
    """Take `noverflow` from the header: with B >= 16 the runtime counts it by chance."""
    state.maps[m, OVERFLOW_COUNT] = overflow_count


def set_iterator_flags(state: State, m: int, flags: int) -> None:
    """Take from the header whether iterators may hold buckets: that keeps old overflow buckets in memory."""
    kept = state.maps[m, FLAGS] & SAME_SIZE_GROW
    state.maps[m, FLAGS] = kept | (flags & (ITERATOR | OLD_ITERATOR))


def main_bucket(state: State, m: int, hash: np.uint64) -> int:
    """Return which main bucket a hash belongs to, counted from the start of the array."""
    return int64(hash & np.uint64((1 << state.maps[m, LOG2]) - 1))


def insert(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int, prunes: bool) -> int:
    """Assign to a key.

    Parameters
    ----------
    prunes
        Of no meaning here: classic maps have no tombstones to prune.

    Returns
    -------
    Bit 0: 1 if the key was not there; above it: how many growths this started.

    go: runtime/map.go mapassign [1.18..1.23]
    """
    begin_insert(state, m, hash, stack)
    return insert_evacuated(state, m, hash, key_type, stack)


def evacuate_for(state: State, m: int, hash: np.uint64, stack: int) -> None:
    """Do the part of a growth that an operation on a hash does first; nothing in a map that does not grow."""
    if is_growing(state, m):
        grow_work(state, m, main_bucket(state, m, hash), stack)


def begin_insert(state: State, m: int, hash: np.uint64, stack: int) -> None:
    """Do what `insert` does before it looks for the key: make the first bucket, and `evacuate_for`."""
    if state.maps[m, ARRAY] == NOWHERE:
        state.maps[m, ARRAY] = take_buckets(state, 0, ZERO, state.maps[m, CREATED_BY])
    evacuate_for(state, m, hash, stack)


def insert_evacuated(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int) -> int:
    """Do the rest of `insert` behind `begin_insert`; return as `insert` does."""
    growths = 0
    while True:
        home = main_bucket(state, m, hash)
        bucket, _, place, last = search(state, state.maps[m, ARRAY] + home, hash, key_type)
        if bucket != NOT_THERE:
            return 2 * growths
        if not next_insert_grows(state, m):
            break
        hash_grow(state, m, stack)
        evacuate_for(state, m, hash, stack)
        growths += 1
    if place == NOT_THERE:
        place = 8 * new_overflow(state, m, last, stack)
    fill_slot(state, place >> 3, place & 7, top_hash(hash), hash, key_type, stack)
    state.maps[m, COUNT] += 1
    return 2 * growths + 1


def delete(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int) -> int:
    """Delete a key; return the stack that inserted it, NOT_THERE when it was not there.

    go: runtime/map.go mapdelete [1.18..1.23]
    """
    if state.maps[m, COUNT] == 0:
        return NOT_THERE
    evacuate_for(state, m, hash, stack)
    return delete_evacuated(state, m, hash, key_type, stack)


def delete_evacuated(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int) -> int:
    """Do the rest of `delete` behind `evacuate_for`; return as `delete` does."""
    first = state.maps[m, ARRAY] + main_bucket(state, m, hash)
    bucket, slot, _, _ = search(state, first, hash, key_type)
    if bucket == NOT_THERE:
        return NOT_THERE
    state.control[bucket] = with_byte(state.control[bucket], slot, EMPTY_ONE)
    state.delete_stacks[bucket, slot] = stack
    state.bucket_stacks[bucket, LAST_DELETE] = stack
    if is_last(state, bucket, slot):
        mark_rest(state, first, bucket, slot)
    state.maps[m, COUNT] -= 1
    return int64(state.insert_stacks[bucket, slot])


def holds(state: State, m: int, hash: np.uint64, key_type: np.uint64) -> bool:
    """True if a key is there, behind `evacuate_for`."""
    if state.maps[m, COUNT] == 0:
        return False
    return search(state, state.maps[m, ARRAY] + main_bucket(state, m, hash), hash, key_type)[0] != NOT_THERE


def clear(state: State, m: int, stack: int) -> None:
    """Empty the map: chains and the old array are dropped, the main buckets stay.

    go: runtime/map.go mapclear [1.18..1.23]
    """
    row = state.maps[m]
    if row[COUNT] == 0:
        return
    drop_old_array(state, m)
    for bucket in range(row[ARRAY], row[ARRAY] + (1 << row[LOG2])):
        note_emptied(state, bucket, live_mask(state.control[bucket]), stack)
        state.control[bucket] = ZERO
        give_chain(state, bucket)
    row[COUNT] = 0
    row[EVACUATED] = 0
    row[OVERFLOW_COUNT] = 0
    row[CHAINED] = 0
    row[PREALLOCATED_USED] = 0
    row[HEAP] = 0


def forget(state: State, m: int) -> None:
    """Give back all that map `m` holds: it died."""
    row = state.maps[m]
    drop_old_array(state, m)
    if row[ARRAY] != NOWHERE:
        for bucket in range(row[ARRAY], row[ARRAY] + (1 << row[LOG2])):
            give_chain(state, bucket)
        give_buckets(state, row[ARRAY], row[LOG2])
    create(state, m, 0, row[BUCKET_BYTES], row[HAS_POINTERS], row[CREATED_BY])


def count_buckets(state: State, m: int) -> int:
    """Return how many buckets `list_buckets` lists."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return 0
    return int64((1 << row[LOG2]) + row[CHAINED] + row[WAITING] + row[OLD_CHAINED])


def list_buckets(state: State, m: int, buckets: U32, parts: U32) -> int:
    """Write bucket ids and parts of map `m` in BUCKET_ORDER; return how many."""
    row = state.maps[m]
    listed = 0
    if row[ARRAY] == NOWHERE:
        return listed
    for first in range(row[ARRAY], row[ARRAY] + (1 << row[LOG2])):
        listed = list_chain(state, first, MAIN_PART, buckets, parts, listed)
    if is_growing(state, m):
        for first in range(row[OLD_ARRAY], row[OLD_ARRAY] + (1 << old_log2(state, m))):
            if not is_evacuated(state.control[first]):
                listed = list_chain(state, first, OLD_PART, buckets, parts, listed)
    return listed


def agrees(
    state: State, m: int, count: int, array_is_nil: bool, is_growing: bool, flags: int, log2_size: int,
    overflow_count: int, directory_length: int, evacuated: int,
) -> bool:  # fmt: skip
    """True if a header, read before an operation, is what the model holds of map `m`.

    A first bucket that the model has not seen taken may stand in the frame of the map's maker.
    """
    row = state.maps[m]
    has_array = row[ARRAY] != NOWHERE
    may_be_in_frame = row[LOG2] == 0 and row[COUNT] == 0
    return (
        count == row[COUNT]
        and log2_size == row[LOG2]
        and (has_array or may_be_in_frame if not array_is_nil else not has_array)
        and is_growing == (row[OLD_ARRAY] != NOWHERE)
        and flags & SAME_SIZE_GROW == row[FLAGS] & SAME_SIZE_GROW
        and (log2_size >= RANDOM_OVERFLOW_LOG2 or overflow_count == row[OVERFLOW_COUNT])
        and (not is_growing or evacuated == row[EVACUATED])
    )


def allocated_bytes(state: State, m: int) -> int:
    """Return what the allocator charges for all buckets of map `m`."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return 0
    rules, bucket_bytes, has_pointers = state.rules, row[BUCKET_BYTES], row[HAS_POINTERS]
    total = sizes.array_bytes(rules, bucket_bytes, has_pointers, row[LOG2])
    if is_growing(state, m):
        total += sizes.array_bytes(rules, bucket_bytes, has_pointers, old_log2(state, m))
    on_heap = int64(row[HEAP] + row[OLD_HEAP])
    return total + on_heap * sizes.charged_bytes(rules, bucket_bytes, has_pointers)


def needed_bytes(state: State, m: int) -> int:
    """Return what a fresh map for the entries of map `m` would be charged."""
    row = state.maps[m]
    return sizes.fresh_classic_bytes(state.rules, row[BUCKET_BYTES], row[HAS_POINTERS], row[COUNT])
