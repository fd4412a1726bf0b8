/* One classic chain: a main bucket and its overflow buckets.
 *
 * The control bytes are the runtime's tophash: 0 says that the slot and all slots after it in the chain are empty, 1
 * that the slot is empty, 2 to 4 that the bucket was evacuated; 5 and more is the top byte of the hash. Functions have
 * the names of the functions in runtime/map.go that they follow. They are inlined: an operation is one walk of a
 * chain. */
#ifndef MAPPROBE_CHAIN_H
#define MAPPROBE_CHAIN_H

#include "control.h"

#define EMPTY_REST 0u                     /* go: runtime/map.go emptyRest [1.18..1.23] */
#define EMPTY_ONE 1u                      /* go: runtime/map.go emptyOne [1.18..1.23] */
#define ALL_HOLES 0x0101010101010101u
#define MIN_TOP_HASH 5u                   /* go: runtime/map.go minTopHash [1.18..1.23] */
#define ALL_EVACUATED 0x0404040404040404u /* go: runtime/map.go evacuatedEmpty [1.18..1.23] */

/* The values of `part` in a list of a map's buckets (`schema.SNAPSHOT_BUCKETS`). */
enum { MAIN_PART, OVERFLOW_PART, OLD_PART, OLD_OVERFLOW_PART };

/* The empty slots (control byte EMPTY_REST or EMPTY_ONE). */
static inline u32 match_hole_or_rest(u64 control) { return match_byte(control & ~ALL_HOLES, EMPTY_REST); }

/* True if the first bucket of an old chain says that its entries have moved.
 * go: runtime/map.go evacuated [1.18..1.23] */
static inline bool is_evacuated(u64 control)
{
    u8 first = get_byte(control, 0);
    return first > EMPTY_ONE && first < MIN_TOP_HASH;
}

/* The control byte of a live slot.
 * go: runtime/map.go tophash [1.18..1.23] */
static inline u8 top_hash(u64 hash)
{
    u32 top = (u32)(hash >> 56);
    return (u8)(top < MIN_TOP_HASH ? top + MIN_TOP_HASH : top);
}

/* Where a search ended. If it found the key: bucket and slot of the key. If not: the last bucket that was looked at,
 * and the first empty slot of the chain (empty_bucket is NONE if the chain is full). */
struct search {
    u32 bucket, slot;
    u32 empty_bucket, empty_slot;
};

/* Look for a key in the chain of a main bucket; true if it is there. */
static inline bool search(const struct world *w, u32 first, u64 hash, u64 key_type, struct search *end)
{
    u8 top = top_hash(hash);
    end->empty_bucket = NONE;
    end->bucket = first;
    for (;;) {
        const struct bucket *b = &w->buckets[end->bucket];
        u64 control = b->control;
        for (u32 same = match_byte(control, top); same != 0; same = other_slots(same)) {
            end->slot = first_slot(same);
            if (LIKELY(is_key(w, end->bucket, end->slot, hash, key_type)))
                return true;
        }
        u32 empty = match_hole_or_rest(control);
        if (empty != 0 && end->empty_bucket == NONE) {
            end->empty_bucket = end->bucket;
            end->empty_slot = first_slot(empty);
        }
        if (match_byte(control, EMPTY_REST) != 0 || b->next == NONE)
            return false;
        end->bucket = b->next;
    }
}

/* True if all slots after this one in its chain are empty. */
static inline bool is_last(const struct world *w, const struct bucket *b, u32 slot)
{
    if (LIKELY(slot < SLOTS - 1))
        return get_byte(b->control, slot + 1) == EMPTY_REST;
    return b->next == NONE || get_byte(w->buckets[b->next].control, 0) == EMPTY_REST;
}

/* Mark an empty slot, and the empty slots right before it in its chain, as EMPTY_REST. */
static inline void mark_rest(struct world *w, u32 first, u32 bucket, u32 slot)
{
    for (;;) {
        struct bucket *b = &w->buckets[bucket];
        u32 before = (1u << slot) - 1;
        u32 kept = before & ~match_byte(b->control, EMPTY_ONE);
        u32 lowest = kept == 0 ? 0 : 32 - (u32)__builtin_clz(kept);
        b->control &= ~(~0ull << 8 * lowest & ~0ull >> (56 - 8 * slot));
        if (LIKELY(lowest > 0 || bucket == first))
            return;
        u32 behind = bucket;
        for (bucket = first; w->buckets[bucket].next != behind;)
            bucket = w->buckets[bucket].next;
        slot = SLOTS - 1;
        if (get_byte(w->buckets[bucket].control, slot) != EMPTY_ONE)
            return;
    }
}

/* Give back the overflow buckets of a chain; return how many. */
static inline u32 give_chain(struct world *w, u32 first)
{
    u32 given = 0, bucket = w->buckets[first].next;
    w->buckets[first].next = NONE;
    for (; RARE(bucket != NONE); given++) {
        u32 following = w->buckets[bucket].next;
        give_buckets(w, bucket, 0);
        bucket = following;
    }
    return given;
}

#endif
