/* Inner loops over the memory of a process: which words to read together, which words are headers, which refer to an
 * object, what buckets hold. Memory may contain anything, so nothing in it is trusted. */
#ifndef MAPPROBE_WALK_H
#define MAPPROBE_WALK_H

#include "core.h"

/* ---- words at many addresses ---- */

/* Addresses that can be read: multiples of eight in the user half of the address space, above the first page. */
#define LOWEST_ADDR 4096u
#define HIGHEST_ADDR (UINT64_C(1) << 47)
static inline bool is_readable(u64 addr) { return (addr & 7) == 0 && addr >= LOWEST_ADDR && addr < HIGHEST_ADDR; }

/* Write the readable addresses, sorted, and the row of each in `addrs`; return how many, NONE: no memory. */
u64 sort_addresses(const u64 *addrs, u64 count, u64 *sorted, i64 *rows);

/* Group sorted addresses into runs that are read together: write where each run ends; return how many runs there
 * are. length: bytes to read at each address; gap: the longest stretch in a run that is not needed; most: the
 * longest run. */
struct run_limits {
    u64 length, gap, most;
};
u64 find_runs(const u64 *sorted, u64 count, const struct run_limits *limits, i64 *ends);

/* Copy the `count` words at each of `length` addresses to row rows[n] of `found`. `words` has the memory from `base`
 * on. */
struct gathering {
    const u64 *words;
    const u64 *addrs;
    const i64 *rows;
    u64 base, length, count;
};
void gather_words(const struct gathering *g, u64 *found, u8 *known);

/* ---- headers ---- */

enum look { NO_HEADER_AT_ALL, LOOKS_LIKE_HEADER, LOOKS_UNWRITTEN };
enum look look_at_swiss(const u64 *words);
enum look look_at_classic(const u64 *words, u32 width);

/* Spans whose objects have the size of a header: 1024 words a span, and bits for each object. */
struct header_spans {
    bool is_swiss;
    u32 width, bit_words;   /* words of an object, and words of bits for a span */
    u64 count;              /* how many spans */
    const u64 *starts, *words, *taken, *survived;
    const i64 *objects;     /* how many objects each span has */
};
/* Write each object that looks like a header: its address, its words, whether it outlived a collection; return how
 * many. The arrays need room for every object. */
u64 find_headers(const struct header_spans *spans, u64 *addr, u64 *words, u8 *is_old, u64 *unwritten);

/* ---- references ---- */

#define PAGE_WORDS 1024u /* of the runtime's pages of 8 KiB */

/* Sorted addresses to which references are looked for. has: for each page from first_page on, whether it has one. */
struct targets {
    const u64 *addrs;
    u64 count, first_page, pages;
    const u8 *has;
};
/* Words of a g that follow the end of its stack (go/facts.py). The end is an address that g does not refer to, so it
 * must not count as a reference. */
struct stack_ends {
    const u64 *guards, *marks;
    u64 guard_count, mark_count, no_guard;
};
/* Words of memory. pointer_bits: for each page the word at which its bitmap of pointers begins, 0 if it has none; NULL:
 * no page has one. */
struct stretch {
    const u64 *words;
    u64 count;
    const i64 *pointer_bits;
};
/* Write each word that is one of the addresses: its place, and the row of the address; return how many, at most
 * `room`. */
struct references {
    i64 *places, *rows;
    u64 room;
};
u64 find_references(const struct targets *targets, const struct stack_ends *ends, const struct stretch *memory,
                    const struct references *out);

/* ---- spans ---- */

/* Spans sorted by their starts: their ends, and the size of one object, which is not 0. */
struct span_table {
    const u64 *starts, *ends, *object_bytes;
    u64 count;
};
/* Write for each address the row of its span, -1 for none, and its offset in its object. */
void find_spans(const struct span_table *spans, const u64 *addrs, u64 count, i64 *rows, i64 *offsets);

/* ---- reading ---- */

#define READ_PAGE 4096u /* bytes of a page of the kernel: holes in memory are whole pages */

/* Where memory comes from. read: copies up to `length` bytes, up to the first hole, and sets *got to their number;
 * false: the process can't be read any more. buffer: `room` bytes for runs. gap: the longest stretch that is read
 * without being needed. */
struct source {
    bool (*read)(void *context, u64 addr, u64 length, u8 *to, u64 *got);
    void *context;
    u8 *buffer;
    u64 room, gap;
};

/* The functions below return false if there is no memory for them, or if the process can't be read any more. */

/* Read a stretch of memory, zeros for holes. is_there, if not NULL: whether each page of the stretch could be read. */
bool read_stretch(const struct source *source, u64 addr, u64 length, u8 *to, u8 *is_there);

/* Read blocks of one length, zeros for holes. Adjacent blocks are read at once. */
bool read_blocks(const struct source *source, const u64 *addrs, u64 count, u64 bytes, u8 *to);

/* Read `width` words at each address, and set known[n]; words that can't be read stay as they were. */
struct words_found {
    u64 *words;
    u8 *known;
    u64 width;
};
bool read_words(const struct source *source, const u64 *addrs, u64 count, const struct words_found *found);

/* ---- buckets ---- */

/* Arrays of buckets: address, number of buckets (at least one), bytes of a bucket. */
struct bucket_arrays {
    const u64 *addrs;
    const i64 *buckets, *sizes;
    u64 count;
};

/* Memory that was read at once from `base` on, which of its pages could be read, and a run of an array's buckets in
 * it. */
struct run_read {
    const u8 *bytes;
    const u8 *is_there;
    u64 base;
};
struct piece {
    u64 row, first, count, size, offset;
};
struct visitor {
    bool (*visit)(void *context, const struct run_read *run, const struct piece *piece);
    void *context;
};

/* Read arrays in the order of their addresses and pass their buckets to the visitor piece by piece; arrays at
 * unreadable addresses are left out. No bucket may be larger than the room of the source. */
bool walk_arrays(const struct source *source, const struct bucket_arrays *arrays, const struct visitor *visitor);

/* Add up the slots of the Swiss groups of each array. first: the first group with an entry, no_bucket if there is
 * none. */
struct group_sums {
    i64 *live, *dead, *empty, *first;
    u64 *digest;
    u8 *is_legal;
    i64 no_bucket;
};
bool sum_groups(const struct source *source, const struct bucket_arrays *arrays, const struct group_sums *sums);

/* Add up the slots of the classic buckets of each array; in an old array only the buckets that are not evacuated.
 * links, if not NULL: the addresses of the buckets' overflow buckets, and the row of the array; the caller frees
 * both. */
struct links {
    i64 *rows;
    u64 *addrs;
    u64 count, room;
};
struct bucket_sums {
    const u8 *is_old;
    i64 *live, *buckets, *empty, *first;
    u64 *digest;
    u8 *is_wrong;
    struct links *links;
    i64 no_bucket;
};
bool sum_buckets(const struct source *source, const struct bucket_arrays *arrays, const struct bucket_sums *sums);

/* A word mixed with its place, so that a sum of such numbers depends on the order of the words. */
static inline u64 mixed(u64 word, u64 number) { return (word * (2 * number + 1)) ^ (word >> 29); }

#endif
