/* Making a batch from columns, and holding it to a world. */
#ifndef MAPPROBE_BATCH_H
#define MAPPROBE_BATCH_H

#include "core.h"

/* What events of a map have in common as columns, one row a header. */
struct header_columns {
    const u64 *map_addr, *seed, *array_addr, *old_array_addr, *key_type;
    const u32 *stack_offset, *directory_length, *step_high;
    const i32 *type;
    const u8 *flags, *log2;
};

/* Write batch.header, whose other fields are set; false: no memory. Whoever ends the batch frees batch.header. */
bool new_headers(struct batch *b, const struct header_columns *columns);

/* What the batch names that the world has not, in words; NULL: all is there. */
const char *lacking_in(const struct batch *b, const struct world *w);

#endif
