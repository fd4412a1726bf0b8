/* The loop of replay: it applies events to a world.
 *
 * The loop walks the events in order. For each event it finds the map or begins a new generation, compares the header
 * with the model, and lets the model do the operation. If a map can't be replayed exactly, its operations are counted
 * by its headers and the map is marked with the reason (enum inexact); nothing is guessed.
 *
 * Read from the end: apply, apply_all, then apply_simply (most events) or apply_event (all others), which is
 * is_as_expected or prepare, then operate. */
#include "foresight.h"

/* What is left to do for an event after `prepare`. */
enum outcome { OPERATES, DONE, NO_MEMORY };

/* ---- events whose header is new, or not as expected ---- */

/* A number for a header that is different from the numbers of all headers of other batches, and from NO_HEADER. */
INLINE u64 number_of(const struct batch *b, u32 h) { return b->serial << 32 | h; }

/* Note the header of an event as the last header of a map. */
static void note_header(struct world *w, const struct event *e, u32 m)
{
    const struct header *h = e->header;
    struct fact *f = &w->facts[m];
    f->seed = h->seed;
    f->array_addr = h->array_addr;
    f->key_type = h->key_type;
    if (is_modelled(w, m) && h->stack_offset == 0)
        w->maps[m].header = number_of(e->batch, e->number);
}

/* Stop replaying a map whose model contradicts an event. Count this event and all later ones by their headers. */
static __attribute__((noinline)) void give_up(struct world *w, const struct event *e, u32 m)
{
    drop_live(w, m);
    stop_following(w, m, HEADER_MISMATCH);
    note_header(w, e, m);
    count_inexact(w, e, m);
}

/* Take from a classic header what the model can't know: iterator flags, and the runtime's random estimate of the number
 * of overflow buckets in large maps. */
static void take_on_trust(struct world *w, const struct event *e, u32 m)
{
    if (w->is_swiss)
        return;
    classic_set_iterator_flags(w, m, e->header->flags);
    if (e->header->log2 >= RANDOM_OVERFLOW_LOG2)
        w->maps[m].overflow_count = e->batch->overflow_count[e->row];
}

/* True if map m, a clone by an event, can be filled from the model of the original. */
static bool is_cloned(const struct world *w, const struct event *e, u32 original, u32 m)
{
    const struct map *p = &w->maps[m];
    /* only in a damaged recording is a map its own original, or a clone already filled or given room */
    if (original == NONE || original == m || p->count != 0 || (w->is_swiss && p->array != NONE))
        return false;
    if (!is_modelled(w, original) || is_dead(w, original) || w->facts[original].pending != 0)
        return false;
    if (w->is_swiss)
        return true;
    /* A map of one bucket with keys or elements outside their slots may be packed again, depending on its key type. */
    const i32 type = e->header->type;
    const bool is_indirect = type < 0 || w->type_facts[type].is_indirect;
    const bool was_created = w->facts[m].created_ns != e->time_ns;
    return was_created && !(is_indirect && w->maps[original].log2 == 0);
}

/* Fill map m, a clone by an event, in the model, and count its entries as inserted. */
static __attribute__((noinline)) void clone(struct world *w, const struct event *e, u32 m)
{
    const u32 original = find_row(w, e->batch->hash[e->row]);
    struct map *p = &w->maps[m];
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    if (!is_cloned(w, e, original, m)) {
        f->inexact = OUT_OF_SIGHT;
        p->state &= (u8)~MODELLED;
        return;
    }
    if (w->is_swiss)
        swiss_clone(w, original, m, e->stack);
    else
        classic_clone(w, original, m, e->stack);
    x->clone_of = original + 1;
    if (w->facts[original].inexact != EXACT)
        f->inexact = OUT_OF_SIGHT;
    p->inserts += p->count;
    w->stacks[e->stack].inserts += p->count;
    p->peak = p->count;
    p->state = (u8)((p->state & ~UNEQUAL) | (w->maps[original].state & UNEQUAL));
    add_live(w, m, e->stack, p->count);
}

/* Compare an event of a modelled map with the model. */
static enum outcome compare(struct world *w, const struct event *e, u32 m)
{
    /* first of all: with many overflow buckets the next insert makes the map grow, and this needs room */
    take_on_trust(w, e, m);
    if (!has_room(w, m))
        return NO_MEMORY;
    if (!agrees(w, e->batch, e->row, m)) {
        give_up(w, e, m);
        return DONE;
    }
    note_header(w, e, m);
    return OPERATES;
}

/* Find the map of an event and set header.row. OPERATES: the model has to do the operation; DONE: nothing is left to
 * do. */
