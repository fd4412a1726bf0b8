"""One Swiss table: up to 128 groups of eight slots, probed in triangular steps.

A group with an empty slot ends every probe sequence; a slot emptied in a full
group becomes a tombstone, so that sequences run on past it. Functions bear
the names of those in internal/runtime/maps/table.go that they follow.
"""

from __future__ import annotations

import numpy as np

from support.oracle.model.arena import (
    fill_slot,
    give_buckets,
    give_table,
    is_key,
    move_entry,
    note_emptied,
    take_buckets,
    take_table,
)
from support.oracle.model.control import (
    HIGHS,
    ONE,
    SEVEN,
    ZERO,
    bytes_equal,
    first_slot,
    get_byte,
    slot_count,
    with_byte,
)
from support.oracle.model.state import (
    FIRST_GROUP,
    GROWTH_LEFT,
    INDEX,
    LAST_DELETE,
    LOCAL_DEPTH,
    LOG2_GROUPS,
    USED,
    State,
    int64,
)

CTRL_EMPTY = np.uint64(0x80)  # go: internal/runtime/maps/group.go ctrlEmpty [1.24..1.27]
CTRL_DELETED = np.uint64(0xFE)  # go: internal/runtime/maps/group.go ctrlDeleted [1.24..1.27]
H2_MASK = np.uint64(0x7F)
ALL_EMPTY = HIGHS
DELETED_BIT = np.uint64(6)

MAX_GROUPS_LOG2 = 7  # go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]
NOT_THERE = -1


def live_mask(control: np.uint64) -> np.uint64:
    """Return 0x80 in the byte of every live slot."""
    return ~control & HIGHS


def match_empty(control: np.uint64) -> np.uint64:
    """Return the mask of the empty slots, tombstones not among them.

    go: internal/runtime/maps/group.go ctrlGroupMatchEmpty [1.24..1.27]
    """
    return control & ~(control << DELETED_BIT) & HIGHS


def match_empty_or_deleted(control: np.uint64) -> np.uint64:
    """Return the mask of the slots that hold no entry.

    go: internal/runtime/maps/group.go ctrlGroupMatchEmptyOrDeleted [1.24..1.27]
    """
    return control & HIGHS


def h2(hash: np.uint64) -> np.uint64:
    """Return the control byte of a live slot.

    go: internal/runtime/maps/map.go h2 [1.24..1.27]
    """
    return hash & H2_MASK


def max_growth_left(groups_log2: int) -> int:
    """Return how many entries an empty table takes before it grows.

    go: internal/runtime/maps/table.go (*table).resetGrowthLeft [1.24],
    internal/runtime/maps/table.go (*table).maxGrowthLeft [1.25..1.27]
    """
    return 7 << groups_log2


def new_table(state: State, groups_log2: int, index: int, local_depth: int, stack: int) -> int:
    """Return an empty table that `stack` allocated.

    go: internal/runtime/maps/table.go newTable [1.24..1.27]
    """
    table = take_table(state)
    row = state.tables[table]
    row[FIRST_GROUP] = take_buckets(state, groups_log2, ALL_EMPTY, stack)
    row[LOG2_GROUPS] = groups_log2
    row[USED] = 0
    row[GROWTH_LEFT] = max_growth_left(groups_log2)
    row[LOCAL_DEPTH] = local_depth
    row[INDEX] = index
    return table


def drop_table(state: State, table: int) -> None:
    """Give a table and its groups back."""
    give_buckets(state, state.tables[table, FIRST_GROUP], state.tables[table, LOG2_GROUPS])
    give_table(state, table)


def slot_of(state: State, group: int, hash: np.uint64, key_type: np.uint64) -> int:
    """Return the slot of a key in a group, NOT_THERE when it isn't in it."""
    matches = bytes_equal(state.control[group], h2(hash))
    while matches != ZERO:
        slot = first_slot(matches)
        if is_key(state, group, slot, hash, key_type):
            return slot
        matches &= matches - ONE
    return NOT_THERE


def search(state: State, table: int, hash: np.uint64, key_type: np.uint64) -> tuple[int, int, int, int]:
    """Look for a key along its probe sequence.

    Returns
    -------
    Group and slot of the key, else the group NOT_THERE with the slot of no meaning; then the first
    tombstone before that as 8 * group + slot (NOT_THERE: there is none), and the group that ended the search.
    """
    first = state.tables[table, FIRST_GROUP]
    mask = (1 << state.tables[table, LOG2_GROUPS]) - 1
    offset = int64(hash >> SEVEN) & mask
    step = 0
    tombstone = NOT_THERE
    while True:
        group = first + offset
        slot = slot_of(state, group, hash, key_type)
        if slot != NOT_THERE:
            return group, slot, tombstone, group
        control = state.control[group]
        if match_empty(control) != ZERO:
            return NOT_THERE, 0, tombstone, group
        deleted = match_empty_or_deleted(control)
        if tombstone == NOT_THERE and deleted != ZERO:
            tombstone = 8 * group + first_slot(deleted)
        step += 1
        offset = (offset + step) & mask


def put(state: State, table: int, hash: np.uint64, key_type: np.uint64, stack: int, place: int) -> None:
    """Fill the slot `place` (8 * group + slot) that `search` found for a key that is not there."""
    fill_slot(state, place >> 3, place & 7, h2(hash), hash, key_type, stack)
    state.tables[table, GROWTH_LEFT] -= 1
    state.tables[table, USED] += 1


