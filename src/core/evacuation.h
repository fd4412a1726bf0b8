/* How a classic map grows: the functions that operations call. */
#ifndef MAPPROBE_EVACUATION_H
#define MAPPROBE_EVACUATION_H

#include "core.h"

/* True while old buckets wait for evacuation.
 * go: runtime/map.go (*hmap).growing [1.18..1.23] */
static inline bool is_growing(const struct map *p) { return p->state & GROWING; }

/* log2 of the length of the old array, in a map that grows.
 * go: runtime/map.go (*hmap).noldbuckets [1.18..1.23] */
static inline u32 old_log2(const struct map *p) { return p->flags & SAME_SIZE_GROW ? p->log2 : p->log2 - 1u; }

/* True if there are about as many overflow buckets as main ones.
 * go: runtime/map.go tooManyOverflowBuckets [1.18..1.23] */
static inline bool too_many_overflow_buckets(const struct map *p)
{
    return p->overflow_count >= 1u << (p->log2 < 15 ? p->log2 : 15);
}

/* True if one more entry is too many for the array, or if its chains are too long. */
static inline bool is_outgrown(const struct world *w, const struct map *p)
{
    return over_load_factor(&w->rules, (u64)p->count + 1, p->log2) || too_many_overflow_buckets(p);
}

/* True if one more entry makes the map start to grow. */
static inline bool next_insert_grows(const struct world *w, const struct map *p)
{
    return !is_growing(p) && is_outgrown(w, p);
}

/* The main bucket of a hash: its number in the array.
 * go: runtime/map.go bucketMask [1.18..1.23] */
static inline u32 main_bucket(const struct map *p, u64 hash) { return (u32)(hash & ((1ull << p->log2) - 1)); }

u32 new_overflow(struct world *w, u32 m, u32 tail, u32 stack);
void hash_grow(struct world *w, u32 m, u32 stack);
void grow_work(struct world *w, u32 m, u32 bucket, u32 stack);
void drop_old_array(struct world *w, u32 m);

#endif
