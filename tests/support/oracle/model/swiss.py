"""Go's map since 1.24: a single group while small, then tables in a directory.

The top bits of an entry's hash name its table, the rest its first group and
its control byte. A table doubles up to 1024 slots and then splits in two.
Functions bear the names of those in internal/runtime/maps/map.go that they
follow.

BUCKET_ORDER: of a small map its one group (part 0); else the groups of each distinct table in the order
of the directory, ascending; part is the table's ordinal.
"""

from __future__ import annotations

import numpy as np

from support.oracle.model import sizes
from support.oracle.model.arena import (
    fill_slot,
    give_buckets,
    give_directory,
    lacks,
    note_emptied,
    take_buckets,
    take_directory,
)
from support.oracle.model.control import ZERO, first_slot, with_byte
from support.oracle.model.directory import grow_to_table, is_small, rehash, table_of
from support.oracle.model.state import (
    ARRAY,
    BUCKET_BYTES,
    COUNT,
    CREATED_BY,
    DIRECTORY_LENGTH,
    FIRST_GROUP,
    FLAGS,
    FLAGS_TOMBSTONES,
    GROUPS,
    GROWTH_LEFT,
    HAS_POINTERS,
    LAST_DELETE,
    LOG2,
    LOG2_GROUPS,
    NOWHERE,
    PRUNES_TOMBSTONES,
    U32,
    UNCOUNTED,
    UPDATE_GROWS_FULL_SMALL_MAP,
    State,
    int64,
)
from support.oracle.model.table import (
    ALL_EMPTY,
    CTRL_EMPTY,
    MAX_GROUPS_LOG2,
    NOT_THERE,
    clear_table,
    drop_table,
    h2,
    live_mask,
    match_empty,
    match_empty_or_deleted,
    new_table,
    prune_tombstones,
    put,
    remove,
    search,
    slot_of,
)

__all__ = [
    "BUCKET_ORDER",
    "NOT_THERE",
    "NO_ROOM",
    "agrees",
    "allocated_bytes",
    "clear",
    "count",
    "count_buckets",
    "create",
    "delete",
    "forget",
    "fresh_bytes",
    "has_room",
    "has_room_to_create",
    "holds",
    "insert",
    "list_buckets",
    "live_mask",
    "needed_bytes",
    "set_type",
]

fresh_bytes = sizes.fresh_swiss_bytes

BUCKET_ORDER = "groups of each distinct table, tables in the order of the directory"
"""In which order `list_buckets` lists."""

TOMBSTONE_POSSIBLE = 1
"""The bit of FLAGS, and of a recorded header's flags."""

NO_ROOM = -1
"""What `insert` returns when one split after the other took all the room that `has_room` asked for."""


def count(state: State, m: int) -> int:
    """Return how many entries map `m` holds."""
    return int64(state.maps[m, COUNT])


def has_room_to_create(state: State, m: int, hint: int, bucket_bytes: int) -> bool:
    """True if `create` can be called; else `enlarged` is due."""
    depth = sizes.initial_depth(hint, bucket_bytes)
    if depth < 0:
        return not lacks(state, m + 1, 0, 0, 0)
    groups = 1 << (depth + sizes.initial_groups_log2(hint, depth))
    return not lacks(state, m + 1, groups, 1 << depth, 1 << depth)


def has_room(state: State, m: int) -> bool:
    """True if any one operation on map `m` can be done; else `enlarged` is due.

    A split that sends all 896 entries to one side is followed by another in the same operation; no
    hash function does that, but a damaged recording may, and gets NO_ROOM from `insert`.
    """
    groups = 2 << MAX_GROUPS_LOG2
    return not lacks(state, m + 1, groups, 2, 2 * max(1, state.maps[m, DIRECTORY_LENGTH]))


def create(state: State, m: int, hint: int, bucket_bytes: int, has_pointers: int, stack: int) -> None:
    """Make row `m` a fresh map for `hint` entries, made by `stack`.

    go: internal/runtime/maps/map.go NewMap [1.24..1.27]
    """
    row = state.maps[m]
    row[:] = 0
    row[ARRAY] = NOWHERE
    row[CREATED_BY] = stack
    set_type(state, m, bucket_bytes, has_pointers)
    depth = sizes.initial_depth(hint, bucket_bytes)
    if depth < 0:
        return
    groups_log2 = sizes.initial_groups_log2(hint, depth)
    row[LOG2] = depth
    row[ARRAY] = take_directory(state, depth)
    row[DIRECTORY_LENGTH] = 1 << depth
    row[GROUPS] = 1 << (depth + groups_log2)
    for n in range(1 << depth):
        state.directory[row[ARRAY] + n] = new_table(state, groups_log2, n, depth, stack)


