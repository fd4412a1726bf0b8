#include "walk.h"

#include <stdlib.h>
#include <string.h>

/* ---- words at many addresses ---- */

enum { DIGIT_BITS = 12, DIGITS = 1 << DIGIT_BITS, ADDR_BITS = 48 };

struct keyed {
    u64 addr;
    i64 row;
};

/* Radix sort by 12 bits of the address at a time, the lowest first; digits in which all addresses agree are skipped. */
static struct keyed *sort_keyed(struct keyed *from, struct keyed *to, u64 count)
{
    for (u32 shift = 0; shift < ADDR_BITS; shift += DIGIT_BITS) {
        u64 ends[DIGITS] = {0};
        for (u64 n = 0; n < count; n++)
            ends[from[n].addr >> shift & (DIGITS - 1)]++;
        if (ends[from[0].addr >> shift & (DIGITS - 1)] == count)
            continue;
        u64 sum = 0;
        for (u32 digit = 0; digit < DIGITS; digit++) {
            u64 of_digit = ends[digit];
            ends[digit] = sum;
            sum += of_digit;
        }
        for (u64 n = 0; n < count; n++)
            to[ends[from[n].addr >> shift & (DIGITS - 1)]++] = from[n];
        struct keyed *other = from;
        from = to;
        to = other;
    }
    return from;
}

u64 sort_addresses(const u64 *addrs, u64 count, u64 *sorted, i64 *rows)
{
    u64 fit = 0;
    bool is_sorted = true;
    for (u64 n = 0; n < count; n++) {
        if (!is_readable(addrs[n]))
            continue;
        is_sorted &= fit == 0 || sorted[fit - 1] <= addrs[n];
        sorted[fit] = addrs[n];
        rows[fit++] = (i64)n;
    }
    if (is_sorted)
        return fit;
    struct keyed *room = malloc(2 * fit * sizeof *room);
    if (room == NULL)
        return NONE;
    for (u64 n = 0; n < fit; n++)
        room[n] = (struct keyed){sorted[n], rows[n]};
    const struct keyed *done = sort_keyed(room, room + fit, fit);
    for (u64 n = 0; n < fit; n++) {
        sorted[n] = done[n].addr;
        rows[n] = done[n].row;
    }
    free(room);
    return fit;
}

u64 find_runs(const u64 *sorted, u64 count, const struct run_limits *limits, i64 *ends)
{
    u64 runs = 0, base = 0;
    for (u64 n = 0; n < count; n++) {
        bool is_apart = n != 0 && sorted[n] - sorted[n - 1] > limits->length + limits->gap;
        if (n != 0 && (is_apart || sorted[n] - base + limits->length > limits->most))
            ends[runs++] = (i64)n;
        if (n == 0 || is_apart || sorted[n] - base + limits->length > limits->most)
            base = sorted[n];
    }
    if (count != 0)
        ends[runs++] = (i64)count;
    return runs;
}

void gather_words(const struct gathering *g, u64 *found, u8 *known)
{
    for (u64 n = 0; n < g->length; n++) {
        const u64 *from = g->words + (g->addrs[n] - g->base) / 8;
        u64 *to = found + (u64)g->rows[n] * g->count;
        if (g->count == 1)
            *to = *from;
        else
            memcpy(to, from, g->count * sizeof *to);
        known[g->rows[n]] = true;
    }
}

/* ---- headers ---- */

#define MOST_ENTRIES (UINT64_C(1) << 38) /* below any address of a heap: a pointer is no count */
enum {
    MOST_LOG2 = 40,
    CLASSIC_FLAGS = 15, /* go: runtime/map.go iterator oldIterator hashWriting sameSizeGrow [1.18..1.23] */
    LEAST_BITS = 10,
    MOST_BITS = 54 /* fewer than one in a hundred million seeds of 64 random bits has ones outside of 10 to 54 */
};

static bool is_random(u64 seed)
{
    int ones = __builtin_popcountll(seed);
    return ones >= LEAST_BITS && ones <= MOST_BITS;
}

/* The words are: used; seed; dirPtr; dirLen; globalDepth, globalShift, writing, tombstonePossible, padding; clearSeq.
 *
 * go: internal/runtime/maps/map.go Map [1.24..1.27] */
enum look look_at_swiss(const u64 *words)
{
    const u64 used = words[0], directory = words[2], length = words[3], depth = words[4], clears = words[5];
    if ((depth >> 16 & ~UINT64_C(0x101)) != 0 || used >= MOST_ENTRIES || clears >= MOST_ENTRIES || (directory & 7) != 0)
        return NO_HEADER_AT_ALL;
    const u64 log2 = depth & 0xFF, shift = depth >> 8 & 0xFF;
    const bool is_small = length == 0 && (depth & 0xFFFF) == 0 && used <= SLOTS;
    const bool is_large = log2 <= MOST_LOG2 && shift == 64 - log2 && length == UINT64_C(1) << log2;
    if (directory != 0)
        return is_small || is_large ? LOOKS_LIKE_HEADER : NO_HEADER_AT_ALL;
    const bool is_unwritten = is_small && used == 0 && clears == 0 && depth == 0 && is_random(words[1]);
    return is_unwritten ? LOOKS_UNWRITTEN : NO_HEADER_AT_ALL;
}

/* The words are: count; flags, B, noverflow, hash0; buckets; oldbuckets; nevacuate; clearSeq (from Go 1.24); extra.
 *
 * go: runtime/map.go hmap [1.18..1.23] */
