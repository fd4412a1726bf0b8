/* Questions about a classic map: the list of its buckets, whether a header agrees with the model, its bytes, and the
 * lines that an operation will touch. */
#include "chain.h"
#include "evacuation.h"

/* Append a bucket and its chain to the `listed` rows that are written; return how many there are now. Overflow buckets
 * have the part after the part of their first bucket. */
static inline u64 list_chain(const struct world *w, u32 bucket, u32 part, u32 *buckets, u32 *parts, u64 listed)
{
    const u32 part_of_chain = part + 1;
    for (; bucket != NONE; bucket = w->buckets[bucket].next) {
        buckets[listed] = bucket;
        parts[listed++] = part;
        part = part_of_chain;
    }
    return listed;
}

/* Write the buckets of map m and their parts: each main bucket followed by its overflow chain; then, while the map
 * grows, each old bucket that waits for evacuation followed by its chain. */
u64 classic_list_buckets(const struct world *w, u32 m, u32 *buckets, u32 *parts)
{
    const struct map *p = &w->maps[m];
    u64 listed = 0;
    if (p->array == NONE)
        return 0;
    for (u64 n = 0; n < 1ull << p->log2; n++)
        listed = list_chain(w, p->array + (u32)n, MAIN_PART, buckets, parts, listed);
    for (u64 n = 0; is_growing(p) && n < 1ull << old_log2(p); n++) {
        u32 old = w->chains[m].old_array + (u32)n;
        if (!is_evacuated(w->buckets[old].control))
            listed = list_chain(w, old, OLD_PART, buckets, parts, listed);
    }
    return listed;
}

/* True if a header that was read before an operation agrees with the model of map m.
 *
 * If the model has no first bucket yet, the map's first bucket may be in the stack frame of the function that made
 * it. */
bool classic_agrees(const struct world *w, u32 m, const struct header_words *h)
{
    const struct map *p = &w->maps[m];
    bool has_array = p->array != NONE, may_be_in_frame = p->log2 == 0 && p->count == 0;
    return h->count == p->count && h->log2 == p->log2 &&
           (h->array_is_nil ? !has_array : has_array || may_be_in_frame) && h->is_growing == is_growing(p) &&
           (h->flags & SAME_SIZE_GROW) == (p->flags & SAME_SIZE_GROW) &&
           (h->log2 >= RANDOM_OVERFLOW_LOG2 || h->overflow_count == p->overflow_count) &&
           (!h->is_growing || h->evacuated == w->chains[m].evacuated);
}

/* The bytes that the allocator charges for all buckets of map m. */
i64 classic_allocated_bytes(const struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    const struct shape *s = &w->shapes[m];
    const struct chains *c = &w->chains[m];
    if (p->array == NONE)
        return 0;
    i64 total = array_bytes(&w->rules, s->bucket_bytes, s->has_pointers, p->log2);
    if (is_growing(p))
        total += array_bytes(&w->rules, s->bucket_bytes, s->has_pointers, old_log2(p));
    i64 on_heap = (i64)c->heap + c->old_heap;
    return total + on_heap * charged_bytes(&w->rules, s->bucket_bytes, s->has_pointers);
}

/* The bytes that a fresh map for the entries of map m would take. */
i64 classic_needed_bytes(const struct world *w, u32 m)
{
    const struct shape *s = &w->shapes[m];
    return fresh_classic_bytes(&w->rules, s->bucket_bytes, s->has_pointers, w->maps[m].count);
}

static inline void prefetch_bucket(const struct bucket *b)
{
    PREFETCH(b);
    PREFETCH((const char *)b + 64);
}

/* Fetch the main bucket of a hash in map m, and the old bucket that may have to be evacuated first. */
void classic_prefetch_first(const struct world *w, u32 m, u64 hash)
{
    const struct map *p = &w->maps[m];
    if (p->array == NONE)
        return;
    u32 home = main_bucket(p, hash);
    prefetch_bucket(&w->buckets[p->array + home]);
    if (RARE(is_growing(p)))
        prefetch_bucket(&w->buckets[w->chains[m].old_array + (home & ((1u << old_log2(p)) - 1))]);
}

/* Fetch the other new bucket of the old bucket's entries, and the first overflow bucket. Without a branch, as
 * processors predict badly whether a chain has an overflow bucket. */
void classic_prefetch_second(const struct world *w, u32 m, u64 hash)
{
    const struct map *p = &w->maps[m];
    if (p->array == NONE)
        return;
    u32 home = main_bucket(p, hash), main = p->array + home, next = w->buckets[main].next;
    u32 has_next = 0 - (u32)(next != NONE);
    prefetch_bucket(&w->buckets[(next & has_next) | (main & ~has_next)]);
    if (RARE(is_growing(p) && !(p->flags & SAME_SIZE_GROW)))
        prefetch_bucket(&w->buckets[p->array + (home ^ 1u << old_log2(p))]);
}
