#include "walk.h"

#include <stdlib.h>
#include <string.h>

/* Read from an address up to the first hole. False: the process can't be read any more. */
static bool read_some(const struct source *s, u64 addr, u64 length, u8 *to, u64 *got)
{
    if (!s->read(s->context, addr, length, to, got))
        return false;
    if (*got > length)
        *got = length;
    return true;
}

bool read_stretch(const struct source *s, u64 addr, u64 length, u8 *to, u8 *is_there)
{
    const u64 first_page = addr / READ_PAGE;
    if (length == 0)
        return true;
    if (is_there != NULL)
        memset(is_there, true, (addr + length - 1) / READ_PAGE - first_page + 1);
    for (u64 at = 0; at < length;) {
        u64 got;
        if (!read_some(s, addr + at, length - at, to + at, &got))
            return false;
        at += got;
        if (at == length)
            break;
        const u64 page = (addr + at) / READ_PAGE, behind = (page + 1) * READ_PAGE - addr;
        const u64 end = behind < length ? behind : length;
        memset(to + at, 0, end - at);
        if (is_there != NULL)
            is_there[page - first_page] = false;
        at = end;
    }
    return true;
}

bool read_blocks(const struct source *s, const u64 *addrs, u64 count, u64 bytes, u8 *to)
{
    for (u64 n = 0; n < count;) {
        u64 end = n + 1;
        while (end < count && addrs[end] == addrs[end - 1] + bytes)
            end++;
        if (!is_readable(addrs[n]))
            memset(to + n * bytes, 0, (end - n) * bytes);
        else if (!read_stretch(s, addrs[n], (end - n) * bytes, to + n * bytes, NULL))
            return false;
        n = end;
    }
    return true;
}

/* ---- words at many addresses ---- */

/* Sorted addresses, the row of each, and the end of each run of addresses that are read together. */
struct arranged {
    u64 *addrs;
    i64 *rows, *ends;
    u64 count, runs;
};

static void drop_arranged(struct arranged *a) { free(a->addrs); }

static bool arrange(const u64 *addrs, u64 count, const struct run_limits *limits, struct arranged *a)
{
    *a = (struct arranged){.addrs = malloc((count + 1) * 3 * sizeof *a->addrs)};
    if (a->addrs == NULL)
        return false;
    a->rows = (i64 *)(a->addrs + count);
    a->ends = a->rows + count;
    a->count = sort_addresses(addrs, count, a->addrs, a->rows);
    if (a->count == NONE) {
        drop_arranged(a);
        return false;
    }
    a->runs = find_runs(a->addrs, a->count, limits, a->ends);
    return true;
}

