/* Go's map up to 1.23: an array of buckets with overflow chains, evacuated bucket by bucket when the map grows.
 *
 * The low B bits of an entry's hash number its bucket; the entry goes into the first empty slot of the bucket's chain.
 * Functions have the names of the functions in runtime/map.go that they follow. */
#include "chain.h"
#include "evacuation.h"

/* The most growths that one insert may start. An insert into a sound map starts one at most. If a header that was read
 * has a wrong count of entries, a small map may be outgrown again at once, and so on without end. */
#define MOST_GROWTHS 3u
#define GROWS_AT_ONCE_LOG2 3u /* smaller arrays are evacuated by the operation that starts their growth */

u32 classic_live_slots(u64 control) { return ~match_hole_or_rest(control) & ALL_SLOTS; }

bool classic_has_room_to_create(struct world *w, u32 m, i64 hint, i64 bucket_bytes)
{
    u32 log2 = classic_log2(&w->rules, hint, bucket_bytes);
    return log2 <= LONGEST_RUN_LOG2 && make_room(w, (u64)m + 1, 1ull << log2, 0, 0);
}

/* The rest of classic_has_room, for a map that grows or is about to grow.
 *
 * An evacuation needs fewer new overflow buckets than it gives back, an insert needs one. After the last evacuation of
 * a growth the next growth may start in the same operation. */
static COLD bool has_room_to_grow(struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    const struct chains *c = &w->chains[m];
    u64 chained = (u64)c->chained + c->old_chained, buckets = chained + 2;
    if (!is_growing(p) || c->waiting <= 2) {
        buckets += chained + (2ull << p->log2);
        if (p->log2 < GROWS_AT_ONCE_LOG2)
            buckets += MOST_GROWTHS * (chained + (2ull << GROWS_AT_ONCE_LOG2));
    }
    return make_room(w, (u64)m + 1, buckets, 0, 0);
}

bool classic_has_room(struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    if (LIKELY(!is_growing(p) && !is_outgrown(w, p)))
        return make_room(w, (u64)m + 1, 2, 0, 0);
    return has_room_to_grow(w, m);
}

/* Make row m a fresh map for `hint` entries, made by `stack`.
 * go: runtime/map.go makemap [1.18..1.23] */
void classic_create(struct world *w, u32 m, i64 hint, u32 bucket_bytes, bool has_pointers, u32 stack)
{
    struct map *p = &w->maps[m];
    p->count = 0;
    p->overflow_count = 0;
    p->flags = p->uncounted = 0;
    p->state &= (u8) ~(GROWING | HAS_DIRECTORY);
    p->log2 = (u8)classic_log2(&w->rules, hint, bucket_bytes);
    p->array = p->log2 > 0 ? take_buckets(w, p->log2, 0, stack) : NONE;
    w->shapes[m] = (struct shape){.bucket_bytes = bucket_bytes, .has_pointers = has_pointers, .made_by = stack};
    w->chains[m] = (struct chains){.old_array = NONE};
}

/* Take the iterator flags from a header: while an iterator may use buckets, old overflow buckets stay in memory. */
void classic_set_iterator_flags(struct world *w, u32 m, u8 flags)
{
    struct map *p = &w->maps[m];
    p->flags = (p->flags & SAME_SIZE_GROW) | (flags & (ITERATOR | OLD_ITERATOR));
}

/* Do the part of a growth that an operation on a hash does first; do nothing if the map does not grow. */
static inline void evacuate_for(struct world *w, u32 m, u64 hash, u32 stack)
{
    if (RARE(is_growing(&w->maps[m])))
        grow_work(w, m, main_bucket(&w->maps[m], hash), stack);
}

void classic_evacuate_for(struct world *w, u32 m, u64 hash, u32 stack) { evacuate_for(w, m, hash, stack); }

/* Make the first bucket of a map that has none. */
static inline void make_first_bucket(struct world *w, u32 m)
{
    struct map *p = &w->maps[m];
    if (LIKELY(p->array != NONE))
        return;
    p->array = take_buckets(w, 0, 0, w->shapes[m].made_by);
    forget_header(p);
}

/* The first part of an insert, before it looks for the key.
 * go: runtime/map.go mapassign [1.18..1.23] */
void classic_begin_insert(struct world *w, u32 m, u64 hash, u32 stack)
{
    make_first_bucket(w, m);
    evacuate_for(w, m, hash, stack);
}

/* The second part of an insert, after classic_begin_insert.
 * go: runtime/map.go mapassign [1.18..1.23] */