static __attribute__((noinline)) enum outcome prepare(struct world *w, const struct event *e)
{
    const bool is_operation = e->kind != EVENT_GROW && e->kind != EVENT_OVERFLOW;
    if (!has_room_for_keys(w))
        return NO_MEMORY;
    const u32 m = locate(w, e);
    if (m == NONE)
        return NO_MEMORY;
    e->header->row = m;
    w->maps[m].header = NO_HEADER;
    w->facts[m].addr = e->header->map_addr;
    w->maps[m].last_ns = e->time_ns;
    learn_type(w, m, e->header->type);
    if (e->kind == EVENT_CLONE && is_modelled(w, m))
        clone(w, e, m);
    if (e->kind == EVENT_CREATE || e->kind == EVENT_CLONE)
        return DONE;
    if (is_operation && is_in_doubt(w, m)) {
        if (!has_room(w, m))
            return NO_MEMORY;
        settle_doubt(w, m, count_of(e->batch, e->row));
    }
    if (w->maps_on_stacks != 0)
        note_array(w, e, m);
    if (!is_modelled(w, m)) {
        note_header(w, e, m);
        count_inexact(w, e, m);
        return DONE;
    }
    return is_operation ? compare(w, e, m) : DONE;
}

/* ---- operations ---- */

static __attribute__((noinline)) void operate_clear(struct world *w, const struct event *e, u32 m)
{
    if (w->maps[m].count != 0) /* an empty map has nothing to drop, however many buckets it has */
        drop_live(w, m);
    if (w->is_swiss)
        swiss_clear(w, m, e->stack);
    else
        classic_clear(w, m, e->stack);
    w->maps[m].state &= (u8)~UNEQUAL;
    w->extras[m].clears++;
    w->stacks[e->stack].clears++;
}

/* Do the assignment of an event in the model and count it; false as for `operate`. */
static bool operate_assign(struct world *w, const struct event *e, u32 m)
{
    const struct batch *b = e->batch;
    const struct assignment by = {b->hash[e->row], e->header->key_type, e->stack, w->prunes[b->point[e->row]], false};
    struct map *p = &w->maps[m];
    const u32 done = assign(w, m, &by, p->count);
    if (done == NO_ROOM)
        return false;
    if (done & 1)
        return true;
    if (may_meet(w, p->type) && (p->state & MODELLED))
        doubt(w, e, m);
    else
        count_update(w, p, e->stack);
    return true;
}

/* Do the operation of an event in the model and count it; false if the operation is impossible.
 *
 * An insert is impossible that splits tables without end: no hash function sends all keys of a table to one side. */
static bool operate(struct world *w, const struct event *e, u32 m)
{
    struct map *p = &w->maps[m];
    if (e->kind == EVENT_ASSIGN)
        return operate_assign(w, e, m);
    if (e->kind != EVENT_DELETE) {
        operate_clear(w, e, m);
    } else if (may_meet(w, p->type)) {
        doubt_delete(w, e, m);
    } else {
        const u64 hash = e->batch->hash[e->row], key_type = e->header->key_type;
        count_delete(w, p, e->stack,
                     w->is_swiss ? swiss_delete(w, m, hash, key_type, e->stack)
                                 : classic_delete(w, m, hash, key_type, e->stack));
    }
    return true;
}

/* True if an event is an insert, update or delete, has the header with which the model agreed last, and agrees in the
 * counts that operations change. Then `locate`, `learn_type` and `agrees` need not be called. */
INLINE bool is_as_expected(const struct world *w, const struct batch *b, u64 i, u32 m, const bool is_swiss)
{
    const struct map *p = &w->maps[m];
    if (p->header != number_of(b, header_of(b, i)) || b->kind[i] > EVENT_DELETE || count_of(b, i) != p->count)
        return false;
    if (is_swiss)
        return true;
    return (p->log2 >= RANDOM_OVERFLOW_LOG2 || b->overflow_count[i] == p->overflow_count) &&
           (!(p->state & GROWING) || b->evacuated[i] == w->chains[m].evacuated);
}

/* Take the runtime's estimate of the number of overflow buckets, in large classic maps. */
INLINE void take_overflow_count(struct map *p, const struct batch *b, u64 i)
{
    if (p->log2 >= RANDOM_OVERFLOW_LOG2)
        p->overflow_count = b->overflow_count[i];
}

/* Begin an event whose header is as expected; false: no memory. */
static bool begin_expected(struct world *w, const struct event *e, u32 m)
{
    struct map *p = &w->maps[m];
    if (!w->is_swiss)
        take_overflow_count(p, e->batch, e->row);
    if (!has_room(w, m))
        return false;
    p->last_ns = e->time_ns;
    return true;
}

/* Apply an event that is as expected if its operation changes a bucket or two at most, as nearly all do. False: it
 * takes more, and nothing was done. */
