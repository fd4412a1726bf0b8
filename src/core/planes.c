/* Columns split by byte, and their planes packed by bits. */
#include "planes.h"

#include <stdlib.h>
#include <string.h>

#define ODD_BYTES 3u /* bytes for a value that does not fit: its row and itself */

/* ---- bytes ---- */

static bool make_room_for(struct bytes_out *out, u64 length)
{
    if (out->has_failed)
        return false;
    if (length <= out->room - out->length)
        return true;
    u64 room = 2 * out->room + length;
    u8 *data = realloc(out->data, room);
    if (data == NULL) {
        out->has_failed = true;
        return false;
    }
    out->data = data;
    out->room = room;
    return true;
}

void put_bytes(struct bytes_out *out, const void *bytes, u64 length)
{
    if (length == 0 || !make_room_for(out, length))
        return;
    memcpy(out->data + out->length, bytes, length);
    out->length += length;
}

/* Take the next bytes; NULL: fewer than `length` are left. */
static const u8 *take_bytes(struct bytes_in *in, u64 length)
{
    if (in->has_failed || length > (u64)(in->end - in->at)) {
        in->has_failed = true;
        return NULL;
    }
    const u8 *bytes = in->at;
    in->at += length;
    return bytes;
}

void get_bytes(struct bytes_in *in, void *bytes, u64 length)
{
    const u8 *from = take_bytes(in, length);
    if (from != NULL)
        memcpy(bytes, from, length);
    else
        memset(bytes, 0, length);
}

/* ---- one plane ---- */

static inline __attribute__((always_inline)) void pack_sized(const u8 *values, u32 groups, u32 bits, u8 *out)
{
    for (u32 group = 0; group < groups; group++, values += 8, out += bits) {
        u64 word = 0;
        for (u32 n = 0; n < 8; n++)
            word |= (u64)values[n] << n * bits;
        memcpy(out, &word, bits);
    }
}

static inline __attribute__((always_inline)) void unpack_sized(const u8 *in, u32 groups, u32 bits, u8 base, u8 *values)
{
    for (u32 group = 0; group < groups; group++, in += bits, values += 8) {
        u64 word = 0;
        memcpy(&word, in, bits);
        for (u32 n = 0; n < 8; n++)
            values[n] = (u8)((word >> n * bits & ((1u << bits) - 1)) + base);
    }
}

static void pack_bits(const u8 *values, u32 groups, u32 bits, u8 *out)
{
    switch (bits) {
    case 1:
        pack_sized(values, groups, 1, out);
        break;
    case 2:
        pack_sized(values, groups, 2, out);
        break;
    case 3:
        pack_sized(values, groups, 3, out);
        break;
    case 4:
        pack_sized(values, groups, 4, out);
        break;
    case 5:
        pack_sized(values, groups, 5, out);
        break;
    case 6:
        pack_sized(values, groups, 6, out);
        break;
    case 7:
        pack_sized(values, groups, 7, out);
        break;
    }
}

static void unpack_bits(const u8 *in, u32 groups, u32 bits, u8 base, u8 *values)
{
    switch (bits) {
    case 1:
        unpack_sized(in, groups, 1, base, values);
        break;
    case 2:
        unpack_sized(in, groups, 2, base, values);
        break;
    case 3:
        unpack_sized(in, groups, 3, base, values);
        break;
    case 4:
        unpack_sized(in, groups, 4, base, values);
        break;
    case 5:
        unpack_sized(in, groups, 5, base, values);
        break;
    case 6:
        unpack_sized(in, groups, 6, base, values);
        break;
    case 7:
        unpack_sized(in, groups, 7, base, values);
        break;
    }
}

struct width {
    u32 bits, base, odd;
};

/* Return the number of bits and the base with which a plane takes the fewest bytes. For each number of bits, the
 * base is best from which on 1 << bits consecutive values occur most often in the plane. */
static struct width narrowest(const u8 *values, u32 count)
{
    u32 found[4][256] = {{0}}, before[257] = {0}; /* four tables: increments of one counter would wait for each other */
    u32 n = 0;
    for (; n + 4 <= count; n += 4)
        for (u32 lane = 0; lane < 4; lane++)
            found[lane][values[n + lane]]++;
    for (; n < count; n++)
        found[0][values[n]]++;
    for (u32 value = 0; value < 256; value++)
        before[value + 1] = before[value] + found[0][value] + found[1][value] + found[2][value] + found[3][value];
    struct width best = {8, 0, 0};
    u64 least = count;
    for (u32 bits = 0; bits < 8; bits++) {
        u32 most = 0, base = 0;
        for (u32 from = 0; from + (1u << bits) <= 256; from++)
            if (before[from + (1u << bits)] - before[from] > most) {
                most = before[from + (1u << bits)] - before[from];
                base = from;
            }
        u64 size = ((u64)count + 7) / 8 * bits + (u64)ODD_BYTES * (count - most);
        if (size < least) {
            least = size;
            best = (struct width){bits, base, count - most};
        }
    }
    return best;
}

/* Write rows and values of the odd values to `out`, and put 0 in their place. The base is already subtracted from the
 * values of the plane. The plane ends in zeros, so that it can be looked at eight values at a time. */
static void take_out_odd(u8 *values, u64 groups, struct width width, u8 *out)
{
    u8 *rows = out, *odd = out + 2 * (u64)width.odd;
    u64 odd_bits = 0x0101010101010101ull * (0xFFu >> width.bits << width.bits & 0xFF);
    for (u64 group = 0; group < groups; group++) {
        u64 eight;
        memcpy(&eight, values + 8 * group, 8);
        if (LIKELY((eight & odd_bits) == 0))
            continue;
        for (u64 n = 8 * group; n < 8 * group + 8; n++) {
            if (!(values[n] >> width.bits))
                continue;
            u16 row = (u16)n;
            memcpy(rows, &row, 2);
            rows += 2;
            *odd++ = (u8)(values[n] + width.base);
            values[n] = 0;
        }
    }
}

