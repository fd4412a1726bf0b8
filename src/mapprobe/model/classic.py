"""Go's map up to 1.23: an array of buckets with overflow chains, evacuated bit by bit when it grows.

An entry goes to the bucket that the low B bits of its hash name, into the
first empty slot of that bucket's chain. Functions bear the names of those in
runtime/map.go that they follow.

BUCKET_ORDER: each main bucket (part 0) followed by its overflow chain (part 1); then, while the map
grows, each old bucket that waits for evacuation (part 2) followed by its chain (part 3).
"""

from __future__ import annotations

import numpy as np

from mapprobe.model import sizes
from mapprobe.model.arena import (
    fill_slot,
    give_buckets,
    lacks,
    move_entry,
    note_emptied,
    take_buckets,
)
from mapprobe.model.control import (
    HIGHS,
    ONE,
    ZERO,
    bytes_equal,
    first_slot,
    get_byte,
    with_byte,
    zero_bytes,
)
from mapprobe.model.sizes import over_load_factor
from mapprobe.model.state import (
    ARRAY,
    BUCKET_BYTES,
    CHAINED,
    COUNT,
    CREATED_BY,
    EVACUATED,
    FLAGS,
    HAS_POINTERS,
    HEAP,
    I64,
    LAST_DELETE,
    LOG2,
    NOWHERE,
    OLD_ARRAY,
    OLD_CHAINED,
    OLD_HEAP,
    ON_HEAP,
    OVERFLOW_COUNT,
    PREALLOCATED,
    PREALLOCATED_USED,
    U32,
    WAITING,
    State,
    kernel,
)
from mapprobe.schema import NONE

BUCKET_ORDER = ("main", "overflow", "old", "old overflow")
"""What `part` says of a bucket, by its number."""

MAIN_PART, OVERFLOW_PART, OLD_PART, OLD_OVERFLOW_PART = range(4)

EMPTY_REST = np.uint64(0)  # go: runtime/map.go emptyRest [1.18..1.25]
EMPTY_ONE = np.uint64(1)  # go: runtime/map.go emptyOne [1.18..1.25]
EVACUATED_EMPTY = np.uint64(4)  # go: runtime/map.go evacuatedEmpty [1.18..1.25]
MIN_TOP_HASH = np.uint64(5)  # go: runtime/map.go minTopHash [1.18..1.25]
TOP_SHIFT = np.uint64(56)
ABOVE_EMPTY = np.uint64(0xFEFEFEFEFEFEFEFE)
ALL_EVACUATED = np.uint64(0x0404040404040404)

ITERATOR, OLD_ITERATOR = 1, 2  # go: runtime/map.go iterator, oldIterator [1.18..1.25]
SAME_SIZE_GROW = 8  # go: runtime/map.go sameSizeGrow [1.18..1.25]
RANDOM_OVERFLOW_LOG2 = 16  # go: runtime/map.go incrnoverflow [1.18..1.25]
MOST_ADVANCES = 1024  # go: runtime/map.go advanceEvacuationMark [1.18..1.25]
NOT_THERE = -1


@kernel
def live_mask(control: np.uint64) -> np.uint64:
    """Return 0x80 in the byte of every live slot of a bucket that isn't evacuated."""
    return ~zero_bytes(control & ABOVE_EMPTY) & HIGHS


@kernel
def is_evacuated(control: np.uint64) -> bool:
    """True if the first bucket of an old chain says that its entries have moved.

    go: runtime/map.go evacuated [1.18..1.25]
    """
    first = get_byte(control, 0)
    return EMPTY_ONE < first < MIN_TOP_HASH


@kernel
def top_hash(hash: np.uint64) -> np.uint64:
    """Return the control byte of a live slot.

    go: runtime/map.go tophash [1.18..1.25]
    """
    top = hash >> TOP_SHIFT
    return top + MIN_TOP_HASH if top < MIN_TOP_HASH else top


@kernel
def count(state: State, m: int) -> int:
    """Return how many entries map `m` holds."""
    return state.maps[m, COUNT]


@kernel
def is_growing(state: State, m: int) -> bool:
    """True while old buckets wait for evacuation.

    go: runtime/map.go (*hmap).growing [1.18..1.25]
    """
    return state.maps[m, OLD_ARRAY] != NOWHERE


@kernel
def old_log2(state: State, m: int) -> int:
    """Return log2 of the old array's length of a map that grows.

    go: runtime/map.go (*hmap).noldbuckets [1.18..1.25]
    """
    return state.maps[m, LOG2] if state.maps[m, FLAGS] & SAME_SIZE_GROW else state.maps[m, LOG2] - 1