u32 classic_insert_evacuated(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    struct map *p = &w->maps[m];
    struct search end;
    u32 growths = 0;
    make_first_bucket(w, m);
    while (!search(w, p->array + main_bucket(p, hash), hash, key_type, &end)) {
        if (RARE(next_insert_grows(w, p) && growths < MOST_GROWTHS)) {
            hash_grow(w, m, stack);
            evacuate_for(w, m, hash, stack);
            growths++;
            continue;
        }
        if (RARE(end.empty_bucket == NONE)) {
            end.empty_bucket = new_overflow(w, m, end.bucket, stack);
            end.empty_slot = 0;
        }
        fill_slot(w, end.empty_bucket, end.empty_slot, (struct slot_entry){hash, key_type, stack, top_hash(hash)});
        p->count++;
        return 2 * growths + 1;
    }
    return 2 * growths;
}

/* go: runtime/map.go mapassign [1.18..1.23] */
u32 classic_insert_simply(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    struct map *p = &w->maps[m];
    struct search end;
    if (RARE(p->array == NONE || is_growing(p)))
        return INVOLVED;
    if (search(w, p->array + main_bucket(p, hash), hash, key_type, &end))
        return 0;
    if (RARE(end.empty_bucket == NONE || is_outgrown(w, p)))
        return INVOLVED;
    fill_slot(w, end.empty_bucket, end.empty_slot, (struct slot_entry){hash, key_type, stack, top_hash(hash)});
    p->count++;
    return 1;
}

/* The second part of a delete, after classic_evacuate_for; return as classic_delete does. */
u32 classic_delete_evacuated(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    struct map *p = &w->maps[m];
    struct search end;
    if (RARE(p->count == 0))
        return NONE;
    u32 first = p->array + main_bucket(p, hash);
    if (!search(w, first, hash, key_type, &end))
        return NONE;
    struct bucket *b = &w->buckets[end.bucket];
    ((u8 *)&b->control)[end.slot] = EMPTY_ONE;
    b->slots[end.slot].delete_stack = stack;
    b->last_delete = stack;
    if (is_last(w, b, end.slot))
        mark_rest(w, first, end.bucket, end.slot);
    p->count--;
    return b->insert_stacks[end.slot];
}

/* Delete a key; return the stack that inserted its entry, NONE if the map does not have the key.
 * go: runtime/map.go mapdelete [1.18..1.23] */
u32 classic_delete(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    if (w->maps[m].count == 0)
        return NONE;
    evacuate_for(w, m, hash, stack);
    return classic_delete_evacuated(w, m, hash, key_type, stack);
}

/* True if the map has a key; to be called after classic_evacuate_for. */
bool classic_holds(struct world *w, u32 m, u64 hash, u64 key_type)
{
    const struct map *p = &w->maps[m];
    struct search end;
    return p->count != 0 && search(w, p->array + main_bucket(p, hash), hash, key_type, &end);
}

/* Note that `stack` emptied the live slots of a bucket, and empty it. */
static inline void empty_bucket(struct bucket *b, u32 stack)
{
    u32 live = classic_live_slots(b->control);
    if (live != 0)
        b->last_delete = stack;
    for (; live != 0; live = other_slots(live))
        b->slots[first_slot(live)].delete_stack = stack;
    b->control = 0;
}

/* Empty the map: chains and the old array are dropped, the main buckets stay.
 * go: runtime/map.go mapclear [1.18..1.23] */
void classic_clear(struct world *w, u32 m, u32 stack)
{
    struct map *p = &w->maps[m];
    struct chains *c = &w->chains[m];
    if (p->count == 0)
        return;
    drop_old_array(w, m);
    for (u64 n = 0; n < 1ull << p->log2; n++) {
        empty_bucket(&w->buckets[p->array + n], stack);
        give_chain(w, p->array + (u32)n);
    }
    p->count = 0;
    p->overflow_count = 0;
    c->evacuated = c->chained = c->preallocated_used = c->heap = 0;
}

/* Give back all buckets of map m. */
void classic_forget(struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    struct shape s = w->shapes[m];
    drop_old_array(w, m);
    if (p->array != NONE) {
        for (u64 n = 0; n < 1ull << p->log2; n++)
            give_chain(w, p->array + (u32)n);
        give_buckets(w, p->array, p->log2);
    }
    classic_create(w, m, 0, s.bucket_bytes, s.has_pointers, s.made_by);
}

u64 classic_count_buckets(const struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    const struct chains *c = &w->chains[m];
    if (p->array == NONE)
        return 0;
    return (1ull << p->log2) + c->chained + c->waiting + c->old_chained;
}