/* The number of sorted addresses below a limit. */
static u64 count_below(const u64 *sorted, u64 count, u64 limit)
{
    u64 low = 0, high = count;
    while (low < high) {
        const u64 middle = (low + high) / 2;
        if (sorted[middle] < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Gather the words at the addresses of one run. A read ends at a hole; the next read begins at the first address after
 * the hole. */
static bool read_run(const struct source *s, struct gathering g, const struct words_found *found)
{
    const u64 bytes = 8 * g.count, total = g.length;
    const u64 *addrs = g.addrs;
    const i64 *rows = g.rows;
    for (u64 start = 0; start < total;) {
        u64 wanted = addrs[total - 1] - addrs[start] + bytes, got = 0, whole = start;
        if (wanted > s->room)
            wanted = s->room;
        g.base = addrs[start];
        if (!read_some(s, g.base, wanted, s->buffer, &got))
            return false;
        if (got >= bytes)
            whole += count_below(addrs + start, total - start, g.base + got - bytes + 1);
        g.addrs = addrs + start, g.rows = rows + start, g.length = whole - start;
        gather_words(&g, found->words, found->known);
        if (whole == start) { /* the first address is in a hole, and so are all others before the next page */
            const u64 hole_end = ((g.base + got) / READ_PAGE + 1) * READ_PAGE;
            const u64 before = count_below(addrs + start, total - start, hole_end);
            whole = start + (before > 1 ? before : 1);
        }
        start = whole;
    }
    return true;
}

bool read_words(const struct source *s, const u64 *addrs, u64 count, const struct words_found *found)
{
    struct arranged a;
    const struct run_limits limits = {8 * found->width, s->gap, s->room};
    if (!arrange(addrs, count, &limits, &a))
        return false;
    bool is_read = true;
    u64 start = 0;
    for (u64 run = 0; run < a.runs && is_read; run++) {
        const u64 end = (u64)a.ends[run];
        const struct gathering g = {.words = (const u64 *)s->buffer,
                                    .addrs = a.addrs + start,
                                    .rows = a.rows + start,
                                    .length = end - start,
                                    .count = found->width};
        is_read = read_run(s, g, found);
        start = end;
    }
    drop_arranged(&a);
    return is_read;
}

/* ---- buckets of many arrays ---- */

/* A place in the sorted arrays: an array, and one of its buckets. */
struct cursor {
    u64 array, bucket;
};

struct walked {
    const struct bucket_arrays *arrays;
    const u64 *sorted;
    const i64 *rows;
    u64 count;
};

/* How many buckets of the cursor's array, from the cursor on, end within `room` bytes of `base`. */
static u64 fitting(const struct walked *w, struct cursor at, u64 base, u64 room)
{
    const i64 row = w->rows[at.array];
    const u64 size = (u64)w->arrays->sizes[row], rest = (u64)w->arrays->buckets[row] - at.bucket;
    const u64 start = w->sorted[at.array] + at.bucket * size - base;
    if (start > room || room - start < size)
        return 0;
    const u64 most = (room - start) / size;
    return rest < most ? rest : most;
}

/* Find the end of the run that begins at a cursor: return its cursor, and set *length to the bytes of the run. */
static struct cursor find_end(const struct walked *w, const struct source *s, struct cursor at, u64 *length)
{
    const u64 base = w->sorted[at.array] + at.bucket * (u64)w->arrays->sizes[w->rows[at.array]];
    *length = 0;
    while (at.array < w->count) {
        const i64 row = w->rows[at.array];
        const u64 size = (u64)w->arrays->sizes[row], start = w->sorted[at.array] + at.bucket * size;
        if (start < base || (start > base + *length && start - base - *length > s->gap))
            break;
        const u64 taken = fitting(w, at, base, s->room);
        const u64 end = start + taken * size - base;
        if (taken != 0 && end > *length)
            *length = end;
        at.bucket += taken;
        if (at.bucket != (u64)w->arrays->buckets[row])
            break;
        at = (struct cursor){at.array + 1, 0};
    }
    return at;
}

/* Pass the buckets between two cursors, which were read, to the visitor. */
static bool show(const struct walked *w, struct cursor at, struct cursor end, const struct run_read *run,
                 const struct visitor *v)
{
    while (at.array < end.array || (at.array == end.array && at.bucket < end.bucket)) {
        const i64 row = w->rows[at.array];
        const u64 size = (u64)w->arrays->sizes[row];
        const u64 last = at.array < end.array ? (u64)w->arrays->buckets[row] : end.bucket;
        const struct piece piece = {(u64)row, at.bucket, last - at.bucket, size,
                                    w->sorted[at.array] + at.bucket * size - run->base};
        if (!v->visit(v->context, run, &piece))
            return false;
        at = (struct cursor){at.array + 1, 0};
    }
    return true;
}

static bool walk_sorted(const struct walked *w, const struct source *s, u8 *is_there, const struct visitor *v)
{
    struct cursor at = {0, 0};
    while (at.array < w->count) {
        u64 length;
        const struct cursor end = find_end(w, s, at, &length);
        const u64 base = w->sorted[at.array] + at.bucket * (u64)w->arrays->sizes[w->rows[at.array]];
        const struct run_read run = {s->buffer, is_there, base};
        if (length == 0 || !read_stretch(s, base, length, s->buffer, is_there) || !show(w, at, end, &run, v))
            return false;
        at = end;
    }
    return true;
}

bool walk_arrays(const struct source *s, const struct bucket_arrays *arrays, const struct visitor *v)
{
    struct arranged a = {.addrs = malloc((arrays->count + 1) * 2 * sizeof *a.addrs)};
    u8 *is_there = malloc(s->room / READ_PAGE + 2);
    bool is_read = a.addrs != NULL && is_there != NULL;
    if (is_read) {
        a.rows = (i64 *)(a.addrs + arrays->count);
        a.count = sort_addresses(arrays->addrs, arrays->count, a.addrs, a.rows);
        const struct walked w = {arrays, a.addrs, a.rows, a.count};
        is_read = a.count != NONE && walk_sorted(&w, s, is_there, v);
    }
    free(is_there);
    drop_arranged(&a);
    return is_read;
}
