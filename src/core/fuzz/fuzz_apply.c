/* A fuzzer of replay: any bytes are a batch of packed events, which are applied to a new world.
 *
 * The bytes choose among few maps, headers and hashes, so that events meet; now and then a value is any number. A
 * batch that names what its world has not is refused, as from a file (lacking_in). Each column is an allocation of its
 * own and each world a reservation of its own: AddressSanitizer sees what reads past either. */
#include "../batch.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_EVENTS = 4096,
    MOST_HEADERS = 16,
    STACKS = 8,
    SITES = 4,
    TYPES = 6,
    MOST_WORLD_BYTES = 1 << 27, /* a size hint may ask for any memory */
};

struct bytes {
    const u8 *next, *end;
};

static u8 take(struct bytes *from) { return from->next < from->end ? *from->next++ : 0; }

/* Take a number below 256, or one time in 32 any number. */
static u64 take_number(struct bytes *from)
{
    u8 first = take(from);
    if (first < 248)
        return first;
    u64 number = 0;
    for (int n = 0; n < 8; n++)
        number = number << 8 | take(from);
    return number >> (first - 248) * 8; /* of eight bytes, or fewer */
}

/* Take a hash: one of 256, spread as hashes are, or any. */
static u64 take_hash(struct bytes *from)
{
    u64 number = take_number(from);
    return number < 256 ? number * 0x9E3779B97F4A7C15u : number;
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

static void *column(u64 length, size_t item)
{
    void *made = calloc(length ? length : 1, item);
    if (made == NULL)
        abort();
    return made;
}

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
        c->hash[n] = take_hash(from);
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
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct bytes from = {data, data + size};
    struct world *w = new_world(&from);
    for (int batches = take(&from) % 4; batches >= 0; batches--) {
        u64 headers = 1 + take(&from) % MOST_HEADERS;
        u64 length = (u64)(from.end - from.next) / 6 / (u64)(batches + 1);
        length = length < MOST_EVENTS ? length : MOST_EVENTS;
        struct columns c = new_columns(length, headers);
        struct header *header = column(headers, sizeof *header);
        take_headers(&from, header, headers);
        take_events(&from, &c, length, headers);
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
        bool goes_on = lacking_in(&b, w) == NULL && apply(w, &b, length / 2) && apply(w, &b, length);
        free(header);
        free_columns(&c);
        if (!goes_on)
            break;
    }
    read_maps(w);
    world_free(w);
    return 0;
}
