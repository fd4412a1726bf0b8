"""maps.Clone for the maps of `reference`, written from mapclone2 of runtime/map.go 1.23 and (*Map).Clone of 1.25."""

from __future__ import annotations

import copy

from support.reference import EVACUATED, MIN_TOP_HASH, Bucket, ClassicMap, Key, SwissMap


def clone_swiss(original: SwissMap, stack: int) -> SwissMap:
    """Return a copy, whose buckets know of nobody but `stack`."""
    clone = copy.deepcopy(original)
    clone.creator = stack
    for bucket, _ in clone.listed():
        bucket.grown_by = stack
        bucket.inserted_by = [stack if key else None for key in bucket.keys]
        bucket.deleted_by = [None] * 8
        bucket.last_insert = stack if any(bucket.keys) else None
        bucket.last_delete = None
    return clone


def hint_of(original: ClassicMap, release: tuple[int, int]) -> int:
    """Return for how many entries the clone of a map is made."""
    if release > (1, 21) and original.over_load_factor(original.count, original.B):
        return original.load_factor_num * (2**original.B // 2)
    return original.count


def clone_classic(original: ClassicMap, clone: ClassicMap, stack: int) -> list[Key]:
    """Fill a clone that was made with `hint_of`; return the keys that are assigned to it then."""
    if original.count == 0:
        return []
    if clone.buckets is None:
        clone.buckets = [Bucket([0] * 8, stack)]
    if original.B == 0:
        for slot, key in enumerate(original.buckets[0].keys):
            if key:
                clone.buckets[0].put(slot, original.buckets[0].control[slot], key, stack)
        clone.buckets[0].control = list(original.buckets[0].control)
        clone.count = original.count
        return []
    size = len(clone.buckets)
    for i, to in enumerate(clone.buckets):
        pos = 0
        for j in range(i, len(original.buckets), size):
            for bucket in original.buckets[j].chain():
                to, pos = move_to_bmap(clone, to, pos, bucket, stack)
    assigned: list[Key] = []
    for i, first in enumerate(original.oldbuckets or []):
        if first.control[0] == EVACUATED:
            continue
        if len(original.oldbuckets) >= size:
            to, pos = clone.buckets[i % size].chain()[-1], 0
            for bucket in first.chain():
                to, pos = move_to_bmap(clone, to, pos, bucket, stack)
        else:
            assigned += [key for bucket in first.chain() for key in bucket.keys if key]
    return assigned


def move_to_bmap(clone: ClassicMap, to: Bucket, pos: int, bucket: Bucket, stack: int) -> tuple[Bucket, int]:
    for i in range(8):
        if bucket.control[i] < MIN_TOP_HASH:
            continue
        while pos < 8 and to.control[pos] >= MIN_TOP_HASH:
            pos += 1
        if pos == 8:
            to, pos = clone.new_overflow(to, stack), 0
        to.put(pos, bucket.control[i], bucket.keys[i], stack)
        pos += 1
        clone.count += 1
    return to, pos