def set_type(state: State, m: int, bucket_bytes: int, has_pointers: int) -> None:
    """Say how large the groups of map `m` are and whether they hold pointers."""
    state.maps[m, BUCKET_BYTES] = bucket_bytes
    state.maps[m, HAS_POINTERS] = has_pointers


def insert(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int, prunes: bool) -> int:
    """Assign to a key.

    Parameters
    ----------
    prunes
        Whether the function that assigns prunes tombstones, where its release does at all.

    Returns
    -------
    Bit 0: 1 if the key was not there; above it: how many growths this took. Or NO_ROOM: call again
    with the state `enlarged`.

    go: internal/runtime/maps/runtime*.go runtime_mapassign [1.24..1.27]
    """
    if is_small(state, m):
        done = insert_small(state, m, hash, key_type, stack)
        if done != NOT_THERE:
            return done
        grow_to_table(state, m, stack)
        state.maps[m, UNCOUNTED] = 1
    while True:
        table = table_of(state, m, hash)
        group, _, tombstone, last = search(state, table, hash, key_type)
        if group != NOT_THERE:
            return 2 * count_growths(state, m)
        place = place_for(state, table, tombstone, last, prunes)
        if state.tables[table, GROWTH_LEFT] > 0:
            put(state, table, hash, key_type, stack, place)
            state.maps[m, COUNT] += 1
            return 2 * count_growths(state, m) + 1
        if state.maps[m, UNCOUNTED] > 0 and not has_room(state, m):
            return NO_ROOM
        rehash(state, m, table, stack)
        state.maps[m, UNCOUNTED] += 1


def place_for(state: State, table: int, tombstone: int, last: int, prunes: bool) -> int:
    """Return where a key goes that `search` did not find, having made room there if that can be.

    go: internal/runtime/maps/runtime*.go runtime_mapassign [1.24..1.27]
    """
    if tombstone != NOT_THERE:
        state.tables[table, GROWTH_LEFT] += 1
        return tombstone
    if prunes and state.rules[PRUNES_TOMBSTONES] and state.tables[table, GROWTH_LEFT] == 0:
        prune_tombstones(state, table)
    return 8 * last + first_slot(match_empty(state.control[last]))


def count_growths(state: State, m: int) -> int:
    """Return how many growths the insert that ends here took, and count from 0 again."""
    growths = state.maps[m, UNCOUNTED]
    state.maps[m, UNCOUNTED] = 0
    return int64(growths)


def insert_small(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int) -> int:
    """Assign to a key of a map without tables; return as `insert`, NOT_THERE when it has to grow first.

    go: internal/runtime/maps/map.go (*Map).putSlotSmall [1.24..1.27]
    """
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        row[ARRAY] = take_buckets(state, 0, ALL_EMPTY, row[CREATED_BY])
    if row[COUNT] == 8 and state.rules[UPDATE_GROWS_FULL_SMALL_MAP]:
        return NOT_THERE
    if slot_of(state, row[ARRAY], hash, key_type) != NOT_THERE:
        return 0
    empty = match_empty_or_deleted(state.control[row[ARRAY]])
    if empty == ZERO:
        return NOT_THERE
    fill_slot(state, row[ARRAY], first_slot(empty), h2(hash), hash, key_type, stack)
    row[COUNT] += 1
    return 1


def delete(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int) -> int:
    """Delete a key; return the stack that inserted it, NOT_THERE when it was not there.

    go: internal/runtime/maps/map.go (*Map).Delete [1.24..1.27]
    """
    row = state.maps[m]
    if row[COUNT] == 0:
        return NOT_THERE
    if is_small(state, m):
        group = row[ARRAY]
        slot = slot_of(state, group, hash, key_type)
        if slot == NOT_THERE:
            return NOT_THERE
        state.control[group] = with_byte(state.control[group], slot, CTRL_EMPTY)
        state.delete_stacks[group, slot] = stack
        state.bucket_stacks[group, LAST_DELETE] = stack
    else:
        table = table_of(state, m, hash)
        group, slot, _, _ = search(state, table, hash, key_type)
        if group == NOT_THERE:
            return NOT_THERE
        if remove(state, table, group, slot, stack) and state.rules[FLAGS_TOMBSTONES]:
            row[FLAGS] = TOMBSTONE_POSSIBLE
    row[COUNT] -= 1
    return int64(state.insert_stacks[group, slot])


def holds(state: State, m: int, hash: np.uint64, key_type: np.uint64) -> bool:
    """True if a key is there."""
    if state.maps[m, COUNT] == 0:
        return False
    if is_small(state, m):
        return slot_of(state, state.maps[m, ARRAY], hash, key_type) != NOT_THERE
    return search(state, table_of(state, m, hash), hash, key_type)[0] != NOT_THERE


