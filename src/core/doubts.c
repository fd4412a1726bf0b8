/* Operations on keys that may share a hash: the count in the map's next header shows what such an operation did.
 *
 * The dynamic type of an interface is not hashed, so two different keys may have the same hash if a part of the key
 * is an interface. If the map has an entry with the hash of an assignment, the assignment may be an update of this
 * entry or the insert of another key; a delete may have found its key or not. The operation is in doubt until the
 * next header of the map, or until the header that was read at the end. Entries with the same hash are distinguished
 * by a number in the bits of their key type above the address. */
#include "ledger.h"

/* The difference between the key types of two entries with the same hash; larger than any address. */
#define TWIN (UINT64_C(1) << 48)
#define MOST_TWINS 1024u /* a map with more entries of one hash is given up: each operation looks at all of them */

COLD void count_growths(struct world *w, u32 m, u32 stack, u32 growths, bool has_rehashed)
{
    struct map *p = &w->maps[m];
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    if (has_rehashed && (p->state & UNEQUAL)) {
        drop_live(w, m);
        stop_following(w, m, UNEQUAL_KEYS);
        if (w->sees_growths) /* growths are events of their own, which will be counted */
            growths = 0;
    }
    x->growths += growths;
    w->stacks[stack].growths += growths;
    f->grown_by = stack;
    f->array_addr = 0;
    p->header = NO_HEADER;
}

/* How many entries with this hash and key type a map has, at most MOST_TWINS. */
static u32 count_twins(struct world *w, u32 m, u64 hash, u64 key_type)
{
    u32 n = 0;
    while (n < MOST_TWINS) {
        const u64 twin = key_type + n * TWIN;
        if (!(w->is_swiss ? swiss_holds(w, m, hash, twin) : classic_holds(w, m, hash, twin)))
            break;
        n++;
    }
    return n;
}

void doubt(struct world *w, const struct event *e, u32 m)
{
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    f->pending = e->kind;
    x->pending_stack = e->stack;
    x->last_count = count_of(e->batch, e->row);
    x->doubt_hash = e->batch->hash[e->row];
    f->doubt_point = e->batch->point[e->row];
    w->maps[m].header = NO_HEADER;
}

void doubt_delete(struct world *w, const struct event *e, u32 m)
{
    const u64 hash = e->batch->hash[e->row];
    if (!w->is_swiss)
        classic_evacuate_for(w, m, hash, e->stack);
    if (count_twins(w, m, hash, e->header->key_type) > 0)
        doubt(w, e, m);
}

/* Stop replaying a map whose entries can't be distinguished. The next header counts the operation in doubt. */
static void lose(struct world *w, u32 m)
{
    drop_live(w, m);
    stop_following(w, m, EQUAL_HASHES);
}

/* Insert another key with the hash in doubt. */
static void insert_twin(struct world *w, u32 m)
{
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    const u32 twins = count_twins(w, m, x->doubt_hash, f->key_type);
    if (twins == MOST_TWINS) {
        lose(w, m);
        return;
    }
    const struct assignment by = {
        .hash = x->doubt_hash,
        .key_type = f->key_type + twins * TWIN,
        .stack = x->pending_stack,
        .prunes = w->prunes[f->doubt_point],
        .is_evacuated = true,
    };
    if (assign(w, m, &by, x->last_count) == NO_ROOM)
        lose(w, m);
    else
        f->pending = 0;
}

/* Delete the key with the hash in doubt, if the map has only one such key. */
static void delete_lone(struct world *w, u32 m)
{
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    const u32 stack = x->pending_stack;
    if (count_twins(w, m, x->doubt_hash, f->key_type) > 1) {
        lose(w, m);
        return;
    }
    u32 inserted_by = w->is_swiss ? swiss_delete(w, m, x->doubt_hash, f->key_type, stack)
                                  : classic_delete_evacuated(w, m, x->doubt_hash, f->key_type, stack);
    f->pending = 0;
    w->maps[m].deletes++;
    w->stacks[stack].deletes++;
    if (inserted_by != NONE)
        add_live(w, m, inserted_by, -1);
}

/* If several entries have the hash of a delete, nobody knows which of them it deleted: the map is given up (lose). A
 * count that fits no outcome leaves the operation in doubt. */
void settle_doubt(struct world *w, u32 m, u64 count)
{
    struct fact *f = &w->facts[m];
    struct extra *x = &w->extras[m];
    const i64 change = (i64)(count - x->last_count);
    if (f->pending == EVENT_ASSIGN && change == 1) {
        insert_twin(w, m);
    } else if (f->pending == EVENT_ASSIGN && change == 0) {
        f->pending = 0;
        w->maps[m].updates++;
        w->stacks[x->pending_stack].updates++;
    } else if (f->pending == EVENT_DELETE && change == -1) {
        delete_lone(w, m);
    } else if (f->pending == EVENT_DELETE && change == 0) {
        f->pending = 0;
    }
}

/* Count each operation that is still in doubt as what is most likely: an update, or the delete of a key in the map. */
void presume_all(struct world *w)
{
    for (u32 m = 0; m < w->map_count; m++) {
        struct fact *f = &w->facts[m];
        if (!is_in_doubt(w, m))
            continue;
        if (f->pending == EVENT_DELETE && !is_dead(w, m))
            delete_lone(w, m);
        if (!is_modelled(w, m))
            continue;
        if (f->pending != 0)
            presume(w, m);
        else if (f->inexact == EXACT)
            f->inexact = EQUAL_HASHES;
    }
}
