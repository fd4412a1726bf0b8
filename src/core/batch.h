/* A batch of packed events (packing.py), made from columns and checked against a world. */
#ifndef MAPPROBE_BATCH_H
#define MAPPROBE_BATCH_H

#include "core.h"
#include "zigzag.h"

/* The words that many events of a map share: of the map's header, and where the map is. One line. */
struct header {
    u64 map_addr, seed, array_addr, old_array_addr, key_type;
    u32 row; /* the map that was last seen with this header in this batch, NONE: none yet */
    u32 stack_offset, directory_length;
    i32 type;
    u32 step_high;
    u8 flags, log2, unused[2];
};

struct batch {
    u64 length, headers;
    /* one row an event, as packed */
    const u32 *step, *count, *evacuated, *goid, *stack_id, *depth;
    const u16 *overflow_count;
    const u16 *number;      /* header of each event */
    const u32 *wide_number; /* the same where there are more than 65536 headers; else NULL */
    const u8 *kind, *point;
    const u64 *hash;
    struct header *header;             /* one row a header */
    const u32 *count_high, *goid_high; /* one row a header */
    bool has_high_counts, has_high_goids;
    u64 row;    /* the first event that was not applied yet */
    u64 at;     /* time of the event before that row */
    u64 serial; /* world.batches when this batch was begun; 0: not yet */
};

static inline u32 header_of(const struct batch *b, u64 i)
{
    return RARE(b->wide_number) ? b->wide_number[i] : b->number[i];
}
static inline u64 count_of(const struct batch *b, u64 i)
{
    u64 count = b->count[i];
    return RARE(b->has_high_counts) ? count | (u64)b->count_high[header_of(b, i)] << 32 : count;
}
static inline u64 goid_of(const struct batch *b, u64 i)
{
    u64 goid = b->goid[i];
    return RARE(b->has_high_goids) ? goid | (u64)b->goid_high[header_of(b, i)] << 32 : goid;
}
static inline u64 step_of(const struct batch *b, u64 i)
{
    return unzigzag64(b->step[i] | (u64)b->header[header_of(b, i)].step_high << 32);
}

/* The words of struct header as columns, one row a header. */
struct header_columns {
    const u64 *map_addr, *seed, *array_addr, *old_array_addr, *key_type;
    const u32 *stack_offset, *directory_length, *step_high;
    const i32 *type;
    const u8 *flags, *log2;
};

/* Allocate and fill batch.header; all other fields of the batch are set. False: no memory. The owner of the batch frees
 * batch.header. */
bool new_headers(struct batch *b, const struct header_columns *columns);

/* Check the batch against a world. Return what it names that the world does not have, in words; NULL: nothing. */
const char *lacking_in(const struct batch *b, const struct world *w);

#endif
