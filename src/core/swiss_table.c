/* Operations on a whole Swiss table: make, drop, move, prune, clear (internal/runtime/maps/table.go). */
#include "swiss.h"

/* Make an empty table that `stack` allocated.
 *
 * go: internal/runtime/maps/table.go newTable [1.24..1.27] */
u32 new_table(struct world *w, u32 log2_groups, u32 index, u32 local_depth, u32 stack)
{
    u32 table = take_table(w);
    w->tables[table] = (struct table){
        .first = take_buckets(w, log2_groups, ALL_EMPTY, stack),
        .index = index,
        .growth_left = max_growth_left(log2_groups),
        .log2_groups = (u8)log2_groups,
        .local_depth = (u8)local_depth,
    };
    return table;
}

/* Give a table and its groups back. */
void drop_table(struct world *w, u32 table)
{
    give_buckets(w, w->tables[table].first, w->tables[table].log2_groups);
    give_table(w, table);
}

/* Move an entry to a table that has room and no tombstones.
 *
 * go: internal/runtime/maps/table.go (*table).uncheckedPutSlot [1.24..1.27] */
static inline void unchecked_put_slot(struct world *w, struct table *table, u32 group, u32 slot)
{
    u64 hash = w->buckets[group].slots[slot].hash;
    u32 mask = (1u << table->log2_groups) - 1, offset = first_offset(hash, mask), step = 0, empty;
    while ((empty = match_empty_or_deleted(w->buckets[table->first + offset].control)) == 0) {
        step++;
        offset = (offset + step) & mask;
    }
    u32 stack = w->buckets[group].insert_stacks[slot];
    fill_slot(w, table->first + offset, first_slot(empty), h2(hash), hash, key_type_of(w, group, slot), stack);
    table->growth_left--;
    table->used++;
}

/* Move the live entries of a run of groups, in order, to table `left`, or to `right` if their hash has `bit`. */
void move_groups(struct world *w, u32 first, u32 groups, u32 left, u32 right, u64 bit)
{
    for (u32 group = first; group < first + groups; group++)
        for (u32 live = live_mask(w->buckets[group].control); live != 0; live = other_slots(live)) {
            u32 slot = first_slot(live);
            bool goes_right = w->buckets[group].slots[slot].hash & bit;
            unchecked_put_slot(w, &w->tables[goes_right ? right : left], group, slot);
        }
}

/* Set needed[n] for each group whose tombstones must stay, and for each group with an empty slot, which has none. */
static void find_needed_groups(const struct world *w, const struct table *table, bool *needed)
{
    u32 groups = 1u << table->log2_groups;
    const struct bucket *all = &w->buckets[table->first];
    for (u32 n = 0; n < groups; n++) {
        for (u32 live = live_mask(all[n].control); live != 0; live = other_slots(live)) {
            u32 offset = first_offset(all[n].slots[first_slot(live)].hash, groups - 1);
            for (u32 step = 1; offset != n; offset = (offset + step) & (groups - 1), step++)
                if (match_empty_or_deleted(all[offset].control) != 0)
                    needed[offset] = true;
        }
        if (match_empty(all[n].control) != 0)
            needed[n] = true;
    }
}

/* Turn all tombstones of a group into empty slots; return how many. */
static u32 empty_tombstones(struct bucket *bucket)
{
    u32 tombstones = match_byte(bucket->control, CTRL_DELETED);
    for (u32 rest = tombstones; rest != 0; rest = other_slots(rest))
        bucket->control = with_byte(bucket->control, first_slot(rest), CTRL_EMPTY);
    return slot_count(tombstones);
}

/* Turn the tombstones that no probe sequence needs into empty slots, if they are at least a tenth of the table.
 *
 * go: internal/runtime/maps/table.go (*table).pruneTombstones [1.25..1.27] */
COLD void prune_tombstones(struct world *w, struct table *table)
{
    u32 groups = 1u << table->log2_groups, capacity = 8 * groups;
    u32 tombstones = (u32)max_growth_left(table->log2_groups) - table->used - table->growth_left;
    if (tombstones * 10 < capacity)
        return;
    bool needed[1 << MAX_GROUPS_LOG2] = {false};
    find_needed_groups(w, table, needed);
    u32 unneeded = 0;
    for (u32 n = 0; n < groups; n++)
        if (!needed[n])
            unneeded += slot_count(match_empty_or_deleted(w->buckets[table->first + n].control));
    if (unneeded * 10 < capacity)
        return;
    for (u32 n = 0; n < groups; n++)
        if (!needed[n])
            table->growth_left = (u16)(table->growth_left + empty_tombstones(&w->buckets[table->first + n]));
}

/* Empty all slots of a group; `stack` emptied the live slots. */
void empty_group(struct bucket *bucket, u32 stack)
{
    for (u32 live = live_mask(bucket->control); live != 0; live = other_slots(live))
        note_deleted(bucket, first_slot(live), stack);
    bucket->control = ALL_EMPTY;
}

/* Empty all slots.
 *
 * go: internal/runtime/maps/table.go (*table).Clear [1.24..1.27] */
void clear_table(struct world *w, struct table *table, u32 stack)
{
    for (u32 n = 0; n < 1u << table->log2_groups; n++)
        empty_group(&w->buckets[table->first + n], stack);
    table->used = 0;
    table->growth_left = max_growth_left(table->log2_groups);
}
