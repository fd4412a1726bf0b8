/* Classic maps that enter the model as a whole, not by operations: clones made by maps.Clone, and maps that were read
 * from memory. */
#include "chain.h"
#include "evacuation.h"

bool classic_has_room_to_clone(struct world *w, u32 original, u32 m)
{
    return make_room(w, (u64)m + 1, 2 * classic_count_buckets(w, original) + 2, 0, 0);
}

/* Copy a bucket slot by slot. In the copy `stack` has inserted the entries; all other slots are virgin. */
static void copy_bucket(struct world *w, u32 bucket, u32 to, u32 stack)
{
    const struct bucket *b = &w->buckets[bucket];
    for (u32 live = classic_live_slots(b->control); live != 0; live = other_slots(live)) {
        u32 slot = first_slot(live);
        u64 key_type = key_type_of(w, bucket, slot);
        fill_slot(w, to, slot, (struct slot_entry){b->slots[slot].hash, key_type, stack, get_byte(b->control, slot)});
    }
    w->buckets[to].control = b->control;
}

/* A bucket and a slot of it; no slot of the bucket before this one is empty. */
struct place {
    u32 bucket, slot;
};

/* Copy the entries of a chain to empty slots of map m, from the place `to` on; return the place after the last one.
 * go: runtime/map.go moveToBmap [1.21..1.23] */
static struct place copy_chain(struct world *w, u32 bucket, u32 m, struct place to, u32 stack)
{
    for (; bucket != NONE; bucket = w->buckets[bucket].next) {
        const struct bucket *b = &w->buckets[bucket];
        for (u32 live = classic_live_slots(b->control); live != 0; live = other_slots(live)) {
            u32 slot = first_slot(live);
            while (to.slot < SLOTS && get_byte(w->buckets[to.bucket].control, to.slot) > EMPTY_ONE)
                to.slot++;
            if (to.slot == SLOTS)
                to = (struct place){new_overflow(w, m, to.bucket, stack), 0};
            u64 key_type = key_type_of(w, bucket, slot);
            fill_slot(w, to.bucket, to.slot++,
                      (struct slot_entry){b->slots[slot].hash, key_type, stack, get_byte(b->control, slot)});
            w->maps[m].count++;
        }
    }
    return to;
}

static u32 last_of_chain(const struct world *w, u32 bucket)
{
    while (w->buckets[bucket].next != NONE)
        bucket = w->buckets[bucket].next;
    return bucket;
}

/* Fill the fresh map m, made for as many entries, with the entries of `original`.
 *
 * Two cases are left out. The entries of an old bucket that leads to several buckets of m are assigned by the runtime
 * one by one, and these assignments are events of their own. A map of one bucket whose slots hold pointers to elements,
 * or to some kinds of keys, is packed again: such a clone is not followed (is_cloned in replay.c).
 *
 * go: runtime/map.go mapclone2 [1.21..1.23] */
void classic_clone(struct world *w, u32 original, u32 m, u32 stack)
{
    struct map *p = &w->maps[m];
    const struct map *of = &w->maps[original];
    if (of->count == 0)
        return;
    if (p->array == NONE)
        p->array = take_buckets(w, 0, 0, stack);
    if (of->log2 == 0) {
        copy_bucket(w, of->array, p->array, stack);
        p->count = of->count;
        return;
    }
    u64 length = 1ull << p->log2;
    for (u64 n = 0; n < length; n++) {
        struct place to = {p->array + (u32)n, 0};
        for (u64 j = n; j < 1ull << of->log2; j += length)
            to = copy_chain(w, of->array + (u32)j, m, to, stack);
    }
    if (!is_growing(of) || old_log2(of) < p->log2)
        return;
    for (u64 n = 0; n < 1ull << old_log2(of); n++) {
        u32 old = w->chains[original].old_array + (u32)n;
        if (!is_evacuated(w->buckets[old].control)) {
            u32 tail = last_of_chain(w, p->array + (u32)(n & (length - 1)));
            copy_chain(w, old, m, (struct place){tail, 0}, stack);
        }
    }
}

/* True if bucket n can follow bucket n - 1 in the order of buckets, and is within the arrays that the header names. */
static bool follows(const struct read_buckets *read, u64 n, u64 length, u64 old_length)
{
    u32 part = read->part[n], home = read->home[n];
    if (n == 0)
        return part == MAIN_PART && home == 0;
    u32 before = read->part[n - 1], home_before = read->home[n - 1];
    switch (part) {
    case MAIN_PART:
        return before <= OVERFLOW_PART && home == home_before + 1 && home < length;
    case OLD_PART:
        return home < old_length && (before <= OVERFLOW_PART ? home_before == length - 1 : home > home_before);
    case OVERFLOW_PART:
        return before <= OVERFLOW_PART && home == home_before;
    case OLD_OVERFLOW_PART:
        return before >= OLD_PART && home == home_before;
    default:
        return false;
    }
}

/* True if a control byte says that its bucket was evacuated; such buckets are not read. */
static bool says_evacuated(u64 control)
{
    return (match_byte(control, 2) | match_byte(control, 3) | match_byte(control, MIN_TOP_HASH - 1)) != 0;
}

