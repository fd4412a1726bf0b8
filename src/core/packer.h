/* The packer of a recorder: events of the ring in, columns of a packed batch out (packing.py).
 *
 * A packer knows every map that it has seen, and the header of the map's last event. Most events have the same header
 * again, so one look into the index of maps finds the number of the header. Stacks and types are numbered in order of
 * appearance; Python says later which ids these numbers have. */
#ifndef MAPPROBE_PACKER_H
#define MAPPROBE_PACKER_H

#include "mapindex.h"
#include "numbering.h"
#include "ring.h"

#define PACKED_ROWS 65536u /* the most events of a batch: the number of a header has 16 bits */
#define HEADER_WORDS 5u    /* words of a map's header that seldom change; a word that the family lacks is 0 */

/* The words from which the columns of a header follow, without the map: two events of a map have the same header if
 * these are equal. */
struct header_key {
    u64 type_addr, key_type;
    u64 words[HEADER_WORDS];
    u32 step_high, count_high, goid_high, unused;
};

/* A map that was seen. A map on a stack counts as another map at each distance from the top. */
struct seen_map {
    u64 addr;
    u32 stack_offset;
    u32 batch;     /* the batch in which `number` is valid */
    u32 number;    /* of its last header */
    u32 type;      /* number of its type, as known when the last batch ended; 0: not known */
    u32 next_type; /* as known from the events since */
    u8 is_known;   /* a finished batch has an event of the map */
    u8 is_filled;  /* the map was not empty when first seen */
    u8 unused[2];
};
_Static_assert(sizeof(struct seen_map) == 32, "two in a line");

struct packed_header {
    u32 map, type; /* number of both */
    struct header_key key;
};

/* The columns of the events of one batch. */
struct packed_columns {
    u64 hash[PACKED_ROWS];
    u32 step[PACKED_ROWS], count[PACKED_ROWS], evacuated[PACKED_ROWS], goid[PACKED_ROWS], tid[PACKED_ROWS];
    u32 stack[PACKED_ROWS], depth[PACKED_ROWS];
    u16 number[PACKED_ROWS], overflow_count[PACKED_ROWS];
    u8 kind[PACKED_ROWS], point[PACKED_ROWS];
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
/* Add events to the batch, which must have room for them. False: no memory; events added by earlier calls are
 * unchanged, but the batch may lack some of these. */
bool packer_add(struct packer *p, const struct map_event *events, u32 count);
/* Begin the next batch; the maps of this batch are known from now on. */
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
/* Write a column of the batch's headers; type_ids: the id for each number of a type. */
void write_header_column(const struct packer *p, enum header_column column, const i32 *type_ids, void *out);

#endif
