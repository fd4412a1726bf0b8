/* Inner loops over the memory of a process, as it was read: which words to read together, which are headers, which
 * refer to something, what groups hold. All that stands there may be anything. */
#ifndef MAPPROBE_WALK_H
#define MAPPROBE_WALK_H

#include "core.h"

/* ---- words at many addresses ---- */

/* Which addresses can be read: multiples of eight, of a process, above its first page. */
#define LOWEST_ADDR 4096u
#define HIGHEST_ADDR (UINT64_C(1) << 47)

/* Write the addresses that can be read, in order, and the row of each; return how many, NONE: no memory. */
u64 sort_addresses(const u64 *addrs, u64 count, u64 *sorted, i64 *rows);

/* Runs of sorted addresses that are read together: write where each ends; return how many there are.
 * length: bytes at each address; gap: the longest stretch in a run that nobody asked for; most: the longest run. */
struct run_limits { u64 length, gap, most; };
u64 find_runs(const u64 *sorted, u64 count, const struct run_limits *limits, i64 *ends);

/* Copy `count` words from `words[places[n]]` on to row rows[n] of `found`, for each n. */
struct gathering { const u64 *words; const u64 *addrs; const i64 *rows; u64 base, length, count; };
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
struct targets { const u64 *addrs; u64 count, first_page, pages; const u8 *has; };
/* How a goroutine says where its stack ends, which is an address that it does not refer to (go/facts.py). */
struct stack_ends { const u64 *guards, *marks; u64 guard_count, mark_count, no_guard; };
/* Words of memory; pointer_bits: of each page the word at which its bitmap of pointers begins, 0: it has none; NULL:
 * no page has one. */
struct stretch { const u64 *words; u64 count; const i64 *pointer_bits; };
/* Write at which words one of the addresses stands, and its row; return how many, at most `room`. */
struct references { i64 *places, *rows; u64 room; };
u64 find_references(const struct targets *targets, const struct stack_ends *ends, const struct stretch *memory,
                    const struct references *out);

/* ---- groups ---- */

/* What the Swiss groups of an array hold. */
struct group_sums { i64 *live, *dead, *empty, *first; u64 *digest; u8 *is_legal; };
/* Add up the groups of arrays; those of array n begin at starts[n]. no_bucket: what `first` is where no group has an
 * entry. */
struct group_words { const u64 *control; const u8 *known; u64 count; const i64 *starts; u64 arrays; i64 no_bucket; };
void sum_groups(const struct group_words *groups, const struct group_sums *sums);

/* The word mixed with where it stood, such that a sum of these tells the order. */
static inline u64 mixed(u64 word, u64 number) { return (word * (2 * number + 1)) ^ (word >> 29); }

#endif
