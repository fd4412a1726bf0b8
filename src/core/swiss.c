/* Go's map since 1.24: a single group while small, then tables in a directory.
 *
 * The top bits of an entry's hash select its table, the other bits its first group and its control byte. A table
 * doubles up to 1024 slots and then splits in two. Functions have the names of the functions in
 * internal/runtime/maps/map.go that they follow.
 *
 * Order of buckets: the single group of a small map (part 0); else the groups of each distinct table in the order of
 * the directory, ascending; the part is the table's ordinal. */
#include "swiss.h"

u32 swiss_live_slots(u64 control) { return live_mask(control); }

bool swiss_has_room_to_create(struct world *w, u32 m, i64 hint, i64 bucket_bytes)
{
    i32 depth = initial_depth(hint, bucket_bytes);
    if (depth < 0)
        return make_room(w, (u64)m + 1, 0, 0, 0);
    u64 tables = (u64)1 << depth;
    return make_room(w, (u64)m + 1, tables << initial_groups_log2(hint, (u32)depth), tables, tables);
}

/* How many directory slots one operation may need. */
static inline u64 doubled_length(const struct map *p) { return is_small(p) ? 1 : (u64)2 << p->log2; }

/* There is room for one split. A split that sends all 896 entries to one side is followed by another split in the same
 * operation: no hash function does so, but a damaged recording may, and gets NO_ROOM from `swiss_insert`. */
bool swiss_has_room(struct world *w, u32 m)
{
    return make_room(w, (u64)m + 1, 2u << MAX_GROUPS_LOG2, 2, doubled_length(&w->maps[m]));
}

/* True if a split of a table would double a directory that already has far more slots than the map has groups. Only a
 * damaged recording comes here: no hash function sends the keys of one table after the other to one side. */
static inline bool is_too_deep(const struct world *w, u32 m, const struct table *table)
{
    const struct map *p = &w->maps[m];
    return table->log2_groups == MAX_GROUPS_LOG2 && table->local_depth == p->log2 &&
           (u64)2 << p->log2 > (u64)MOST_SLOTS_A_GROUP * w->shapes[m].groups;
}

/* True if the usable rows are enough for one more split. */
static bool has_room_left(const struct world *w, const struct map *p)
{
    return w->bucket_top + (2u << MAX_GROUPS_LOG2) <= w->room_buckets && w->table_top + (u64)2 <= w->room_tables &&
           w->directory_top + doubled_length(p) <= w->room_directory;
}

/* Reset the model of map m to a fresh map without buckets. */
static void reset(struct world *w, u32 m)
{
    struct map *p = &w->maps[m];
    p->count = 0;
    p->array = NONE;
    p->overflow_count = 0;
    p->log2 = p->flags = p->uncounted = 0;
    p->state &= (u8) ~(GROWING | HAS_DIRECTORY);
    const struct shape *s = &w->shapes[m];
    w->shapes[m] = (struct shape){s->bucket_bytes, s->has_pointers, s->made_by, 0};
}

/* Make map m a fresh map for `hint` entries, made by `stack`.
 *
 * go: internal/runtime/maps/map.go NewMap [1.24..1.27] */
void swiss_create(struct world *w, u32 m, i64 hint, u32 bucket_bytes, bool has_pointers, u32 stack)
{
    struct map *p = &w->maps[m];
    w->shapes[m] = (struct shape){bucket_bytes, has_pointers, stack, 0};
    reset(w, m);
    i32 depth = initial_depth(hint, bucket_bytes);
    if (depth < 0)
        return;
    u32 log2_groups = initial_groups_log2(hint, (u32)depth);
    p->log2 = (u8)depth;
    p->array = take_directory(w, p->log2);
    p->state |= HAS_DIRECTORY;
    w->shapes[m].groups = 1u << ((u32)depth + log2_groups);
    for (u32 n = 0; n < 1u << depth; n++)
        w->directory[p->array + n] = new_table(w, log2_groups, n, p->log2, stack);
}