@kernel
def too_many_overflow_buckets(overflow_count: int, log2: int) -> bool:
    """True if there are about as many overflow buckets as main ones.

    go: runtime/map.go tooManyOverflowBuckets [1.18..1.25]
    """
    return overflow_count >= 1 << min(log2, 15)


@kernel
def next_insert_grows(state: State, m: int) -> bool:
    """True if one more entry makes the map start to grow."""
    overflow_count, log2 = state.maps[m, OVERFLOW_COUNT], state.maps[m, LOG2]
    return not is_growing(state, m) and (
        over_load_factor(state.rules, state.maps[m, COUNT] + 1, log2)
        or too_many_overflow_buckets(overflow_count, log2)
    )


@kernel
def has_room_to_create(state: State, m: int, hint: int, bucket_bytes: int) -> bool:
    """True if `create` can be called; else `enlarged` is due."""
    return not lacks(state, m + 1, 1 << sizes.classic_log2(state.rules, hint, bucket_bytes), 0, 0)


@kernel
def has_room(state: State, m: int) -> bool:
    """True if any one operation on map `m` can be done; else `enlarged` is due."""
    # An evacuation chains at most as many buckets as it takes apart, and an insert one of its own.
    buckets = state.maps[m, CHAINED] + state.maps[m, OLD_CHAINED] + 2
    if next_insert_grows(state, m):
        buckets += 2 << state.maps[m, LOG2]
    return not lacks(state, m + 1, buckets, 0, 0)


@kernel
def create(state: State, m: int, hint: int, bucket_bytes: int, has_pointers: int, stack: int) -> None:
    """Make row `m` a fresh map for `hint` entries, made by `stack`.

    go: runtime/map.go makemap [1.18..1.25]
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


@kernel
def set_type(state: State, m: int, bucket_bytes: int, has_pointers: int) -> None:
    """Say how large the buckets of map `m` are and whether they hold pointers."""
    state.maps[m, BUCKET_BYTES] = bucket_bytes
    state.maps[m, HAS_POINTERS] = has_pointers


@kernel
def set_overflow_count(state: State, m: int, overflow_count: int) -> None:
    """Take `noverflow` from the header: with B >= 16 the runtime counts it by chance."""
    state.maps[m, OVERFLOW_COUNT] = overflow_count


@kernel
def set_iterator_flags(state: State, m: int, flags: int) -> None:
    """Take from the header whether iterators may hold buckets: that keeps old overflow buckets in memory."""
    kept = state.maps[m, FLAGS] & SAME_SIZE_GROW
    state.maps[m, FLAGS] = kept | (flags & (ITERATOR | OLD_ITERATOR))


@kernel
def new_overflow(state: State, m: int, tail: int, stack: int) -> int:
    """Chain an overflow bucket to `tail`, a preallocated one while they last.

    go: runtime/map.go (*hmap).newoverflow [1.18..1.25]
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


@kernel
def hash_grow(state: State, m: int, stack: int) -> None:
    """Give the map a new array, twice as long or, against sparse chains, of the same length.

    go: runtime/map.go hashGrow [1.18..1.25]
    """
    row = state.maps[m]
    old_buckets = 1 << row[LOG2]
    is_same_size = not over_load_factor(state.rules, row[COUNT] + 1, row[LOG2])
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


@kernel
def grow_work(state: State, m: int, bucket: int, stack: int) -> None:
    """Evacuate the old bucket that feeds `bucket`, and one more.

    go: runtime/map.go growWork [1.18..1.25]
    """
    evacuate(state, m, bucket & ((1 << old_log2(state, m)) - 1), stack)
    if is_growing(state, m):
        evacuate(state, m, state.maps[m, EVACUATED], stack)


@kernel
def evacuate(state: State, m: int, old_bucket: int, stack: int) -> None:
    """Move the entries of an old bucket's chain to the new array, unless that is done.

    go: runtime/map.go evacuate [1.18..1.25]
    """
    first = state.maps[m, OLD_ARRAY] + old_bucket
    if not is_evacuated(state.control[first]):
        move_chain(state, m, old_bucket, stack)
        drop_old_chain(state, m, first)
        state.control[first] = ALL_EVACUATED
        state.maps[m, WAITING] -= 1
    if old_bucket == state.maps[m, EVACUATED]:
        advance_evacuation_mark(state, m)


@kernel
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
        bucket = np.int64(state.next_bucket[bucket])


@kernel
def drop_old_chain(state: State, m: int, first: int) -> None:
    """Unlink the chain of an old bucket.

    The runtime unlinks only to help its collector: where buckets hold no pointers or an iterator may
    need them, all of them stay in memory until the growth ends, and where the chain's first bucket was
    preallocated, what hangs off it does.
    """
    row = state.maps[m]
    overflow = np.int64(state.next_bucket[first])
    if overflow == NONE:
        return
    frees = row[HAS_POINTERS] and not row[FLAGS] & OLD_ITERATOR and state.bucket_kinds[overflow] == ON_HEAP
    dropped = give_chain(state, first)
    row[OLD_CHAINED] -= dropped
    if frees:
        row[OLD_HEAP] -= dropped


