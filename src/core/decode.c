/* Bytes of a file into packed batches. The bytes may be anything: every number is checked before it is used. */
#include "encoding.h"

#include "headerfields.h"

#include <stdlib.h>

#define AHEAD 12u /* events: so far ahead an event's map is fetched into the cache */

static const char *const damaged = "the batch is damaged";

struct decoder {
    u32 since_full; /* batches from the last full one on; 0: only a full batch can be read */
    u32 batch;
    u32 rows;
    struct known_maps maps;
    struct encoded_head head;
    struct bytes_in in;
    struct event_columns columns;
};

struct decoder *decoder_new(void) { return calloc(1, sizeof(struct decoder)); }

void decoder_free(struct decoder *d)
{
    forget_maps(&d->maps);
    free(d);
}

/* ---- bytes into columns ---- */

static void get_headers(struct decoder *d)
{
    struct new_headers *headers = &d->columns.headers;
    headers->count = 0;
    headers->map_addr = headers->array_addr = 0;
    memset(headers->lengths, 0, sizeof headers->lengths);
    get_column(&d->in, headers->masks, 2, d->head.new_headers);
    for (u32 n = 0; n < d->head.new_headers; n++)
        for (u32 field = 0; field < HEADER_FIELDS; field++)
            headers->lengths[field] += headers->masks[n] >> field & 1;
    for (u32 field = 0; field < HEADER_FIELDS; field++) {
        get_column(&d->in, headers->fields[field], 8, headers->lengths[field]);
        headers->lengths[field] = 0;
    }
}

static void get_columns(struct decoder *d)
{
    struct event_columns *c = &d->columns;
    const struct encoded_head *head = &d->head;
    get_column(&d->in, c->step, 4, d->rows);
    get_column(&d->in, c->map, 4, d->rows);
    get_column(&d->in, c->flagged, 1, d->rows);
    get_column(&d->in, c->reference, 4, head->flagged);
    get_column(&d->in, c->call, 4, d->rows);
    get_column(&d->in, c->who, 4, d->rows);
    get_column(&d->in, c->depth, 4, d->rows);
    get_column(&d->in, c->count, 4, d->rows);
    get_column(&d->in, c->overflow_count, 2, d->rows);
    get_column(&d->in, c->evacuated, 4, d->rows);
    c->calls[0] = c->whos[0] = 0;
    get_column(&d->in, c->calls + 1, 8, head->calls - 1);
    get_column(&d->in, c->whos + 1, 8, head->whos - 1);
    get_headers(d);
}

/* True if all calls and whos that events name exist, and as many events are flagged as the head says. */
static bool are_within(const struct decoder *d)
{
    const struct event_columns *c = &d->columns;
    u32 call = 0, who = 0, flagged = 0;
    u8 flag = 0;
    for (u32 row = 0; row < d->rows; row++) {
        call = c->call[row] > call ? c->call[row] : call;
        who = c->who[row] > who ? c->who[row] : who;
        flag |= c->flagged[row];
        flagged += c->flagged[row];
    }
    return call < d->head.calls && who < d->head.whos && flag <= 1 && flagged == d->head.flagged;
}

static void sum_map_steps(u32 *maps, u32 rows)
{
    u32 map = 0;
    for (u32 row = 0; row < rows; row++) {
        map += unzigzag32(maps[row]);
        maps[row] = map;
    }
}

const char *decode_begin(struct decoder *d, u32 rows, bool is_full, const u8 *bytes, u64 length, u32 *headers)
{
    u32 since_full = is_full ? 0 : d->since_full;
    d->since_full = 0;
    d->rows = 0;
    if (rows > MOST_VALUES || (!is_full && (since_full == 0 || since_full >= FULL_EVERY)))
        return damaged;
    if (is_full)
        d->maps.count = 0;
    d->in.at = bytes;
    d->in.end = bytes + length;
    d->in.has_failed = false;
    get_bytes(&d->in, &d->head, sizeof d->head);
    const struct encoded_head *head = &d->head;
    if (head->flagged > rows || head->new_headers > head->flagged || head->headers > rows || head->calls < 1 ||
        head->whos < 1 || head->calls > rows + 1 || head->whos > rows + 1)
        return damaged;
    d->rows = rows;
    get_columns(d);
    if (d->in.has_failed || d->in.at != d->in.end || !are_within(d))
        return damaged;
    if (head->map_steps)
        sum_map_steps(d->columns.map, rows);
    d->since_full = since_full + 1;
    *headers = head->headers;
    return NULL;
}

/* ---- columns into a batch ---- */

/* How much of a batch is decoded: headers, references of flagged events. */
struct progress {
    u32 entries, references, batch;
};

static void read_header(struct decoder *d, struct entry *entry, bool is_new_map)
{
    struct new_headers *headers = &d->columns.headers;
    const struct map_header last = entry->header;
    u16 mask = headers->masks[headers->count++];
    for (u32 left = mask & ((1u << HEADER_FIELDS) - 1); left != 0; left &= left - 1) {
        enum header_field field = (enum header_field)__builtin_ctz(left);
        u64 value = headers->fields[field][headers->lengths[field]++];
        if (is_difference(field))
            value = unzigzag64(value) + base_of_field(headers, &last, mask, field);
        set_field(entry, field, value);
    }
    note_header(headers, &entry->header, is_new_map);
}

