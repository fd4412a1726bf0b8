/* Maps in frames of goroutines: a map ends when its frame is left, which a later event from a shallower frame shows.
 *
 * A stack grows down from its top, and distances from the top stay the same when the stack is moved: whatever is
 * farther from the top than the running frame is gone. The living maps of a goroutine form a list, the deepest first.
 * An array of buckets on the heap belongs to one map: if a second map has the array, the first map has ended, even if
 * its goroutine was not seen again. */
#include "ledger.h"

/* The deepest map of a goroutine, NONE where there is none. */
static u32 deepest_of(const struct world *w, u64 goid)
{
    /* the index has the row behind it, and 0 for none */
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

/* So many maps of one goroutine may stand deeper than one that begins. A map begins in a frame that runs, or that
 * waits for a few others: only a damaged recording has more, and would be walked through for ever. */
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

/* Let a map on a stack be dead: it ended before this time. */
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

/* The array of a map that has never grown may stand in its frame: that tells nothing. */
void note_array(struct world *w, const struct event *e, u32 m)
{
    const struct header *h = e->header;
    if (h->log2 == 0 && h->directory_length == 0)
        return;
    const u64 key = OF_ARRAY | h->array_addr;
    const u32 before = find_row(w, key);
    if (before == m)
        return;
    /* one that has grown since has another array */
    if (before != NONE && !is_dead(w, before) && is_modelled(w, before) && w->facts[before].array_addr == h->array_addr)
        end(w, before, e->time_ns);
    if (w->facts[m].key >= ON_STACK)
        enter(w, key, m);
}
