/* A fuzzer of replay: any bytes are batches of packed events, which are applied to a new world, and maps that were
 * read.
 *
 * The bytes choose among few maps, headers and hashes, so that many events have the same map and key; now and then a
 * value is any number. A batch that names something that its world does not have is refused, as from a file
 * (lacking_in). Made-up headers soon differ from the model, and the map is given up. So the headers of some batches
 * are those of the model, with a word changed here and there: such maps grow, split and are evacuated. Each column
 * is an allocation of its own and each world a reservation of its own, so that AddressSanitizer sees reads past
 * their ends. */
#include "../batch.h"
#include "../charges.h"
#include "input.h"

#include <string.h>

enum {
    MOST_EVENTS = 4096,
    MOST_HEADERS = 16,
    STACKS = 8,
    SITES = 4,
    TYPES = 6,
    MOST_WORLD_BYTES = 1 << 27, /* a size hint may ask for any memory */
};

/* Take a hash: one of 256, spread as hashes are, or any. */
static u64 take_hash(struct bytes *from)
{
    u64 number = take_number(from);
    return number < 256 ? number * MIX : number;
}

static const struct rules releases[] = {
    {13, 0, 0, 0, 0}, {12, 0, 0, 0, 0}, {13, 8, 0, 0, 0}, /* classic */
    {13, 8, 0, 0, 1}, {13, 8, 1, 0, 1}, {13, 8, 1, 1, 0}, /* Swiss */
};

static struct world *new_world(struct bytes *from)
{
    u8 release = take(from) % 6;
    struct world *w = world_new(release >= 3, &releases[release], STACKS, SITES, TYPES);
    if (w == NULL)
        abort();
    w->most_bytes = MOST_WORLD_BYTES;
    u8 choice = take(from);
    w->sees_growths = choice & 1;
    w->why_first = choice & 2 ? BEFORE_RECORDING : EXACT;
    w->why_filled = BEFORE_RECORDING;
    for (u32 n = 0; n < STACKS; n++)
        w->site_of[n] = n % SITES;
    for (u32 n = 0; n < sizeof w->prunes; n++)
        w->prunes[n] = n % 2;
    for (u32 n = 0; n < TYPES; n++)
        w->type_facts[n] = (struct type_facts){
            .bucket_bytes = (u32)take_number(from),
            .layout = (i32)(n / 2),
            .name = (i32)n - 1,
            .has_pointers = n & 1,
            .is_indirect = n == 4,
            .may_meet = n >= 4,
        };
    return w;
}

/* The columns of a batch, each as long as the batch. */
struct columns {
    u32 *step, *count, *evacuated, *goid, *stack_id, *depth;
    u16 *overflow_count, *number;
    u8 *kind, *point;
    u64 *hash;
    u32 *count_high, *goid_high;
};

static struct columns new_columns(u64 length, u64 headers)
{
    return (struct columns){
        .step = column(length, sizeof(u32)),
        .count = column(length, sizeof(u32)),
        .evacuated = column(length, sizeof(u32)),
        .goid = column(length, sizeof(u32)),
        .stack_id = column(length, sizeof(u32)),
        .depth = column(length, sizeof(u32)),
        .overflow_count = column(length, sizeof(u16)),
        .number = column(length, sizeof(u16)),
        .kind = column(length, 1),
        .point = column(length, 1),
        .hash = column(length, sizeof(u64)),
        .count_high = column(headers, sizeof(u32)),
        .goid_high = column(headers, sizeof(u32)),
    };
}

static void free_columns(struct columns *c)
{
    void *all[] = {c->step,   c->count, c->evacuated, c->goid, c->stack_id,   c->depth,    c->overflow_count,
                   c->number, c->kind,  c->point,     c->hash, c->count_high, c->goid_high};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++)
        free(all[n]);
}

static void take_headers(struct bytes *from, struct header *header, u64 headers)
{
    for (u64 h = 0; h < headers; h++)
        header[h] = (struct header){
            .map_addr = take_number(from) * 8,
            .seed = take(from) % 3,
            .array_addr = take_number(from),
            .old_array_addr = take_number(from) % 4,
            .key_type = take(from) % 4,
            .row = NONE,
            .stack_offset = (u32)take_number(from),
            .directory_length = (u32)take_number(from),
            .type = (i32)(take(from) % (TYPES + 1)) - 1,
            .step_high = take(from) == 255,
            .flags = take(from),
            .log2 = take(from),
        };
}

