"""One classic chain: a main bucket and its overflow buckets.

Its control bytes are the runtime's tophash: 0 says that the slot and all
behind it are empty, 1 that it is empty, 2 to 4 that the bucket was evacuated;
from 5 on they are the top byte of the hash. Functions bear the names of those
in runtime/map.go that they follow.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import NONE
from support.oracle.model.arena import give_buckets, is_key
from support.oracle.model.control import HIGHS, ONE, ZERO, bytes_equal, first_slot, get_byte, with_byte, zero_bytes
from support.oracle.model.state import U32, State, int64

EMPTY_REST = np.uint64(0)  # go: runtime/map.go emptyRest [1.18..1.23]
EMPTY_ONE = np.uint64(1)  # go: runtime/map.go emptyOne [1.18..1.23]
MIN_TOP_HASH = np.uint64(5)  # go: runtime/map.go minTopHash [1.18..1.23]
TOP_SHIFT = np.uint64(56)
ABOVE_EMPTY = np.uint64(0xFEFEFEFEFEFEFEFE)
ALL_EVACUATED = np.uint64(0x0404040404040404)  # go: runtime/map.go evacuatedEmpty [1.18..1.23]
NOT_THERE = -1


def live_mask(control: np.uint64) -> np.uint64:
    """Return 0x80 in the byte of every live slot of a bucket that isn't evacuated."""
    return ~zero_bytes(control & ABOVE_EMPTY) & HIGHS


def is_evacuated(control: np.uint64) -> bool:
    """True if the first bucket of an old chain says that its entries have moved.

    go: runtime/map.go evacuated [1.18..1.23]
    """
    first = get_byte(control, 0)
    return bool(EMPTY_ONE < first < MIN_TOP_HASH)


def top_hash(hash: np.uint64) -> np.uint64:
    """Return the control byte of a live slot.

    go: runtime/map.go tophash [1.18..1.23]
    """
    top = hash >> TOP_SHIFT
    return top + MIN_TOP_HASH if top < MIN_TOP_HASH else top


def search(state: State, first: int, hash: np.uint64, key_type: np.uint64) -> tuple[int, int, int, int]:
    """Look for a key in a chain.

    Returns
    -------
    Bucket and slot of the key, else the bucket NOT_THERE with the slot of no meaning; then, of no
    meaning if the key was found, the first empty place as 8 * bucket + slot (NOT_THERE: the chain is
    full), and the last bucket that was looked at.
    """
    top = top_hash(hash)
    place = NOT_THERE
    bucket = int64(first)
    while True:
        control = state.control[bucket]
        matches = bytes_equal(control, top)
        while matches != ZERO:
            slot = first_slot(matches)
            if is_key(state, bucket, slot, hash, key_type):
                return bucket, slot, place, bucket
            matches &= matches - ONE
        empty = zero_bytes(control & ABOVE_EMPTY)
        if place == NOT_THERE and empty != ZERO:
            place = 8 * bucket + first_slot(empty)
        following = int64(state.next_bucket[bucket])
        if zero_bytes(control) != ZERO or following == NONE:
            return NOT_THERE, 0, place, bucket
        bucket = following


def is_last(state: State, bucket: int, slot: int) -> bool:
    """True if nothing stands behind a slot in its chain."""
    if slot < 7:
        return bool(get_byte(state.control[bucket], slot + 1) == EMPTY_REST)
    following = state.next_bucket[bucket]
    return bool(following == NONE or get_byte(state.control[following], 0) == EMPTY_REST)


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
                bucket = int64(state.next_bucket[bucket])
            slot = 7
        if get_byte(state.control[bucket], slot) != EMPTY_ONE:
            return


def give_chain(state: State, first: int) -> int:
    """Give back the overflow buckets of a chain and return how many they were."""
    given = 0
    bucket = int64(state.next_bucket[first])
    state.next_bucket[first] = NONE
    while bucket != NONE:
        following = int64(state.next_bucket[bucket])
        give_buckets(state, bucket, 0)
        bucket = following
        given += 1
    return given


def list_chain(state: State, first: int, part: int, buckets: U32, parts: U32, listed: int) -> int:
    """Write a bucket, and as part + 1 its chain, behind the first `listed` rows; return how many there are then."""
    buckets[listed] = first
    parts[listed] = part
    listed += 1
    bucket = int64(state.next_bucket[first])
    while bucket != NONE:
        buckets[listed] = bucket
        parts[listed] = part + 1
        listed += 1
        bucket = int64(state.next_bucket[bucket])
    return listed
