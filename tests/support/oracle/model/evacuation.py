"""How a classic map grows: it gets a new array at once, and its entries move there bucket by bucket.

Every insert, update and delete of a map that grows evacuates the old bucket
it is about and one more. Functions bear the names of those in runtime/map.go
that they follow.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import NONE
from support.oracle.model import sizes
from support.oracle.model.arena import give_buckets, move_entry, take_buckets
from support.oracle.model.chain import ALL_EVACUATED, give_chain, is_evacuated, live_mask
from support.oracle.model.control import ONE, ZERO, first_slot, get_byte
from support.oracle.model.state import (
    ARRAY,
    BUCKET_BYTES,
    CHAINED,
    COUNT,
    EVACUATED,
    FLAGS,
    HAS_POINTERS,
    HEAP,
    LOG2,
    NOWHERE,
    OLD_ARRAY,
    OLD_CHAINED,
    OLD_HEAP,
    ON_HEAP,
    OVERFLOW_COUNT,
    PREALLOCATED,
    PREALLOCATED_USED,
    WAITING,
    State,
    int64,
)

ITERATOR = 1  # go: runtime/map.go iterator [1.18..1.23]
OLD_ITERATOR = 2  # go: runtime/map.go oldIterator [1.18..1.23]
SAME_SIZE_GROW = 8  # go: runtime/map.go sameSizeGrow [1.18..1.23]
RANDOM_OVERFLOW_LOG2 = 16  # go: runtime/map.go (*hmap).incrnoverflow [1.18..1.23]
MOST_ADVANCES = 1024  # go: runtime/map.go advanceEvacuationMark [1.18..1.23]


def is_growing(state: State, m: int) -> bool:
    """True while old buckets wait for evacuation.

    go: runtime/map.go (*hmap).growing [1.18..1.23]
    """
    return bool(state.maps[m, OLD_ARRAY] != NOWHERE)


def old_log2(state: State, m: int) -> int:
    """Return log2 of the old array's length of a map that grows.

    go: runtime/map.go (*hmap).noldbuckets [1.18..1.23]
    """
    log2 = int64(state.maps[m, LOG2])
    return log2 if state.maps[m, FLAGS] & SAME_SIZE_GROW else log2 - 1


def too_many_overflow_buckets(overflow_count: int, log2: int) -> bool:
    """True if there are about as many overflow buckets as main ones.

    go: runtime/map.go tooManyOverflowBuckets [1.18..1.23]
    """
    return overflow_count >= 1 << min(log2, 15)


def next_insert_grows(state: State, m: int) -> bool:
    """True if one more entry makes the map start to grow."""
    overflow_count, log2 = state.maps[m, OVERFLOW_COUNT], state.maps[m, LOG2]
    return not is_growing(state, m) and (
        sizes.over_load_factor(state.rules, state.maps[m, COUNT] + 1, log2)
        or too_many_overflow_buckets(overflow_count, log2)
    )


def new_overflow(state: State, m: int, tail: int, stack: int) -> int:
    """Chain an overflow bucket to `tail`, a preallocated one while they last.

    go: runtime/map.go (*hmap).newoverflow [1.18..1.23]
    """
    row = state.maps[m]
    bucket = take_buckets(state, 0, ZERO, stack)
    in_array = sizes.array_buckets(state.rules, row[BUCKET_BYTES], row[HAS_POINTERS], row[LOG2])
    if row[PREALLOCATED_USED] < in_array - (1 << row[LOG2]):
        state.bucket_kinds[bucket] = PREALLOCATED
        row[PREALLOCATED_USED] += 1
    else:
        state.bucket_kinds[bucket] = ON_HEAP
        row[HEAP] += 1
    if row[LOG2] < RANDOM_OVERFLOW_LOG2:
        row[OVERFLOW_COUNT] += 1
    row[CHAINED] += 1
    state.next_bucket[tail] = bucket
    return bucket


def hash_grow(state: State, m: int, stack: int) -> None:
    """Give the map a new array, twice as long or, against sparse chains, of the same length.

    go: runtime/map.go hashGrow [1.18..1.23]
    """
    row = state.maps[m]
    old_buckets = 1 << row[LOG2]
    is_same_size = not sizes.over_load_factor(state.rules, row[COUNT] + 1, row[LOG2])
    row[FLAGS] = OLD_ITERATOR if row[FLAGS] & ITERATOR else 0
    if is_same_size:
        row[FLAGS] |= SAME_SIZE_GROW
    else:
        row[LOG2] += 1
    row[OLD_ARRAY] = row[ARRAY]
    row[ARRAY] = take_buckets(state, row[LOG2], ZERO, stack)
    row[EVACUATED] = 0
    row[WAITING] = old_buckets
    row[OLD_CHAINED], row[CHAINED] = row[CHAINED], 0
    row[OLD_HEAP], row[HEAP] = row[HEAP], 0
    row[PREALLOCATED_USED] = 0
    row[OVERFLOW_COUNT] = 0


def grow_work(state: State, m: int, bucket: int, stack: int) -> None:
    """Evacuate the old bucket that feeds `bucket`, and one more.

    go: runtime/map.go growWork [1.18..1.23]
    """
    evacuate(state, m, bucket & ((1 << old_log2(state, m)) - 1), stack)
    if is_growing(state, m):
        evacuate(state, m, state.maps[m, EVACUATED], stack)


def evacuate(state: State, m: int, old_bucket: int, stack: int) -> None:
    """Move the entries of an old bucket's chain to the new array, unless that is done.

    go: runtime/map.go evacuate [1.18..1.23]
    """
    first = state.maps[m, OLD_ARRAY] + old_bucket
    if not is_evacuated(state.control[first]):
        move_chain(state, m, old_bucket, stack)
        drop_old_chain(state, m, first)
        state.control[first] = ALL_EVACUATED
        state.maps[m, WAITING] -= 1
    if old_bucket == state.maps[m, EVACUATED]:
        advance_evacuation_mark(state, m)


def move_chain(state: State, m: int, old_bucket: int, stack: int) -> None:
    """Append the live entries of an old chain to its one or two new buckets, in order."""
    row = state.maps[m]
    new_bit = 1 << old_log2(state, m)
    x, y, x_slot, y_slot = row[ARRAY] + old_bucket, row[ARRAY] + old_bucket + new_bit, 0, 0
    selects_y = np.uint64(0 if row[FLAGS] & SAME_SIZE_GROW else new_bit)
    bucket = row[OLD_ARRAY] + old_bucket
    while bucket != NONE:
        control = state.control[bucket]
        live = live_mask(control)
        while live != ZERO:
            slot = first_slot(live)
            live &= live - ONE
            top = get_byte(control, slot)
            if state.hashes[bucket, slot] & selects_y:
                if y_slot == 8:
                    y, y_slot = new_overflow(state, m, y, stack), 0
                move_entry(state, bucket, slot, y, y_slot, top)
                y_slot += 1
            else:
                if x_slot == 8:
                    x, x_slot = new_overflow(state, m, x, stack), 0
                move_entry(state, bucket, slot, x, x_slot, top)
                x_slot += 1
        bucket = int64(state.next_bucket[bucket])


def drop_old_chain(state: State, m: int, first: int) -> None:
    """Unlink the chain of an old bucket.

    The runtime unlinks only to help its collector: where buckets hold no pointers or an iterator may
    need them, all of them stay in memory until the growth ends, and where the chain's first bucket was
    preallocated, what hangs off it does.
    """
    row = state.maps[m]
    overflow = int64(state.next_bucket[first])
    if overflow == NONE:
        return
    frees = row[HAS_POINTERS] and not row[FLAGS] & OLD_ITERATOR and state.bucket_kinds[overflow] == ON_HEAP
    dropped = give_chain(state, first)
    row[OLD_CHAINED] -= dropped
    if frees:
        row[OLD_HEAP] -= dropped


def advance_evacuation_mark(state: State, m: int) -> None:
    """Move the mark past evacuated old buckets; behind the last one growth ends.

    go: runtime/map.go advanceEvacuationMark [1.18..1.23]
    """
    row = state.maps[m]
    old_buckets = 1 << old_log2(state, m)
    mark = row[EVACUATED] + 1
    stop = min(mark + MOST_ADVANCES, old_buckets)
    while mark != stop and is_evacuated(state.control[row[OLD_ARRAY] + mark]):
        mark += 1
    row[EVACUATED] = mark
    if mark == old_buckets:
        end_growth(state, m)


def end_growth(state: State, m: int) -> None:
    """Give back the old array; its chains are gone already."""
    row = state.maps[m]
    give_buckets(state, row[OLD_ARRAY], old_log2(state, m))
    row[OLD_ARRAY] = NOWHERE
    row[FLAGS] &= ITERATOR | OLD_ITERATOR
    row[WAITING] = 0
    row[OLD_CHAINED] = 0
    row[OLD_HEAP] = 0


def drop_old_array(state: State, m: int) -> None:
    """Give back the old array, if there is one, and the chains that wait there."""
    row = state.maps[m]
    if row[OLD_ARRAY] == NOWHERE:
        return
    for bucket in range(row[OLD_ARRAY], row[OLD_ARRAY] + (1 << old_log2(state, m))):
        give_chain(state, bucket)
    end_growth(state, m)