static void take_events(struct bytes *from, struct columns *c, u64 length, u64 headers)
{
    u32 count = 0;
    for (u64 n = 0; n < length; n++) {
        u8 choice = take(from);
        c->kind[n] = choice % 16 < 9 ? choice % 16 : choice & 32 ? EVENT_DELETE : EVENT_ASSIGN;
        c->point[n] = choice >> 4;
        c->number[n] = (u16)(take(from) % headers);
        c->stack_id[n] = take(from) % STACKS;
        c->hash[n] = c->kind[n] == EVENT_CREATE || c->kind[n] == EVENT_CLONE ? 8 * take_number(from) : take_hash(from);
        /* mostly the count that the header would have, else any */
        u8 next = take(from);
        count = next < 128 ? count + (c->kind[n] == EVENT_ASSIGN) : next < 192 ? (count ? count - 1 : 0) : next % 64;
        c->count[n] = next == 255 ? (u32)take_number(from) : count;
        u8 more = take(from);
        c->step[n] = more & 1 ? (u32)take_number(from) : 2;
        c->evacuated[n] = more & 2 ? (u32)take_number(from) : 0;
        c->overflow_count[n] = more & 4 ? (u16)take_number(from) : 0;
        c->goid[n] = more & 8 ? (u32)take_number(from) : 1;
        c->depth[n] = more & 16 ? (u32)take_number(from) : 0;
    }
}

/* Write the header that the model expects of a map before its next operation. */
static u32 follow(const struct world *w, struct columns *c, struct header *h, u64 n, u64 addr)
{
    u32 m = find(w, addr);
    *h = (struct header){.map_addr = addr, .seed = 1, .row = NONE, .type = (i32)(addr / 8 % TYPES)};
    if (m == NONE || !(w->maps[m].state & MODELLED))
        return m;
    const struct map *map = &w->maps[m];
    h->array_addr = map->array == NONE ? 0 : addr + 1;
    h->log2 = map->log2;
    h->flags = map->flags;
    c->count[n] = map->count;
    if (w->is_swiss) {
        h->directory_length = map->state & HAS_DIRECTORY ? 1u << map->log2 : 0;
    } else {
        h->old_array_addr = map->state & GROWING ? 8 : 0;
        c->overflow_count[n] = map->overflow_count;
        c->evacuated[n] = w->chains[m].evacuated;
    }
    return m;
}

/* Apply events one by one, whose headers are mostly as the model expects; false: no memory. */
static bool apply_following(struct bytes *from, struct world *w, struct batch *b, struct columns *c)
{
    for (u64 n = 0; n < b->length; n++) {
        u8 choice = take(from);
        u32 m = follow(w, c, &b->header[n], n, (choice & 7) * 8 + 8);
        c->number[n] = (u16)n;
        c->step[n] = 2;
        c->stack_id[n] = take(from) % STACKS;
        c->hash[n] = take_hash(from);
        c->kind[n] = choice < 180 ? EVENT_ASSIGN : choice < 240 ? EVENT_DELETE : choice % 8 + 1;
        if (m == NONE)
            c->kind[n] = choice & 8 ? EVENT_CREATE : EVENT_CLONE;
        if (c->kind[n] == EVENT_CLONE)
            c->hash[n] = take(from) % 8 * 8 + 8; /* the map that it is a clone of */
        if (c->kind[n] == EVENT_CREATE)
            c->hash[n] = take_number(from); /* how many entries it is made for */
        if (choice % 61 == 60) {
            struct header any;
            take_headers(from, &any, 1);
            b->header[n].flags = any.flags;
            b->header[n].key_type = any.key_type;
            b->header[n].stack_offset = any.stack_offset;
            c->count[n] += any.log2 % 3;
            c->depth[n] = any.directory_length;
        }
        if (lacking_in(b, w) != NULL)
            abort();
        if (!apply(w, b, n + 1))
            return false;
    }
    return true;
}

