/* How a classic map grows: it gets a new array at once, and its entries move there bucket by bucket.
 *
 * In a map that grows, every insert, update and delete evacuates the old bucket of its key and one more. Functions have
 * the names of the functions in runtime/map.go that they follow. */
#include "evacuation.h"

#include "chain.h"

#define MOST_ADVANCES 1024u /* go: runtime/map.go advanceEvacuationMark [1.18..1.23] */

/* Chain an overflow bucket to `tail`: a preallocated one as long as there are any.
 * go: runtime/map.go (*hmap).newoverflow [1.18..1.23] */
u32 new_overflow(struct world *w, u32 m, u32 tail, u32 stack)
{
    struct map *p = &w->maps[m];
    const struct shape *s = &w->shapes[m];
    struct chains *c = &w->chains[m];
    u32 bucket = take_buckets(w, 0, 0, stack);
    i64 preallocated = array_buckets(&w->rules, s->bucket_bytes, s->has_pointers, p->log2) - ((i64)1 << p->log2);
    if (c->preallocated_used < preallocated) {
        w->buckets[bucket].kind = BUCKET_PREALLOCATED;
        c->preallocated_used++;
    } else {
        w->buckets[bucket].kind = BUCKET_ON_HEAP;
        c->heap++;
    }
    if (p->log2 < RANDOM_OVERFLOW_LOG2)
        p->overflow_count++;
    c->chained++;
    w->buckets[tail].next = bucket;
    return bucket;
}

/* Give the map a new array, twice as long; or of the same length, if only its chains are too long and sparse.
 * go: runtime/map.go hashGrow [1.18..1.23] */
void hash_grow(struct world *w, u32 m, u32 stack)
{
    struct map *p = &w->maps[m];
    struct chains *c = &w->chains[m];
    bool is_same_size = !over_load_factor(&w->rules, (u64)p->count + 1, p->log2);
    forget_header(p);
    c->waiting = 1u << p->log2;
    p->flags = p->flags & ITERATOR ? OLD_ITERATOR : 0;
    if (is_same_size)
        p->flags |= SAME_SIZE_GROW;
    else
        p->log2++;
    c->old_array = p->array;
    p->state |= GROWING;
    p->array = take_buckets(w, p->log2, 0, stack);
    c->evacuated = 0;
    c->old_chained = c->chained, c->chained = 0;
    c->old_heap = c->heap, c->heap = 0;
    c->preallocated_used = 0;
    p->overflow_count = 0;
}

/* One of the two new chains to which an old chain moves: its last bucket, and the slot to fill next. */
struct destination {
    u32 bucket, slot;
};

/* Append the live entries of an old chain to its one or two new buckets, in order. */
static inline void move_chain(struct world *w, u32 m, u32 old_bucket, u32 stack)
{
    const struct map *p = &w->maps[m];
    u32 new_bit = 1u << old_log2(p), first = p->array + old_bucket;
    u64 selects_y = p->flags & SAME_SIZE_GROW ? 0 : new_bit;
    struct destination xy[2] = {{first, 0}, {first + new_bit, 0}};
    for (u32 bucket = w->chains[m].old_array + old_bucket; bucket != NONE; bucket = w->buckets[bucket].next) {
        const struct bucket *b = &w->buckets[bucket];
        u64 control = b->control;
        for (u32 live = classic_live_slots(control); live != 0; live = other_slots(live)) {
            u32 slot = first_slot(live);
            u64 hash = b->slots[slot].hash;
            struct destination *to = &xy[(hash & selects_y) != 0];
            if (RARE(to->slot == SLOTS))
                *to = (struct destination){new_overflow(w, m, to->bucket, stack), 0};
            u64 key_type = key_type_of(w, bucket, slot);
            fill_slot(w, to->bucket, to->slot++,
                      (struct slot_entry){hash, key_type, b->insert_stacks[slot], get_byte(control, slot)});
        }
    }
}

/* Unlink the chain of an old bucket.
 *
 * The runtime unlinks a chain only so that the collector can free its buckets. Old buckets stay in memory until the
 * growth ends if they hold no pointers or an iterator may use them; a chain also stays if its first overflow bucket is
 * preallocated. */
static inline void drop_old_chain(struct world *w, u32 m, u32 first)
{
    const struct shape *s = &w->shapes[m];
    struct chains *c = &w->chains[m];
    u32 overflow = w->buckets[first].next;
    if (LIKELY(overflow == NONE))
        return;
    bool is_kept = !s->has_pointers || w->maps[m].flags & OLD_ITERATOR;
    bool frees = !is_kept && w->buckets[overflow].kind == BUCKET_ON_HEAP;
    u32 dropped = give_chain(w, first);
    c->old_chained -= dropped;
    if (frees)
        c->old_heap -= dropped;
}

/* Give back the old array; its chains are gone already. */
static void end_growth(struct world *w, u32 m)
{
    struct map *p = &w->maps[m];
    struct chains *c = &w->chains[m];
    forget_header(p);
    give_buckets(w, c->old_array, old_log2(p));
    c->old_array = NONE;
    p->state &= (u8)~GROWING;
    p->flags &= ITERATOR | OLD_ITERATOR;
    c->waiting = c->old_chained = c->old_heap = 0;
}

/* Move the mark past evacuated old buckets; after the last one the growth ends.
 * go: runtime/map.go advanceEvacuationMark [1.18..1.23] */
static void advance_evacuation_mark(struct world *w, u32 m)
{
    struct chains *c = &w->chains[m];
    u32 old_buckets = 1u << old_log2(&w->maps[m]), mark = c->evacuated + 1;
    u32 stop = old_buckets - mark > MOST_ADVANCES ? mark + MOST_ADVANCES : old_buckets;
    const struct bucket *old = &w->buckets[c->old_array];
    while (mark != stop && is_evacuated(old[mark].control))
        mark++;
    c->evacuated = mark;
    if (mark == old_buckets)
        end_growth(w, m);
}

/* Move the entries of an old bucket's chain to the new array, unless they have moved already.
 * go: runtime/map.go evacuate [1.18..1.23] */
static void evacuate(struct world *w, u32 m, u32 old_bucket, u32 stack)
{
    struct chains *c = &w->chains[m];
    u32 first = c->old_array + old_bucket;
    if (!is_evacuated(w->buckets[first].control)) {
        move_chain(w, m, old_bucket, stack);
        drop_old_chain(w, m, first);
        w->buckets[first].control = ALL_EVACUATED;
        c->waiting--;
    }
    if (old_bucket == c->evacuated)
        advance_evacuation_mark(w, m);
}

/* Evacuate the old bucket that feeds `bucket`, and one more.
 * go: runtime/map.go growWork [1.18..1.23] */
void grow_work(struct world *w, u32 m, u32 bucket, u32 stack)
{
    evacuate(w, m, bucket & ((1u << old_log2(&w->maps[m])) - 1), stack);
    if (is_growing(&w->maps[m]))
        evacuate(w, m, w->chains[m].evacuated, stack);
}

/* Give back the old array, if there is one, and the chains that wait there. */
void drop_old_array(struct world *w, u32 m)
{
    if (!is_growing(&w->maps[m]))
        return;
    u32 first = w->chains[m].old_array, end = first + (1u << old_log2(&w->maps[m]));
    for (u32 bucket = first; bucket < end; bucket++)
        give_chain(w, bucket);
    end_growth(w, m);
}