/* Return how often the insert that ends here made the map grow, and reset the counter. */
static inline u32 count_growths(struct map *p)
{
    u32 growths = p->uncounted;
    p->uncounted = 0;
    return growths;
}

/* Assign to a key of a small map; return as `swiss_insert`, or NOT_THERE if the map has to grow first.
 *
 * go: internal/runtime/maps/map.go (*Map).putSlotSmall [1.24..1.27] */
static inline u32 insert_small(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    struct map *p = &w->maps[m];
    if (p->array == NONE) {
        p->array = take_buckets(w, 0, ALL_EMPTY, w->shapes[m].made_by);
        forget_header(p);
    }
    if (p->count == SLOTS && w->rules.update_grows_full_small_map)
        return NOT_THERE;
    if (slot_of(w, p->array, hash, key_type) != NOT_THERE)
        return 0;
    u32 empty = match_empty_or_deleted(w->buckets[p->array].control);
    if (empty == 0)
        return NOT_THERE;
    fill_slot(w, p->array, first_slot(empty), (struct slot_entry){hash, key_type, stack, h2(hash)});
    p->count++;
    return 1;
}

/* go: internal/runtime/maps/map.go (*Map).putSlotSmall [1.24..1.27] */
static inline u32 insert_small_simply(struct world *w, struct map *p, u64 hash, u64 key_type, u32 stack)
{
    if (RARE(p->array == NONE || p->count == SLOTS))
        return INVOLVED;
    if (slot_of(w, p->array, hash, key_type) != NOT_THERE)
        return 0;
    u32 empty = match_empty_or_deleted(w->buckets[p->array].control);
    if (RARE(empty == 0))
        return INVOLVED;
    fill_slot(w, p->array, first_slot(empty), (struct slot_entry){hash, key_type, stack, h2(hash)});
    p->count++;
    return 1;
}

/* go: internal/runtime/maps/runtime*.go runtime_mapassign [1.24..1.27] */
u32 swiss_insert_simply(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    struct map *p = &w->maps[m];
    if (is_small(p))
        return insert_small_simply(w, p, hash, key_type, stack);
    struct table *table = &w->tables[table_of(w, p, hash)];
    struct search at = search(w, table, hash, key_type);
    if (at.slot != NOT_THERE)
        return 0;
    if (RARE(at.place != NO_PLACE || table->growth_left == 0))
        return INVOLVED;
    u32 slot = first_slot(match_empty(w->buckets[at.group].control));
    fill_slot(w, at.group, slot, (struct slot_entry){hash, key_type, stack, h2(hash)});
    table->growth_left--;
    table->used++;
    p->count++;
    return 1;
}

/* The slot for a key that `search` did not find, as 8 * group + slot. Reuse a tombstone, or prune tombstones, if
 * possible.
 *
 * go: internal/runtime/maps/runtime*.go runtime_mapassign [1.24..1.27] */
static inline u64 place_for(struct world *w, struct table *table, const struct search *at, bool prunes)
{
    if (RARE(at->place != NO_PLACE)) {
        table->growth_left++;
        return at->place;
    }
    if (RARE(table->growth_left == 0) && prunes && w->rules.prunes_tombstones)
        prune_tombstones(w, table);
    return 8 * (u64)at->group + first_slot(match_empty(w->buckets[at->group].control));
}

/* Assign to a key. prunes: whether the runtime's function prunes tombstones, if its release prunes at all.
 *
 * go: internal/runtime/maps/runtime*.go runtime_mapassign [1.24..1.27] */
u32 swiss_insert(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack, bool prunes)
{
    struct map *p = &w->maps[m];
    if (is_small(p)) {
        u32 done = insert_small(w, m, hash, key_type, stack);
        if (LIKELY(done != NOT_THERE))
            return done;
        grow_to_table(w, m, stack);
        p->uncounted = 1;
    }
    for (;;) {
        u32 number = table_of(w, p, hash);
        struct table *table = &w->tables[number];
        struct search at = search(w, table, hash, key_type);
        if (at.slot != NOT_THERE)
            return 2 * count_growths(p);
        u64 place = place_for(w, table, &at, prunes);
        if (LIKELY(table->growth_left > 0)) {
            fill_slot(w, (u32)(place >> 3), place & 7, (struct slot_entry){hash, key_type, stack, h2(hash)});
            table->growth_left--;
            table->used++;
            p->count++;
            return 2 * count_growths(p) + 1;
        }
        if ((p->uncounted > 0 && !has_room_left(w, p)) || is_too_deep(w, m, table))
            return NO_ROOM;
        rehash(w, m, number, stack);
        p->uncounted++;
    }
}

