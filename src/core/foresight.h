/* Prefetching: while an event is applied, the lines that later events will touch are fetched into the cache.
 *
 * A replay knows the next events. An operation needs lines that lead to each other: event, header, index, map,
 * bucket or table, second bucket. So they are fetched in steps, each a number of events ahead (HEADER_STEP and so
 * on). */
#ifndef MAPPROBE_FORESIGHT_H
#define MAPPROBE_FORESIGHT_H

#include "ledger.h"

#define INLINE static inline __attribute__((always_inline))

/* How many events ahead each line is fetched; the columns of events are fetched a line at a time. */
enum {
    HEADER_STEP = 60,
    INDEX_STEP = 40,
    MAP_STEP = 30,
    FIRST_STEP = 20,
    SECOND_STEP = 10,
    EVENTS_AHEAD = 160,
    EVENTS_A_LINE = 8
};
enum { PLACES = 64 }; /* more than MAP_STEP, a power of two */

/* The maps to which the events ahead belong, as far as the index shows now. */
struct foresight {
    u32 maps[PLACES];
};

/* Fetch an event: it has more columns than the processor prefetches by itself. */
INLINE void prefetch_event(const struct batch *b, u64 i, const bool is_swiss)
{
    PREFETCH(&b->hash[i]);
    PREFETCH(b->wide_number ? (const void *)&b->wide_number[i] : (const void *)&b->number[i]);
    PREFETCH(&b->step[i]);
    PREFETCH(&b->count[i]);
    PREFETCH(&b->stack_id[i]);
    PREFETCH(&b->kind[i]);
    PREFETCH(&b->point[i]);
    PREFETCH(&b->depth[i]);
    if (!is_swiss) {
        PREFETCH(&b->evacuated[i]);
        PREFETCH(&b->overflow_count[i]);
    }
}

/* Fetch the rows of an event's map: one line if its header was seen before, else two. Return the map. */
INLINE u32 look_for_map(const struct world *w, const struct batch *b, u64 i)
{
    u32 m = b->header[header_of(b, i)].row;
    if (LIKELY(m != NONE)) {
        PREFETCH(&w->maps[m]);
        return m;
    }
    m = find_row(w, identity(b, i));
    if (m != NONE) {
        PREFETCH(&w->maps[m]);
        PREFETCH(&w->facts[m]);
    }
    return m;
}

/* Fetch the lines that events after event i will touch, each kind of line its own number of events ahead. near_end: the
 * batch may end before some of these events. */
INLINE void look_at_steps(const struct world *w, const struct batch *b, u64 i, struct foresight *seen,
                          const bool is_swiss, const bool near_end)
{
    const u64 left = near_end ? b->length - i : UINT64_MAX;
    if (i % EVENTS_A_LINE == 0 && left > EVENTS_AHEAD)
        prefetch_event(b, i + EVENTS_AHEAD, is_swiss);
    if (left > HEADER_STEP)
        PREFETCH(&b->header[header_of(b, i + HEADER_STEP)]);
    if (left > INDEX_STEP && RARE(b->header[header_of(b, i + INDEX_STEP)].row == NONE))
        PREFETCH(&w->index[index_place(w, identity(b, i + INDEX_STEP))]);
    if (left > MAP_STEP)
        seen->maps[(i + MAP_STEP) % PLACES] = look_for_map(w, b, i + MAP_STEP);
    u32 m = seen->maps[(i + FIRST_STEP) % PLACES];
    if (LIKELY(m != NONE && left > FIRST_STEP)) {
        if (is_swiss)
            swiss_prefetch_first(w, m, b->hash[i + FIRST_STEP]);
        else
            classic_prefetch_first(w, m, b->hash[i + FIRST_STEP]);
    }
    m = seen->maps[(i + SECOND_STEP) % PLACES];
    if (LIKELY(m != NONE && left > SECOND_STEP)) {
        if (is_swiss)
            swiss_prefetch_second(w, m, b->hash[i + SECOND_STEP]);
        else
            classic_prefetch_second(w, m, b->hash[i + SECOND_STEP]);
    }
}

INLINE void look_ahead(const struct world *w, const struct batch *b, u64 i, struct foresight *seen, const bool is_swiss)
{
    if (LIKELY(b->length - i > EVENTS_AHEAD))
        look_at_steps(w, b, i, seen, is_swiss, false);
    else
        look_at_steps(w, b, i, seen, is_swiss, true);
}

#endif
