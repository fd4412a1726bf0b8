/* Packed columns (packing.py) taken apart: distinct rows, times, whole numbers. */
#ifndef MAPPROBE_CODEC_H
#define MAPPROBE_CODEC_H

#include "core.h"

#define MOST_COLUMNS 32u

/* One column of numbers without signs: 1, 2, 4 or 8 bytes each. */
struct column {
    const void *values;
    u32 item_bytes;
};

/* Find the first row of each distinct combination of columns in order of appearance (first), and which one each row is
 * (number); return how many there are, NONE: no memory. multiplier: of the hash. */
u32 distinct_rows(const struct column *columns, u32 column_count, u32 rows, u64 multiplier, i64 *first, i32 *number);

/* A column of which each event has the low half, and each header the high half. */
struct halves {
    const u32 *low, *high;
    const u16 *number; /* header of each event */
    u64 rows, headers;
};

/* Write the numbers of both halves; false: an event names a header that is not there. */
bool join_halves(const struct halves *halves, u64 *whole);
/* Write the time of each event, from the steps between them; false: as join_halves. */
bool sum_steps(const struct halves *halves, u64 *time_ns);
/* Write values[number[i]] for each event; false: as join_halves. */
bool gather(const struct column *values, u64 headers, const u16 *number, u64 rows, void *out);

#endif