/* The number of a flagged event's header; NONE: the batch is damaged. */
static u32 flagged_header(struct decoder *d, u32 m, bool is_new_map, struct progress *p)
{
    struct event_columns *c = &d->columns;
    u32 reference = c->reference[p->references++], number = reference - 1;
    if (reference == 0) {
        if (c->headers.count == d->head.new_headers || p->entries == d->head.headers)
            return NONE;
        number = p->entries++;
        c->entries[number] = (struct entry){.map = m, .header = d->maps.headers[m]};
        read_header(d, &c->entries[number], is_new_map);
    } else if (number >= p->entries || c->entries[number].map != m) {
        return NONE;
    }
    follow_entry(&d->maps.moving[m], &d->maps.headers[m], &c->entries[number], number);
    return number;
}

/* The number of an event's header; NONE: the batch is damaged. */
static inline u32 header_at(struct decoder *d, u32 row, bool is_new_map, struct progress *p)
{
    struct event_columns *c = &d->columns;
    u32 m = c->map[row];
    struct moving *moving = &d->maps.moving[m];
    begin_batch(moving, p->batch);
    if (RARE(c->flagged[row]))
        return flagged_header(d, m, is_new_map, p);
    if (RARE(moving->clean == NONE)) {
        if (is_new_map || p->entries == d->head.headers)
            return NONE;
        c->entries[p->entries] = (struct entry){.map = m, .header = d->maps.headers[m]};
        moving->clean = p->entries++;
    }
    return moving->clean;
}

static inline void decode_event(struct decoder *d, struct packed *b, u32 row, u32 number)
{
    struct event_columns *c = &d->columns;
    struct moving *moving = &d->maps.moving[c->map[row]];
    u64 call = c->calls[c->call[row]], who = c->whos[c->who[row]];
    u32 *depth = &c->call_depths[c->call[row]];
    b->number[row] = (u16)number;
    b->stack_id[row] = (u32)call;
    b->kind[row] = (u8)(call >> 32);
    b->point[row] = (u8)(call >> 40);
    b->goid[row] = (u32)who;
    b->tid[row] = (u32)(who >> 32);
    *depth += unzigzag32(c->depth[row]);
    b->depth[row] = *depth;
    b->count[row] = moving->count + unzigzag32(c->count[row]);
    moving->count = expected_count(b->count[row], b->kind[row]);
    moving->overflow_count = (u16)(moving->overflow_count + unzigzag16(c->overflow_count[row]));
    b->overflow_count[row] = moving->overflow_count;
    moving->evacuated += unzigzag32(c->evacuated[row]);
    b->evacuated[row] = moving->evacuated;
}

static void write_headers(const struct decoder *d, struct packed *b)
{
    for (u32 n = 0; n < b->headers; n++) {
        const struct entry *entry = &d->columns.entries[n];
        b->map_addr[n] = entry->header.map_addr;
        b->key_type[n] = entry->header.key_type;
        b->seed[n] = entry->header.seed;
        b->array_addr[n] = entry->header.array_addr;
        b->old_array_addr[n] = entry->header.old_array_addr;
        b->stack_offset[n] = entry->header.stack_offset;
        b->directory_length[n] = entry->header.directory_length;
        b->clear_seq[n] = entry->header.clear_seq;
        b->type_id[n] = (i32)entry->header.type;
        b->flags[n] = entry->header.flags;
        b->log2_size[n] = entry->header.log2;
        b->step_high[n] = entry->high.step;
        b->count_high[n] = entry->high.count;
        b->goid_high[n] = entry->high.goid;
    }
}

const char *decode(struct decoder *d, struct packed *b)
{
    struct event_columns *c = &d->columns;
    struct progress p = {.batch = ++d->batch};
    u32 since_full = d->since_full, known = d->maps.count;
    d->since_full = 0;
    memset(c->call_depths, 0, d->head.calls * sizeof *c->call_depths);
    memcpy(b->step, c->step, d->rows * sizeof *b->step);
    for (u32 row = 0; row < d->rows; row++) {
        u32 m = c->map[row];
        if (LIKELY(d->rows - row > AHEAD) && c->map[row + AHEAD] < known)
            PREFETCH(&d->maps.moving[c->map[row + AHEAD]]);
        bool is_new_map = m == known;
        if (RARE(m > known))
            return damaged;
        if (RARE(is_new_map) && !make_known(&d->maps, ++known))
            return "this machine has no more memory";
        u32 number = header_at(d, row, is_new_map, &p);
        if (RARE(number == NONE))
            return damaged;
        decode_event(d, b, row, number);
    }
    if (p.entries != b->headers || c->headers.count != d->head.new_headers)
        return damaged;
    write_headers(d, b);
    d->since_full = since_full;
    return NULL;
}
