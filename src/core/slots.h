/* The slots of a bucket: which entry stands in each, and who inserted the entry. Which slots are live, control.h says. */
#ifndef MAPPROBE_SLOTS_H
#define MAPPROBE_SLOTS_H

#include "core.h"

/* Note the key type of the entry in a slot. */
static inline void set_key_type(struct world *w, u32 bucket, u32 slot, u64 key_type)
{
    struct bucket *b = &w->buckets[bucket];
    const u8 bit = (u8)(1u << slot);
    if (LIKELY(key_type == 0 && !(b->has_key_type & bit)))
        return;
    w->keys[bucket].key_types[slot] = key_type;
    b->has_key_type = key_type != 0 ? b->has_key_type | bit : b->has_key_type & (u8)~bit;
    w->has_key_types |= key_type != 0;
}
/* An entry, by whom it was inserted, and the control byte of its slot. */
struct slot_entry {
    u64 hash, key_type;
    u32 stack;
    u8 control;
};
/* Put an entry into a slot. */
static inline void fill_slot(struct world *w, u32 bucket, u32 slot, struct slot_entry entry)
{
    struct bucket *b = &w->buckets[bucket];
    ((u8 *)&b->control)[slot] = entry.control;
    b->slots[slot].hash = entry.hash;
    set_key_type(w, bucket, slot, entry.key_type);
    b->insert_stacks[slot] = entry.stack;
    b->last_insert = entry.stack;
}
static inline u64 key_type_of(const struct world *w, u32 bucket, u32 slot)
{
    return RARE(w->buckets[bucket].has_key_type >> slot & 1) ? w->keys[bucket].key_types[slot] : 0;
}
/* True if the entry in a live slot has this hash and key type. */
static inline bool is_key(const struct world *w, u32 bucket, u32 slot, u64 hash, u64 key_type)
{
    if (w->buckets[bucket].slots[slot].hash != hash)
        return false;
    return key_type_of(w, bucket, slot) == key_type;
}

#endif
