/* The ledger: keys of maps, the event that is being applied, counters of live entries, and assignments. The files that
 * apply events share them.
 *
 * Python drives a replay (replay.py, through py_replay.c) by these calls:
 * - apply(w, batch, row) up to the row of each snapshot that is due (a resync), then up to the end;
 * - for a resync: find(w, addr); if the map is modelled and fact.pending is not 0, has_room(w, m) and then
 *   settle_doubt(w, m, count); if it is still modelled and differs from the snapshot, drop_live(w, m);
 *   settle(w, m, count), which does nothing if nothing is pending; NAME_resume; add_live(w, m, BEFORE, count);
 * - at the end: judge_headers(w, headers, died), then presume_all(w); drop_live(w, m) before map.state loses MODELLED;
 * - for stops: note_maps before and after an apply. */
#ifndef MAPPROBE_LEDGER_H
#define MAPPROBE_LEDGER_H

#include "batch.h"

#define ON_STACK (UINT64_C(1) << 63)
#define OF_ARRAY (UINT64_C(1) << 62)
#define OFFSET_BITS 31 /* a stack has fewer than 2**31 bytes; go: runtime/proc.go maxstackceiling [1.18..1.27] */
#define KEYS_OF_EVENT 3 /* an event enters at most three keys: of its map, its goroutine, its array */
#define NOBODY 0 /* no goroutine has this number */
#define NO_VALUE UINT64_MAX

/* The event that is being applied: a row of a batch, with the values that were looked up. */
struct event {
    struct batch *batch;
    u64 row, time_ns;
    struct header *header;
    u32 number; /* of the header */
    u8 kind;
    u32 stack;
};

/* ---- keys ---- */

static inline u64 index_place(const struct world *w, u64 key) { return key * MIX >> 20 & w->index_mask; }

/* The value of a key in the index: a map's row; for a goroutine, the row of its deepest map + 1. NO_VALUE: none. */
static inline u64 look_up(const struct world *w, u64 key)
{
    const struct index_slot *index = w->index;
    for (u64 n = index_place(w, key); index[n].key != 0; n = (n + 1) & w->index_mask)
        if (index[n].key == key)
            return index[n].row;
    return NO_VALUE;
}

/* `find`, inlined in the loop over events. In a damaged recording a map may have the key of a goroutine. */
static inline u32 find_row(const struct world *w, u64 key)
{
    u64 row = look_up(w, key);
    return row < w->map_count ? (u32)row : NONE;
}

/* The key of a goroutine: the key of a map on its stack, without the distance from the top. */
static inline u64 goroutine_key(u64 goid) { return ON_STACK | goid << OFFSET_BITS; }

/* The key of an event's map: the map's address, or the goroutine and the place on the goroutine's stack. */
static inline u64 identity(const struct batch *b, u64 i)
{
    const struct header *h = &b->header[header_of(b, i)];
    return LIKELY(h->stack_offset == 0) ? h->map_addr : goroutine_key(goid_of(b, i)) | h->stack_offset;
}

/* How far a map on a stack is from the stack's top [bytes]. */
static inline u32 offset_of(const struct world *w, u32 m)
{
    return (u32)(w->facts[m].key & ((UINT64_C(1) << OFFSET_BITS) - 1));
}

/* Make room in the index for the keys of one more event; false: no memory. */
bool make_more_room_for_keys(struct world *w);
static inline bool has_room_for_keys(struct world *w)
{
    return LIKELY(2 * (w->index_keys + KEYS_OF_EVENT) <= w->index_mask) || make_more_room_for_keys(w);
}
/* Set the value of a key; the caller has called has_room_for_keys. */
void enter(struct world *w, u64 key, u64 row);

/* ---- maps ---- */

static inline bool is_modelled(const struct world *w, u32 m) { return w->maps[m].state & MODELLED; }
static inline bool is_dead(const struct world *w, u32 m) { return w->maps[m].state & DEAD; }
static inline bool is_in_doubt(const struct world *w, u32 m) { return is_modelled(w, m) && w->facts[m].pending != 0; }

/* True if there is room for one operation on a map; false: no memory. */
static inline bool has_room(struct world *w, u32 m)
{
    return w->is_swiss ? swiss_has_room(w, m) : classic_has_room(w, m);
}

/* Stop replaying a map, for the reason `why` (enum inexact). */
static inline void stop_following(struct world *w, u32 m, u8 why)
{
    w->facts[m].inexact = why;
    w->maps[m].state &= (u8)~MODELLED;
    w->maps[m].header = NO_HEADER;
}

/* ---- live counters ---- */

static inline void count_in(struct live *l, i64 n)
{
    l->live += n;
    if (n > 0 && l->live > l->peak)
        l->peak = l->live;
}

/* `add_live` of a map of this type. */
static inline void count_live(struct world *w, i32 type, u32 stack, i64 n)
{
    struct stack_counts *s = &w->stacks[stack];
    s->live += n;
    if (n > 0 && s->live > s->peak)
        s->peak = s->live;
    count_in(&w->sites[w->site_of[stack]], n);
    count_in(&w->total, n);
    if (LIKELY(type >= 0))
        count_in(&w->types[type], n);
}

