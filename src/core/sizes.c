/* How many bytes the Go allocator charges for the buckets of a map. model/sizes.py has the same rules for the recorder;
 * tests/model/test_sizes.py compares the two.
 *
 * A small object takes its size class, a large one whole pages; since Go 1.22 an object over 512 bytes that holds
 * pointers has a header of 8 bytes before it. Only bucket memory is counted: not the map's header, its `extra`, or keys
 * and elements that are stored outside their slot.
 *
 * A damaged recording may have any sizes: products are computed as unsigned numbers, where overflow is defined. */
#include "sizes.h"

/* go: runtime/sizeclasses.go class_to_size [1.18..1.24]
 * go: internal/runtime/gc/sizeclasses.go SizeClassToSize [1.25..1.27] */
const u16 size_classes[SIZE_CLASSES] = {
    0,    8,    16,   24,    32,    48,    64,    80,    96,    112,   128,   144,   160,   176,   192,   208,   224,
    240,  256,  288,  320,   352,   384,   416,   448,   480,   512,   576,   640,   704,   768,   896,   1024,  1152,
    1280, 1408, 1536, 1792,  2048,  2304,  2688,  3072,  3200,  3456,  4096,  4864,  5376,  6144,  6528,  6784,  6912,
    8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
};

#define MAX_SMALL_SIZE 32768 /* go: runtime/sizeclasses.go _MaxSmallSize [1.18..1.24] */
#define MIN_SIZE_FOR_MALLOC_HEADER 512 /* go: runtime/mbitmap*.go minSizeForMallocHeader [1.22..1.24] */
#define PAGE_SIZE 8192u /* go: runtime/malloc.go pageSize [1.18..1.27] */
#define MAX_ALLOC_LOG2 48 /* go: runtime/malloc.go maxAlloc [1.18..1.27] */
#define MAX_ALLOC ((i64)1 << MAX_ALLOC_LOG2)
#define POINTER_BYTES 8
#define TABLE_BYTES 32 /* go: internal/runtime/maps/table.go table [1.24..1.27] */
#define MAX_TABLE_CAPACITY_LOG2 10 /* go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27] */
#define PREALLOCATING_LOG2 4 /* go: runtime/map.go makeBucketArray [1.18..1.23] */

static i64 times(i64 a, i64 b) { return (i64)((u64)a * (u64)b); }
static i64 shifted(i64 a, u32 log2) { return (i64)((u64)a << (log2 & 63)); }

/* The smallest size class of at least `size` bytes; `size` is at most the largest class. */
static i64 size_class(i64 size)
{
    const u16 *first = size_classes;
    for (u32 n = SIZE_CLASSES; n > 1; n -= n / 2)
        first += (first[n / 2 - 1] < size) ? n / 2 : 0;
    return *first;
}

static bool is_small_size(const struct rules *rules, i64 size) { return size <= MAX_SMALL_SIZE - rules->malloc_header; }

/* How many bytes the owner of an object of `size` bytes can use, after rounding.
 *
 * go: runtime/msize*.go roundupsize [1.18..1.27] */
static i64 round_up_size(const struct rules *rules, i64 size, bool has_pointers)
{
    i64 header = has_pointers && size > MIN_SIZE_FOR_MALLOC_HEADER ? rules->malloc_header : 0;
    /* before 1.22 the largest size class is a whole number of pages: for its size both branches give the same */
    if (is_small_size(rules, size))
        return size_class(size + header) - header;
    return (i64)(((u64)size + PAGE_SIZE - 1) & ~(u64)(PAGE_SIZE - 1));
}

/* The bytes that the allocator charges for an object of `size` bytes, its header included.
 *
 * go: runtime/malloc.go mallocgc [1.18..1.27] */
i64 charged_bytes(const struct rules *rules, i64 size, bool has_pointers)
{
    bool has_header = has_pointers && MIN_SIZE_FOR_MALLOC_HEADER < size && is_small_size(rules, size);
    return round_up_size(rules, size, has_pointers) + (has_header ? rules->malloc_header : 0);
}

/* True if `count` entries are too many for 1 << log2 classic buckets.
 *
 * go: runtime/map.go overLoadFactor [1.18..1.23] */
bool over_load_factor(const struct rules *rules, u64 count, u32 log2)
{
    return count > SLOTS && count > (u64)rules->load_factor_num * ((u64)shifted(1, log2) / 2);
}

