/* A fuzzer of the decoder: any bytes are batches of a file. Some batches are made as a recorder makes them, and then a
 * few of their bytes are changed, so that they pass the first checks.
 *
 * A decoded batch names no header that does not exist. A batch that was encoded and not changed is decoded to the same
 * events; a batch that was decoded, encoded and decoded again is the same too. Each column is an allocation of its own,
 * so that AddressSanitizer sees reads past its end. */
#include "../encoding.h"
#include "input.h"

enum { MOST_ROWS = 512, MOST_BATCHES = 40 };

/* ---- batches in memory ---- */

static struct packed new_batch(u32 rows, u32 headers)
{
    return (struct packed){
        .rows = rows,
        .headers = headers,
        .step = column(rows, 4),
        .count = column(rows, 4),
        .evacuated = column(rows, 4),
        .goid = column(rows, 4),
        .tid = column(rows, 4),
        .stack_id = column(rows, 4),
        .depth = column(rows, 4),
        .number = column(rows, 2),
        .overflow_count = column(rows, 2),
        .kind = column(rows, 1),
        .point = column(rows, 1),
        .map_addr = column(headers, 8),
        .key_type = column(headers, 8),
        .seed = column(headers, 8),
        .array_addr = column(headers, 8),
        .old_array_addr = column(headers, 8),
        .stack_offset = column(headers, 4),
        .directory_length = column(headers, 4),
        .clear_seq = column(headers, 4),
        .step_high = column(headers, 4),
        .count_high = column(headers, 4),
        .goid_high = column(headers, 4),
        .type_id = column(headers, 4),
        .flags = column(headers, 1),
        .log2_size = column(headers, 1),
    };
}

static void free_batch(struct packed *b)
{
    void *all[] = {b->step,          b->count,      b->evacuated, b->goid,         b->tid,       b->stack_id,
                   b->depth,         b->number,     b->kind,      b->point,        b->map_addr,  b->key_type,
                   b->seed,          b->array_addr, b->type_id,   b->stack_offset, b->clear_seq, b->directory_length,
                   b->step_high,     b->count_high, b->goid_high, b->flags,        b->log2_size, b->old_array_addr,
                   b->overflow_count};
    for (size_t n = 0; n < sizeof all / sizeof *all; n++)
        free(all[n]);
}

/* ---- batches as a recorder makes them ---- */

static void make_headers(struct bytes *from, struct packed *b)
{
    for (u32 h = 0; h < b->headers; h++) {
        u8 odd = take(from);
        b->map_addr[h] = (take_number(from) % 32) * 64 + 0xc000000000;
        b->seed[h] = odd & 1 ? take_number(from) : b->map_addr[h];
        b->array_addr[h] = odd & 2 ? take_number(from) : b->map_addr[h] + 4096;
        b->old_array_addr[h] = odd & 4 ? take_number(from) : 0;
        b->key_type[h] = odd & 8 ? take_number(from) : 0;
        b->stack_offset[h] = odd & 16 ? (u32)take_number(from) : 0;
        b->directory_length[h] = odd & 32 ? (u32)take_number(from) : 0;
        b->clear_seq[h] = odd & 32 ? (u32)take_number(from) : 0;
        b->type_id[h] = odd & 64 ? (i32)take_number(from) : 0;
        b->flags[h] = odd & 64 ? take(from) : 0;
        b->log2_size[h] = odd & 64 ? take(from) : 0;
        b->step_high[h] = odd & 128 ? (u32)take_number(from) : 0;
        b->count_high[h] = odd & 128 ? (u32)take_number(from) : 0;
        b->goid_high[h] = odd & 128 ? (u32)take_number(from) : 0;
    }
}

static struct packed make_batch(struct bytes *from)
{
    u32 rows = (u32)(take_number(from) * 2 % MOST_ROWS);
    struct packed b = new_batch(rows, rows ? 1 + take(from) % rows : 0);
    make_headers(from, &b);
    for (u32 row = 0; row < rows; row++) {
        u8 odd = take(from);
        b.number[row] = (u16)(take(from) % b.headers);
        b.kind[row] = odd & 1 ? take(from) : EVENT_ASSIGN;
        b.point[row] = odd & 2 ? take(from) : 1;
        b.count[row] = odd & 4 ? (u32)take_number(from) : row;
        b.stack_id[row] = odd & 8 ? (u32)take_number(from) : 1;
        b.step[row] = (u32)take_number(from);
        b.goid[row] = odd & 16 ? (u32)take_number(from) : 7;
        b.tid[row] = odd & 16 ? (u32)take_number(from) : 8;
        b.depth[row] = odd & 32 ? (u32)take_number(from) : 256;
        b.evacuated[row] = odd & 64 ? (u32)take_number(from) : 0;
        b.overflow_count[row] = odd & 128 ? (u16)take_number(from) : 0;
    }
    return b;
}

/* ---- what must hold ---- */

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