/* Empty a live slot of a table.
 *
 * go: internal/runtime/maps/table.go (*table).Delete [1.24..1.27] */
static inline void empty_slot(struct world *w, struct map *p, struct table *table, const struct search *at)
{
    u64 *control = &w->buckets[at->group].control;
    table->used--;
    if (LIKELY(match_empty(*control) != 0)) {
        ((u8 *)control)[at->slot] = CTRL_EMPTY;
        table->growth_left++;
        return;
    }
    ((u8 *)control)[at->slot] = CTRL_DELETED;
    if (w->rules.flags_tombstones && !(p->flags & TOMBSTONE_POSSIBLE)) {
        p->flags = TOMBSTONE_POSSIBLE;
        forget_header(p);
    }
}

/* Delete a key.
 *
 * go: internal/runtime/maps/map.go (*Map).Delete [1.24..1.27] */
u32 swiss_delete(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack)
{
    struct map *p = &w->maps[m];
    struct search at;
    if (p->count == 0)
        return NONE;
    if (is_small(p)) {
        at = (struct search){slot_of(w, p->array, hash, key_type), p->array, NO_PLACE};
        if (at.slot == NOT_THERE)
            return NONE;
        ((u8 *)&w->buckets[at.group].control)[at.slot] = CTRL_EMPTY;
    } else {
        struct table *table = &w->tables[table_of(w, p, hash)];
        at = search(w, table, hash, key_type);
        if (at.slot == NOT_THERE)
            return NONE;
        empty_slot(w, p, table, &at);
    }
    note_deleted(&w->buckets[at.group], at.slot, stack);
    p->count--;
    return w->buckets[at.group].insert_stacks[at.slot];
}

bool swiss_holds(struct world *w, u32 m, u64 hash, u64 key_type)
{
    const struct map *p = &w->maps[m];
    if (p->count == 0)
        return false;
    if (is_small(p))
        return slot_of(w, p->array, hash, key_type) != NOT_THERE;
    return search(w, &w->tables[table_of(w, p, hash)], hash, key_type).slot != NOT_THERE;
}

/* Empty the map; tables and directory stay.
 *
 * go: internal/runtime/maps/map.go (*Map).Clear [1.24..1.27] */
void swiss_clear(struct world *w, u32 m, u32 stack)
{
    struct map *p = &w->maps[m];
    if (p->count == 0 && !(p->flags & TOMBSTONE_POSSIBLE))
        return;
    if (!is_small(p)) {
        u32 last = NONE;
        for (u64 n = 0; n < directory_length(p); n++) {
            u32 table = w->directory[p->array + n];
            if (table != last)
                clear_table(w, &w->tables[table], stack);
            last = table;
        }
        if (p->flags != 0)
            forget_header(p);
        p->flags = 0;
    } else if (p->array != NONE) {
        empty_group(&w->buckets[p->array], stack);
    }
    p->count = 0;
}

/* Give back all buckets, tables and the directory of map m. */
void swiss_forget(struct world *w, u32 m)
{
    struct map *p = &w->maps[m];
    if (!is_small(p)) {
        u32 last = NONE;
        for (u64 n = 0; n < directory_length(p); n++) {
            u32 table = w->directory[p->array + n];
            /* no table is given back twice: all its directory slots are in a row */
            if (table != last)
                drop_table(w, table);
            last = table;
        }
        give_directory(w, p->array, p->log2);
    } else if (p->array != NONE) {
        give_buckets(w, p->array, 0);
    }
    reset(w, m);
}