enum look look_at_classic(const u64 *words, u32 width)
{
    const bool counts_clears = width > 6;
    const u64 count = words[0], second = words[1], buckets = words[2], old = words[3], evacuated = words[4];
    const u64 extra = words[counts_clears ? 6 : 5], flags = second & 0xFF, log2 = second >> 8 & 0xFF;
    bool is_fit = flags <= CLASSIC_FLAGS && log2 <= MOST_LOG2 && ((buckets | old | extra) & 7) == 0;
    if (counts_clears)
        is_fit &= words[5] < MOST_ENTRIES && (width < 8 || words[7] == 0);
    if (!is_fit)
        return NO_HEADER_AT_ALL;
    if (buckets != 0 && buckets != old && evacuated <= UINT64_C(1) << log2)
        return LOOKS_LIKE_HEADER;
    const u64 anything = count | buckets | old | evacuated | extra | (second & 0xFFFFFFFF);
    return anything == 0 && second >> 32 > 0xFFFF ? LOOKS_UNWRITTEN : NO_HEADER_AT_ALL;
}

static bool has_bit(const u64 *bits, u64 number) { return bits[number / 64] >> (number % 64) & 1; }

u64 find_headers(const struct header_spans *s, u64 *addr, u64 *words, u8 *is_old, u64 *unwritten)
{
    u64 found = 0;
    const u64 fitting = PAGE_WORDS / s->width;
    *unwritten = 0;
    for (u64 span = 0; span < s->count; span++) {
        const u64 *taken = s->taken + span * s->bit_words, *survived = s->survived + span * s->bit_words;
        u64 objects = s->objects[span] < 0 ? 0 : (u64)s->objects[span];
        objects = objects < fitting ? objects : fitting;
        if (objects > 64 * (u64)s->bit_words)
            objects = 64 * (u64)s->bit_words;
        for (u64 n = 0; n < objects; n++) {
            if (!has_bit(taken, n))
                continue;
            const u64 *object = s->words + span * PAGE_WORDS + n * s->width;
            enum look look = s->is_swiss ? look_at_swiss(object) : look_at_classic(object, s->width);
            *unwritten += look == LOOKS_UNWRITTEN;
            if (look != LOOKS_LIKE_HEADER)
                continue;
            addr[found] = s->starts[span] + 8 * n * s->width;
            memcpy(words + found * s->width, object, s->width * sizeof *words);
            is_old[found++] = has_bit(survived, n);
        }
    }
    return found;
}

/* ---- references ---- */

static bool is_one_of(u64 word, const u64 *values, u64 count)
{
    for (u64 n = 0; n < count; n++)
        if (word == values[n])
            return true;
    return false;
}

/* True if a word is the end of a stack in a g: the word before is the start of the stack, the words after are
 * guards. */
static bool ends_stack(const struct stack_ends *e, const struct stretch *memory, u64 place)
{
    if (place < 1 || place + 2 >= memory->count)
        return false;
    const u64 *at = memory->words + place, start = at[-1];
    if (start >= at[0])
        return false;
    return (is_one_of(at[1] - start, e->guards, e->guard_count) || is_one_of(at[1], e->marks, e->mark_count)) &&
           (is_one_of(at[2] - start, e->guards, e->guard_count) || at[2] == e->no_guard);
}

/* True if a word is a pointer by the bitmap of its page; without a bitmap every word may be one. */
static bool may_be_pointer(const struct stretch *memory, u64 place)
{
    if (memory->pointer_bits == NULL)
        return true;
    const u64 page = place / PAGE_WORDS, word = place % PAGE_WORDS;
    const i64 begins = memory->pointer_bits[page];
    if (begins <= 0)
        return true;
    u64 bits = (u64)begins + word / 64;
    if (bits >= PAGE_WORDS)
        bits = PAGE_WORDS - 1;
    return memory->words[page * PAGE_WORDS + bits] >> (word % 64) & 1;
}

static u64 row_of(const struct targets *t, u64 word)
{
    u64 low = 0, high = t->count;
    while (low < high) {
        const u64 middle = (low + high) / 2;
        if (t->addrs[middle] < word)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->count && t->addrs[low] == word ? low : NONE;
}

u64 find_references(const struct targets *t, const struct stack_ends *ends, const struct stretch *memory,
                    const struct references *out)
{
    u64 found = 0;
    for (u64 place = 0; place < memory->count && found < out->room; place++) {
        const u64 word = memory->words[place], page = (word >> 13) - t->first_page;
        if (LIKELY(page >= t->pages) || LIKELY(!t->has[page]))
            continue;
        const u64 row = row_of(t, word);
        if (row == NONE || ends_stack(ends, memory, place) || !may_be_pointer(memory, place))
            continue;
        out->places[found] = (i64)place;
        out->rows[found++] = (i64)row;
    }
    return found;
}

/* ---- spans ---- */

/* The number of spans that begin at or before an address. Fast if the number is close to `hint`. */
static u64 count_starts(const struct span_table *s, u64 addr, u64 hint)
{
    u64 low = 0, high = s->count;
    if (hint != 0 && s->starts[hint - 1] <= addr) {
        low = hint;
        for (u32 near = 0; near < 4 && low < high && s->starts[low] <= addr; near++)
            low++;
        if (low == high || s->starts[low] > addr)
            return low;
    }
    while (low < high) {
        const u64 middle = (low + high) / 2;
        if (s->starts[middle] <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void find_spans(const struct span_table *s, const u64 *addrs, u64 count, i64 *rows, i64 *offsets)
{
    u64 before = 0;
    for (u64 n = 0; n < count; n++) {
        before = count_starts(s, addrs[n], before);
        const u64 row = before - 1;
        const bool is_inside = before != 0 && addrs[n] < s->ends[row];
        rows[n] = is_inside ? (i64)row : -1;
        offsets[n] = is_inside ? (i64)((addrs[n] - s->starts[row]) % s->object_bytes[row]) : 0;
    }
}
