/* Columns of numbers as bytes in a file. A column is split by byte: all lowest bytes are a plane, and so on. Of a plane
 * each value takes as few bits as nearly all values fit in; the odd ones, which do not fit, stand beside.
 *
 * A column is a byte that says which planes there are (the others are all 0), then these, lowest first. A plane:
 *
 *   u8 bits    0 to 8 of each value
 *   u8 base    is added to each value
 *   u16 odd    how many values do not fit
 *   u16 row, of each of these; u8 value, of each
 *   values     eight in as many bytes as each has bits, the first lowest
 */
#ifndef MAPPROBE_PLANES_H
#define MAPPROBE_PLANES_H

#include "zigzag.h"

#define MOST_VALUES 65536u /* of a column: a row has 16 bits */

struct bytes_out {
    u8 *data;
    u64 length, room;
    bool has_failed; /* no memory: nothing was written since */
    u8 plane[MOST_VALUES + 8];
};

struct bytes_in {
    const u8 *at, *end;
    bool has_failed; /* the bytes are no such columns: nothing was read since */
    u8 plane[MOST_VALUES + 8];
};

void put_bytes(struct bytes_out *out, const void *bytes, u64 length);
void get_bytes(struct bytes_in *in, void *bytes, u64 length);

/* Write or read a column of MOST_VALUES values at most; item_bytes: 1, 2, 4 or 8. What was not read is 0. */
void put_column(struct bytes_out *out, const void *values, u32 item_bytes, u32 count);
void get_column(struct bytes_in *in, void *values, u32 item_bytes, u32 count);

#endif
