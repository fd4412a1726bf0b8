/* The fields of a header by number. A field of a new header is written to the file as it is, or (is_difference) as the
 * difference from a base, a number that encoder and decoder both have. */
#ifndef MAPPROBE_HEADERFIELDS_H
#define MAPPROBE_HEADERFIELDS_H

#include "encoding.h"

/* The base of a field that is written as a difference; 0 for all other fields. */
static inline u64 base_of_field(const struct new_headers *headers, const struct map_header *last, u16 mask,
                                enum header_field field)
{
    switch (field) {
    case FIELD_MAP_ADDR:
        return headers->map_addr;
    case FIELD_ARRAY:
        return headers->array_addr;
    case FIELD_OLD_ARRAY:
        return mask >> FIELD_ARRAY & 1 ? last->array_addr : 0; /* a map that begins to grow */
    case FIELD_CLEAR_SEQ:
        return last->clear_seq;
    default:
        return 0;
    }
}

static inline bool is_difference(enum header_field field)
{
    return field == FIELD_MAP_ADDR || field == FIELD_ARRAY || field == FIELD_OLD_ARRAY || field == FIELD_CLEAR_SEQ;
}

static inline u64 field_of(const struct entry *entry, enum header_field field)
{
    const struct map_header *header = &entry->header;
    switch (field) {
    case FIELD_MAP_ADDR:
        return header->map_addr;
    case FIELD_STACK_OFFSET:
        return header->stack_offset;
    case FIELD_TYPE:
        return header->type;
    case FIELD_KEY_TYPE:
        return header->key_type;
    case FIELD_SEED:
        return header->seed;
    case FIELD_ARRAY:
        return header->array_addr;
    case FIELD_OLD_ARRAY:
        return header->old_array_addr;
    case FIELD_FLAGS:
        return header->flags;
    case FIELD_LOG2:
        return header->log2;
    case FIELD_DIRECTORY:
        return header->directory_length;
    case FIELD_CLEAR_SEQ:
        return header->clear_seq;
    case FIELD_STEP_HIGH:
        return entry->high.step;
    case FIELD_COUNT_HIGH:
        return entry->high.count;
    default:
        return entry->high.goid;
    }
}

static inline void set_field(struct entry *entry, enum header_field field, u64 value)
{
    struct map_header *header = &entry->header;
    switch (field) {
    case FIELD_MAP_ADDR:
        header->map_addr = value;
        break;
    case FIELD_STACK_OFFSET:
        header->stack_offset = (u32)value;
        break;
    case FIELD_TYPE:
        header->type = (u32)value;
        break;
    case FIELD_KEY_TYPE:
        header->key_type = value;
        break;
    case FIELD_SEED:
        header->seed = value;
        break;
    case FIELD_ARRAY:
        header->array_addr = value;
        break;
    case FIELD_OLD_ARRAY:
        header->old_array_addr = value;
        break;
    case FIELD_FLAGS:
        header->flags = (u8)value;
        break;
    case FIELD_LOG2:
        header->log2 = (u8)value;
        break;
    case FIELD_DIRECTORY:
        header->directory_length = (u32)value;
        break;
    case FIELD_CLEAR_SEQ:
        header->clear_seq = (u32)value;
        break;
    case FIELD_STEP_HIGH:
        entry->high.step = (u32)value;
        break;
    case FIELD_COUNT_HIGH:
        entry->high.count = (u32)value;
        break;
    default:
        entry->high.goid = (u32)value;
    }
}

/* Set the bases for the next new header. */
static inline void note_header(struct new_headers *headers, const struct map_header *header, bool is_new_map)
{
    if (is_new_map)
        headers->map_addr = header->map_addr;
    if (header->array_addr != 0)
        headers->array_addr = header->array_addr;
}

#endif
