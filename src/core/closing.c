/* The end of a replay: which maps are dead, and what their last operations did, as headers read from memory show. */
#include "ledger.h"

bool agrees(const struct world *w, const struct batch *b, u64 i, u32 m)
{
    const struct header *h = &b->header[header_of(b, i)];
    const struct header_words words = {
        .count = count_of(b, i),
        .array_is_nil = h->array_addr == 0,
        .is_growing = h->old_array_addr != 0,
        .flags = h->flags,
        .log2 = h->log2,
        .overflow_count = b->overflow_count[i],
        .directory_length = h->directory_length,
        .evacuated = b->evacuated[i],
    };
    return w->is_swiss ? swiss_agrees(w, m, &words) : classic_agrees(w, m, &words);
}

/* True if a header that was read from memory can be the header of map m after its last event. */
static bool continues(const struct world *w, const struct batch *b, u64 i, u32 m)
{
    const struct header *h = &b->header[header_of(b, i)];
    const struct fact *f = &w->facts[m];
    if (!is_modelled(w, m))
        /* The map may have been emptied and grown unseen: only seed 0, which no map has, shows another owner. */
        return f->seed == 0 || h->seed != 0;
    if (f->seed == 0) /* never written: it can only be as it was made */
        return agrees(w, b, i, m) && (count_buckets(w, m) > 0) == (h->array_addr != 0);
    const bool is_empty = least_count(w, m) == 0;
    return f->seed == h->seed || (is_empty && (f->array_addr == 0 || f->array_addr == h->array_addr));
}

bool judge_headers(struct world *w, struct batch *headers, const u8 *died)
{
    u64 at = 0;
    for (u64 i = 0; i < headers->length; i++) {
        at += step_of(headers, i);
        const u32 m = find_row(w, headers->header[header_of(headers, i)].map_addr);
        if (m == NONE || w->maps[m].last_ns >= at)
            continue;
        const bool in_doubt = is_in_doubt(w, m);
        if (in_doubt && !has_room(w, m))
            return false;
        if (died[i] || !continues(w, headers, i, m)) {
            w->maps[m].state |= DEAD;
            continue;
        }
        const u64 count = count_of(headers, i);
        if (in_doubt)
            settle_doubt(w, m, count);
        if (!is_modelled(w, m))
            settle(w, m, count);
    }
    return true;
}