@kernel
def give_chain(state: State, first: int) -> int:
    """Give back the overflow buckets of a chain and return how many they were."""
    given = 0
    bucket = np.int64(state.next_bucket[first])
    state.next_bucket[first] = NONE
    while bucket != NONE:
        following = np.int64(state.next_bucket[bucket])
        give_buckets(state, bucket, 0)
        bucket = following
        given += 1
    return given


@kernel
def advance_evacuation_mark(state: State, m: int) -> None:
    """Move the mark past evacuated old buckets; behind the last one growth ends.

    go: runtime/map.go advanceEvacuationMark [1.18..1.25]
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


@kernel
def end_growth(state: State, m: int) -> None:
    """Give back the old array; its chains are gone already."""
    row = state.maps[m]
    give_buckets(state, row[OLD_ARRAY], old_log2(state, m))
    row[OLD_ARRAY] = NOWHERE
    row[FLAGS] &= ITERATOR | OLD_ITERATOR
    row[WAITING] = 0
    row[OLD_CHAINED] = 0
    row[OLD_HEAP] = 0


@kernel
def search(state: State, first: int, hash: np.uint64, key_type: np.uint64) -> tuple[int, int, int, int]:
    """Look for a key in a chain.

    Returns
    -------
    Bucket and slot of the key, else the bucket NOT_THERE with the slot of no meaning; then, of no
    meaning if the key was found, the first empty place as 8 * bucket + slot (NOT_THERE: the chain is
    full), and the last bucket that was looked at.
    """
    top = top_hash(hash)
    place = np.int64(NOT_THERE)
    bucket = np.int64(first)
    while True:
        control = state.control[bucket]
        matches = bytes_equal(control, top)
        while matches != ZERO:
            slot = first_slot(matches)
            if state.hashes[bucket, slot] == hash and state.key_types[bucket, slot] == key_type:
                return bucket, slot, place, bucket
            matches &= matches - ONE
        empty = zero_bytes(control & ABOVE_EMPTY)
        if place == NOT_THERE and empty != ZERO:
            place = 8 * bucket + first_slot(empty)
        following = np.int64(state.next_bucket[bucket])
        if zero_bytes(control) != ZERO or following == NONE:
            return np.int64(NOT_THERE), np.int64(0), place, bucket
        bucket = following


@kernel
def main_bucket(state: State, m: int, hash: np.uint64) -> int:
    """Return which main bucket a hash belongs to, counted from the start of the array."""
    return np.int64(hash & np.uint64((1 << state.maps[m, LOG2]) - 1))


@kernel
def insert(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int, prunes: bool) -> int:
    """Assign to a key.

    Parameters
    ----------
    prunes
        Of no meaning here: classic maps have no tombstones to prune.

    Returns
    -------
    Bit 0: 1 if the key was not there; above it: how many growths this started.

    go: runtime/map.go mapassign [1.18..1.25]
    """
    if state.maps[m, ARRAY] == NOWHERE:
        state.maps[m, ARRAY] = take_buckets(state, 0, ZERO, state.maps[m, CREATED_BY])
    growths = 0
    while True:
        home = main_bucket(state, m, hash)
        if is_growing(state, m):
            grow_work(state, m, home, stack)
        bucket, _, place, last = search(state, state.maps[m, ARRAY] + home, hash, key_type)
        if bucket != NOT_THERE:
            return 2 * growths
        if not next_insert_grows(state, m):
            break
        hash_grow(state, m, stack)
        growths += 1
    if place == NOT_THERE:
        place = 8 * new_overflow(state, m, last, stack)
    fill_slot(state, place >> 3, place & 7, top_hash(hash), hash, key_type, stack)
    state.maps[m, COUNT] += 1
    return 2 * growths + 1


@kernel
def delete(state: State, m: int, hash: np.uint64, key_type: np.uint64, stack: int) -> int:
    """Delete a key; return the stack that inserted it, NOT_THERE when it was not there.

    go: runtime/map.go mapdelete [1.18..1.25]
    """
    if state.maps[m, COUNT] == 0:
        return np.int64(NOT_THERE)
    home = main_bucket(state, m, hash)
    if is_growing(state, m):
        grow_work(state, m, home, stack)
    first = state.maps[m, ARRAY] + home
    bucket, slot, _, _ = search(state, first, hash, key_type)
    if bucket == NOT_THERE:
        return np.int64(NOT_THERE)
    state.control[bucket] = with_byte(state.control[bucket], slot, EMPTY_ONE)
    state.delete_stacks[bucket, slot] = stack
    state.bucket_stacks[bucket, LAST_DELETE] = stack
    if is_last(state, bucket, slot):
        mark_rest(state, first, bucket, slot)
    state.maps[m, COUNT] -= 1
    return np.int64(state.insert_stacks[bucket, slot])


@kernel
def is_last(state: State, bucket: int, slot: int) -> bool:
    """True if nothing stands behind a slot in its chain."""
    if slot < 7:
        return get_byte(state.control[bucket], slot + 1) == EMPTY_REST
    following = state.next_bucket[bucket]
    return following == NONE or get_byte(state.control[following], 0) == EMPTY_REST


@kernel
def mark_rest(state: State, first: int, bucket: int, slot: int) -> None:
    """Say of an empty slot, and of those right before it in its chain, that nothing stands behind them."""
    while True:
        state.control[bucket] = with_byte(state.control[bucket], slot, EMPTY_REST)
        if slot > 0:
            slot -= 1
        elif bucket == first:
            return
        else:
            behind = bucket
            bucket = first
            while state.next_bucket[bucket] != behind:
                bucket = np.int64(state.next_bucket[bucket])
            slot = 7
        if get_byte(state.control[bucket], slot) != EMPTY_ONE:
            return


@kernel
def clear(state: State, m: int, stack: int) -> None:
    """Empty the map: chains and the old array are dropped, the main buckets stay.

    go: runtime/map.go mapclear [1.18..1.25]
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


