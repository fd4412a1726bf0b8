/* Inner loops over the memory of a process, as it was read: which words to read together, which are headers, which
 * refer to something, what groups hold. All that stands there may be anything. */
#ifndef MAPPROBE_WALK_H
#define MAPPROBE_WALK_H

#include "core.h"

/* ---- words at many addresses ---- */

/* Which addresses can be read: multiples of eight, of a process, above its first page. */
#define LOWEST_ADDR 4096u
#define HIGHEST_ADDR (UINT64_C(1) << 47)
static inline bool is_readable(u64 addr) { return (addr & 7) == 0 && addr >= LOWEST_ADDR && addr < HIGHEST_ADDR; }

/* Write the addresses that can be read, in order, and the row of each; return how many, NONE: no memory. */
u64 sort_addresses(const u64 *addrs, u64 count, u64 *sorted, i64 *rows);

/* Runs of sorted addresses that are read together: write where each ends; return how many there are.
 * length: bytes at each address; gap: the longest stretch in a run that nobody asked for; most: the longest run. */
struct run_limits {
    u64 length, gap, most;
};
u64 find_runs(const u64 *sorted, u64 count, const struct run_limits *limits, i64 *ends);

/* Copy `count` words from `words[places[n]]` on to row rows[n] of `found`, for each n. */
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

/* Spans of objects of the size of a header: 1024 words a span, and a bit for each object. */
struct header_spans {
    bool is_swiss;
    u32 width, bit_words;   /* words an object, and words of bits a span */
    u64 count;              /* spans */
    const u64 *starts, *words, *taken, *survived;
    const i64 *objects;     /* of each span */
};
/* Write what looks like a header: address, words, whether it outlived a collection; return how many. Room for every
 * object is needed. */
u64 find_headers(const struct header_spans *spans, u64 *addr, u64 *words, u8 *is_old, u64 *unwritten);

/* ---- references ---- */

#define PAGE_WORDS 1024u /* of the runtime's pages of 8 KiB */

/* Sorted addresses that are looked out for, and of each page from the first one's on whether any is on it. */
struct targets {
    const u64 *addrs;
    u64 count, first_page, pages;
    const u8 *has;
};
/* How a goroutine says where its stack ends, which is an address that it does not refer to (go/facts.py). */
struct stack_ends {
    const u64 *guards, *marks;
    u64 guard_count, mark_count, no_guard;
};
/* Words of memory; pointer_bits: of each page the word at which its bitmap of pointers begins, 0: it has none; NULL:
 * no page has one. */
struct stretch {
    const u64 *words;
    u64 count;
    const i64 *pointer_bits;
};
/* Write at which words one of the addresses stands, and its row; return how many, at most `room`. */
struct references {
    i64 *places, *rows;
    u64 room;
};
u64 find_references(const struct targets *targets, const struct stack_ends *ends, const struct stretch *memory,
                    const struct references *out);

/* ---- spans ---- */

/* Spans by their starts, which rise: where they end, and what one of their objects takes, not 0. */
struct span_table {
    const u64 *starts, *ends, *object_bytes;
    u64 count;
};
/* Write of each address the row of its span, -1 for none, and how far into its object it is. */
void find_spans(const struct span_table *spans, const u64 *addrs, u64 count, i64 *rows, i64 *offsets);

/* ---- reading ---- */

#define READ_PAGE 4096u /* memory has holes of so many bytes */

/* Where memory comes from. read: copies up to `length` bytes, as far as they stand there without a hole, and says how
 * many; false: nothing can be read any more. buffer: of `room` bytes, for runs. gap: the longest stretch that is read
 * though nobody asked for it. */
struct source {
    bool (*read)(void *context, u64 addr, u64 length, u8 *to, u64 *got);
    void *context;
    u8 *buffer;
    u64 room, gap;
};

/* These return false if there is no memory, or the process's can't be read any more. */

/* Read a stretch of memory, zeros where nothing is; is_there, if any: of each page that it touches. */
bool read_stretch(const struct source *source, u64 addr, u64 length, u8 *to, u8 *is_there);

/* Read blocks of one length, zeros where nothing is. Blocks that stand side by side are read at once. */
bool read_blocks(const struct source *source, const u64 *addrs, u64 count, u64 bytes, u8 *to);

/* Read `width` words at each address; those that are there are known, the others stay as they were. */
struct words_found {
    u64 *words;
    u8 *known;
    u64 width;
};
bool read_words(const struct source *source, const u64 *addrs, u64 count, const struct words_found *found);

/* ---- buckets ---- */

/* Arrays of buckets: how many of how many bytes; each has one bucket at least. */
struct bucket_arrays {
    const u64 *addrs;
    const i64 *buckets, *sizes;
    u64 count;
};

/* What was read at once from `base` on, which of its pages were there, and some buckets of an array in it. */
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

/* Read arrays in the order of their addresses and show their buckets piece by piece; those at no address are left out.
 * No bucket may be larger than the room of the source. */
bool walk_arrays(const struct source *source, const struct bucket_arrays *arrays, const struct visitor *visitor);

/* Add up what the Swiss groups of each array hold. no_bucket: what `first` is where no group has an entry. */
struct group_sums {
    i64 *live, *dead, *empty, *first;
    u64 *digest;
    u8 *is_legal;
    i64 no_bucket;
};
bool sum_groups(const struct source *source, const struct bucket_arrays *arrays, const struct group_sums *sums);

/* Add up what classic buckets of each array hold; of an old array only those that were not evacuated.
 * links, if any: where the overflow buckets of these stand, and the row of the array; to be freed by the caller. */
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

/* The word mixed with where it stood, such that a sum of these tells the order. */
static inline u64 mixed(u64 word, u64 number) { return (word * (2 * number + 1)) ^ (word >> 29); }

#endif
