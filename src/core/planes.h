/* Columns of numbers as bytes in a file. A column is split by byte: the lowest bytes of all numbers are a plane, and so
 * on. Each value of a plane takes as few bits as nearly all values fit in; the odd values, which do not fit, are listed
 * separately.
 *
 * A column is one byte that says which planes follow (the others are all 0), then these planes, lowest first. A plane:
 *
 *   u8 bits    bits of each value, 0 to 8
 *   u8 base    a number to be added to each value
 *   u16 odd    how many values do not fit
 *   u16 rows   the row of each odd value
 *   u8 values  each odd value
 *   packed     the values: eight of them in `bits` bytes, the first in the lowest bits
 */
#ifndef MAPPROBE_PLANES_H
#define MAPPROBE_PLANES_H

#include "zigzag.h"

#define MOST_VALUES 65536u /* the most values of a column: a row has 16 bits */

struct bytes_out {
    u8 *data;
    u64 length, room;
    bool has_failed; /* there was no memory; nothing is written after that */
    u8 plane[MOST_VALUES + 8];
};

struct bytes_in {
    const u8 *at, *end;
    bool has_failed; /* the bytes are not columns; nothing is read after that */
    u8 plane[MOST_VALUES + 8];
};

void put_bytes(struct bytes_out *out, const void *bytes, u64 length);
void get_bytes(struct bytes_in *in, void *bytes, u64 length);

/* Write or read a column of at most MOST_VALUES values; item_bytes: 1, 2, 4 or 8. Values that can't be read are 0. */
void put_column(struct bytes_out *out, const void *values, u32 item_bytes, u32 count);
void get_column(struct bytes_in *in, void *values, u32 item_bytes, u32 count);

#endif
