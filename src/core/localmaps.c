/* Maps in stack frames of goroutines: a map ends when its function returns; a later event from a shallower frame shows
 * that it has returned.
 *
 * A stack grows down from its top, and distances from the top stay the same when the stack is moved: everything farther
 * from the top than the running frame is gone. The live maps of a goroutine form a list, the deepest first. An array of
 * buckets on the heap belongs to one map: if a second map has the array, the first map has ended, even if its goroutine
 * had no event since. */
#include "ledger.h"

/* The deepest map of a goroutine; NONE if it has none. */
static u32 deepest_of(const struct world *w, u64 goid)
{
    /* the index has the row of the map + 1, and 0 for none */
    u64 behind = look_up(w, goroutine_key(goid));
    return behind == NO_VALUE ? NONE : (u32)behind - 1;
}

u32 deepest_offset(const struct world *w, u64 goid)
{
    u32 m = deepest_of(w, goid);
    return m != NONE ? offset_of(w, m) : 0;
}

/* The next map of the goroutine's stack, nearer to its top. */
static u32 older_than(const struct world *w, u32 m)
{
    return w->extras[m].older - 1; /* 0, which is none, becomes NONE */
}

/* The most maps of one goroutine that may be deeper than a map that begins. A map begins in the running frame, or in
 * one that waits for a few others: only a damaged recording has more, and walking through its list would take very
 * long. */
#define MOST_DEEPER 1024u

bool add_to_stack(struct world *w, u32 m, u64 goid)
{
    u32 newer = NONE, older = deepest_of(w, goid), offset = offset_of(w, m);
    for (u32 steps = 0; older != NONE && offset_of(w, older) > offset; steps++) {
        if (RARE(steps == MOST_DEEPER))
            return false;
        newer = older;
        older = older_than(w, older);
    }
    if (older != NONE && offset_of(w, older) == offset)
        older = older_than(w, older);
    w->extras[m].older = older + 1;
    if (newer != NONE)
        w->extras[newer].older = m + 1;
    else
        enter(w, goroutine_key(goid), (u64)m + 1);
    w->maps_on_stacks++;
    return true;
}

/* End a map on a stack: it was gone at this time. */
static void end(struct world *w, u32 m, u64 when)
{
    bury(w, m);
    w->extras[m].ended_ns = when;
}

void leave_frames(struct world *w, const struct batch *b, u64 i, u64 when)
{
    const u64 goid = goid_of(b, i);
    const u32 depth = b->depth[i];
    u32 m = deepest_of(w, goid);
    while (m != NONE && offset_of(w, m) > depth) {
        if (!is_dead(w, m))
            end(w, m, when);
        m = older_than(w, m);
    }
    enter(w, goroutine_key(goid), (u64)(u32)(m + 1));
}

/* A map that has never grown may have its array in its stack frame: such an array shows nothing. */
void note_array(struct world *w, const struct event *e, u32 m)
{
    const struct header *h = e->header;
    if (h->log2 == 0 && h->directory_length == 0)
        return;
    const u64 key = OF_ARRAY | h->array_addr;
    const u32 before = find_row(w, key);
    if (before == m)
        return;
    /* the earlier map has ended unless it has grown since, and so has another array */
    if (before != NONE && !is_dead(w, before) && is_modelled(w, before) && w->facts[before].array_addr == h->array_addr)
        end(w, before, e->time_ns);
    if (w->facts[m].key >= ON_STACK)
        enter(w, key, m);
}
