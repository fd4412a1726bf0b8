/* Events of the ring in, columns of a packed batch out (packing.py): what a recorder does with each event.
 *
 * A packer knows every map that it has seen, with the header of the map's last event. Most events have that header
 * again, so that one look into the index of maps finds what they have in common with others. Stacks and types are
 * numbered in order of appearance; Python says later which ids these numbers have. */
#ifndef MAPPROBE_PACKER_H
#define MAPPROBE_PACKER_H

#include "columns.h"
#include "mapindex.h"
#include "numbering.h"
#include "ring.h"

#define PACKED_ROWS 65536u /* most of one batch: the number of a header has 16 bits */
#define HEADER_WORDS 5u    /* of a map's header, which change seldom; a word that the family lacks is 0 */

/* What makes the header of an event another one than the map's last: all that the columns of a header follow from,
 * but for the map. */
struct header_key {
    u64 type_addr, key_type;
    u64 words[HEADER_WORDS];
    u32 step_high, count_high, goid_high, unused;
};

/* A map that was seen. Maps on stacks are others with each distance from the top. */
struct seen_map {
    u64 addr;
    u32 stack_offset;
    u32 batch;     /* in which the last header has its number */
    u32 number;    /* of its last header */
    u32 type;      /* number of its type, as of the last batch; 0: not known */
    u32 next_type; /* as of the events since */
    u8 is_known;   /* a batch with it was taken */
    u8 is_filled;  /* it was not empty at first sight */
    u8 unused[2];
};
_Static_assert(sizeof(struct seen_map) == 32, "two in a line");

struct packed_header {
    u32 map, type; /* number of both */
    struct header_key key;
};

/* The columns of the events of one batch; stack_id has the number of the stack, of which Python knows the id. */
struct packed_columns {
#define ARRAY_OF(type, name) type name[PACKED_ROWS];
    EVENT_COLUMNS(ARRAY_OF, ARRAY_OF)
#undef ARRAY_OF
};

struct packer {
    bool is_classic;
    u32 rows, headers, batch;
    u64 last_ns;
    struct packed_columns *columns;
    struct packed_header *header;
    u32 header_room;
    u32 *header_index, header_mask; /* open addressing: number + 1; 0: free */
    struct seen_map *maps;
    u32 map_count, map_room;
    struct map_index index;
    struct numbering stacks, types;
};

struct packer *packer_new(bool is_classic);
void packer_free(struct packer *p);
/* Take events into the batch, which has to have room; false: no memory. Then what was taken before is as it was, but
 * the batch may lack some of these events. */
bool packer_add(struct packer *p, const struct map_event *events, u32 count);
/* Begin the next batch: the maps of this one are known now. */
void packer_next(struct packer *p);

/* A column of headers, in the order of packed_schema. */
enum header_column {
    COLUMN_MAP_ADDR,
    COLUMN_STACK_OFFSET,
    COLUMN_TYPE_ID,
    COLUMN_KEY_TYPE,
    COLUMN_SEED,
    COLUMN_ARRAY_ADDR,
    COLUMN_OLD_ARRAY_ADDR,
    COLUMN_FLAGS,
    COLUMN_LOG2_SIZE,
    COLUMN_DIRECTORY_LENGTH,
    COLUMN_CLEAR_SEQ,
    COLUMN_STEP_HIGH,
    COLUMN_COUNT_HIGH,
    COLUMN_GOID_HIGH,
    HEADER_COLUMNS
};
/* Bytes of one value of a column. */
u32 header_column_bytes(enum header_column column);
/* Write a column of the batch's headers; type_ids: by number of the type. */
void write_header_column(const struct packer *p, enum header_column column, const i32 *type_ids, void *out);

#endif
