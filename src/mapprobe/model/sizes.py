"""How many bytes the Go allocator charges for the buckets of a map, in Python: for the recorder and a census.

A small object takes its size class, a large one whole pages; since Go 1.22 an
object over 512 bytes that holds pointers has a header of 8 bytes before it.
Only bucket memory is counted: not the map's header, its `extra`, or keys and
elements that are stored outside their slot. The core has the same rules
(src/core/sizes.c); tests/model/test_sizes.py compares the two.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from mapprobe.errors import TargetError
from mapprobe.vocabulary import Implementation

SIZE_CLASSES = (
    0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448,
    480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096,
    4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480,
    21760, 24576, 27264, 28672, 32768,
)  # fmt: skip
"""Sizes of small objects [bytes].

go: runtime/sizeclasses.go class_to_size [1.18..1.24]
go: internal/runtime/gc/sizeclasses.go SizeClassToSize [1.25..1.27]
"""

MAX_SMALL_SIZE = 32768  # go: runtime/sizeclasses.go _MaxSmallSize [1.18..1.24]
MIN_SIZE_FOR_MALLOC_HEADER = 512  # go: runtime/mbitmap*.go minSizeForMallocHeader [1.22..1.24]
PAGE_SIZE = 8192  # go: runtime/malloc.go pageSize [1.18..1.27]
MAX_ALLOC = 1 << 48  # go: runtime/malloc.go maxAlloc [1.18..1.27]
PREALLOCATING_LOG2 = 4  # go: runtime/map.go makeBucketArray [1.18..1.23]
"""The smallest B whose array has overflow buckets allocated with it."""
POINTER_BYTES = 8
TABLE_BYTES = 32  # go: internal/runtime/maps/table.go table [1.24..1.27]
MAX_TABLE_CAPACITY_LOG2 = 10  # go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27]
SMALL_MAP = 8
"""How many entries one bucket (classic) or group (Swiss) holds."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How Go allocates and charges buckets, from the release `first` on.

    Attributes
    ----------
    load_factor_num
        Classic: entries per two buckets before a map grows. go: runtime/map.go loadFactorNum [1.18..1.23]
    header_bytes
        Size of the header before an object that holds pointers and is larger than 512 bytes; 0: there is none.
        go: runtime/malloc.go mallocHeaderSize [1.22..1.27]
    """

    first: tuple[int, int]
    load_factor_num: int
    header_bytes: int

    def round_up(self, size: int, has_pointers: bool) -> int:
        """Return how many bytes the owner of an object of `size` bytes can use, after rounding [bytes].

        go: runtime/msize*.go roundupsize [1.18..1.27]
        """
        header = self.header_bytes if has_pointers and size > MIN_SIZE_FOR_MALLOC_HEADER else 0
        # before 1.22 the largest size class is a whole number of pages: for its size both branches give the same
        if size <= MAX_SMALL_SIZE - self.header_bytes:
            return SIZE_CLASSES[bisect_left(SIZE_CLASSES, size + header)] - header
        return (size + PAGE_SIZE - 1) // PAGE_SIZE * PAGE_SIZE

    def has_header(self, size: int, has_pointers: bool) -> bool:
        """True if the allocator puts a header before an object of `size` bytes."""
        is_so_large = MIN_SIZE_FOR_MALLOC_HEADER < size <= MAX_SMALL_SIZE - self.header_bytes
        return bool(self.header_bytes and has_pointers and is_so_large)

    def charged(self, size: int, has_pointers: bool) -> int:
        """Return how many bytes the allocator charges for an object of `size` bytes, its header included.

        go: runtime/malloc.go mallocgc [1.18..1.27]
        """
        header = self.header_bytes if self.has_header(size, has_pointers) else 0
        return self.round_up(size, has_pointers) + header

    def array_buckets(self, bucket_bytes: int, has_pointers: bool, log2: int) -> int:
        """Return how many buckets a classic array for B = `log2` has: main and preallocated overflow buckets.

        go: runtime/map.go makeBucketArray [1.18..1.23]
        """
        buckets = 1 << log2
        if log2 < PREALLOCATING_LOG2 or bucket_bytes == 0:
            return buckets
        buckets += 1 << (log2 - PREALLOCATING_LOG2)
        size = buckets * bucket_bytes
        rounded = self.round_up(size, has_pointers)
        return rounded // bucket_bytes if rounded != size else buckets

    def fresh_classic(self, bucket_bytes: int, has_pointers: bool, entries: int) -> int:
        """Return the bytes that a fresh classic map takes, made for `entries` entries and filled; 0 for no entries."""
        if entries == 0:
            return 0
        buckets = self.array_buckets(bucket_bytes, has_pointers, self.classic_log2(entries, bucket_bytes))
        return self.charged(buckets * bucket_bytes, has_pointers)

    def fresh_swiss(self, group_bytes: int, has_pointers: bool, entries: int) -> int:
        """Return the bytes that a fresh Swiss map takes, made for `entries` entries and filled; 0 for no entries."""
        if entries == 0:
            return 0
        depth = initial_depth(entries, group_bytes)
        if depth < 0:
            return self.charged(group_bytes, has_pointers)
        groups = self.charged(group_bytes << initial_groups_log2(entries, depth), has_pointers)
        table = groups + self.charged(TABLE_BYTES, True)
        return self.charged(POINTER_BYTES << depth, True) + (table << depth)

    def classic_log2(self, hint: int, bucket_bytes: int) -> int:
        """Return B of a classic map made for `hint` entries.

        go: runtime/map.go makemap overLoadFactor [1.18..1.23]
        """
        # an unknown type has bucket_bytes 0: counted as 1, so that there is a limit and the product below stays small
        if hint < 0 or hint > MAX_ALLOC // max(bucket_bytes, 1):
            return 0
        log2 = 0
        while hint > SMALL_MAP and hint > self.load_factor_num * ((1 << log2) // 2):
            log2 += 1
        return log2


def initial_depth(hint: int, group_bytes: int) -> int:
    """Return the global depth of a Swiss map made for `hint` entries, -1 if it starts small.

    go: internal/runtime/maps/map.go NewMap [1.24..1.27]
    """
    # The runtime takes the hint as unsigned, and counts 1024 groups to a table when it checks that the tables fit
    # into memory. A hint above the largest allocation overflows one of the runtime's products in either case.
    if hint <= SMALL_MAP or hint > MAX_ALLOC:
        return -1
    depth = 0
    while (1 << (MAX_TABLE_CAPACITY_LOG2 + depth)) < hint * 8 // 7:
        depth += 1
    return -1 if group_bytes << (MAX_TABLE_CAPACITY_LOG2 + depth) > MAX_ALLOC else depth


def initial_groups_log2(hint: int, depth: int) -> int:
    """Return log2 of the groups in each table of a map made for `hint` entries.

    go: internal/runtime/maps/table.go newTable [1.24..1.27]
    """
    log2 = 0
    while (SMALL_MAP << log2) < (hint * 8 // 7) >> depth:
        log2 += 1
    return log2


RELEASES = (Sizes((1, 18), 13, 0), Sizes((1, 21), 12, 0), Sizes((1, 22), 13, 8))
FIRST_RELEASE = {Implementation.CLASSIC: (1, 18), Implementation.SWISS: (1, 24)}


def sizes_of(implementation: Implementation, go_release: tuple[int, int]) -> Sizes:
    """Return how a Go release allocates and charges the buckets of one kind of map.

    Raises
    ------
    TargetError
        If the release is older than the first one known.
    """
    first = FIRST_RELEASE[implementation]
    if go_release < first:
        release, known = (".".join(map(str, r)) for r in (go_release, first))
        raise TargetError(f"go {release}: no {implementation} maps are known of it: use go {known} or later")
    return [sizes for sizes in RELEASES if sizes.first <= go_release][-1]
