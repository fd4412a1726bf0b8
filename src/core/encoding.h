/* Packed batches (packing.py) as a file has them: the header of each map once, then only what changes.
 *
 * Maps are numbered 0, 1, 2 ... as they appear, over several batches, and an event has the number of its map. If the
 * header of the event is the last header of the map, nothing more is written of the header; else the event is flagged,
 * and refers to an earlier header of the batch or to a new one. A count is written as its difference from the count
 * that is expected after the map's previous event (expected_count). Each distinct call (stack, kind, point) and who
 * (goroutine, thread) is written once in a batch; events have their numbers. All numbers are columns of planes.h;
 * hashes are stored separately, unchanged.
 *
 * One batch in FULL_EVERY is full: numbers of maps begin with 0 again, so a full batch can be read without the batches
 * before it, and encoder and decoder forget all maps.
 *
 * A batch is, in order:
 *
 *   struct encoded_head
 *   step      u32  low half of the zigzag step
 *   map       u32  number; if head.map_steps: zigzag of the number less that of the event before
 *   flagged   u8   1: the header is not the map's last one
 *   reference u32  of each flagged event: 0: the next new header; else 1 + the number of a header of this batch
 *   call      u32  number of the call
 *   who       u32  number of the who
 *   depth     u32  zigzag of the depth less that of the previous event with this call
 *   count     u32  zigzag of the count less the expected one
 *   overflow  u16  zigzag of the overflow count less that of the map's previous event
 *   evacuated u32  zigzag of evacuated less that of the map's previous event
 *   calls     u64  stack | kind << 32 | point << 40
 *   whos      u64  goroutine, low half | thread << 32
 *   masks     u16  of each new header: a bit for each enum header_field in which the header differs from the map's last
 *   fields    u64  one column for each enum header_field, in order: its values in the headers whose masks name it
 *
 * The last header of a map that appears has only fields of 0. All fields of a new header become fields of the map's
 * last header, except the high halves, which belong to the new header alone. */
#ifndef MAPPROBE_ENCODING_H
#define MAPPROBE_ENCODING_H

#include "planes.h"

#include <string.h>

#define FULL_EVERY 32u

/* A packed batch: an encoder reads its columns, a decoder writes them. */
struct packed {
    u32 rows, headers;
    u32 *step, *count, *evacuated, *goid, *tid, *stack_id, *depth;
    u16 *number, *overflow_count;
    u8 *kind, *point;
    /* one row a header */
    u64 *map_addr, *key_type, *seed, *array_addr, *old_array_addr;
    u32 *stack_offset, *directory_length, *clear_seq, *step_high, *count_high, *goid_high;
    i32 *type_id;
    u8 *flags, *log2_size;
};

/* The lengths of the columns; map_steps: whether `map` is written as steps. */
struct encoded_head {
    u32 map_steps, flagged, new_headers, headers, calls, whos;
};

enum header_field {
    FIELD_MAP_ADDR,
    FIELD_STACK_OFFSET,
    FIELD_TYPE,
    FIELD_KEY_TYPE,
    FIELD_SEED,
    FIELD_ARRAY,
    FIELD_OLD_ARRAY,
    FIELD_FLAGS,
    FIELD_LOG2,
    FIELD_DIRECTORY,
    FIELD_CLEAR_SEQ,
    FIELD_STEP_HIGH,
    FIELD_COUNT_HIGH,
    FIELD_GOID_HIGH,
    HEADER_FIELDS
};

/* The fields of a header that become fields of the map's last header: all but the high halves. The struct has no holes,
 * as it is compared byte by byte. */
struct map_header {
    u64 map_addr, key_type, seed, array_addr, old_array_addr;
    u32 stack_offset, directory_length, clear_seq, type;
    u8 flags, log2, unused[6];
};
_Static_assert(sizeof(struct map_header) == 64, "no holes");

struct high_halves {
    u32 step, count, goid;
};

