/* One Swiss table: up to 128 groups of eight slots, probed in triangular steps; and declarations for the files of Swiss
 * maps.
 *
 * A group with an empty slot ends every probe sequence. A slot that is emptied in a full group becomes a tombstone,
 * so that sequences go on past the group. Every table has an empty slot (entries and tombstones take seven eighths
 * at most; resume refuses other tables), so each sequence ends. Functions have the names of the functions in
 * internal/runtime/maps that they follow. */
#ifndef MAPPROBE_SWISS_H
#define MAPPROBE_SWISS_H

#include "control.h"
#include "core.h"

#define MAX_GROUPS_LOG2 7 /* go: internal/runtime/maps/table.go maxTableCapacity [1.24..1.27] */
#define HASH_BITS 64
#define NOT_THERE UINT32_MAX /* no slot */
#define NO_PLACE UINT64_MAX
#define TABLES_IN_CACHE 4096u /* 64 KiB, in the second cache of any processor */
#define MOST_SLOTS_A_GROUP 8 /* directory slots for each group; real hashes need far fewer, so more means damage */

static inline bool is_small(const struct map *p) { return !(p->state & HAS_DIRECTORY); }
static inline u64 directory_length(const struct map *p) { return is_small(p) ? 0 : (u64)1 << p->log2; }

static inline u32 live_mask(u64 control) { return ~match_high(control) & ALL_SLOTS; }

/* The control byte of a live slot.
 *
 * go: internal/runtime/maps/map.go h2 [1.24..1.27] */
static inline u8 h2(u64 hash) { return hash & 0x7F; }

/* The group in which a probe sequence begins.
 *
 * go: internal/runtime/maps/map.go h1, internal/runtime/maps/table.go makeProbeSeq [1.24..1.27] */
static inline u32 first_offset(u64 hash, u32 mask) { return (u32)(hash >> 7) & mask; }

/* How many entries an empty table can take before it grows.
 *
 * go: internal/runtime/maps/table.go (*table).resetGrowthLeft [1.24]
 * go: internal/runtime/maps/table.go (*table).maxGrowthLeft [1.25..1.27] */
static inline u16 max_growth_left(u32 log2_groups) { return (u16)(7u << log2_groups); }

/* The table that a hash belongs to.
 *
 * go: internal/runtime/maps/map.go (*Map).directoryIndex [1.24..1.27] */
static inline u32 table_of(const struct world *w, const struct map *p, u64 hash)
{
    /* two shifts, as at depth 0 a single one would shift by 64 bits, which C leaves undefined */
    return w->directory[p->array + (hash >> 1 >> (HASH_BITS - 1 - p->log2))];
}

/* The slot of a key in a group. */
static inline u32 slot_of(const struct world *w, u32 group, u64 hash, u64 key_type)
{
    for (u32 matches = match_byte(w->buckets[group].control, h2(hash)); matches != 0; matches = other_slots(matches))
        if (LIKELY(is_key(w, group, first_slot(matches), hash, key_type)))
            return first_slot(matches);
    return NOT_THERE;
}

/* Where a search ended. place: the first tombstone on the way, as 8 * group + slot; NO_PLACE: none. */
struct search {
    u32 slot, group; /* of the key; if slot is NOT_THERE, the group that ended the search */
    u64 place;
};

/* Look for a key along its probe sequence.
 *
 * go: internal/runtime/maps/table.go (probeSeq).next [1.24..1.27] */
static inline struct search search(const struct world *w, const struct table *table, u64 hash, u64 key_type)
{
    u32 mask = (1u << table->log2_groups) - 1, offset = first_offset(hash, mask);
    u64 place = NO_PLACE;
    for (u32 step = 1;; step++) {
        u32 group = table->first + offset, slot = slot_of(w, group, hash, key_type);
        if (slot != NOT_THERE)
            return (struct search){slot, group, place};
        u64 control = w->buckets[group].control;
        if (LIKELY(match_empty(control) != 0))
            return (struct search){NOT_THERE, group, place};
        u32 deleted = match_empty_or_deleted(control);
        if (RARE(deleted != 0) && place == NO_PLACE)
            place = 8 * (u64)group + first_slot(deleted);
        offset = (offset + step) & mask;
    }
}

/* Note that `stack` emptied a slot whose control byte changes elsewhere. */
static inline void note_deleted(struct bucket *bucket, u32 slot, u32 stack)
{
    bucket->slots[slot].delete_stack = stack;
    bucket->last_delete = stack;
}

/* swiss_table.c */
u32 new_table(struct world *w, u32 log2_groups, u32 index, u32 local_depth, u32 stack);
void drop_table(struct world *w, u32 table);
void move_groups(struct world *w, u32 first, u32 groups, u32 left, u32 right, u64 bit);
void prune_tombstones(struct world *w, struct table *table);
void clear_table(struct world *w, struct table *table, u32 stack);
void empty_group(struct bucket *bucket, u32 stack);

/* swiss_directory.c */
void grow_to_table(struct world *w, u32 m, u32 stack);
void rehash(struct world *w, u32 m, u32 table, u32 stack);

#endif
