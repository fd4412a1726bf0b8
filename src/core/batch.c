/* Batches of packed events, checked once against a world: code that applies a batch uses its indexes unchecked. */
#include "batch.h"

#include <stdlib.h>

_Static_assert(sizeof(struct header) == 64, "a header is a line");

bool new_headers(struct batch *b, const struct header_columns *c)
{
    b->header = aligned_alloc(64, (b->headers ? b->headers : 1) * sizeof *b->header);
    if (b->header == NULL)
        return false;
    for (u64 h = 0; h < b->headers; h++)
        b->header[h] = (struct header){
            .map_addr = c->map_addr[h],
            .seed = c->seed[h],
            .array_addr = c->array_addr[h],
            .old_array_addr = c->old_array_addr[h],
            .key_type = c->key_type[h],
            .row = NONE,
            .stack_offset = c->stack_offset[h],
            .directory_length = c->directory_length[h],
            .type = c->type[h],
            .step_high = c->step_high[h],
            .flags = c->flags[h],
            .log2 = c->log2[h],
        };
    b->has_high_counts = b->has_high_goids = false;
    for (u64 h = 0; h < b->headers; h++) {
        b->has_high_counts |= b->count_high[h] != 0;
        b->has_high_goids |= b->goid_high[h] != 0;
    }
    return true;
}

static u32 greatest(const u32 *values, u64 length)
{
    u32 most = 0;
    for (u64 i = 0; i < length; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

const char *lacking_in(const struct batch *b, const struct world *w)
{
    u32 most = 0;
    if (b->wide_number != NULL)
        most = greatest(b->wide_number, b->length);
    else
        for (u64 i = 0; i < b->length; i++)
            most = b->number[i] > most ? b->number[i] : most;
    if (b->length != 0 && most >= b->headers)
        return "an event names a header that is not there";
    if (b->length != 0 && greatest(b->stack_id, b->length) >= w->stack_count)
        return "an event names a stack that is not there";
    for (u64 h = 0; h < b->headers; h++)
        if (b->header[h].type < -1 || (b->header[h].type >= 0 && (u32)b->header[h].type >= w->type_count))
            return "a header names a type that is not there";
    return NULL;
}
