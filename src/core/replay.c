/* The loop of replay: what each event did.
 *
 * The loop walks the events in order. For each event it finds the map or begins a new generation, holds the header to
 * the model, and lets the model do the operation. A map that can't be replayed exactly is counted by its headers and
 * marked with the reason (enum inexact); nothing is guessed.
 *
 * Read from the end: apply, apply_all, then apply_simply (most events) or apply_event (all others), which is
 * is_as_expected or prepare, then operate. */
#include "foresight.h"

/* What `prepare` says of an event. */
enum outcome { OPERATES, DONE, NO_MEMORY };

/* ---- events whose header is new, or not as expected ---- */

/* A number that no header of another batch has, nor NO_HEADER. */
INLINE u64 number_of(const struct batch *b, u32 h) { return b->serial << 32 | h; }

/* Note the header of an event as that of a map. */
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

/* Replay a map no more, as it can't be what an event says. Count the event by its header, as all later ones of it. */
static __attribute__((noinline)) void give_up(struct world *w, const struct event *e, u32 m)
{
    drop_live(w, m);
    stop_following(w, m, HEADER_MISMATCH);
    note_header(w, e, m);
    count_inexact(w, e, m);
}

/* Take from a classic header what the model can't know: iterators, and the estimate of many overflow buckets. */
static void take_on_trust(struct world *w, const struct event *e, u32 m)
{
    if (w->is_swiss)
        return;
    classic_set_iterator_flags(w, m, e->header->flags);
    if (e->header->log2 >= RANDOM_OVERFLOW_LOG2)
        w->maps[m].overflow_count = e->batch->overflow_count[e->row];
}

/* True if the map that an event says is a clone can be filled from the original. */
static bool is_cloned(const struct world *w, const struct event *e, u32 original, u32 m)
{
    const struct map *p = &w->maps[m];
    /* none is its own original, nor was filled or made for entries of its own, but in a damaged recording */
    if (original == NONE || original == m || p->count != 0 || (w->is_swiss && p->array != NONE))
        return false;
    if (!is_modelled(w, original) || is_dead(w, original) || w->facts[original].pending != 0)
        return false;
    if (w->is_swiss)
        return true;
    /* A map of one bucket with keys or elements outside their slots may be packed again, by the kind of its keys. */
    const i32 type = e->header->type;
    const bool is_indirect = type < 0 || w->type_facts[type].is_indirect;
    const bool was_created = w->facts[m].created_ns != e->time_ns;
    return was_created && !(is_indirect && w->maps[original].log2 == 0);
}

/* Let the model fill the map m, which an event says is a clone, and count its entries as inserted. */
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

/* Hold an event of a map that is modelled to the model. */
static enum outcome compare(struct world *w, const struct event *e, u32 m)
{
    /* first: many overflow buckets make the next insert grow, and that takes room */
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

/* Find the map that an event is of, header.row. OPERATES: the model still has the operation to do; DONE: nothing is
 * left to do. */
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
    if (w->maps[m].count != 0) /* else it is no matter how many buckets there are, as in the program */
        drop_live(w, m);
    if (w->is_swiss)
        swiss_clear(w, m, e->stack);
    else
        classic_clear(w, m, e->stack);
    w->maps[m].state &= (u8)~UNEQUAL;
    w->extras[m].clears++;
    w->stacks[e->stack].clears++;
}

/* Let the model do the assignment of an event and count what it did; false as of `operate`. */
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

/* Let the model do the operation of an event and count what it did; false if it can't be what happened.
 *
 * That is an insert that splits tables without end: no hash function sends all keys of a table to one side. */
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

/* True if an event is an operation whose header is the one before, which agreed, but for what operations change.
 *
 * Then `locate`, `learn_type` and `agrees` have nothing new to say of it. */
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

/* Take from a classic header that is as expected the estimate of many overflow buckets. */
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

/* Apply an event that is as expected if that takes no more than to look into a bucket or two, as it nearly always does;
 * else false, and no operation is done. */
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

/* The goroutine of the last event while maps stand on stacks, and how far its deepest map is from its top. */
struct frames {
    u64 goid;
    u32 deepest;
};

/* End the maps of frames that were left, as an event shows that comes from a shallower one. */
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
            f->goid = NOBODY; /* it may have more maps */
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

/* Most events come under the header that the last one of their map came under, and the model has it still: then all
 * that can differ from the model is the count and what else changes from one operation to the next. And most of these
 * change a bucket or two: such an event is a few dozen instructions, without a struct event and without a check for
 * room. */
bool apply(struct world *w, struct batch *b, u64 end)
{
    if (b->serial == 0)
        b->serial = ++w->batches;
    if (end > b->length)
        end = b->length;
    return w->is_swiss ? apply_swiss(w, b, end) : apply_classic(w, b, end);
}
