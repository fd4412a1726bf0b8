/* Helpers for packed columns (packing.py): distinct rows, times from steps, numbers from halves. */
#ifndef MAPPROBE_CODEC_H
#define MAPPROBE_CODEC_H

#include "core.h"

#define MOST_COLUMNS 32u

/* One column of unsigned numbers of 1, 2, 4 or 8 bytes. */
struct column {
    const void *values;
    u32 item_bytes;
};

/* Number the distinct combinations of values in order of appearance. first: the first row of each combination; number:
 * the combination of each row. Return how many combinations there are; NONE: no memory. multiplier: for the hash. */
u32 distinct_rows(const struct column *columns, u32 column_count, u32 rows, u64 multiplier, i64 *first, i32 *number);

/* A column of 64 bits: each event has a low half, each header a high half. */
struct halves {
    const u32 *low, *high;
    const u16 *number; /* header of each event */
    u64 rows, headers;
};

/* Join the halves of each event's number; false: an event names a header that does not exist. */
bool join_halves(const struct halves *halves, u64 *whole);
/* Sum the steps to the time of each event; false: as join_halves. */
bool sum_steps(const struct halves *halves, u64 *time_ns);
/* Write values[number[i]] for each event; false: as join_halves. */
bool gather(const struct column *values, u64 headers, const u16 *number, u64 rows, void *out);

#endif
