/* Charging a map's slots, buckets and bytes to stacks, in the three views growth, fill and drain.
 *
 * In every view a live slot is charged to the stack that inserted its entry. A dead slot is charged to the stack that
 * allocated its bucket (view growth), that last inserted into the slot (fill), or that deleted or cleared it last
 * (drain). A virgin slot is always charged to the stack that allocated its bucket. Bytes are split in proportion to
 * slots, by largest remainder, so each view sums to the map's figures exactly. Most maps are charged to a single stack:
 * these get no rows. */
#include "charges.h"

#include <stdlib.h>

/* The slots and buckets of one map that are charged to one stack. */
struct tally {
    u32 stack;
    u64 live, virgin;
    u64 dead[VIEWS], buckets[VIEWS], retained_buckets[VIEWS];
};

/* Room to add up one map: the stacks that were touched, in the order of the first touch. */
struct sheet {
    u32 *places; /* for each stack: its place in tallies + 1; 0: not touched */
    struct tally *tallies;
    u64 *numbers; /* weights, shares and remainders of a split: three runs, each with a number for each stack */
    u32 stacks, touched;
};

static bool new_sheet(struct sheet *s, u32 stacks)
{
    size_t rows = stacks ? stacks : 1;
    *s = (struct sheet){.stacks = stacks};
    s->places = calloc(rows, sizeof *s->places);
    s->tallies = calloc(rows, sizeof *s->tallies);
    s->numbers = calloc(rows, 3 * sizeof *s->numbers);
    return s->places && s->tallies && s->numbers;
}

static void free_sheet(struct sheet *s)
{
    free(s->places);
    free(s->tallies);
    free(s->numbers);
}

static void clear_sheet(struct sheet *s)
{
    for (u32 k = 0; k < s->touched; k++)
        s->places[s->tallies[k].stack] = 0;
    s->touched = 0;
}

/* Return the place of a stack among the touched ones. */
static inline u32 touch(struct sheet *s, u32 stack)
{
    if (RARE(stack >= s->stacks)) /* NONE: no replay leaves a dead slot without its stacks */
        stack = BEFORE;
    u32 place = s->places[stack];
    if (RARE(place == 0)) {
        s->tallies[s->touched] = (struct tally){.stack = stack};
        place = s->places[stack] = ++s->touched;
    }
    return place - 1;
}

static inline void charge_dead_slot(struct sheet *s, u32 grown, u32 inserted_by, u32 deleted_by)
{
    u32 filled = touch(s, inserted_by), drained = touch(s, deleted_by);
    s->tallies[grown].dead[VIEW_GROWTH]++;
    s->tallies[filled].dead[VIEW_FILL]++;
    s->tallies[drained].dead[VIEW_DRAIN]++;
}

/* Charge one bucket and its eight slots. */
static void charge_bucket(const struct world *w, struct sheet *s, u32 bucket)
{
    const struct bucket *b = &w->buckets[bucket];
    u32 live = live_slots(w, b->control), who[VIEWS];
    u32 grown = who[VIEW_GROWTH] = touch(s, b->grown_by);
    who[VIEW_FILL] = b->last_insert == NONE ? grown : touch(s, b->last_insert);
    who[VIEW_DRAIN] = b->last_delete == NONE ? grown : touch(s, b->last_delete);
    for (int view = 0; view < VIEWS; view++) {
        s->tallies[who[view]].buckets[view]++;
        s->tallies[who[view]].retained_buckets[view] += live == 0;
    }
    for (u32 slot = 0; slot < SLOTS; slot++) {
        u32 inserted_by = b->insert_stacks[slot];
        if (live >> slot & 1)
            s->tallies[touch(s, inserted_by)].live++;
        else if (inserted_by == NONE)
            s->tallies[grown].virgin++;
        else
            charge_dead_slot(s, grown, inserted_by, b->slots[slot].delete_stack);
    }
}