/* One header of a batch. */
struct entry {
    u32 map;
    struct high_halves high;
    struct map_header header;
};

/* The values of a map that change with every operation. */
struct moving {
    u32 count, evacuated; /* the count that the next event is expected to have; evacuated of the last event */
    u32 batch;            /* the batch in which `clean` is a number */
    u32 clean; /* the header of the batch that is the map's last one and has no high halves; NONE: none yet */
    u16 overflow_count, unused;
};

/* The maps that appeared since the last full batch. */
struct known_maps {
    u32 count, room;
    struct moving *moving;
    struct map_header *headers; /* the last one of each map */
};

/* New headers as columns. */
struct new_headers {
    u32 count, lengths[HEADER_FIELDS];
    u16 masks[MOST_VALUES];
    u64 fields[HEADER_FIELDS][MOST_VALUES];
    /* bases of differences: array of the new header before, address of the new map before */
    u64 array_addr, map_addr;
};

/* Columns of one batch, between packed and planes. */
struct event_columns {
    u32 step[MOST_VALUES], map[MOST_VALUES], reference[MOST_VALUES], call[MOST_VALUES], who[MOST_VALUES];
    u32 depth[MOST_VALUES], count[MOST_VALUES], evacuated[MOST_VALUES];
    u16 overflow_count[MOST_VALUES];
    u8 flagged[MOST_VALUES];
    u64 calls[MOST_VALUES + 1], whos[MOST_VALUES + 1];
    u32 call_depths[MOST_VALUES + 1];
    struct entry entries[MOST_VALUES];
    struct new_headers headers;
};

/* Add maps until there are `count`. The last header of an added map is all 0. False: no memory. */
bool make_known(struct known_maps *maps, u32 count);
void forget_maps(struct known_maps *maps);

/* What the count of a map is expected to be at its next event. */
static inline u32 expected_count(u32 count, u8 kind)
{
    if (kind == EVENT_CLEAR)
        return 0;
    return count + (kind == EVENT_ASSIGN) - (kind == EVENT_DELETE);
}
static inline bool has_high_halves(const struct entry *entry)
{
    return (entry->high.step | entry->high.count | entry->high.goid) != 0;
}
/* Forget the number of a map's last header if it is a number in an earlier batch. */
static inline void begin_batch(struct moving *moving, u32 batch)
{
    if (moving->batch != batch) {
        moving->batch = batch;
        moving->clean = NONE;
    }
}
/* Make the header of a flagged event the last header of its map. */
static inline void follow_entry(struct moving *moving, struct map_header *last, const struct entry *entry, u32 number)
{
    bool is_clean = !has_high_halves(entry);
    if (memcmp(last, &entry->header, sizeof *last) == 0) {
        moving->clean = is_clean ? number : moving->clean;
        return;
    }
    *last = entry->header;
    moving->clean = is_clean ? number : NONE;
}

struct encoder;
struct encoder *encoder_new(void);
void encoder_free(struct encoder *e);
/* Encode a batch of at most MOST_VALUES rows. The bytes belong to the encoder and are valid until the next batch.
 * *is_full: the batch can be read without earlier batches. Return what is wrong with the batch; NULL: nothing. */
const char *encode(struct encoder *e, const struct packed *batch, bool *is_full, const u8 **bytes, u64 *length);

struct decoder;
struct decoder *decoder_new(void);
void decoder_free(struct decoder *d);
/* Decode a batch in two steps, between which the caller allocates columns: decode_begin takes the bytes of a batch of
 * `rows` events and tells how many headers it has; decode writes the columns. Both return what is wrong with the batch;
 * NULL: nothing. After a batch that was wrong or was not decoded, only a full batch can be read. */
const char *decode_begin(struct decoder *d, u32 rows, bool is_full, const u8 *bytes, u64 length, u32 *headers);
const char *decode(struct decoder *d, struct packed *batch);

#endif
