/* Swiss maps that enter the model as a whole, not by operations: clones made by maps.Clone, and maps that were read
 * from memory. */
#include "swiss.h"

/* ---- maps.Clone: from Go 1.25 on it copies slot by slot and hashes no key, so no event shows where the entries are.
 * Go 1.24 inserts the entries one by one, as events. ---- */

bool swiss_has_room_to_clone(struct world *w, u32 original, u32 m)
{
    u64 slots = directory_length(&w->maps[original]);
    return make_room(w, (u64)m + 1, swiss_count_buckets(w, original), slots, slots);
}

/* Copy a group slot by slot. In the copy `stack` has inserted the entries; all other slots are virgin. */
static void copy_group(struct world *w, u32 group, u32 to, u32 stack)
{
    u64 control = w->buckets[group].control;
    for (u32 live = live_mask(control); live != 0; live = other_slots(live)) {
        u32 slot = first_slot(live);
        u64 hash = w->buckets[group].slots[slot].hash;
        fill_slot(w, to, slot, get_byte(control, slot), hash, key_type_of(w, group, slot), stack);
    }
    w->buckets[to].control = control;
}

/* Make a copy of a table, by `stack`.
 *
 * go: internal/runtime/maps/table.go (*table).clone [1.25..1.27] */
static u32 clone_table(struct world *w, u32 table, u32 stack)
{
    struct table of = w->tables[table];
    u32 copy = new_table(w, of.log2_groups, of.index, of.local_depth, stack);
    w->tables[copy].used = of.used;
    w->tables[copy].growth_left = of.growth_left;
    for (u32 n = 0; n < 1u << of.log2_groups; n++)
        copy_group(w, of.first + n, w->tables[copy].first + n, stack);
    return copy;
}

/* Make the fresh map m a copy of `original`, with its tombstones.
 *
 * go: internal/runtime/maps/map.go (*Map).Clone [1.25..1.27] */
void swiss_clone(struct world *w, u32 original, u32 m, u32 stack)
{
    struct map *p = &w->maps[m];
    const struct map *of = &w->maps[original];
    p->count = of->count, p->flags = of->flags, p->log2 = of->log2;
    p->state |= of->state & HAS_DIRECTORY;
    w->shapes[m].groups = w->shapes[original].groups;
    if (of->array == NONE)
        return;
    if (is_small(of)) {
        p->array = take_buckets(w, 0, ALL_EMPTY, stack);
        copy_group(w, of->array, p->array, stack);
        return;
    }
    p->array = take_directory(w, of->log2);
    u32 last = NONE, copy = NONE;
    for (u64 n = 0; n < directory_length(of); n++) {
        u32 table = w->directory[of->array + n];
        if (table != last)
            copy = clone_table(w, table, stack);
        last = table;
        w->directory[p->array + n] = copy;
    }
}

/* ---- a map that was read from memory, with the hashes of its entries: from then on it is replayed like any other.
 *
 * Nobody saw who filled and emptied its slots, so the stack is BEFORE. A tombstone is a dead slot; an empty slot
 * counts as virgin, as memory does not show whether it was ever used. ---- */

static bool is_power_of_two(u64 n) { return n != 0 && (n & (n - 1)) == 0; }

/* The groups of one table among all groups that were read. */
struct read_table {
    u64 first, groups;  /* rows */
    u64 home, end;      /* its first directory slot, and the one after its last */
};

/* The table that begins at a row. */
static struct read_table table_at(const struct header_words *h, const struct read_buckets *read, u64 row)
{
    u64 end = row + 1;
    while (end < read->length && read->part[end] == read->part[row])
        end++;
    u64 end_home = end < read->length ? read->home[end] : h->directory_length;
    return (struct read_table){row, end - row, read->home[row], end_home};
}

/* True if the control bytes are valid, and leave an eighth of the table empty: else some search would never end. */
static bool has_empty_slots(const struct read_buckets *read, const struct read_table *t)
{
    u64 taken = 0;
    for (u64 n = t->first; n < t->first + t->groups; n++) {
        u32 empty = match_byte(read->control[n], CTRL_EMPTY), deleted = match_byte(read->control[n], CTRL_DELETED);
        if (match_high(read->control[n]) != (empty | deleted))
            return false;
        taken += SLOTS - slot_count(empty);
    }
    return taken <= 7 * t->groups;
}

/* True if the groups of a table fit together, and its directory slots are an aligned run whose length is a power of
 * two. */