/* Return the smallest of the `left` largest of n remainders, all below `limit`. Bisection, as a sort needs memory. */
static u64 smallest_served(const u64 *remainders, u64 n, u64 left, u64 limit)
{
    u64 low = 0, high = limit;
    while (high - low > 1) {
        u64 middle = low + (high - low) / 2, served = 0;
        for (u64 k = 0; k < n; k++)
            served += remainders[k] >= middle;
        if (served >= left)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Whole numbers only. Exact for totals below 2**62 and weights that sum to less than 2**31; nothing is written for
 * weights that are all zero. */
void apportion(u64 total, const u64 *weights, u64 n, u64 *out, u64 *remainders)
{
    u64 sum = 0;
    for (u64 k = 0; k < n; k++)
        sum += weights[k];
    if (sum == 0)
        return;
    /* total * weight would overflow: split total first, then only (total % sum) * weight is left */
    u64 whole = total / sum, rest = total % sum, left = total;
    for (u64 k = 0; k < n; k++) {
        out[k] = whole * weights[k] + rest * weights[k] / sum;
        remainders[k] = rest * weights[k] % sum;
        left -= out[k];
    }
    u64 enough = smallest_served(remainders, n, left, sum);
    for (u64 k = 0; k < n; k++)
        if (remainders[k] > enough) {
            out[k]++;
            left--;
        }
    for (u64 k = 0; k < n; k++)
        if (remainders[k] == enough && left > 0) {
            out[k]++;
            left--;
        }
}

/* The number of a stack's slots in proportion to which bytes of one kind are split in a view. */
static u64 weight_of(const struct tally *t, int view, int holding)
{
    switch (holding) {
    case HELD_NEEDED:
        return t->live;
    case HELD_RETAINED:
        return t->dead[view] + t->virgin;
    default:
        return t->live + t->dead[view] + t->virgin;
    }
}

/* Split a map's bytes over the touched stacks: retained bytes by empty slots, needed bytes by live slots, allocated
 * bytes by all slots; by all slots also if the stacks have none of the former. */
static const u64 *split_bytes(const struct sheet *s, int view, int holding, i64 total)
{
    u64 *weights = s->numbers, *shares = weights + s->stacks, *remainders = shares + s->stacks, sum = 0;
    for (u32 k = 0; k < s->touched; k++)
        sum += weights[k] = weight_of(&s->tallies[k], view, holding);
    for (u32 k = 0; sum == 0 && k < s->touched; k++)
        weights[k] = weight_of(&s->tallies[k], view, HELD_SLOTS);
    for (u32 k = 0; k < s->touched; k++)
        shares[k] = 0;
    if (total != 0) /* most maps retain nothing */
        apportion((u64)total, weights, s->touched, shares, remainders);
    return shares;
}

/* Add up slots and buckets of map m by stack on the sheet, and write the map's own amounts. */
static void add_up(const struct world *w, struct sheet *s, u32 m, i64 held[HOLDINGS])
{
    u64 n = list_buckets(w, m, w->listed, w->listed_parts);
    for (u64 k = 0; k < n; k++)
        charge_bucket(w, s, w->listed[k]);
    for (int holding = 0; holding < HOLDINGS; holding++)
        held[holding] = 0;
    for (u32 k = 0; k < s->touched; k++) {
        const struct tally *t = &s->tallies[k];
        held[HELD_LIVE] += (i64)t->live;
        held[HELD_DEAD] += (i64)t->dead[VIEW_GROWTH];
        held[HELD_VIRGIN] += (i64)t->virgin;
        held[HELD_BUCKETS] += (i64)t->buckets[VIEW_GROWTH];
        held[HELD_RETAINED_BUCKETS] += (i64)t->retained_buckets[VIEW_GROWTH];
    }
    held[HELD_SLOTS] = held[HELD_LIVE] + held[HELD_DEAD] + held[HELD_VIRGIN];
    if (n == 0)
        return;
    held[HELD_ALLOCATED] = w->is_swiss ? swiss_allocated_bytes(w, m) : classic_allocated_bytes(w, m);
    held[HELD_NEEDED] = w->is_swiss ? swiss_needed_bytes(w, m) : classic_needed_bytes(w, m);
    i64 retained = held[HELD_ALLOCATED] - held[HELD_NEEDED];
    held[HELD_RETAINED] = retained > 0 ? retained : 0;
}

/* Write a row for each stack that map m is charged to. */
static void write_rows(const struct sheet *s, u32 m, const i64 held[HOLDINGS], struct charge_row *rows)
{
    for (u32 k = 0; k < s->touched; k++) {
        const struct tally *t = &s->tallies[k];
        rows[k] = (struct charge_row){.map = m, .stack = t->stack, .live = (i64)t->live, .never_used = (i64)t->virgin};
        for (int view = 0; view < VIEWS; view++) {
            struct charged_view *to = &rows[k].views[view];
            to->dead = (i64)t->dead[view];
            to->buckets = (i64)t->buckets[view];
            to->retained_buckets = (i64)t->retained_buckets[view];
        }
    }
    /* by live slots, which are the same in every view */
    const u64 *shares = split_bytes(s, VIEW_GROWTH, HELD_NEEDED, held[HELD_NEEDED]);
    for (u32 k = 0; k < s->touched; k++)
        rows[k].needed = (i64)shares[k];
    for (int view = 0; view < VIEWS; view++) {
        shares = split_bytes(s, view, HELD_ALLOCATED, held[HELD_ALLOCATED]);
        for (u32 k = 0; k < s->touched; k++)
            rows[k].views[view].allocated = (i64)shares[k];
        shares = split_bytes(s, view, HELD_RETAINED, held[HELD_RETAINED]);
        for (u32 k = 0; k < s->touched; k++)
            rows[k].views[view].retained = (i64)shares[k];
    }
}

/* Charge map m; false: there is no room for its rows. */
static bool charge_map(const struct world *w, struct sheet *s, struct charging *c, u32 m)
{
    i64 held[HOLDINGS];
    add_up(w, s, m, held);
    u32 stacks = s->touched;
    bool takes_rows = stacks > 1;
    if (takes_rows && c->written + stacks > c->room)
        return false;
    for (int holding = 0; holding < HOLDINGS; holding++)
        c->holdings[(u64)holding * c->stride + m] = held[holding];
    c->charged_to[m] = stacks == 1 ? s->tallies[0].stack : NONE;
    if (takes_rows) {
        write_rows(s, m, held, c->rows + c->written);
        c->written += stacks;
    }
    return true;
}

bool charge_maps(const struct world *w, struct charging *c, u64 first)
{
    struct sheet sheet;
    bool has_room = true, is_there = new_sheet(&sheet, w->stack_count);
    c->next = first;
    c->written = 0;
    while (is_there && has_room && c->next < c->maps) {
        if (!c->skip[c->next])
            has_room = charge_map(w, &sheet, c, (u32)c->next);
        clear_sheet(&sheet);
        c->next += has_room;
    }
    free_sheet(&sheet);
    return is_there;
}
