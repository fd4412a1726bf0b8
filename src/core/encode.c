/* Packed batches into bytes of a file. */
#include "encoding.h"

#include "headerfields.h"
#include "mapindex.h"
#include "numbering.h"

#include <stdlib.h>

#define FIRST_PLACES 1024u
#define AHEAD 12u /* events: so far ahead an event's map is fetched into the cache */

static const char *const no_memory_left = "this machine has no more memory";

/* A header of the packed batch: its number among the headers of the encoded batch (entry; NONE: none yet), its map. */
struct place {
    u32 entry, map;
};

struct encoder {
    u32 since_full, batch;
    struct map_index index;
    struct known_maps maps;
    struct numbering calls, whos;
    struct bytes_out out;
    struct event_columns columns;
    struct place places[MOST_VALUES];
};

struct encoder *encoder_new(void)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    if (!numbering_new(&e->calls) || !numbering_new(&e->whos) || !map_index_resize(&e->index, FIRST_PLACES)) {
        encoder_free(e);
        return NULL;
    }
    return e;
}

void encoder_free(struct encoder *e)
{
    numbering_free(&e->calls);
    numbering_free(&e->whos);
    forget_maps(&e->maps);
    free(e->index.places);
    free(e->out.data);
    free(e);
}

/* Forget all maps; false: no memory, and nothing was forgotten. */
static bool forget(struct encoder *e)
{
    struct map_index empty = {0};
    if (!map_index_resize(&empty, FIRST_PLACES))
        return false;
    free(e->index.places);
    e->index = empty;
    e->maps.count = 0;
    return true;
}

/* ---- headers ---- */

static struct entry entry_at(const struct packed *b, u32 h, u32 map)
{
    return (struct entry){
        .map = map,
        .high = {b->step_high[h], b->count_high[h], b->goid_high[h]},
        .header =
            {
                .map_addr = b->map_addr[h],
                .key_type = b->key_type[h],
                .seed = b->seed[h],
                .array_addr = b->array_addr[h],
                .old_array_addr = b->old_array_addr[h],
                .stack_offset = b->stack_offset[h],
                .directory_length = b->directory_length[h],
                .clear_seq = b->clear_seq[h],
                .type = (u32)b->type_id[h],
                .flags = b->flags[h],
                .log2 = b->log2_size[h],
            },
    };
}

static void add_header(struct new_headers *headers, const struct entry *entry, const struct map_header *last,
                       bool is_new_map)
{
    struct entry before = {.header = *last}; /* with high halves of 0 */
    u16 mask = 0;
#pragma GCC unroll 14
    for (u32 field = 0; field < HEADER_FIELDS; field++)
        mask |= (u16)((field_of(entry, field) != field_of(&before, field) ? 1u : 0u) << field);
    for (u32 left = mask; left != 0; left &= left - 1) {
        enum header_field field = (enum header_field)__builtin_ctz(left);
        u64 value = field_of(entry, field);
        if (is_difference(field))
            value = zigzag64(value - base_of_field(headers, last, mask, field));
        headers->fields[field][headers->lengths[field]++] = value;
    }
    headers->masks[headers->count++] = mask;
    note_header(headers, &entry->header, is_new_map);
}

/* The number of a map; a map that was not seen yet gets the next number. NONE: no memory. */
static u32 number_map(struct encoder *e, u64 addr, u32 stack_offset)
{
    struct map_place *place = find_place(&e->index, addr, stack_offset);
    if (place->map != 0)
        return place->map - 1;
    u32 m = e->maps.count;
    if (!make_known(&e->maps, m + 1))
        return NONE;
    if (m >= e->index.mask / 2) {
        if (!map_index_resize(&e->index, 2 * ((u64)e->index.mask + 1)))
            return NONE;
        place = find_place(&e->index, addr, stack_offset);
    }
    *place = (struct map_place){addr, stack_offset, m + 1};
    return m;
}

