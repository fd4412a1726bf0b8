/* Columns of packed events: found distinct, joined, gathered. */
#include "codec.h"

#include "headerwords.h"
#include "packer.h"
#include "zigzag.h"

#include <stdlib.h>
#include <string.h>

/* ---- distinct rows ---- */

static u64 value_at(const struct column *column, u64 row)
{
    u64 value = 0; /* little endian: the bytes that are not copied are 0 */
    memcpy(&value, (const u8 *)column->values + row * column->item_bytes, column->item_bytes);
    return value;
}

static void mix_values(const struct column *column, u32 rows, u64 multiplier, u64 *digests)
{
#define MIX_OF(type)                                                                                                   \
    do {                                                                                                               \
        const type *values = column->values;                                                                           \
        for (u32 row = 0; row < rows; row++) {                                                                         \
            u64 mixed = (digests[row] ^ values[row]) * multiplier;                                                     \
            digests[row] = mixed ^ mixed >> 29;                                                                        \
        }                                                                                                              \
    } while (0)
    switch (column->item_bytes) {
    case 1:
        MIX_OF(u8);
        break;
    case 2:
        MIX_OF(u16);
        break;
    case 4:
        MIX_OF(u32);
        break;
    default:
        MIX_OF(u64);
    }
#undef MIX_OF
}

static bool is_constant(const struct column *column, u32 rows)
{
    const u8 *values = column->values;
    u64 bytes = (u64)rows * column->item_bytes;
    return rows == 0 || memcmp(values, values + column->item_bytes, bytes - column->item_bytes) == 0;
}

static bool are_equal(const struct column *columns, u32 count, u64 a, u64 b)
{
    for (u32 n = 0; n < count; n++)
        if (value_at(&columns[n], a) != value_at(&columns[n], b))
            return false;
    return true;
}

/* Number the rows by their digests. index has mask + 1 places; each holds a number + 1, or 0 if it is free. */
static u32 number_rows(const struct column *columns, u32 count, u32 rows, const u64 *digests, u32 *index, u32 mask,
                       i64 *first, i32 *number)
{
    u32 distinct = 0;
    for (u32 row = 0; row < rows; row++) {
        if (row != 0 && digests[row] == digests[row - 1] && are_equal(columns, count, row - 1, row)) {
            number[row] = number[row - 1];
            continue;
        }
        u32 place = (u32)(digests[row] >> 20) & mask;
        while (index[place] != 0 && (digests[first[index[place] - 1]] != digests[row] ||
                                     !are_equal(columns, count, (u64)first[index[place] - 1], row)))
            place = (place + 1) & mask;
        if (index[place] == 0) {
            first[distinct] = row;
            index[place] = ++distinct;
        }
        number[row] = (i32)index[place] - 1;
    }
    return distinct;
}

u32 distinct_rows(const struct column *columns, u32 column_count, u32 rows, u64 multiplier, i64 *first, i32 *number)
{
    struct column varied[MOST_COLUMNS];
    u32 count = 0;
    for (u32 n = 0; n < column_count; n++)
        if (!is_constant(&columns[n], rows))
            varied[count++] = columns[n];
    u64 places = 16;
    while (places < 2 * (u64)rows)
        places *= 2;
    u64 *digests = calloc(rows ? rows : 1, sizeof *digests);
    u32 *index = calloc(places, sizeof *index);
    u32 distinct = NONE;
    if (digests != NULL && index != NULL) {
        for (u32 n = 0; n < count; n++)
            mix_values(&varied[n], rows, multiplier, digests);
        distinct = number_rows(varied, count, rows, digests, index, (u32)(places - 1), first, number);
    }
    free(digests);
    free(index);
    return distinct;
}

/* ---- halves ---- */

bool join_halves(const struct halves *h, u64 *whole)
{
    for (u64 i = 0; i < h->rows; i++) {
        if (RARE(h->number[i] >= h->headers))
            return false;
        whole[i] = h->low[i] | (u64)h->high[h->number[i]] << 32;
    }
    return true;
}

bool sum_steps(const struct halves *h, u64 *time_ns)
{
    u64 at = 0;
    for (u64 i = 0; i < h->rows; i++) {
        if (RARE(h->number[i] >= h->headers))
            return false;
        at += unzigzag64(h->low[i] | (u64)h->high[h->number[i]] << 32);
        time_ns[i] = at;
    }
    return true;
}

bool gather(const struct column *values, u64 headers, const u16 *number, u64 rows, void *out)
{
#define GATHER_OF(type)                                                                                                \
    do {                                                                                                               \
        const type *from = values->values;                                                                             \
        type *to = out;                                                                                                \
        for (u64 i = 0; i < rows; i++)                                                                                 \
            to[i] = from[number[i]];                                                                                   \
    } while (0)
    for (u64 i = 0; i < rows; i++)
        if (RARE(number[i] >= headers))
            return false;
    switch (values->item_bytes) {
    case 1:
        GATHER_OF(u8);
        break;
    case 2:
        GATHER_OF(u16);
        break;
    case 4:
        GATHER_OF(u32);
        break;
    default:
        GATHER_OF(u64);
    }
#undef GATHER_OF
    return true;
}

/* ---- headers of a packed batch ---- */

u32 header_column_bytes(enum header_column column)
{
    switch (column) {
    case COLUMN_MAP_ADDR:
    case COLUMN_KEY_TYPE:
    case COLUMN_SEED:
    case COLUMN_ARRAY_ADDR:
    case COLUMN_OLD_ARRAY_ADDR:
        return 8;
    case COLUMN_FLAGS:
    case COLUMN_LOG2_SIZE:
        return 1;
    default:
        return 4;
    }
}

static u64 value_of(const struct packer *p, const struct packed_header *h, enum header_column column,
                    const i32 *type_ids)
{
    const u64 *words = h->key.words;
    switch (column) {
    case COLUMN_MAP_ADDR:
        return p->maps[h->map].addr;
    case COLUMN_STACK_OFFSET:
        return p->maps[h->map].stack_offset;
    case COLUMN_TYPE_ID:
        return (u32)type_ids[h->type];
    case COLUMN_KEY_TYPE:
        return h->key.key_type;
    case COLUMN_SEED:
        return seed_of(p->is_classic, words);
    case COLUMN_ARRAY_ADDR:
        return array_addr_of(words);
    case COLUMN_OLD_ARRAY_ADDR:
        return old_array_addr_of(p->is_classic, words);
    case COLUMN_FLAGS:
        return flags_of(p->is_classic, words);
    case COLUMN_LOG2_SIZE:
        return log2_size_of(p->is_classic, words);
    case COLUMN_DIRECTORY_LENGTH:
        return directory_length_of(p->is_classic, words);
    case COLUMN_CLEAR_SEQ:
        return clear_seq_of(p->is_classic, words);
    case COLUMN_STEP_HIGH:
        return h->key.step_high;
    case COLUMN_COUNT_HIGH:
        return h->key.count_high;
    default:
        return h->key.goid_high;
    }
}

void write_header_column(const struct packer *p, enum header_column column, const i32 *type_ids, void *out)
{
    u32 bytes = header_column_bytes(column);
    u8 *at = out;
    for (u32 n = 0; n < p->headers; n++, at += bytes) {
        u64 value = value_of(p, &p->header[n], column, type_ids);
        memcpy(at, &value, bytes); /* little endian: the low bytes */
    }
}