/* True if the header and the buckets that were read of a map fit together. */
static bool is_whole(const struct header_words *h, const struct read_buckets *read)
{
    if (read->length == 0)
        return h->count == 0 && h->log2 == 0 && !h->is_growing;
    if (h->log2 > LONGEST_RUN_LOG2 || read->length >= NONE || h->count > SLOTS * read->length || h->count >= NONE)
        return false;
    u64 length = 1ull << h->log2, old_length = 0, mains = 0;
    if (h->is_growing) {
        old_length = h->flags & SAME_SIZE_GROW ? length : length / 2;
        if (h->evacuated >= old_length)
            return false;
    }
    for (u64 n = 0; n < read->length; n++) {
        if (!follows(read, n, length, old_length) || says_evacuated(read->control[n]))
            return false;
        mains += read->part[n] == MAIN_PART;
        /* buckets before the mark have moved: the end of the growth does not look at them again */
        if (read->part[n] == OLD_PART && read->home[n] < h->evacuated)
            return false;
    }
    return mains == length;
}

/* Chain an overflow bucket to a bucket of the old array; the first ones count as preallocated with the array. */
static u32 old_overflow(struct world *w, u32 m, u32 tail)
{
    const struct shape *s = &w->shapes[m];
    struct chains *c = &w->chains[m];
    u32 bucket = take_buckets(w, 0, 0, BEFORE), log2 = old_log2(&w->maps[m]);
    i64 preallocated = array_buckets(&w->rules, s->bucket_bytes, s->has_pointers, log2) - ((i64)1 << log2);
    if ((i64)c->old_chained - c->old_heap < preallocated) {
        w->buckets[bucket].kind = BUCKET_PREALLOCATED;
    } else {
        w->buckets[bucket].kind = BUCKET_ON_HEAP;
        c->old_heap++;
    }
    c->old_chained++;
    w->buckets[tail].next = bucket;
    return bucket;
}

/* Fill a virgin bucket from row n of the buckets that were read. An empty slot that a delete has marked (EMPTY_ONE) is
 * dead; any other empty slot counts as virgin, as memory does not show whether it was ever used. */
static void show_bucket(struct world *w, u32 bucket, const struct read_buckets *read, u64 n)
{
    struct bucket *b = &w->buckets[bucket];
    b->control = read->control[n];
    u32 live = classic_live_slots(b->control), emptied = match_byte(b->control, EMPTY_ONE);
    for (u32 used = live | emptied; used != 0; used = other_slots(used)) {
        u32 slot = first_slot(used);
        b->insert_stacks[slot] = b->last_insert = BEFORE;
        if (emptied >> slot & 1) {
            b->slots[slot].delete_stack = BEFORE;
            continue;
        }
        b->slots[slot].hash = read->hashes[SLOTS * n + slot];
        set_key_type(w, bucket, slot, read->key_types[SLOTS * n + slot]);
    }
}

/* Put header and buckets that were read into an empty map; the caller has made room. */
static void show_map(struct world *w, u32 m, const struct header_words *h, const struct read_buckets *read)
{
    struct map *p = &w->maps[m];
    struct chains *c = &w->chains[m];
    p->flags = h->flags & (ITERATOR | OLD_ITERATOR | SAME_SIZE_GROW);
    p->log2 = h->log2;
    p->count = (u32)h->count;
    if (read->length != 0)
        p->array = take_buckets(w, p->log2, 0, BEFORE);
    if (h->is_growing) {
        p->state |= GROWING;
        c->evacuated = h->evacuated;
        c->old_array = take_buckets(w, old_log2(p), ALL_EVACUATED, BEFORE);
    }
    u32 tail = NONE;
    for (u64 n = 0; n < read->length; n++) {
        u32 part = read->part[n];
        if (part == MAIN_PART)
            tail = p->array + read->home[n];
        else if (part == OVERFLOW_PART)
            tail = new_overflow(w, m, tail, BEFORE);
        else if (part == OLD_PART)
            tail = c->old_array + read->home[n];
        else
            tail = old_overflow(w, m, tail);
        c->waiting += part == OLD_PART;
        show_bucket(w, tail, read, n);
    }
    p->overflow_count = (u16)h->overflow_count;
}

static bool is_unused(const struct bucket *b) { return b->next == NONE && classic_live_slots(b->control) == 0; }

/* True if the new buckets are empty to which the entries of waiting old buckets will move. */
static bool has_place_for_waiting(const struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    for (u64 n = 0; is_growing(p) && n < 1ull << old_log2(p); n++) {
        if (is_evacuated(w->buckets[w->chains[m].old_array + n].control))
            continue;
        for (u64 to = n; to < 1ull << p->log2; to += 1ull << old_log2(p))
            if (!is_unused(&w->buckets[p->array + to]))
                return false;
    }
    return true;
}

/* Nobody saw who filled and emptied the slots, so the stack is BEFORE. From then on the map is replayed like any other.
 * go: runtime/map.go hmap bmap [1.18..1.23] */
bool classic_resume(struct world *w, u32 m, const struct header_words *h, const struct read_buckets *read,
                    bool *no_memory)
{
    classic_forget(w, m);
    *no_memory = false;
    if (!is_whole(h, read))
        return false;
    if (!make_room(w, (u64)m + 1, read->length + (2ull << h->log2), 0, 0)) {
        *no_memory = true;
        return false;
    }
    show_map(w, m, h, read);
    if (has_place_for_waiting(w, m))
        return true;
    classic_forget(w, m);
    return false;
}
