/* The directory of a Swiss map: the top bits of a hash select a table; tables double up to 1024 slots and then split.
 *
 * A table whose local depth is less than the directory's depth has several directory slots in a row. Functions have the
 * names of the functions in internal/runtime/maps/map.go and table.go that they follow. */
#include "swiss.h"

/* Move the entries of a full small map to a table of 16 slots.
 *
 * go: internal/runtime/maps/map.go (*Map).growToTable [1.24..1.27] */
COLD void grow_to_table(struct world *w, u32 m, u32 stack)
{
    struct map *p = &w->maps[m];
    u32 table = new_table(w, 1, 0, 0, stack);
    move_groups(w, p->array, 1, table, table, 0);
    give_buckets(w, p->array, 0);
    p->array = take_directory(w, 0);
    p->state |= HAS_DIRECTORY;
    w->directory[p->array] = table;
    w->shapes[m].groups = 2;
}

/* Enter a table in all its directory slots.
 *
 * go: internal/runtime/maps/map.go (*Map).replaceTable [1.24..1.27] */
static void replace_table(struct world *w, const struct map *p, u32 table)
{
    u32 *first = &w->directory[p->array + w->tables[table].index];
    u32 entries = 1u << (p->log2 - w->tables[table].local_depth);
    for (u32 n = 0; n < entries; n++)
        first[n] = table;
}

/* Replace a table by one of twice the size.
 *
 * go: internal/runtime/maps/table.go (*table).grow [1.24..1.27] */
static void grow(struct world *w, u32 m, u32 table, u32 stack)
{
    struct table old = w->tables[table];
    u32 groups = 1u << old.log2_groups;
    u32 larger = new_table(w, old.log2_groups + 1u, old.index, old.local_depth, stack);
    move_groups(w, old.first, groups, larger, larger, 0);
    replace_table(w, &w->maps[m], larger);
    w->shapes[m].groups += groups;
}

/* Double the directory: enter every table twice as often.
 *
 * go: internal/runtime/maps/map.go (*Map).installTableSplit [1.24..1.27] */
static void double_directory(struct world *w, struct map *p)
{
    u32 doubled = take_directory(w, p->log2 + 1u), length = 1u << p->log2;
    for (u32 n = 0; n < length; n++) {
        u32 table = w->directory[p->array + n];
        w->directory[doubled + 2 * n] = w->directory[doubled + 2 * n + 1] = table;
        /* a table may have several slots in a row: its index is the first one */
        if (w->tables[table].index == n)
            w->tables[table].index = 2 * n;
    }
    give_directory(w, p->array, p->log2);
    p->array = doubled;
    p->log2++;
}

/* Enter both halves of a table in the directory, which doubles if it is not deep enough.
 *
 * go: internal/runtime/maps/map.go (*Map).installTableSplit [1.24..1.27] */
static void install_table_split(struct world *w, struct map *p, u32 old, u32 left, u32 right)
{
    if (w->tables[old].local_depth == p->log2)
        double_directory(w, p);
    w->tables[left].index = w->tables[old].index;
    replace_table(w, p, left);
    w->tables[right].index = w->tables[left].index + (1u << (p->log2 - w->tables[left].local_depth));
    replace_table(w, p, right);
}

/* Replace a table by two of the same size; the next bit of the hash says which of them an entry moves to.
 *
 * go: internal/runtime/maps/table.go (*table).split [1.24..1.27] */
static void split(struct world *w, u32 m, u32 table, u32 stack)
{
    u32 depth = w->tables[table].local_depth + 1u, groups = 1u << MAX_GROUPS_LOG2;
    u32 left = new_table(w, MAX_GROUPS_LOG2, NONE, depth, stack);
    u32 right = new_table(w, MAX_GROUPS_LOG2, NONE, depth, stack);
    move_groups(w, w->tables[table].first, groups, left, right, (u64)1 << (HASH_BITS - depth));
    install_table_split(w, &w->maps[m], table, left, right);
    w->shapes[m].groups += groups;
}

/* Double a table, or split it in two if it has 1024 slots.
 *
 * go: internal/runtime/maps/table.go (*table).rehash [1.24..1.27] */
COLD void rehash(struct world *w, u32 m, u32 table, u32 stack)
{
    if (w->tables[table].log2_groups < MAX_GROUPS_LOG2)
        grow(w, m, table, stack);
    else
        split(w, m, table, stack);
    drop_table(w, table);
}