/* Let a map be as any bytes say that it was read; false: no memory. */
static bool resume(struct bytes *from, struct world *w)
{
    u32 m = w->map_count == 0 ? NONE : take(from) % w->map_count;
    if (m == NONE || !(w->maps[m].state & MODELLED))
        return true;
    u64 length = take(from) % 64;
    u64 *control = column(length, sizeof(u64)), *hashes = column(length * SLOTS, sizeof(u64));
    u64 *key_types = column(length * SLOTS, sizeof(u64));
    u32 *part = column(length, sizeof(u32)), *home = column(length, sizeof(u32));
    for (u64 n = 0; n < length; n++) {
        part[n] = (u32)take_number(from);
        home[n] = (u32)take_number(from);
        for (int slot = 0; slot < SLOTS; slot++) {
            control[n] = control[n] << 8 | take(from);
            hashes[n * SLOTS + (u64)slot] = take_hash(from);
        }
    }
    const struct header_words h = {
        .count = take_number(from),
        .array_is_nil = take(from) > 250,
        .is_growing = take(from) & 1,
        .flags = take(from),
        .log2 = take(from) & 7,
        .overflow_count = (u32)take_number(from),
        .directory_length = (u32)take_number(from),
        .evacuated = (u32)take_number(from),
    };
    const struct read_buckets read = {length, control, part, home, hashes, key_types};
    bool no_memory = false;
    drop_live(w, m);
    bool fits = w->is_swiss ? swiss_resume(w, m, &h, &read, &no_memory) : classic_resume(w, m, &h, &read, &no_memory);
    if (fits)
        add_live(w, m, BEFORE, (i64)w->maps[m].count);
    free(control);
    free(hashes);
    free(key_types);
    free(part);
    free(home);
    return !no_memory;
}

/* Read each map as a report does: its buckets lie in the arena and their number is what it was counted to be. */
static void read_maps(struct world *w)
{
    presume_all(w);
    for (u32 m = 0; m < w->map_count; m++) {
        if (!(w->maps[m].state & MODELLED))
            continue;
        u64 buckets = count_buckets(w, m);
        if (buckets > w->bucket_top || list_buckets(w, m, w->listed, w->listed_parts) != buckets)
            abort();
        for (u64 n = 0; n < buckets; n++)
            if (w->listed[n] >= w->bucket_top)
                abort();
        i64 allocated = w->is_swiss ? swiss_allocated_bytes(w, m) : classic_allocated_bytes(w, m);
        i64 needed = w->is_swiss ? swiss_needed_bytes(w, m) : classic_needed_bytes(w, m);
        if (allocated < 0 || needed < 0)
            abort();
    }
    u64 maps = w->map_count;
    struct charging c = {
        .skip = column(maps, 1),
        .maps = maps,
        .stride = maps,
        .holdings = column(maps * HOLDINGS, sizeof(i64)),
        .charged_to = column(maps, sizeof(u32)),
        .rows = column(4 * STACKS, sizeof(struct charge_row)),
        .room = 4 * STACKS,
    };
    while (c.next < maps && charge_maps(w, &c, c.next))
        ;
    free((void *)c.skip);
    free(c.holdings);
    free(c.charged_to);
    free(c.rows);
}

/* Apply one batch of any events; false: it was refused, or there was no memory. */
static bool apply_any(struct bytes *from, struct world *w, u64 length)
{
    bool follows = take(from) & 1;
    u64 headers = follows ? length : 1 + take(from) % MOST_HEADERS;
    struct columns c = new_columns(length, headers);
    struct header *header = column(headers, sizeof *header);
    if (!follows) {
        take_headers(from, header, headers);
        take_events(from, &c, length, headers);
    }
    struct batch b = {
        .length = length,
        .headers = headers,
        .step = c.step,
        .count = c.count,
        .evacuated = c.evacuated,
        .goid = c.goid,
        .stack_id = c.stack_id,
        .depth = c.depth,
        .overflow_count = c.overflow_count,
        .number = c.number,
        .kind = c.kind,
        .point = c.point,
        .hash = c.hash,
        .header = header,
        .count_high = c.count_high,
        .goid_high = c.goid_high,
    };
    bool goes_on = follows ? apply_following(from, w, &b, &c)
                           : lacking_in(&b, w) == NULL && apply(w, &b, length / 2) && apply(w, &b, length);
    free(header);
    free_columns(&c);
    return goes_on;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct bytes from = {data, data + size};
    struct world *w = new_world(&from);
    for (int batches = take(&from) % 4; batches >= 0; batches--) {
        u64 length = (u64)(from.end - from.next) / 4 / (u64)(batches + 1);
        if (!apply_any(&from, w, length < MOST_EVENTS ? length : MOST_EVENTS))
            break;
        if (take(&from) % 4 == 3 && !resume(&from, w))
            break;
    }
    read_maps(w);
    world_free(w);
    return 0;
}