def remove(state: State, table: int, group: int, slot: int, stack: int) -> bool:
    """Empty a live slot; return whether that left a tombstone.

    go: internal/runtime/maps/table.go (*table).Delete [1.24..1.27]
    """
    state.tables[table, USED] -= 1
    state.delete_stacks[group, slot] = stack
    state.bucket_stacks[group, LAST_DELETE] = stack
    control = state.control[group]
    if match_empty(control) != ZERO:
        state.control[group] = with_byte(control, slot, CTRL_EMPTY)
        state.tables[table, GROWTH_LEFT] += 1
        return False
    state.control[group] = with_byte(control, slot, CTRL_DELETED)
    return True


def unchecked_put_slot(state: State, table: int, group: int, slot: int) -> None:
    """Move an entry to a table that holds no tombstones and has room.

    go: internal/runtime/maps/table.go (*table).uncheckedPutSlot [1.24..1.27]
    """
    hash = state.hashes[group, slot]
    mask = (1 << state.tables[table, LOG2_GROUPS]) - 1
    offset = int64(hash >> SEVEN) & mask
    step = 0
    to = state.tables[table, FIRST_GROUP] + offset
    while match_empty_or_deleted(state.control[to]) == ZERO:
        step += 1
        offset = (offset + step) & mask
        to = state.tables[table, FIRST_GROUP] + offset
    move_entry(state, group, slot, to, first_slot(match_empty_or_deleted(state.control[to])), h2(hash))
    state.tables[table, GROWTH_LEFT] -= 1
    state.tables[table, USED] += 1


def move_groups(state: State, first: int, groups: int, left: int, right: int, bit: np.uint64) -> None:
    """Move every live entry of some groups, in order, to table `left`, or `right` if its hash has `bit`."""
    for group in range(first, first + groups):
        live = live_mask(state.control[group])
        while live != ZERO:
            slot = first_slot(live)
            live &= live - ONE
            goes_right = state.hashes[group, slot] & bit != ZERO
            unchecked_put_slot(state, right if goes_right else left, group, slot)


def prune_tombstones(state: State, table: int) -> None:
    """Turn tombstones that no probe sequence needs into empty slots, if that gives a tenth of the table back.

    go: internal/runtime/maps/table.go (*table).pruneTombstones [1.25..1.27]
    """
    row = state.tables[table]
    capacity = 8 << row[LOG2_GROUPS]
    tombstones = max_growth_left(row[LOG2_GROUPS]) - row[USED] - row[GROWTH_LEFT]
    if tombstones * 10 < capacity:
        return
    needed = needed_groups(state, table)
    unneeded = 0
    for n in range(1 << row[LOG2_GROUPS]):
        if not has_bit(needed, n):
            unneeded += slot_count(match_empty_or_deleted(state.control[row[FIRST_GROUP] + n]))
    if unneeded * 10 < capacity:
        return
    for n in range(1 << row[LOG2_GROUPS]):
        if not has_bit(needed, n):
            row[GROWTH_LEFT] += empty_tombstones(state, row[FIRST_GROUP] + n)


def needed_groups(state: State, table: int) -> tuple[np.uint64, np.uint64]:
    """Return a set of groups: those whose tombstones have to stay, and those that can have none."""
    first, groups = state.tables[table, FIRST_GROUP], 1 << state.tables[table, LOG2_GROUPS]
    needed = (ZERO, ZERO)
    for n in range(groups):
        live = live_mask(state.control[first + n])
        while live != ZERO:
            slot = first_slot(live)
            live &= live - ONE
            offset = int64(state.hashes[first + n, slot] >> SEVEN) & (groups - 1)
            step = 0
            while offset != n:
                if match_empty_or_deleted(state.control[first + offset]) != ZERO:
                    needed = with_bit(needed, offset)
                step += 1
                offset = (offset + step) & (groups - 1)
        if match_empty(state.control[first + n]) != ZERO:
            needed = with_bit(needed, n)
    return needed


def with_bit(bits: tuple[np.uint64, np.uint64], n: int) -> tuple[np.uint64, np.uint64]:
    """Return a set of 128 bits with bit `n`."""
    bit = ONE << np.uint64(n & 63)
    return (bits[0] | bit, bits[1]) if n < 64 else (bits[0], bits[1] | bit)


def has_bit(bits: tuple[np.uint64, np.uint64], n: int) -> bool:
    """True if a set of 128 bits has bit `n`."""
    word = bits[0] if n < 64 else bits[1]
    return bool((word >> np.uint64(n & 63)) & ONE != ZERO)


def empty_tombstones(state: State, group: int) -> int:
    """Turn all tombstones of a group into empty slots; return how many."""
    control = state.control[group]
    emptied = 0
    for slot in range(8):
        if get_byte(control, slot) == CTRL_DELETED:
            control = with_byte(control, slot, CTRL_EMPTY)
            emptied += 1
    state.control[group] = control
    return emptied


def clear_table(state: State, table: int, stack: int) -> None:
    """Empty all slots.

    go: internal/runtime/maps/table.go (*table).Clear [1.24..1.27]
    """
    row = state.tables[table]
    first = row[FIRST_GROUP]
    for group in range(first, first + (1 << row[LOG2_GROUPS])):
        note_emptied(state, group, live_mask(state.control[group]), stack)
        state.control[group] = ALL_EMPTY
    row[USED] = 0
    row[GROWTH_LEFT] = max_growth_left(row[LOG2_GROUPS])