static bool is_whole_table(const struct read_buckets *read, const struct read_table *t)
{
    if (!is_power_of_two(t->groups) || t->groups > 1 << MAX_GROUPS_LOG2)
        return false;
    for (u64 n = t->first; n < t->first + t->groups; n++)
        if (read->home[n] != t->home)
            return false;
    if (t->end <= t->home || !is_power_of_two(t->end - t->home) || t->home % (t->end - t->home) != 0)
        return false;
    return has_empty_slots(read, t);
}

/* True if a header and groups fit together, as they may not in a damaged recording. */
static bool is_whole(const struct header_words *h, const struct read_buckets *read)
{
    if (h->count > UINT32_MAX)
        return false;
    if (read->length == 0)
        return h->count == 0 && h->directory_length == 0;
    if (h->directory_length == 0) {
        u64 control = read->control[0];
        u32 known = match_byte(control, CTRL_EMPTY) | match_byte(control, CTRL_DELETED);
        return read->length == 1 && match_high(control) == known;
    }
    if (h->log2 > LONGEST_RUN_LOG2 || h->directory_length != 1u << h->log2 ||
        h->directory_length > MOST_SLOTS_A_GROUP * read->length)
        return false;
    u64 end = 0, shortest = h->directory_length;
    for (u64 row = 0; row < read->length;) {
        struct read_table t = table_at(h, read, row);
        if (t.home != end || t.end > h->directory_length || !is_whole_table(read, &t))
            return false;
        if (t.end - t.home < shortest)
            shortest = t.end - t.home;
        end = t.end;
        row += t.groups;
    }
    /* a directory doubles only for a table that then has one slot in it: a longer one is damaged, and may need any
     * memory */
    return shortest == 1;
}

/* Fill a virgin group from row n of the groups that were read. */
static void show_group(struct world *w, u32 group, const struct read_buckets *read, u64 n)
{
    struct bucket *b = &w->buckets[group];
    b->control = read->control[n];
    for (u32 live = live_mask(b->control); live != 0; live = other_slots(live)) {
        u32 slot = first_slot(live);
        u64 hash = read->hashes[SLOTS * n + slot], key_type = read->key_types[SLOTS * n + slot];
        fill_slot(w, group, slot, get_byte(b->control, slot), hash, key_type, BEFORE);
    }
    for (u32 rest = match_byte(b->control, CTRL_DELETED); rest != 0; rest = other_slots(rest)) {
        b->insert_stacks[first_slot(rest)] = b->last_insert = BEFORE;
        b->slots[first_slot(rest)].delete_stack = BEFORE;
    }
}

/* Make the table that was read.
 *
 * In Go, growthLeft, entries and tombstones sum to the growthLeft of an empty table.
 * go: internal/runtime/maps/table_debug.go (*table).checkInvariants [1.24..1.27] */
static u32 resume_table(struct world *w, const struct read_buckets *read, const struct read_table *t, u32 log2)
{
    u32 span_log2 = (u32)__builtin_ctzll(t->end - t->home);
    u32 number = new_table(w, (u32)__builtin_ctzll(t->groups), (u32)t->home, log2 - span_log2, BEFORE);
    struct table *table = &w->tables[number];
    for (u32 g = 0; g < t->groups; g++) {
        u64 control = read->control[t->first + g];
        show_group(w, table->first + g, read, t->first + g);
        u32 used = slot_count(live_mask(control)), tombstones = slot_count(match_byte(control, CTRL_DELETED));
        table->used = (u16)(table->used + used);
        table->growth_left = (u16)(table->growth_left - used - tombstones);
    }
    return number;
}

/* go: internal/runtime/maps/map.go Map, internal/runtime/maps/table.go table [1.24..1.27] */
bool swiss_resume(struct world *w, u32 m, const struct header_words *h, const struct read_buckets *read,
                  bool *no_memory)
{
    bool is_fit = is_whole(h, read);
    *no_memory = is_fit && !make_room(w, (u64)m + 1, read->length, read->length, h->directory_length);
    if (*no_memory)
        return false;
    swiss_forget(w, m);
    if (!is_fit)
        return false;
    struct map *p = &w->maps[m];
    p->flags = h->flags, p->count = (u32)h->count;
    if (h->directory_length == 0) {
        if (read->length != 0) {
            p->array = take_buckets(w, 0, ALL_EMPTY, BEFORE);
            show_group(w, p->array, read, 0);
        }
        return true;
    }
    p->log2 = h->log2;
    p->state |= HAS_DIRECTORY;
    p->array = take_directory(w, h->log2);
    w->shapes[m].groups = (u32)read->length;
    for (u64 row = 0; row < read->length;) {
        struct read_table t = table_at(h, read, row);
        u32 table = resume_table(w, read, &t, h->log2);
        for (u64 slot = t.home; slot < t.end; slot++)
            w->directory[p->array + slot] = table;
        row += t.groups;
    }
    return true;
}
