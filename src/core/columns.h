/* The columns of a packed batch that have a row for each event: one list, in the order of packed_schema (packing.py).
 *
 * From the list follow the columns of a packer and of an encoder, and the tuples in which both meet Python. */
#ifndef MAPPROBE_COLUMNS_H
#define MAPPROBE_COLUMNS_H

#include "core.h"

/* COLUMN(type, name) for each column; HASH for the hash, which is not encoded: NO_COLUMN leaves the hash out. */
/* clang-format off */
#define EVENT_COLUMNS(COLUMN, HASH) \
    COLUMN(u32, step) \
    COLUMN(u16, number) \
    COLUMN(u8, kind) \
    COLUMN(u8, point) \
    HASH(u64, hash) \
    COLUMN(u32, count) \
    COLUMN(u16, overflow_count) \
    COLUMN(u32, evacuated) \
    COLUMN(u32, goid) \
    COLUMN(u32, tid) \
    COLUMN(u32, stack_id) \
    COLUMN(u32, depth)
/* clang-format on */
#define NO_COLUMN(type, name)

/* Where the pointer or the array of a column stands in a struct, and the bytes of one item. */
struct own_column {
    size_t place;
    u32 item_bytes;
};

#endif