@kernel
def drop_old_array(state: State, m: int) -> None:
    """Give back the old array, if there is one, and the chains that wait there."""
    row = state.maps[m]
    if row[OLD_ARRAY] == NOWHERE:
        return
    for bucket in range(row[OLD_ARRAY], row[OLD_ARRAY] + (1 << old_log2(state, m))):
        give_chain(state, bucket)
    end_growth(state, m)


@kernel
def forget(state: State, m: int) -> None:
    """Give back all that map `m` holds: it died."""
    row = state.maps[m]
    drop_old_array(state, m)
    if row[ARRAY] != NOWHERE:
        for bucket in range(row[ARRAY], row[ARRAY] + (1 << row[LOG2])):
            give_chain(state, bucket)
        give_buckets(state, row[ARRAY], row[LOG2])
    create(state, m, 0, row[BUCKET_BYTES], row[HAS_POINTERS], row[CREATED_BY])


@kernel
def count_buckets(state: State, m: int) -> int:
    """Return how many buckets `list_buckets` lists."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return np.int64(0)
    return (1 << row[LOG2]) + row[CHAINED] + row[WAITING] + row[OLD_CHAINED]


@kernel
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


@kernel
def list_chain(state: State, first: int, part: int, buckets: U32, parts: U32, listed: int) -> int:
    """Write a bucket, and as part + 1 its chain, behind the first `listed` rows; return how many there are then."""
    buckets[listed] = first
    parts[listed] = part
    listed += 1
    bucket = np.int64(state.next_bucket[first])
    while bucket != NONE:
        buckets[listed] = bucket
        parts[listed] = part + 1
        listed += 1
        bucket = np.int64(state.next_bucket[bucket])
    return listed


@kernel
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


@kernel
def allocated_bytes(state: State, m: int) -> int:
    """Return what the allocator charges for all buckets of map `m`."""
    row = state.maps[m]
    if row[ARRAY] == NOWHERE:
        return np.int64(0)
    rules, bucket_bytes, has_pointers = state.rules, row[BUCKET_BYTES], row[HAS_POINTERS]
    total = sizes.array_bytes(rules, bucket_bytes, has_pointers, row[LOG2])
    if is_growing(state, m):
        total += sizes.array_bytes(rules, bucket_bytes, has_pointers, old_log2(state, m))
    return total + (row[HEAP] + row[OLD_HEAP]) * sizes.charged_bytes(rules, bucket_bytes, has_pointers)


@kernel
def needed_bytes(state: State, m: int) -> int:
    """Return what a fresh map for the entries of map `m` would be charged."""
    row = state.maps[m]
    return fresh_bytes(state.rules, row[BUCKET_BYTES], row[HAS_POINTERS], row[COUNT])


@kernel
def fresh_bytes(rules: I64, bucket_bytes: int, has_pointers: int, entries: int) -> int:
    """Return what a fresh map made for so many entries is charged once it holds them; 0 for none."""
    if entries == 0:
        return np.int64(0)
    return sizes.array_bytes(rules, bucket_bytes, has_pointers, sizes.classic_log2(rules, entries, bucket_bytes))