/* How much of a batch is encoded: headers, flagged events, events whose map is also the map of the event before. */
struct progress {
    u32 entries, flagged, same_map, batch;
};

/* Encode the header of an event that is the first in the batch to have packed header h; false: no memory. */
static __attribute__((noinline)) bool enter_header(struct encoder *e, const struct packed *b, u32 h, u32 row,
                                                   struct progress *p)
{
    struct event_columns *c = &e->columns;
    u32 known = e->maps.count, m = number_map(e, b->map_addr[h], b->stack_offset[h]);
    if (m == NONE)
        return false;
    struct entry *entry = &c->entries[p->entries];
    struct moving *moving = &e->maps.moving[m];
    struct map_header *last = &e->maps.headers[m];
    *entry = entry_at(b, h, m);
    begin_batch(moving, p->batch);
    bool is_expected = m < known && !has_high_halves(entry) && memcmp(last, &entry->header, sizeof *last) == 0;
    c->flagged[row] = !is_expected;
    if (is_expected && moving->clean != NONE) { /* the packed batch has the same header twice */
        e->places[h] = (struct place){moving->clean, m};
        return true;
    }
    e->places[h] = (struct place){p->entries, m};
    if (is_expected) {
        moving->clean = p->entries++;
        return true;
    }
    add_header(&c->headers, entry, last, m >= known);
    c->reference[p->flagged++] = 0;
    follow_entry(moving, last, entry, p->entries++);
    return true;
}

/* ---- events ---- */

static inline void fetch_map(const struct encoder *e, const struct packed *b, u32 row)
{
    if (LIKELY(row < b->rows) && e->places[b->number[row]].entry != NONE)
        PREFETCH(&e->maps.moving[e->places[b->number[row]].map]);
}

/* Encode which header an event has; false: no memory. */
static inline bool encode_header(struct encoder *e, const struct packed *b, u32 row, struct progress *p)
{
    struct event_columns *c = &e->columns;
    struct place place = e->places[b->number[row]];
    if (RARE(place.entry == NONE))
        return enter_header(e, b, b->number[row], row, p);
    struct moving *moving = &e->maps.moving[place.map];
    c->flagged[row] = moving->clean != place.entry;
    if (RARE(c->flagged[row])) {
        c->reference[p->flagged++] = place.entry + 1;
        follow_entry(moving, &e->maps.headers[place.map], &c->entries[place.entry], place.entry);
    }
    return true;
}

static inline void encode_counts(struct encoder *e, const struct packed *b, u32 row, u32 m)
{
    struct event_columns *c = &e->columns;
    struct moving *moving = &e->maps.moving[m];
    c->count[row] = zigzag32(b->count[row] - moving->count);
    c->overflow_count[row] = zigzag16((u16)(b->overflow_count[row] - moving->overflow_count));
    c->evacuated[row] = zigzag32(b->evacuated[row] - moving->evacuated);
    moving->count = expected_count(b->count[row], b->kind[row]);
    moving->overflow_count = b->overflow_count[row];
    moving->evacuated = b->evacuated[row];
}

static const char *encode_maps(struct encoder *e, const struct packed *b, struct progress *p)
{
    struct event_columns *c = &e->columns;
    u32 before = 0;
    for (u32 row = 0; row < b->rows; row++) {
        u32 h = b->number[row];
        if (RARE(h >= b->headers))
            return "an event names a header that is not there";
        if (LIKELY(b->rows - row > AHEAD) && LIKELY(b->number[row + AHEAD] < b->headers))
            fetch_map(e, b, row + AHEAD);
        if (RARE(!encode_header(e, b, row, p)))
            return no_memory_left;
        u32 m = e->places[h].map;
        encode_counts(e, b, row, m);
        c->map[row] = m;
        p->same_map += m == before;
        before = m;
    }
    return NULL;
}