/* Write out->plane; this destroys the values in it. */
static void put_plane(struct bytes_out *out, u32 count)
{
    struct width width = narrowest(out->plane, count);
    u64 groups = ((u64)count + 7) / 8, odd_bytes = (u64)ODD_BYTES * width.odd;
    u64 bytes = width.bits == 8 ? count : groups * width.bits;
    if (!make_room_for(out, 4 + odd_bytes + bytes))
        return;
    u8 *at = out->data + out->length;
    u16 odd = (u16)width.odd;
    at[0] = (u8)width.bits;
    at[1] = (u8)width.base;
    memcpy(at + 2, &odd, 2);
    if (width.bits == 8) {
        memcpy(at + 4, out->plane, count);
    } else {
        for (u32 n = 0; n < count; n++)
            out->plane[n] = (u8)(out->plane[n] - width.base);
        memset(out->plane + count, 0, 8 * groups - count);
        if (width.odd != 0)
            take_out_odd(out->plane, groups, width, at + 4);
        pack_bits(out->plane, (u32)groups, width.bits, at + 4 + odd_bytes);
    }
    out->length += 4 + odd_bytes + bytes;
}

/* Read a plane into in->plane. */
static void get_plane(struct bytes_in *in, u32 count)
{
    u8 head[4];
    get_bytes(in, head, sizeof head);
    u16 odd;
    memcpy(&odd, head + 2, 2);
    u32 bits = head[0];
    u64 groups = ((u64)count + 7) / 8;
    const u8 *odd_rows = take_bytes(in, (u64)ODD_BYTES * odd);
    const u8 *packed = take_bytes(in, bits == 8 ? count : groups * bits);
    if (in->has_failed || bits > 8) {
        in->has_failed = true;
        return;
    }
    if (bits == 8)
        memcpy(in->plane, packed, count);
    else if (bits == 0)
        memset(in->plane, head[1], count);
    else
        unpack_bits(packed, (u32)groups, bits, head[1], in->plane);
    for (u32 n = 0; n < odd; n++) {
        u16 row;
        memcpy(&row, odd_rows + 2 * n, 2);
        if (RARE(row >= count)) {
            in->has_failed = true;
            return;
        }
        in->plane[row] = odd_rows[2 * (u64)odd + n];
    }
}

/* ---- columns ---- */

#define SPLIT_OF(type)                                                                                                 \
    do {                                                                                                               \
        const type *from = values;                                                                                     \
        for (u32 n = 0; n < count; n++)                                                                                \
            plane[n] = (u8)(from[n] >> 8 * number);                                                                    \
    } while (0)

static void split(const void *values, u32 item_bytes, u32 count, u32 number, u8 *plane)
{
    switch (item_bytes) {
    case 1:
        memcpy(plane, values, count);
        break;
    case 2:
        SPLIT_OF(u16);
        break;
    case 4:
        SPLIT_OF(u32);
        break;
    default:
        SPLIT_OF(u64);
    }
}

#define JOIN_OF(type)                                                                                                  \
    do {                                                                                                               \
        type *to = values;                                                                                             \
        for (u32 n = 0; n < count; n++)                                                                                \
            to[n] = (type)(to[n] | (type)((type)plane[n] << 8 * number));                                              \
    } while (0)

static void join(void *values, u32 item_bytes, u32 count, u32 number, const u8 *plane)
{
    switch (item_bytes) {
    case 1:
        memcpy(values, plane, count);
        break;
    case 2:
        JOIN_OF(u16);
        break;
    case 4:
        JOIN_OF(u32);
        break;
    default:
        JOIN_OF(u64);
    }
}

#define ALL_OF(type)                                                                                                   \
    do {                                                                                                               \
        const type *from = values;                                                                                     \
        type all_bits = 0;                                                                                             \
        for (u32 n = 0; n < count; n++)                                                                                \
            all_bits |= from[n];                                                                                       \
        all = all_bits;                                                                                                \
    } while (0)

/* The planes that have a value other than 0, as bits. */
static u8 planes_of(const void *values, u32 item_bytes, u32 count)
{
    u64 all = 0;
    u8 planes = 0;
    switch (item_bytes) {
    case 1:
        ALL_OF(u8);
        break;
    case 2:
        ALL_OF(u16);
        break;
    case 4:
        ALL_OF(u32);
        break;
    default:
        ALL_OF(u64);
    }
    for (u32 number = 0; number < item_bytes; number++)
        planes |= (u8)((all >> 8 * number & 0xFF ? 1u : 0u) << number);
    return planes;
}

void put_column(struct bytes_out *out, const void *values, u32 item_bytes, u32 count)
{
    u8 planes = planes_of(values, item_bytes, count);
    put_bytes(out, &planes, 1);
    for (u32 number = 0; number < item_bytes; number++)
        if (planes >> number & 1) {
            split(values, item_bytes, count, number, out->plane);
            put_plane(out, count);
        }
}

void get_column(struct bytes_in *in, void *values, u32 item_bytes, u32 count)
{
    u8 planes;
    get_bytes(in, &planes, 1);
    memset(values, 0, (u64)count * item_bytes);
    in->has_failed |= planes >> (item_bytes - 1) >> 1 != 0;
    for (u32 number = 0; number < item_bytes && !in->has_failed; number++)
        if (planes >> number & 1) {
            get_plane(in, count);
            if (!in->has_failed)
                join(values, item_bytes, count, number, in->plane);
        }
}