/* Two batches have the same events; their headers may be numbered otherwise. */
static void must_be_equal(const struct packed *a, const struct packed *b)
{
    MUST(a->rows == b->rows);
    for (u32 row = 0; row < a->rows; row++) {
        const u32 g = a->number[row], h = b->number[row];
        MUST(a->step[row] == b->step[row] && a->count[row] == b->count[row] && a->evacuated[row] == b->evacuated[row]);
        MUST(a->goid[row] == b->goid[row] && a->tid[row] == b->tid[row] && a->stack_id[row] == b->stack_id[row]);
        MUST(a->depth[row] == b->depth[row] && a->overflow_count[row] == b->overflow_count[row]);
        MUST(a->kind[row] == b->kind[row] && a->point[row] == b->point[row]);
        MUST(a->map_addr[g] == b->map_addr[h] && a->key_type[g] == b->key_type[h] && a->seed[g] == b->seed[h]);
        MUST(a->array_addr[g] == b->array_addr[h] && a->old_array_addr[g] == b->old_array_addr[h]);
        MUST(a->stack_offset[g] == b->stack_offset[h] && a->directory_length[g] == b->directory_length[h]);
        MUST(a->clear_seq[g] == b->clear_seq[h] && a->type_id[g] == b->type_id[h]);
        MUST(a->flags[g] == b->flags[h] && a->log2_size[g] == b->log2_size[h]);
        MUST(a->step_high[g] == b->step_high[h] && a->count_high[g] == b->count_high[h]);
        MUST(a->goid_high[g] == b->goid_high[h]);
    }
}

/* Decode a batch; false: it is damaged. */
static bool read_batch(struct decoder *d, u32 rows, bool is_full, const u8 *bytes, u64 length, struct packed *found)
{
    u32 headers = 0;
    if (decode_begin(d, rows, is_full, bytes, length, &headers) != NULL)
        return false;
    *found = new_batch(rows, headers);
    if (decode(d, found) != NULL) {
        free_batch(found);
        return false;
    }
    for (u32 row = 0; row < rows; row++)
        MUST(found->number[row] < headers);
    return true;
}

/* Encode what was decoded, and decode that. */
static void read_again(const struct packed *batch)
{
    struct encoder *e = encoder_new();
    struct decoder *d = decoder_new();
    MUST(e != NULL && d != NULL);
    bool is_full = false;
    const u8 *bytes = NULL;
    u64 length = 0;
    MUST(encode(e, batch, &is_full, &bytes, &length) == NULL && is_full);
    struct packed again;
    MUST(read_batch(d, batch->rows, true, bytes, length, &again));
    must_be_equal(batch, &again);
    free_batch(&again);
    encoder_free(e);
    decoder_free(d);
}

/* A decoder, and the encoder whose batches it reads. */
struct pair {
    struct encoder *encoder;
    struct decoder *decoder;
    bool is_whole;       /* until now the decoder had each batch as it was made */
    bool was_read_again; /* once in a run: a new encoder and a new decoder take longer than all else */
};

/* Make a batch, change a few of its bytes or none, and decode it. */
static void read_made(struct bytes *from, struct pair *p)
{
    struct packed made = make_batch(from), found;
    bool is_full = false;
    const u8 *bytes = NULL;
    u64 length = 0;
    MUST(encode(p->encoder, &made, &is_full, &bytes, &length) == NULL);
    u8 *changed = column(length, 1);
    memcpy(changed, bytes, length);
    const u8 changes = take(from) % 4, cut = take(from);
    for (u8 n = 0; n < changes && length > 0; n++)
        changed[take_number(from) * 7 % length] ^= (u8)(1u << take(from) % 8);
    if (cut == 255 && length > 0)
        length--;
    p->is_whole = (p->is_whole || is_full) && changes == 0 && cut != 255;
    if (read_batch(p->decoder, made.rows, is_full, changed, length, &found)) {
        if (p->is_whole)
            must_be_equal(&made, &found);
        if (!p->was_read_again && take(from) % 4 == 0) {
            read_again(&found);
            p->was_read_again = true;
        }
        free_batch(&found);
    } else {
        MUST(!p->is_whole);
    }
    free(changed);
    free_batch(&made);
}

/* Decode bytes as they come. */
static void read_any(struct bytes *from, struct pair *p)
{
    const u32 rows = (u32)take_number(from) % (MOST_VALUES + 2);
    const bool is_full = take(from) & 1;
    u64 length = take_number(from) * 16, left = (u64)(from->end - from->next);
    length = length < left ? length : left;
    u8 *bytes = column(length, 1);
    memcpy(bytes, from->next, length);
    from->next += length;
    struct packed found;
    if (read_batch(p->decoder, rows, is_full, bytes, length, &found))
        free_batch(&found);
    p->is_whole = false;
    free(bytes);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct bytes from = {data, data + size};
    struct pair p = {encoder_new(), decoder_new(), true, false};
    MUST(p.encoder != NULL && p.decoder != NULL);
    for (int n = 0; n < MOST_BATCHES && from.next < from.end; n++) {
        if (take(&from) % 8 == 7)
            read_any(&from, &p);
        else
            read_made(&from, &p);
    }
    encoder_free(p.encoder);
    decoder_free(p.decoder);
    return 0;
}
