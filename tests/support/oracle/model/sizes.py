"""How many bytes the Go allocator charges for the buckets of a map.

Small objects take their size class, large ones whole pages; since Go 1.22 an
object over 512 bytes that holds pointers has a header of 8 bytes before it.
Figures are of bucket memory alone: no map header, no `extra`, no keys or
elements that stand outside their slot.
"""

from __future__ import annotations

import numpy as np

from support.oracle.model.state import I64, LOAD_FACTOR_NUM, MALLOC_HEADER, int64

SIZE_CLASSES = np.array(
    [
        0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
        448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200,
        3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384,
        18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
    ]
)  # fmt: skip
"""Sizes of small objects [bytes].

go: runtime/sizeclasses.go class_to_size [1.18..1.24]
go: internal/runtime/gc/sizeclasses.go SizeClassToSize [1.25..1.27]
"""

MAX_SMALL_SIZE = 32768  # go: runtime/sizeclasses.go _MaxSmallSize [1.18..1.24]
MIN_SIZE_FOR_MALLOC_HEADER = 512  # go: runtime/mbitmap*.go minSizeForMallocHeader [1.22..1.24]
PAGE_SIZE = 8192  # go: runtime/malloc.go pageSize [1.18..1.27]
MAX_ALLOC = 1 << 48  # go: runtime/malloc.go maxAlloc [1.18..1.27]
POINTER_BYTES = 8
TABLE_BYTES = 32  # go: internal/runtime/maps/table.go table [1.24..1.27]
MAX_TABLE_CAPACITY_LOG2 = 10  # go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]


def round_up_size(rules: I64, size: int, has_pointers: int) -> int:
    """Return how much of what the allocator takes for `size` bytes its owner can use.

    go: runtime/msize*.go roundupsize [1.18..1.27]
    """
    header = rules[MALLOC_HEADER] if has_pointers and size > MIN_SIZE_FOR_MALLOC_HEADER else 0
    # before 1.22 the last size class itself was a whole number of pages, so both branches give the same for it
    if size <= MAX_SMALL_SIZE - rules[MALLOC_HEADER]:
        return int64(SIZE_CLASSES[np.searchsorted(SIZE_CLASSES, size + header)]) - int64(header)
    return (size + PAGE_SIZE - 1) // PAGE_SIZE * PAGE_SIZE


def charged_bytes(rules: I64, size: int, has_pointers: int) -> int:
    """Return what the allocator charges for an object of `size` bytes.

    go: runtime/malloc.go mallocgc [1.18..1.27]
    """
    has_header = has_pointers and MIN_SIZE_FOR_MALLOC_HEADER < size <= MAX_SMALL_SIZE - rules[MALLOC_HEADER]
    return round_up_size(rules, size, has_pointers) + (rules[MALLOC_HEADER] if has_header else 0)


def over_load_factor(rules: I64, count: int, log2: int) -> bool:
    """True if `count` entries are too many for 2**`log2` classic buckets.

    go: runtime/map.go overLoadFactor [1.18..1.23]
    """
    return count > 8 and count > rules[LOAD_FACTOR_NUM] * ((1 << log2) // 2)


def classic_log2(rules: I64, hint: int, bucket_bytes: int) -> int:
    """Return B of a classic map made for `hint` entries.

    go: runtime/map.go makemap [1.18..1.23]
    """
    # of a map whose type is not known a bucket counts as a byte: without any limit the product below overflows
    if hint < 0 or hint > MAX_ALLOC // max(bucket_bytes, 1):
        return 0
    log2 = 0
    while over_load_factor(rules, hint, log2):
        log2 += 1
    return log2


def array_buckets(rules: I64, bucket_bytes: int, has_pointers: int, log2: int) -> int:
    """Return the buckets in an array for B = `log2`: the main ones and the preallocated overflow buckets.

    go: runtime/map.go makeBucketArray [1.18..1.23]
    """
    buckets = 1 << log2
    if log2 < 4 or bucket_bytes == 0:
        return buckets
    buckets += 1 << (log2 - 4)
    size = buckets * bucket_bytes
    rounded = round_up_size(rules, size, has_pointers)
    return rounded // bucket_bytes if rounded != size else buckets


def array_bytes(rules: I64, bucket_bytes: int, has_pointers: int, log2: int) -> int:
    """Return what a classic bucket array for B = `log2` is charged."""
    size = array_buckets(rules, bucket_bytes, has_pointers, log2) * bucket_bytes
    return charged_bytes(rules, size, has_pointers)


def initial_depth(hint: int, group_bytes: int) -> int:
    """Return the global depth of a Swiss map made for `hint` entries, -1 if it starts small.

    go: internal/runtime/maps/map.go NewMap [1.24..1.27]
    """
    # The runtime takes the hint as unsigned and counts a table as 1024 groups when it asks whether that
    # is too much memory; hints beyond the largest allocation overflow one of its products in any case.
    if hint <= 8 or hint > MAX_ALLOC:
        return -1
    depth = 0
    while (1 << (MAX_TABLE_CAPACITY_LOG2 + depth)) < hint * 8 // 7:
        depth += 1
    if (group_bytes << (MAX_TABLE_CAPACITY_LOG2 + depth)) > MAX_ALLOC:
        return -1
    return depth


def initial_groups_log2(hint: int, depth: int) -> int:
    """Return log2 of the groups in each table of a map made for `hint` entries.

    go: internal/runtime/maps/table.go newTable [1.24..1.27]
    """
    log2 = 0
    while (8 << log2) < (hint * 8 // 7) >> depth:
        log2 += 1
    return log2


def table_bytes(rules: I64, group_bytes: int, has_pointers: int, groups_log2: int) -> int:
    """Return what a Swiss table and its groups are charged."""
    groups = charged_bytes(rules, group_bytes << groups_log2, has_pointers)
    return groups + charged_bytes(rules, TABLE_BYTES, 1)


def directory_bytes(rules: I64, depth: int) -> int:
    """Return what a Swiss directory of 2**`depth` tables is charged."""
    return charged_bytes(rules, POINTER_BYTES << depth, 1)


def fresh_classic_bytes(rules: I64, bucket_bytes: int, has_pointers: int, entries: int) -> int:
    """Return what a fresh classic map made for so many entries is charged once it holds them; 0 for none."""
    if entries == 0:
        return 0
    return array_bytes(rules, bucket_bytes, has_pointers, classic_log2(rules, entries, bucket_bytes))


def fresh_swiss_bytes(rules: I64, bucket_bytes: int, has_pointers: int, entries: int) -> int:
    """Return what a fresh map made for so many entries is charged once it holds them; 0 for none."""
    if entries == 0:
        return 0
    depth = initial_depth(entries, bucket_bytes)
    if depth < 0:
        return charged_bytes(rules, bucket_bytes, has_pointers)
    groups_log2 = initial_groups_log2(entries, depth)
    tables = table_bytes(rules, bucket_bytes, has_pointers, groups_log2) << depth
    return directory_bytes(rules, depth) + tables