INLINE bool apply_simply(struct world *w, const struct batch *b, u64 i, u64 now, const bool is_swiss)
{
    const struct header *h = &b->header[header_of(b, i)];
    const u32 m = h->row;
    if (RARE(m == NONE))
        return false;
    struct map *p = &w->maps[m];
    if (RARE(!is_as_expected(w, b, i, m, is_swiss) || may_meet(w, p->type)))
        return false;
    if (!is_swiss && RARE(p->state & GROWING))
        return false;
    if (!is_swiss)
        take_overflow_count(p, b, i);
    const u32 stack = b->stack_id[i];
    if (b->kind[i] == EVENT_ASSIGN) {
        if (RARE(h->key_type == UNEQUAL_KEY))
            return false;
        const u32 done = is_swiss ? swiss_insert_simply(w, m, b->hash[i], h->key_type, stack)
                                  : classic_insert_simply(w, m, b->hash[i], h->key_type, stack);
        if (RARE(done == INVOLVED))
            return false;
        if (done)
            count_insert(w, p, stack, p->count - 1);
        else
            count_update(w, p, stack);
    } else {
        count_delete(w, p, stack,
                     is_swiss ? swiss_delete(w, m, b->hash[i], h->key_type, stack)
                              : classic_delete_evacuated(w, m, b->hash[i], h->key_type, stack));
    }
    p->last_ns = now;
    return true;
}

/* ---- the loop ---- */

/* The goroutine of the last event, while there are maps on stacks, and the distance of its deepest map from its top. */
struct frames {
    u64 goid;
    u32 deepest;
};

/* End the maps of frames that have returned, if the event comes from a shallower frame of the same goroutine. */
INLINE void look_at_frame(struct world *w, const struct batch *b, u64 i, u64 now, struct frames *f)
{
    const u64 goid = goid_of(b, i);
    if (RARE(goid != f->goid))
        *f = (struct frames){goid, deepest_offset(w, goid)};
    if (RARE(f->deepest > b->depth[i])) {
        leave_frames(w, b, i, now);
        f->deepest = deepest_offset(w, goid);
    }
}

/* Apply any event; false: no memory. */
static __attribute__((noinline)) bool apply_event(struct world *w, struct batch *b, u64 i, u64 now, struct frames *f)
{
    const u32 h = header_of(b, i);
    const struct event e = {b, i, now, &b->header[h], h, b->kind[i], b->stack_id[i]};
    if (e.header->row != NONE && is_as_expected(w, b, i, e.header->row, w->is_swiss)) {
        if (!begin_expected(w, &e, e.header->row))
            return false;
    } else {
        const enum outcome outcome = prepare(w, &e);
        if (outcome == NO_MEMORY)
            return false;
        if (e.header->stack_offset != 0)
            f->goid = NOBODY; /* the goroutine may have one more map: look up its deepest map again */
        if (outcome == DONE)
            return true;
    }
    if (!operate(w, &e, e.header->row))
        give_up(w, &e, e.header->row);
    return true;
}

INLINE bool apply_all(struct world *w, struct batch *b, u64 end, const bool is_swiss)
{
    const struct batch fixed = *b;
    struct foresight seen;
    struct frames frames = {NOBODY, 0};
    for (u32 n = 0; n < PLACES; n++)
        seen.maps[n] = NONE;
    u64 i = b->row, at = b->at;
    bool has_memory = true;
    for (; i < end; i++) {
        look_ahead(w, &fixed, i, &seen, is_swiss);
        const u64 now = at + step_of(&fixed, i);
        if (LIKELY(fixed.kind[i] != EVENT_EXIT)) {
            if (w->maps_on_stacks != 0 && fixed.depth[i] != 0)
                look_at_frame(w, b, i, now, &frames);
            if (RARE(!apply_simply(w, &fixed, i, now, is_swiss))) {
                has_memory = apply_event(w, b, i, now, &frames);
                if (RARE(!has_memory))
                    break;
            }
        }
        at = now;
    }
    b->row = i;
    b->at = at;
    return has_memory;
}

static bool apply_swiss(struct world *w, struct batch *b, u64 end) { return apply_all(w, b, end, true); }
static bool apply_classic(struct world *w, struct batch *b, u64 end) { return apply_all(w, b, end, false); }

/* Most events have the same header as their map's last event, and the model still agrees with it: then only the count,
 * and other words that every operation changes, have to be compared. Most of these events change a bucket or two: they
 * take a few dozen instructions, without a struct event and without a check for room. */
bool apply(struct world *w, struct batch *b, u64 end)
{
    if (b->serial == 0)
        b->serial = ++w->batches;
    if (end > b->length)
        end = b->length;
    return w->is_swiss ? apply_swiss(w, b, end) : apply_classic(w, b, end);
}
