/* Adding up the slots of buckets while arrays are read. */
#include "chain.h"
#include "control.h"
#include "walk.h"

#include <stdlib.h>
#include <string.h>

/* The word at an offset in a run; 0 and false if its page could not be read. */
static inline bool word_at(const struct run_read *run, u64 offset, u64 *word)
{
    if (!run->is_there[(run->base % READ_PAGE + offset) / READ_PAGE]) {
        *word = 0;
        return false;
    }
    memcpy(word, run->bytes + offset, sizeof *word);
    return true;
}

/* ---- Swiss ---- */

static bool sum_group_piece(void *context, const struct run_read *run, const struct piece *p)
{
    const struct group_sums *s = context;
    i64 live = 0, dead = 0, empty = 0, first = s->first[p->row];
    u64 digest = 0;
    bool is_legal = true;
    for (u64 n = 0; n < p->count; n++) {
        u64 control;
        const bool is_known = word_at(run, p->offset + n * p->size, &control);
        const u32 not_full = match_high(control), deleted = match_byte(control, CTRL_DELETED);
        /* a byte with a high bit must be empty or deleted; a group can't have both, as deletes in a group with an empty
         * slot make empty slots */
        is_legal &= is_known && (match_empty(control) | deleted) == not_full && (deleted == 0 || deleted == not_full);
        live += SLOTS - (i64)slot_count(not_full);
        dead += slot_count(deleted);
        empty += not_full == ALL_SLOTS;
        if (not_full != ALL_SLOTS && first == s->no_bucket)
            first = (i64)(p->first + n);
        digest += mixed(control, p->first + n);
    }
    s->live[p->row] += live;
    s->dead[p->row] += dead;
    s->empty[p->row] += empty;
    s->first[p->row] = first;
    s->digest[p->row] += digest;
    s->is_legal[p->row] &= is_legal;
    return true;
}

bool sum_groups(const struct source *source, const struct bucket_arrays *arrays, const struct group_sums *s)
{
    for (u64 n = 0; n < arrays->count; n++) {
        const bool is_there = is_readable(arrays->addrs[n]); /* if not, its words count as 0: eight entries a group */
        s->live[n] = is_there ? 0 : SLOTS * arrays->buckets[n];
        s->first[n] = is_there ? s->no_bucket : 0;
        s->dead[n] = s->empty[n] = 0;
        s->digest[n] = 0;
        s->is_legal[n] = is_there;
    }
    const struct visitor v = {sum_group_piece, (void *)s};
    return walk_arrays(source, arrays, &v);
}

/* ---- classic ---- */

enum { FIRST_EVACUATED = 2, LAST_EVACUATED = 4 }; /* go: runtime/map.go evacuatedX evacuatedEmpty [1.18..1.23] */
#define ONES UINT64_C(0x0101010101010101)
#define LOW_BITS (0x7F * ONES)
#define HIGH_BITS (0x80 * ONES)

/* The high bit of each tophash that is at least `least` (1 to 128). */
static inline u64 at_least(u64 top, u64 least)
{
    return (((top & LOW_BITS) + (0x80 - least) * ONES) | top) & HIGH_BITS;
}

static bool keep_link(struct links *l, u64 row, u64 link)
{
    if (l->count == l->room) {
        const u64 room = l->room ? 2 * l->room : 1024;
        i64 *rows = realloc(l->rows, room * sizeof *rows);
        if (rows != NULL)
            l->rows = rows;
        u64 *addrs = realloc(l->addrs, room * sizeof *addrs);
        if (addrs != NULL)
            l->addrs = addrs;
        if (rows == NULL || addrs == NULL)
            return false;
        l->room = room;
    }
    l->rows[l->count] = (i64)row;
    l->addrs[l->count++] = link;
    return true;
}

/* True if no tophash says that the bucket was evacuated, and no slot after an empty rest is in use. */
static inline bool is_legal_top(u64 top)
{
    const u64 filled = at_least(top, MIN_TOP_HASH), used = at_least(top, 1);
    const bool is_moved = (at_least(top, FIRST_EVACUATED) & ~filled) != 0;
    return !is_moved && (((~used & HIGH_BITS) << 8) & used) == 0;
}

static bool sum_bucket_piece(void *context, const struct run_read *run, const struct piece *p)
{
    const struct bucket_sums *s = context;
    const bool is_old = s->is_old[p->row];
    i64 live = 0, buckets = 0, empty = 0, first = s->first[p->row];
    u64 digest = 0;
    bool is_wrong = false;
    for (u64 n = 0; n < p->count; n++) {
        const u64 place = p->offset + n * p->size;
        u64 top, link;
        is_wrong |= !word_at(run, place, &top);
        is_wrong |= !word_at(run, place + p->size - sizeof link, &link);
        digest += mixed(top, p->first + n);
        const u64 slot = top & 0xFF, filled = at_least(top, MIN_TOP_HASH);
        if (filled != 0 && !is_old && first == s->no_bucket)
            first = (i64)(p->first + n);
        if (is_old && slot >= FIRST_EVACUATED && slot <= LAST_EVACUATED)
            continue;
        is_wrong |= !is_legal_top(top);
        live += __builtin_popcountll(filled);
        buckets++;
        empty += filled == 0;
        if (link != 0 && s->links != NULL && !keep_link(s->links, p->row, link))
            return false;
    }
    s->live[p->row] += live;
    s->buckets[p->row] += buckets;
    s->empty[p->row] += empty;
    s->first[p->row] = first;
    s->digest[p->row] += digest;
    s->is_wrong[p->row] |= is_wrong;
    return true;
}

bool sum_buckets(const struct source *source, const struct bucket_arrays *arrays, const struct bucket_sums *s)
{
    for (u64 n = 0; n < arrays->count; n++) {
        const bool is_there = is_readable(arrays->addrs[n]); /* if not, its words count as 0 */
        s->live[n] = 0;
        s->buckets[n] = s->empty[n] = is_there ? 0 : arrays->buckets[n];
        s->first[n] = s->no_bucket;
        s->digest[n] = 0;
        s->is_wrong[n] = !is_there;
    }
    const struct visitor v = {sum_bucket_piece, (void *)s};
    return walk_arrays(source, arrays, &v);
}
