/* The fields of a header by number. A field of a new header stands in the file as it is, or (is_difference) less a base:
 * a number that both sides know. */
#ifndef MAPPROBE_HEADFIELDS_H
#define MAPPROBE_HEADFIELDS_H

#include "encoding.h"

/* The base of a field that is a difference; 0 of all others. */
static inline u64 base_of_field(const struct new_headers *headers, const struct head *last, u16 mask,
                                enum head_field field)
{
    switch (field) {
    case FIELD_MAP_ADDR: return headers->map_addr;
    case FIELD_ARRAY: return headers->array_addr;
    case FIELD_OLD_ARRAY: return mask >> FIELD_ARRAY & 1 ? last->array_addr : 0; /* a map that begins to grow */
    case FIELD_CLEAR_SEQ: return last->clear_seq;
    default: return 0;
    }
}

static inline bool is_difference(enum head_field field)
{
    return field == FIELD_MAP_ADDR || field == FIELD_ARRAY || field == FIELD_OLD_ARRAY || field == FIELD_CLEAR_SEQ;
}

static inline u64 field_of(const struct entry *entry, enum head_field field)
{
    const struct head *head = &entry->head;
    switch (field) {
    case FIELD_MAP_ADDR: return head->map_addr;
    case FIELD_STACK_OFFSET: return head->stack_offset;
    case FIELD_TYPE: return head->type;
    case FIELD_KEY_TYPE: return head->key_type;
    case FIELD_SEED: return head->seed;
    case FIELD_ARRAY: return head->array_addr;
    case FIELD_OLD_ARRAY: return head->old_array_addr;
    case FIELD_FLAGS: return head->flags;
    case FIELD_LOG2: return head->log2;
    case FIELD_DIRECTORY: return head->directory_length;
    case FIELD_CLEAR_SEQ: return head->clear_seq;
    case FIELD_STEP_HIGH: return entry->high.step;
    case FIELD_COUNT_HIGH: return entry->high.count;
    default: return entry->high.goid;
    }
}

static inline void set_field(struct entry *entry, enum head_field field, u64 value)
{
    struct head *head = &entry->head;
    switch (field) {
    case FIELD_MAP_ADDR: head->map_addr = value; break;
    case FIELD_STACK_OFFSET: head->stack_offset = (u32)value; break;
    case FIELD_TYPE: head->type = (u32)value; break;
    case FIELD_KEY_TYPE: head->key_type = value; break;
    case FIELD_SEED: head->seed = value; break;
    case FIELD_ARRAY: head->array_addr = value; break;
    case FIELD_OLD_ARRAY: head->old_array_addr = value; break;
    case FIELD_FLAGS: head->flags = (u8)value; break;
    case FIELD_LOG2: head->log2 = (u8)value; break;
    case FIELD_DIRECTORY: head->directory_length = (u32)value; break;
    case FIELD_CLEAR_SEQ: head->clear_seq = (u32)value; break;
    case FIELD_STEP_HIGH: entry->high.step = (u32)value; break;
    case FIELD_COUNT_HIGH: entry->high.count = (u32)value; break;
    default: entry->high.goid = (u32)value;
    }
}

/* Note the bases of the next new header. */
static inline void note_header(struct new_headers *headers, const struct head *head, bool is_new_map)
{
    if (is_new_map)
        headers->map_addr = head->map_addr;
    if (head->array_addr != 0)
        headers->array_addr = head->array_addr;
}

#endif
