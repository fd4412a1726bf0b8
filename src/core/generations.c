/* Finding the map of an event: the map that is known at its address, or a new generation there. */
#include "ledger.h"

static i64 bucket_bytes_of(const struct world *w, const struct event *e)
{
    return e->header->type >= 0 ? w->type_facts[e->header->type].bucket_bytes : 0;
}

/* True if a map made for `hint` entries would take more than half of this machine's memory: the hint is damaged, or the
 * recording is from a larger machine. */
static bool is_too_large(const struct world *w, const struct event *e, i64 hint)
{
    const i64 bucket_bytes = bucket_bytes_of(w, e);
    const i32 depth = w->is_swiss ? initial_depth(hint, bucket_bytes) : 0;
    if (depth < 0)
        return false;
    const u32 log2 =
        w->is_swiss ? (u32)depth + initial_groups_log2(hint, (u32)depth) : classic_log2(&w->rules, hint, bucket_bytes);
    return log2 > LONGEST_RUN_LOG2 || sizeof(struct bucket) << log2 > w->most_bytes / 2;
}

static bool has_room_to_create(struct world *w, const struct event *e, i64 hint)
{
    const u32 m = w->map_count;
    const i64 bucket_bytes = bucket_bytes_of(w, e);
    if (w->is_swiss)
        return swiss_has_room_to_create(w, m, hint, bucket_bytes);
    return classic_has_room_to_create(w, m, hint, bucket_bytes);
}

static bool has_room_to_clone(struct world *w, u32 original)
{
    const u32 m = w->map_count;
    return w->is_swiss ? swiss_has_room_to_clone(w, original, m) : classic_has_room_to_clone(w, original, m);
}

/* Let the model make a map for an event. */
static void create(struct world *w, const struct event *e, u32 m, i64 hint, u32 stack)
{
    u32 bucket_bytes = 0;
    bool has_pointers = false;
    if (e->header->type >= 0) {
        bucket_bytes = w->type_facts[e->header->type].bucket_bytes;
        has_pointers = w->type_facts[e->header->type].has_pointers;
    }
    if (w->is_swiss)
        swiss_create(w, m, hint, bucket_bytes, has_pointers, stack);
    else
        classic_create(w, m, hint, bucket_bytes, has_pointers, stack);
}

/* Begin a new generation at a key with this event and return its row; the generation before is dead. */
static u32 begin(struct world *w, const struct event *e, u64 key, i64 hint, u8 why)
{
    const u32 before = find_row(w, key), m = add_map(w);
    u32 generation = 1;
    if (before != NONE) {
        generation = w->facts[before].generation + 1;
        if (!is_dead(w, before))
            bury(w, before);
    }
    enter(w, key, m);
    const u32 stack = why == EXACT ? e->stack : BEFORE;
    w->maps[m] = (struct map){.type = -1, .array = NONE, .state = why == EXACT ? MODELLED : 0};
    w->facts[m] = (struct fact){
        .key = key,
        .created_ns = e->time_ns,
        .generation = generation,
        .inexact = why,
        .created_by = stack,
        .grown_by = stack,
    };
    w->stacks[stack].maps++;
    create(w, e, m, hint, stack);
    if (e->header->stack_offset != 0 && !add_to_stack(w, m, goid_of(e->batch, e->row)) && why == EXACT)
        stop_following(w, m, OUT_OF_SIGHT);
    return m;
}

/* True if the header of an event is that of a small map without entries: the header alone shows the whole state. */
static bool is_fresh(const struct event *e)
{
    const struct header *h = e->header;
    return count_of(e->batch, e->row) == 0 && h->log2 == 0 && h->directory_length == 0 && h->old_array_addr == 0 &&
           e->batch->overflow_count[e->row] == 0;
}

/* True if one map can have both types; a type may also have several descriptors.
 *
 * After a conversion, such as textproto.MIMEHeader to http.Header, code of two defined types uses one map. Up to Go
 * 1.20 generic code names the shape that it was compiled for. */
static bool is_same_type(const struct world *w, i32 a, i32 b)
{
    if (a == b || a < 0 || b < 0)
        return true;
    const struct type_facts *one = &w->type_facts[a], *other = &w->type_facts[b];
    bool is_same_name = one->name == other->name || one->name == -1 || other->name == -1;
    return one->layout == other->layout && is_same_name;
}

/* True if the array in the header of an event can be the array that map m last had.
 *
 * A first bucket may be in the stack frame next to the header; it moves with the stack. */