def clear(state: State, m: int, stack: int) -> None:
    """Empty the map; tables and directory stay.

    go: internal/runtime/maps/map.go (*Map).Clear [1.24..1.27]
    """
    row = state.maps[m]
    if row[COUNT] == 0 and not row[FLAGS] & TOMBSTONE_POSSIBLE:
        return
    if is_small(state, m):
        note_emptied(state, row[ARRAY], live_mask(state.control[row[ARRAY]]), stack)
        state.control[row[ARRAY]] = ALL_EMPTY
    else:
        last = NOWHERE
        for n in range(row[ARRAY], row[ARRAY] + row[DIRECTORY_LENGTH]):
            table = int64(state.directory[n])
            if table != last:
                clear_table(state, table, stack)
            last = table
        row[FLAGS] = 0
    row[COUNT] = 0


def forget(state: State, m: int) -> None:
    """Give back all that map `m` holds: it died."""
    row = state.maps[m]
    if not is_small(state, m):
        last = NOWHERE
        for n in range(row[ARRAY], row[ARRAY] + row[DIRECTORY_LENGTH]):
            table = int64(state.directory[n])
            # a table that was just given back can't come up again: its places are all in a row
            if table != last:
                drop_table(state, table)
            last = table
        give_directory(state, row[ARRAY], row[LOG2])
    elif row[ARRAY] != NOWHERE:
        give_buckets(state, row[ARRAY], 0)
    create(state, m, 0, row[BUCKET_BYTES], row[HAS_POINTERS], row[CREATED_BY])


def count_buckets(state: State, m: int) -> int:
    """Return how many buckets `list_buckets` lists."""
    if is_small(state, m):
        return int64(0 if state.maps[m, ARRAY] == NOWHERE else 1)
    return int64(state.maps[m, GROUPS])


def list_buckets(state: State, m: int, buckets: U32, parts: U32) -> int:
    """Write bucket ids and parts of map `m` in BUCKET_ORDER; return how many."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return 0
    if is_small(state, m):
        buckets[0], parts[0] = row[ARRAY], 0
        return 1
    listed, ordinal = 0, 0
    last = NOWHERE
    for n in range(row[ARRAY], row[ARRAY] + row[DIRECTORY_LENGTH]):
        table = int64(state.directory[n])
        if table == last:
            continue
        last = table
        first = state.tables[table, FIRST_GROUP]
        for group in range(first, first + (1 << state.tables[table, LOG2_GROUPS])):
            buckets[listed], parts[listed] = group, ordinal
            listed += 1
        ordinal += 1
    return listed


def agrees(
    state: State, m: int, count: int, array_is_nil: bool, is_growing: bool, flags: int, log2_size: int,
    overflow_count: int, directory_length: int, evacuated: int,
) -> bool:  # fmt: skip
    """True if a header, read before an operation, is what the model holds of map `m`.

    A first group that the model has not seen taken may stand in the frame of the map's maker.
    """
    row = state.maps[m]
    has_array = row[ARRAY] != NOWHERE
    may_be_in_frame = row[DIRECTORY_LENGTH] == 0 and row[COUNT] == 0
    return (
        count == row[COUNT]
        and directory_length == row[DIRECTORY_LENGTH]
        and log2_size == row[LOG2]
        and (has_array or may_be_in_frame if not array_is_nil else not has_array)
        and (not state.rules[FLAGS_TOMBSTONES] or flags & TOMBSTONE_POSSIBLE == row[FLAGS] & TOMBSTONE_POSSIBLE)
    )


def allocated_bytes(state: State, m: int) -> int:
    """Return what the allocator charges for all groups, tables and the directory of map `m`."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return 0
    rules, group_bytes, has_pointers = state.rules, row[BUCKET_BYTES], row[HAS_POINTERS]
    if is_small(state, m):
        return sizes.charged_bytes(rules, group_bytes, has_pointers)
    total = sizes.directory_bytes(rules, row[LOG2])
    last = NOWHERE
    for n in range(row[ARRAY], row[ARRAY] + row[DIRECTORY_LENGTH]):
        table = int64(state.directory[n])
        if table != last:
            total += sizes.table_bytes(rules, group_bytes, has_pointers, state.tables[table, LOG2_GROUPS])
        last = table
    return total


def needed_bytes(state: State, m: int) -> int:
    """Return what a fresh map for the entries of map `m` would be charged."""
    row = state.maps[m]
    return sizes.fresh_swiss_bytes(state.rules, row[BUCKET_BYTES], row[HAS_POINTERS], row[COUNT])
