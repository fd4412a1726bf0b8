/* The ledger of each map: its place in the index, its live entries, counts of its operations, its end. */
#include "ledger.h"

/* ---- the index ---- */

COLD bool make_more_room_for_keys(struct world *w)
{
    u64 slots = w->index_mask + 1;
    struct index_slot *old = w->index, *index = new_index(2 * slots);
    if (index == NULL)
        return false;
    w->index = index;
    w->index_mask = 2 * slots - 1;
    w->index_keys = 0;
    for (u64 n = 0; n < slots; n++)
        if (old[n].key != 0)
            enter(w, old[n].key, old[n].row);
    free_index(old, slots);
    return true;
}

void enter(struct world *w, u64 key, u64 row)
{
    if (key == 0)
        return; /* key 0 marks free places: a map at address 0 is never found */
    u64 n = index_place(w, key);
    while (w->index[n].key != 0 && w->index[n].key != key)
        n = (n + 1) & w->index_mask;
    w->index_keys += w->index[n].key == 0;
    w->index[n] = (struct index_slot){key, row};
}

u32 find(const struct world *w, u64 key) { return find_row(w, key); }

void note_maps(const struct world *w, const struct batch *b, u64 lo, u64 hi, u8 *is_touched)
{
    for (u64 i = lo; i < hi; i++) {
        u32 m = find_row(w, identity(b, i));
        if (m != NONE)
            is_touched[m] = 1;
    }
}

/* ---- live entries ---- */

void add_live(struct world *w, u32 m, u32 stack, i64 n) { count_live(w, w->maps[m].type, stack, n); }

void move_live(struct world *w, u32 m, i32 type, i64 n)
{
    w->types[w->maps[m].type].live -= n;
    struct live *to = &w->types[type];
    to->live += n;
    if (to->live > to->peak)
        to->peak = to->live;
    w->maps[m].type = type;
}

void drop_live(struct world *w, u32 m)
{
    const i32 type = w->maps[m].type;
    u64 n = list_buckets(w, m, w->listed, w->listed_parts);
    for (u64 k = 0; k < n; k++) {
        const struct bucket *b = &w->buckets[w->listed[k]];
        for (u32 live = live_slots(w, b->control); live != 0; live &= live - 1)
            count_live(w, type, b->insert_stacks[__builtin_ctz(live)], -1);
    }
}

void bury(struct world *w, u32 m)
{
    struct map *p = &w->maps[m];
    if (is_in_doubt(w, m))
        presume(w, m);
    if (w->facts[m].key >= ON_STACK)
        w->maps_on_stacks--;
    p->state |= DEAD;
    p->header = NO_HEADER;
    if (p->state & MODELLED)
        drop_live(w, m);
    if (w->is_swiss)
        swiss_forget(w, m);
    else
        classic_forget(w, m);
}

/* ---- operations of maps that are not replayed ---- */

void settle(struct world *w, u32 m, u64 count)
{
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    struct stack_counts *by = &w->stacks[x->pending_stack];
    const u8 pending = f->pending;
    if (pending == 0)
        return;
    f->pending = 0;
    i64 change = (i64)(count - x->last_count);
    if (pending == EVENT_ASSIGN && change > 0) {
        w->maps[m].inserts++;
        by->inserts++;
    } else if (pending == EVENT_ASSIGN) {
        w->maps[m].updates++;
        by->updates++;
    } else if (change < 0) {
        w->maps[m].deletes++;
        by->deletes++;
    }
}

void presume(struct world *w, u32 m)
{
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    struct stack_counts *by = &w->stacks[x->pending_stack];
    if (f->pending == EVENT_ASSIGN) {
        w->maps[m].updates++;
        by->updates++;
    } else {
        w->maps[m].deletes++;
        by->deletes++;
    }
    f->pending = 0;
    if (f->inexact == EXACT)
        f->inexact = EQUAL_HASHES;
}

void count_inexact(struct world *w, const struct event *e, u32 m)
{
    struct map *p = &w->maps[m];
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    if (e->kind == EVENT_GROW) {
        x->growths++;
        w->stacks[e->stack].growths++;
        f->grown_by = e->stack;
        return;
    }
    if (e->kind == EVENT_OVERFLOW)
        return;
    const u64 count = count_of(e->batch, e->row);
    settle(w, m, count);
    x->last_count = count;
    if ((i64)count > (i64)p->peak)
        p->peak = count < UINT32_MAX ? (u32)count : UINT32_MAX;
    if (e->kind == EVENT_CLEAR) {
        x->clears++;
        w->stacks[e->stack].clears++;
        x->last_count = 0;
    } else {
        f->pending = e->kind;
        x->pending_stack = e->stack;
    }
}
