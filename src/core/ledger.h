/* The ledger: what the files that apply events share. Keys of maps, the event that is applied, live counters,
 * assignments.
 *
 * Python drives a replay (replay.py, through py_replay.c) by these calls:
 * - apply(w, batch, row) up to the row of each reading that is due (a resync), then up to the end;
 * - for a resync: find(w, addr); if the map is modelled and fact.pending is not 0, has_room(w, m) and then
 *   settle_doubt(w, m, count); if it is modelled still and not as it was read, drop_live(w, m); settle(w, m, count),
 *   which does nothing where nothing is pending; NAME_resume; add_live(w, m, BEFORE, count);
 * - at the end: judge_headers(w, headers, died), then presume_all(w); drop_live(w, m) before map.state loses MODELLED;
 * - for stops: note_maps before and after an apply. */
#ifndef MAPPROBE_LEDGER_H
#define MAPPROBE_LEDGER_H

#include "batch.h"

#define ON_STACK (UINT64_C(1) << 63)
#define OF_ARRAY (UINT64_C(1) << 62)
#define OFFSET_BITS 31 /* a stack has fewer than 2**31 bytes; go: runtime/proc.go maxstackceiling [1.18..1.27] */
#define KEYS_OF_EVENT 3 /* keys that an event enters at most: of a map, its goroutine, its array */
#define NOBODY 0 /* the number of no goroutine */
#define NO_VALUE UINT64_MAX

/* An event on its way: a row of a batch, and what was found of it. */
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

/* What the index has under a key: a row, of a goroutine the row behind its deepest map's; NO_VALUE: nothing. */
static inline u64 look_up(const struct world *w, u64 key)
{
    const struct index_slot *index = w->index;
    for (u64 n = index_place(w, key); index[n].key != 0; n = (n + 1) & w->index_mask)
        if (index[n].key == key)
            return index[n].row;
    return NO_VALUE;
}

/* `find`, for the loop over events. A damaged recording may have the key of a goroutine for a map's. */
static inline u32 find_row(const struct world *w, u64 key)
{
    u64 row = look_up(w, key);
    return row < w->map_count ? (u32)row : NONE;
}

/* Key of a goroutine: that of a map on its stack but for the distance from the top. */
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
/* Let a key mean a row from here on; has_room_for_keys was asked before. */
void enter(struct world *w, u64 key, u64 row);

/* ---- maps ---- */

static inline bool is_modelled(const struct world *w, u32 m) { return w->maps[m].state & MODELLED; }
static inline bool is_dead(const struct world *w, u32 m) { return w->maps[m].state & DEAD; }
static inline bool is_in_doubt(const struct world *w, u32 m) { return is_modelled(w, m) && w->facts[m].pending != 0; }

/* True if the model can do any one operation on a map; false: no memory. */
static inline bool has_room(struct world *w, u32 m)
{
    return w->is_swiss ? swiss_has_room(w, m) : classic_has_room(w, m);
}

/* Replay a map no more. */
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

/* Let a map be of another type, its `n` live entries with it. */
void move_live(struct world *w, u32 m, i32 type, i64 n);
/* Count the operation in doubt of a map as what it most likely was; what it was nobody will know. */
void presume(struct world *w, u32 m);
/* Count an event of a map that is not replayed. */
void count_inexact(struct world *w, const struct event *e, u32 m);
/* End a map: the entries and buckets of the map are given back, its counts stay. */
void bury(struct world *w, u32 m);

/* ---- generations.c ---- */

/* Row of the map that an event belongs to, begun with it where it is a new one; NONE: no memory. */
u32 locate(struct world *w, const struct event *e);
/* Set the type of a map the first time an event shows it, or shows more than its shape. */
void learn_type(struct world *w, u32 m, i32 type);
/* How many entries a map has, without the one that the delete in doubt may have been of. */
i64 least_count(const struct world *w, u32 m);

/* ---- localmaps.c ---- */

/* How far the deepest map of a goroutine is from the top of its stack, 0 where there is none. */
u32 deepest_offset(const struct world *w, u64 goid);
/* Put a map that begins into the list of its goroutine, in the place of the one before where it stands; false: far too
 * many stand deeper, when the map ends nobody will see. */
bool add_to_stack(struct world *w, u32 m, u64 goid);
/* End the maps of an event's goroutine that stand deeper than the frame that the event comes from. */
void leave_frames(struct world *w, const struct batch *b, u64 i, u64 when);
/* End the map on a stack whose array of buckets map m has by an event; note whose it is if m is on a stack. */
void note_array(struct world *w, const struct event *e, u32 m);

/* ---- doubts.c ---- */

/* True if keys of a map that differ may have one hash. */
static inline bool may_meet(const struct world *w, i32 type) { return type >= 0 && w->type_facts[type].may_meet; }
/* Note that it is not known what an event did to a map. */
void doubt(struct world *w, const struct event *e, u32 m);
/* Let the delete of an event wait, if the model has a key of its hash: it may be another that is not there. */
void doubt_delete(struct world *w, const struct event *e, u32 m);
/* Count the growths that an assignment by `stack` took. has_rehashed: entries moved, those with NaN keys at random. */
void count_growths(struct world *w, u32 m, u32 stack, u32 growths, bool has_rehashed);

/* Count the insert by a stack into a map that had so many entries. */
static inline void count_insert(struct world *w, struct map *p, u32 stack, u64 entries)
{
    p->inserts++;
    w->stacks[stack].inserts++;
    count_live(w, p->type, stack, 1);
    if (entries + 1 > p->peak)
        p->peak = entries < UINT32_MAX ? (u32)entries + 1 : UINT32_MAX;
}

/* Count the delete by a stack of an entry that another had inserted, NONE: of none. */
static inline void count_delete(struct world *w, struct map *p, u32 stack, u32 inserted_by)
{
    if (inserted_by == NONE)
        return;
    p->deletes++;
    w->stacks[stack].deletes++;
    count_live(w, p->type, inserted_by, -1);
}

/* Count the update by a stack. */
static inline void count_update(struct world *w, struct map *p, u32 stack)
{
    p->updates++;
    w->stacks[stack].updates++;
}

/* An assignment to a key of a map. */
struct assignment {
    u64 hash, key_type;
    u32 stack;
    bool prunes;       /* whether the function that did it prunes tombstones */
    bool is_evacuated; /* classic: the first part, classic_begin_insert, was done before */
};

/* Let the model assign to a key of a map that had this many entries; count an insert, and growths. Return what the
 * model's insert returns (core.h). */
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

/* True if the header of an event is what the model holds of a map. */
bool agrees(const struct world *w, const struct batch *b, u64 i, u32 m);

#endif