/* ---- ledger.c ---- */

/* Change the type of a map, and count its `n` live entries for the new type. */
void move_live(struct world *w, u32 m, i32 type, i64 n);
/* Count the operation in doubt of a map as what it most likely was. */
void presume(struct world *w, u32 m);
/* Count an event of a map that is not replayed. */
void count_inexact(struct world *w, const struct event *e, u32 m);
/* Mark a map as dead and give back its entries and buckets; its counts stay. */
void bury(struct world *w, u32 m);

/* ---- generations.c ---- */

/* The row of the map that an event belongs to; a new map is begun with the event. NONE: no memory. */
u32 locate(struct world *w, const struct event *e);
/* Set the type of a map the first time an event shows it, or shows more than its shape. */
void learn_type(struct world *w, u32 m, i32 type);
/* The least number of entries that a map can have: less one if a delete is in doubt. */
i64 least_count(const struct world *w, u32 m);

/* ---- localmaps.c ---- */

/* The distance of the deepest map of a goroutine from the top of its stack; 0 if it has none. */
u32 deepest_offset(const struct world *w, u64 goid);
/* Put a map that begins into the list of its goroutine, in place of an earlier map at the same place. False: far too
 * many maps are deeper; the map is not in the list, so its end will not be seen. */
bool add_to_stack(struct world *w, u32 m, u64 goid);
/* End the maps of an event's goroutine that are deeper than the frame of the event. */
void leave_frames(struct world *w, const struct batch *b, u64 i, u64 when);
/* If an event shows that map m has the array of buckets of another map on a stack, end the other map. If m is on a
 * stack, note that the array is m's. */
void note_array(struct world *w, const struct event *e, u32 m);

/* ---- doubts.c ---- */

/* True if different keys of a map may have the same hash. */
static inline bool may_meet(const struct world *w, i32 type) { return type >= 0 && w->type_facts[type].may_meet; }
/* Note that the outcome of an event's operation is in doubt. */
void doubt(struct world *w, const struct event *e, u32 m);
/* Put the delete of an event in doubt if the model has a key with its hash: the delete may be of another key that the
 * map does not have. */
void doubt_delete(struct world *w, const struct event *e, u32 m);
/* Count the growths of an assignment by `stack`. has_rehashed: entries were hashed again; NaN keys moved at random. */
void count_growths(struct world *w, u32 m, u32 stack, u32 growths, bool has_rehashed);

/* Count an insert by a stack into a map that had this many entries. */
static inline void count_insert(struct world *w, struct map *p, u32 stack, u64 entries)
{
    p->inserts++;
    w->stacks[stack].inserts++;
    count_live(w, p->type, stack, 1);
    if (entries + 1 > p->peak)
        p->peak = entries < UINT32_MAX ? (u32)entries + 1 : UINT32_MAX;
}

/* Count a delete by a stack. inserted_by: the stack that inserted the entry; NONE: there was none, nothing counts. */
static inline void count_delete(struct world *w, struct map *p, u32 stack, u32 inserted_by)
{
    if (inserted_by == NONE)
        return;
    p->deletes++;
    w->stacks[stack].deletes++;
    count_live(w, p->type, inserted_by, -1);
}

/* Count an update by a stack. */
static inline void count_update(struct world *w, struct map *p, u32 stack)
{
    p->updates++;
    w->stacks[stack].updates++;
}

/* An assignment to a key of a map. */
struct assignment {
    u64 hash, key_type;
    u32 stack;
    bool prunes;       /* whether the function that assigns prunes tombstones */
    bool is_evacuated; /* classic: classic_begin_insert was called before */
};

/* Assign to a key in the model of a map that had `entries` entries; count an insert, and growths. Return what the
 * insert of the family returns (core.h). */
static inline u32 assign(struct world *w, u32 m, const struct assignment *by, u64 entries)
{
    struct map *p = &w->maps[m];
    const u8 log2_before = p->log2;
    u32 done;
    if (w->is_swiss) {
        done = swiss_insert(w, m, by->hash, by->key_type, by->stack, by->prunes);
        if (RARE(done == NO_ROOM))
            return done;
    } else {
        if (!by->is_evacuated)
            classic_begin_insert(w, m, by->hash, by->stack);
        done = classic_insert_evacuated(w, m, by->hash, by->key_type, by->stack);
    }
    if (done & 1)
        count_insert(w, p, by->stack, entries);
    if (RARE(done >> 1)) /* a classic growth of the same size does not hash again */
        count_growths(w, m, by->stack, done >> 1, w->is_swiss || p->log2 != log2_before);
    if (RARE(by->key_type == UNEQUAL_KEY))
        p->state |= UNEQUAL;
    return done;
}

/* ---- closing.c ---- */

/* True if the header of an event agrees with the model of a map. */
bool agrees(const struct world *w, const struct batch *b, u64 i, u32 m);

#endif