u64 swiss_count_buckets(const struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    if (is_small(p))
        return p->array != NONE;
    return w->shapes[m].groups;
}

/* Write bucket numbers and parts of map m in their order; return how many. */
u64 swiss_list_buckets(const struct world *w, u32 m, u32 *buckets, u32 *parts)
{
    const struct map *p = &w->maps[m];
    if (p->array == NONE)
        return 0;
    if (is_small(p)) {
        buckets[0] = p->array, parts[0] = 0;
        return 1;
    }
    u64 listed = 0;
    u32 ordinal = 0, last = NONE;
    for (u64 n = 0; n < directory_length(p); n++) {
        u32 number = w->directory[p->array + n];
        if (number == last)
            continue;
        last = number;
        const struct table *table = &w->tables[number];
        for (u32 g = 0; g < 1u << table->log2_groups; g++, listed++)
            buckets[listed] = table->first + g, parts[listed] = ordinal;
        ordinal++;
    }
    return listed;
}

/* True if a header that was read before an operation agrees with the model of map m.
 *
 * If the model has no group yet, the map's first group may be in the stack frame of the function that made it. */
bool swiss_agrees(const struct world *w, u32 m, const struct header_words *h)
{
    const struct map *p = &w->maps[m];
    bool has_array = p->array != NONE, may_be_in_frame = is_small(p) && p->count == 0;
    return h->count == p->count && h->directory_length == directory_length(p) && h->log2 == p->log2 &&
           (h->array_is_nil ? !has_array : has_array || may_be_in_frame) &&
           (!w->rules.flags_tombstones || ((h->flags ^ p->flags) & TOMBSTONE_POSSIBLE) == 0);
}

/* The bytes that the allocator charges for all groups, tables and the directory of map m. */
i64 swiss_allocated_bytes(const struct world *w, u32 m)
{
    const struct map *p = &w->maps[m];
    const struct shape *s = &w->shapes[m];
    if (p->array == NONE)
        return 0;
    if (is_small(p))
        return charged_bytes(&w->rules, s->bucket_bytes, s->has_pointers);
    i64 total = directory_bytes(&w->rules, p->log2);
    u32 last = NONE;
    for (u64 n = 0; n < directory_length(p); n++) {
        u32 table = w->directory[p->array + n];
        if (table != last)
            total += table_bytes(&w->rules, s->bucket_bytes, s->has_pointers, w->tables[table].log2_groups);
        last = table;
    }
    return total;
}

/* The bytes that a fresh map for the entries of map m would take. */
i64 swiss_needed_bytes(const struct world *w, u32 m)
{
    const struct shape *s = &w->shapes[m];
    return fresh_swiss_bytes(&w->rules, s->bucket_bytes, s->has_pointers, w->maps[m].count);
}

static inline void prefetch_group(const struct world *w, u32 group)
{
    PREFETCH(&w->buckets[group]);
    PREFETCH((const u8 *)&w->buckets[group] + 64);
}

/* Fetch the table of a hash in map m, or the group of a small map. If there are few tables, they are in the cache. */
void swiss_prefetch_first(const struct world *w, u32 m, u64 hash)
{
    const struct map *p = &w->maps[m];
    if (is_small(p)) {
        if (p->array != NONE)
            prefetch_group(w, p->array);
    } else if (w->table_top > TABLES_IN_CACHE) {
        PREFETCH(&w->tables[table_of(w, p, hash)]);
    }
}

/* Fetch the first group of a hash in map m, whose table was fetched before, and the second group of its probe
 * sequence. */
void swiss_prefetch_second(const struct world *w, u32 m, u64 hash)
{
    const struct map *p = &w->maps[m];
    if (is_small(p))
        return;
    const struct table *table = &w->tables[table_of(w, p, hash)];
    u32 mask = (1u << table->log2_groups) - 1, offset = first_offset(hash, mask);
    prefetch_group(w, table->first + offset);
    PREFETCH(&w->buckets[table->first + ((offset + 1) & mask)]);
}
