"""The directory of a Swiss map: the top bits of a hash select a table; tables double up to 1024 slots, then split.

A table whose local depth is less than the directory's stands there several
times in a row. Functions bear the names of those in
internal/runtime/maps/map.go and table.go that they follow.
"""

from __future__ import annotations

import numpy as np

from support.oracle.model.arena import give_buckets, give_directory, take_directory
from support.oracle.model.control import ZERO
from support.oracle.model.state import (
    ARRAY,
    DIRECTORY_LENGTH,
    FIRST_GROUP,
    GROUPS,
    INDEX,
    LOCAL_DEPTH,
    LOG2,
    LOG2_GROUPS,
    NOWHERE,
    State,
    int64,
)
from support.oracle.model.table import MAX_GROUPS_LOG2, drop_table, move_groups, new_table

HASH_BITS = 64


def table_of(state: State, m: int, hash: np.uint64) -> int:
    """Return the table that a hash belongs to.

    go: internal/runtime/maps/map.go (*Map).directoryIndex [1.24..1.27]
    """
    depth = state.maps[m, LOG2]
    index = int64(hash >> np.uint64(HASH_BITS - depth)) if depth > 0 else 0
    return int64(state.directory[state.maps[m, ARRAY] + index])


def is_small(state: State, m: int) -> bool:
    """True if the map has no table."""
    return bool(state.maps[m, DIRECTORY_LENGTH] == 0)


def grow_to_table(state: State, m: int, stack: int) -> None:
    """Move the entries of a full small map to a table of 16 slots.

    go: internal/runtime/maps/map.go (*Map).growToTable [1.24..1.27]
    """
    row = state.maps[m]
    table = new_table(state, 1, 0, 0, stack)
    move_groups(state, row[ARRAY], 1, table, table, ZERO)
    give_buckets(state, row[ARRAY], 0)
    row[ARRAY] = take_directory(state, 0)
    state.directory[row[ARRAY]] = table
    row[DIRECTORY_LENGTH] = 1
    row[GROUPS] = 2


def rehash(state: State, m: int, table: int, stack: int) -> None:
    """Double a table, or split it in two if it has 1024 slots.

    go: internal/runtime/maps/table.go (*table).rehash [1.24..1.27]
    """
    if state.tables[table, LOG2_GROUPS] < MAX_GROUPS_LOG2:
        grow(state, m, table, stack)
    else:
        split(state, m, table, stack)
    drop_table(state, table)


def grow(state: State, m: int, table: int, stack: int) -> None:
    """Put a table of twice the size in the place of this one.

    go: internal/runtime/maps/table.go (*table).grow [1.24..1.27]
    """
    old = state.tables[table]
    groups = 1 << old[LOG2_GROUPS]
    larger = new_table(state, old[LOG2_GROUPS] + 1, old[INDEX], old[LOCAL_DEPTH], stack)
    move_groups(state, old[FIRST_GROUP], groups, larger, larger, ZERO)
    replace_table(state, m, larger)
    state.maps[m, GROUPS] += groups


def split(state: State, m: int, table: int, stack: int) -> None:
    """Put two tables of the same size in the place of this one, by the next bit of the hash.

    go: internal/runtime/maps/table.go (*table).split [1.24..1.27]
    """
    depth = state.tables[table, LOCAL_DEPTH] + 1
    groups = 1 << MAX_GROUPS_LOG2
    left = new_table(state, MAX_GROUPS_LOG2, NOWHERE, depth, stack)
    right = new_table(state, MAX_GROUPS_LOG2, NOWHERE, depth, stack)
    bit = np.uint64(1) << np.uint64(HASH_BITS - depth)
    move_groups(state, state.tables[table, FIRST_GROUP], groups, left, right, bit)
    install_table_split(state, m, table, left, right)
    state.maps[m, GROUPS] += groups


def install_table_split(state: State, m: int, old: int, left: int, right: int) -> None:
    """Enter both halves of a table in the directory, which doubles if it isn't deep enough.

    go: internal/runtime/maps/map.go (*Map).installTableSplit [1.24..1.27]
    """
    if state.tables[old, LOCAL_DEPTH] == state.maps[m, LOG2]:
        double_directory(state, m)
    state.tables[left, INDEX] = state.tables[old, INDEX]
    replace_table(state, m, left)
    entries = 1 << (state.maps[m, LOG2] - state.tables[left, LOCAL_DEPTH])
    state.tables[right, INDEX] = state.tables[left, INDEX] + entries
    replace_table(state, m, right)


def double_directory(state: State, m: int) -> None:
    """Enter every table twice as often."""
    row = state.maps[m]
    doubled = take_directory(state, row[LOG2] + 1)
    for n in range(row[DIRECTORY_LENGTH]):
        table = int64(state.directory[row[ARRAY] + n])
        state.directory[doubled + 2 * n] = table
        state.directory[doubled + 2 * n + 1] = table
        # of a table that stands there several times in a row only the first place is its index
        if state.tables[table, INDEX] == n:
            state.tables[table, INDEX] = 2 * n
    give_directory(state, row[ARRAY], row[LOG2])
    row[ARRAY] = doubled
    row[LOG2] += 1
    row[DIRECTORY_LENGTH] *= 2


def replace_table(state: State, m: int, table: int) -> None:
    """Enter a table in all directory slots that are its.

    go: internal/runtime/maps/map.go (*Map).replaceTable [1.24..1.27]
    """
    first = state.maps[m, ARRAY] + state.tables[table, INDEX]
    for n in range(first, first + (1 << (state.maps[m, LOG2] - state.tables[table, LOCAL_DEPTH]))):
        state.directory[n] = table
