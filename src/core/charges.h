/* Charging maps to stacks: arguments and results of charge_maps. */
#ifndef MAPPROBE_CHARGES_H
#define MAPPROBE_CHARGES_H

#include "core.h"

/* The amounts of a map, in the order of schema.HOLDINGS, and the views. holdings.py has the same numbers;
 * tests/model/test_core.py compares them. */
enum {
    HELD_LIVE,
    HELD_DEAD,
    HELD_VIRGIN,
    HELD_SLOTS,
    HELD_BUCKETS,
    HELD_RETAINED_BUCKETS,
    HELD_ALLOCATED,
    HELD_NEEDED,
    HELD_RETAINED,
    HOLDINGS
};
enum { VIEW_GROWTH, VIEW_FILL, VIEW_DRAIN, VIEWS };

/* What one map charges to one stack in one view. */
struct charged_view {
    i64 dead, buckets, retained_buckets, allocated, retained;
};

/* What one map charges to one stack: a row of schema.CHARGES, in the order of its columns. Amounts that are equal in
 * all views are in the row once. All virgin slots of a replayed map count as never used. */
struct charge_row {
    u32 map, stack;
    i64 live, never_used, needed;
    struct charged_view views[VIEWS];
};

/* Arrays of the caller, with a row for each map. */
struct charging {
    const u8 *skip;   /* maps to leave out */
    u64 maps;         /* rows of skip, and of charged_to */
    u64 stride;       /* columns of holdings */
    i64 *holdings;    /* out: HOLDINGS rows of `stride` maps */
    u32 *charged_to;  /* out: the stack that is charged for the whole map; NONE: several stacks, or none */
    struct charge_row *rows; /* out: for each map that several stacks are charged for, a row a stack */
    u64 room;         /* how many rows fit, at least as many as there are stacks */
    u64 next, written; /* out: the first map that was not charged, and how many rows were written */
};

/* Charge maps from `first` on, until all are charged or the rows of the next map do not fit; false: no memory. */
bool charge_maps(const struct world *w, struct charging *c, u64 first);
/* Split `total` over n weights into `out`, by largest remainder, ties to the lowest index; `remainders` is scratch. */
void apportion(u64 total, const u64 *weights, u64 n, u64 *out, u64 *remainders);

#endif