static bool is_same_array(const struct world *w, const struct event *e, u32 m)
{
    const u64 array = w->facts[m].array_addr;
    const struct header *h = e->header;
    if (array == 0 || array == h->array_addr)
        return true;
    return h->stack_offset != 0 && array + (h->map_addr - w->facts[m].addr) == h->array_addr;
}

i64 least_count(const struct world *w, u32 m)
{
    bool may_be_less = w->facts[m].pending == EVENT_DELETE && is_modelled(w, m);
    return (i64)w->maps[m].count - may_be_less;
}

/* True if a map that is not replayed may be without entries after its last event. */
static bool was_emptied(const struct world *w, u32 m)
{
    const u64 last_count = w->extras[m].last_count;
    return last_count == 0 || (last_count == 1 && w->facts[m].pending == EVENT_DELETE);
}

/* True if the header of an event can be the header of map m, possibly after operations that were not seen.
 *
 * The seed changes only when a map becomes empty, by its last delete or by a clear. If the seed differs and map m is
 * not empty, the header belongs to another map; if map m is empty, to the same map only if its array is the same. */
static bool continues(const struct world *w, const struct event *e, u32 m)
{
    const struct header *h = e->header;
    if (!is_same_type(w, h->type, w->maps[m].type))
        return false;
    const u64 seed = w->facts[m].seed;
    if (seed == 0 || seed == h->seed)
        return true;
    const bool is_same = is_same_array(w, e, m);
    if (is_modelled(w, m))
        return least_count(w, m) == 0 && is_same;
    const bool is_empty = count_of(e->batch, e->row) == 0;
    if (h->stack_offset != 0 && is_empty)
        /* the next map in the same frame has its first bucket at the same address */
        return is_same && was_emptied(w, m);
    return is_same || !is_empty;
}

/* True if the creation of a map was seen and no event of it since: a classic clone is in this state before its
 * CLONE. */
static bool is_untouched(const struct world *w, u32 m)
{
    return w->maps[m].last_ns == w->facts[m].created_ns && is_modelled(w, m) && !is_dead(w, m);
}

/* True if the map of an earlier event with the same header is still alive and has the same seed. */
static bool is_as_before(const struct world *w, const struct header *h, u32 m)
{
    return w->facts[m].seed == h->seed && !is_dead(w, m) && h->stack_offset == 0;
}

/* The known map that an event belongs to; NONE if the event begins a new one. */
static u32 known(const struct world *w, const struct event *e, u64 key)
{
    u32 m = find_row(w, key);
    if (m == NONE || e->kind == EVENT_CREATE)
        return NONE;
    if (e->kind == EVENT_CLONE)
        return is_untouched(w, m) ? m : NONE;
    return !is_dead(w, m) && continues(w, e, m) ? m : NONE;
}

u32 locate(struct world *w, const struct event *e)
{
    const u64 hash = e->batch->hash[e->row];
    u32 m = e->header->row;
    if (m != NONE && e->kind != EVENT_CREATE && e->kind != EVENT_CLONE && is_as_before(w, e->header, m))
        return m;
    if (e->kind == EVENT_CLONE) {
        u32 original = find_row(w, hash);
        if (original != NONE && !has_room_to_clone(w, original))
            return NONE;
    }
    const u64 key = identity(e->batch, e->row);
    m = known(w, e, key);
    if (m != NONE)
        return m;
    const bool is_created = e->kind == EVENT_CREATE;
    const bool is_given_up = is_created && is_too_large(w, e, (i64)hash);
    const i64 hint = is_created && !is_given_up ? (i64)hash : 0;
    if (!has_room_to_create(w, e, hint))
        return NONE;
    u8 why = w->why_first;
    if (why == EXACT && !is_created && e->kind != EVENT_CLONE && !is_fresh(e))
        why = w->why_filled;
    const u32 begun = begin(w, e, key, hint, why);
    if (is_given_up && why == EXACT)
        stop_following(w, begun, TOO_LARGE);
    return begun;
}

void learn_type(struct world *w, u32 m, i32 type)
{
    const i32 known = w->maps[m].type;
    if (type < 0 || type == known)
        return;
    const struct type_facts *t = &w->type_facts[type];
    if (known >= 0) {
        if (w->type_facts[known].name == -1 && t->name != -1)
            move_live(w, m, type, is_modelled(w, m) ? (i64)w->maps[m].count : 0);
        return;
    }
    w->maps[m].type = type;
    w->shapes[m].bucket_bytes = t->bucket_bytes;
    w->shapes[m].has_pointers = t->has_pointers;
}