/* B of a classic map made for `hint` entries.
 *
 * go: runtime/map.go makemap [1.18..1.23] */
u32 classic_log2(const struct rules *rules, i64 hint, i64 bucket_bytes)
{
    /* an unknown type has bucket_bytes 0: counted as 1, so that there is a limit and the product below can't
     * overflow */
    if (hint < 0 || hint > MAX_ALLOC / (bucket_bytes > 1 ? bucket_bytes : 1))
        return 0;
    u32 log2 = 0;
    while (log2 < MAX_ALLOC_LOG2 && over_load_factor(rules, (u64)hint, log2))
        log2++;
    return log2;
}

/* How many buckets an array for B = log2 has: main and preallocated overflow buckets.
 *
 * go: runtime/map.go makeBucketArray [1.18..1.23] */
i64 array_buckets(const struct rules *rules, i64 bucket_bytes, bool has_pointers, u32 log2)
{
    i64 buckets = shifted(1, log2);
    if (log2 < PREALLOCATING_LOG2 || bucket_bytes == 0)
        return buckets;
    buckets += shifted(1, log2 - PREALLOCATING_LOG2);
    i64 size = times(buckets, bucket_bytes);
    i64 rounded = round_up_size(rules, size, has_pointers);
    return rounded != size ? rounded / bucket_bytes : buckets;
}

/* The bytes that a classic bucket array for B = log2 takes. */
i64 array_bytes(const struct rules *rules, i64 bucket_bytes, bool has_pointers, u32 log2)
{
    i64 size = times(array_buckets(rules, bucket_bytes, has_pointers, log2), bucket_bytes);
    return charged_bytes(rules, size, has_pointers);
}

/* The global depth of a Swiss map made for `hint` entries, -1 if it starts small.
 *
 * go: internal/runtime/maps/map.go NewMap [1.24..1.27] */
i32 initial_depth(i64 hint, i64 group_bytes)
{
    /* The runtime takes the hint as unsigned, and counts 1024 groups to a table when it checks that the tables fit into
     * memory. A hint above the largest allocation overflows one of the runtime's products in either case. */
    if (hint <= SLOTS || hint > MAX_ALLOC)
        return -1;
    u32 depth = 0;
    while (shifted(1, MAX_TABLE_CAPACITY_LOG2 + depth) < hint * 8 / 7)
        depth++;
    return group_bytes > MAX_ALLOC >> (MAX_TABLE_CAPACITY_LOG2 + depth) ? -1 : (i32)depth;
}

/* log2 of the groups in each table of a map made for `hint` entries.
 *
 * go: internal/runtime/maps/table.go newTable [1.24..1.27] */
u32 initial_groups_log2(i64 hint, u32 depth)
{
    u32 log2 = 0;
    while (shifted(SLOTS, log2) < (hint * 8 / 7) >> depth)
        log2++;
    return log2;
}

/* The bytes that a Swiss table and its groups take. */
i64 table_bytes(const struct rules *rules, i64 group_bytes, bool has_pointers, u32 log2_groups)
{
    return charged_bytes(rules, shifted(group_bytes, log2_groups), has_pointers) +
           charged_bytes(rules, TABLE_BYTES, true);
}

/* The bytes that a Swiss directory of 1 << depth slots takes. */
i64 directory_bytes(const struct rules *rules, u32 depth)
{
    return charged_bytes(rules, shifted(POINTER_BYTES, depth), true);
}

/* The bytes that a fresh classic map takes, made for `entries` entries and filled; 0 for no entries. */
i64 fresh_classic_bytes(const struct rules *rules, i64 bucket_bytes, bool has_pointers, i64 entries)
{
    if (entries == 0)
        return 0;
    return array_bytes(rules, bucket_bytes, has_pointers, classic_log2(rules, entries, bucket_bytes));
}

/* The bytes that a fresh Swiss map takes, made for `entries` entries and filled; 0 for no entries. */
i64 fresh_swiss_bytes(const struct rules *rules, i64 group_bytes, bool has_pointers, i64 entries)
{
    if (entries == 0)
        return 0;
    i32 depth = initial_depth(entries, group_bytes);
    if (depth < 0)
        return charged_bytes(rules, group_bytes, has_pointers);
    u32 log2_groups = initial_groups_log2(entries, (u32)depth);
    i64 tables = shifted(table_bytes(rules, group_bytes, has_pointers, log2_groups), (u32)depth);
    return directory_bytes(rules, (u32)depth) + tables;
}
