/* Packed batches (packing.py) as a file has them: of each map once what its header is, then only what changes.
 *
 * Maps are numbered over many batches, 0, 1, 2 ... as they appear. An event has the number of its map, and says no more
 * of the header as long as that is the map's last one. Counts are what they differ from those expected after the map's
 * event before. What each event did and who did it are numbered by batch. All numbers are columns of planes.h; hashes
 * stand beside, as they are. After FULL_EVERY batches numbers begin anew, so that a batch that is full can be read
 * without those before it, and nobody need keep maps longer.
 *
 * A batch is, in order:
 *
 *   struct encoded_head
 *   step      u32  low half of the zigzag step
 *   map       u32  number; zigzag step from the event before's if head.map_steps
 *   flagged   u8   1: the header is not the map's last one
 *   reference u32  of each flagged event: 0: the next of the new headers; else 1 + the number of a header of this batch
 *   call      u32  row of the calls
 *   who       u32  row of those
 *   depth     u32  zigzag, less that of the call's event before
 *   count     u32  zigzag, less the expected
 *   overflow  u16  zigzag, less that of the map's event before
 *   evacuated u32  the same
 *   calls     u64  stack | kind << 32 | point << 40
 *   whos      u64  goroutine, low half | thread << 32
 *   masks     u16  of each new header: a bit for each enum head_field that is not the map's last
 *   fields    u64  of each enum head_field in order, those that the masks name
 *
 * The first header of a map has all fields 0 before it. What came before the flagged header of an event may come again:
 * high halves belong to the header of that event alone, the other fields stay the map's. */
#ifndef MAPPROBE_ENCODING_H
#define MAPPROBE_ENCODING_H

#include "planes.h"

#include <string.h>

#define FULL_EVERY 32u

/* A packed batch; what encodes reads it, what decodes writes it. */
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

struct encoded_head { u32 map_steps, flagged, new_headers, headers, calls, whos; };

enum head_field {
    FIELD_MAP_ADDR, FIELD_STACK_OFFSET, FIELD_TYPE, FIELD_KEY_TYPE, FIELD_SEED, FIELD_ARRAY, FIELD_OLD_ARRAY,
    FIELD_FLAGS, FIELD_LOG2, FIELD_DIRECTORY, FIELD_CLEAR_SEQ, FIELD_STEP_HIGH, FIELD_COUNT_HIGH, FIELD_GOID_HIGH,
    HEAD_FIELDS
};

/* What of a header stays the map's. No holes: compared as bytes. */
struct head {
    u64 map_addr, key_type, seed, array_addr, old_array_addr;
    u32 stack_offset, directory_length, clear_seq, type;
    u8 flags, log2, unused[6];
};
_Static_assert(sizeof(struct head) == 64, "no holes");

struct high_halves { u32 step, count, goid; };

/* One header of a batch. */
struct entry {
    u32 map;
    struct high_halves high;
    struct head head;
};

/* What changes with every operation on a map. */
struct moving {
    u32 count, evacuated; /* the count as expected */
    u32 batch;            /* of `clean` */
    u32 clean;            /* number of the header in that batch that is the map's last one, without high halves; NONE */
    u16 overflow_count, unused;
};

/* The maps since the last full batch. */
struct known_maps {
    u32 count, room;
    struct moving *moving;
    struct head *heads; /* the last one of each */
};

/* New headers as columns. */
struct new_headers {
    u32 count, lengths[HEAD_FIELDS];
    u16 masks[MOST_VALUES];
    u64 fields[HEAD_FIELDS][MOST_VALUES];
    /* what fields are told from: of the new header, the new map before */
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

/* Have so many maps, those that were not there with nothing known of them; false: no memory. */
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
/* Let a map have no header with a number yet, if it comes in this batch for the first time. */
static inline void begin_batch(struct moving *moving, u32 batch)
{
    if (moving->batch != batch) {
        moving->batch = batch;
        moving->clean = NONE;
    }
}
/* Let an event of a map have an entry that is not what it expects: the map's last header is that of the entry. */
static inline void follow_entry(struct moving *moving, struct head *last, const struct entry *entry, u32 number)
{
    bool is_clean = !has_high_halves(entry);
    if (memcmp(last, &entry->head, sizeof *last) == 0) {
        moving->clean = is_clean ? number : moving->clean;
        return;
    }
    *last = entry->head;
    moving->clean = is_clean ? number : NONE;
}

struct encoder;
struct encoder *encoder_new(void);
void encoder_free(struct encoder *e);
/* Encode a batch of MOST_VALUES rows at the most, into bytes that are the encoder's until the next; *is_full: it can be
 * read by itself. Return what was wrong with it, NULL: nothing. */
const char *encode(struct encoder *e, const struct packed *batch, bool *is_full, const u8 **bytes, u64 *length);

struct decoder;
struct decoder *decoder_new(void);
void decoder_free(struct decoder *d);
/* Read a batch of so many rows, and how many headers it has: what is not `decode`d is lost. Return what is wrong with
 * it, NULL: nothing. After that only a batch that is full can be read. */
const char *decode_begin(struct decoder *d, u32 rows, bool is_full, const u8 *bytes, u64 length, u32 *headers);
const char *decode(struct decoder *d, struct packed *batch);

#endif