/* Encode call, who and depth of each event; false: no memory. */
static bool encode_calls(struct encoder *e, const struct packed *b)
{
    struct event_columns *c = &e->columns;
    u64 last_who = 0;
    u32 who = 0;
    numbering_clear(&e->calls);
    numbering_clear(&e->whos);
    c->call_depths[0] = 0;
    for (u32 row = 0; row < b->rows; row++) {
        u64 call_word = b->stack_id[row] | (u64)b->kind[row] << 32 | (u64)b->point[row] << 40;
        u64 who_word = b->goid[row] | (u64)b->tid[row] << 32;
        u32 known = e->calls.count, call = number_of(&e->calls, call_word);
        if (who_word != last_who)
            who = number_of(&e->whos, who_word);
        if (call == NONE || who == NONE)
            return false;
        if (call >= known)
            c->call_depths[call] = 0;
        last_who = who_word;
        c->call[row] = call;
        c->who[row] = who;
        c->depth[row] = zigzag32(b->depth[row] - c->call_depths[call]);
        c->call_depths[call] = b->depth[row];
    }
    return true;
}

/* ---- the batch ---- */

static void make_steps(u32 *numbers, u32 count)
{
    u32 before = 0;
    for (u32 row = 0; row < count; row++) {
        u32 number = numbers[row];
        numbers[row] = zigzag32(number - before);
        before = number;
    }
}

static void put_batch(struct encoder *e, const struct packed *b, const struct progress *p)
{
    struct event_columns *c = &e->columns;
    struct bytes_out *out = &e->out;
    struct encoded_head head = {
        p->same_map > b->rows / 2, p->flagged, c->headers.count, p->entries, e->calls.count, e->whos.count};
    if (head.map_steps)
        make_steps(c->map, b->rows);
    put_bytes(out, &head, sizeof head);
    put_column(out, b->step, 4, b->rows);
    put_column(out, c->map, 4, b->rows);
    put_column(out, c->flagged, 1, b->rows);
    put_column(out, c->reference, 4, p->flagged);
    put_column(out, c->call, 4, b->rows);
    put_column(out, c->who, 4, b->rows);
    put_column(out, c->depth, 4, b->rows);
    put_column(out, c->count, 4, b->rows);
    put_column(out, c->overflow_count, 2, b->rows);
    put_column(out, c->evacuated, 4, b->rows);
    put_column(out, e->calls.words + 1, 8, head.calls - 1);
    put_column(out, e->whos.words + 1, 8, head.whos - 1);
    put_column(out, c->headers.masks, 2, c->headers.count);
    for (u32 field = 0; field < HEADER_FIELDS; field++)
        put_column(out, c->headers.fields[field], 8, c->headers.lengths[field]);
}

const char *encode(struct encoder *e, const struct packed *b, bool *is_full, const u8 **bytes, u64 *length)
{
    struct new_headers *headers = &e->columns.headers;
    struct progress p = {.batch = ++e->batch};
    u32 since_full = e->since_full % FULL_EVERY;
    if (b->rows > MOST_VALUES)
        return "a batch has too many events";
    if (since_full == 0 && !forget(e))
        return no_memory_left;
    e->since_full = 0; /* if this batch fails, the next one is full */
    e->out.has_failed = false;
    e->out.length = 0;
    headers->count = 0;
    headers->map_addr = headers->array_addr = 0;
    memset(headers->lengths, 0, sizeof headers->lengths);
    for (u32 h = 0; h < b->headers && h < MOST_VALUES; h++)
        e->places[h] = (struct place){NONE, NONE};
    const char *wrong = encode_maps(e, b, &p);
    if (wrong == NULL && !encode_calls(e, b))
        wrong = no_memory_left;
    if (wrong != NULL)
        return wrong;
    put_batch(e, b, &p);
    if (e->out.has_failed)
        return no_memory_left;
    e->since_full = since_full + 1;
    *is_full = since_full == 0;
    *bytes = e->out.data;
    *length = e->out.length;
    return NULL;
}
