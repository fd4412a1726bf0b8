/* The memory of a world: arenas, and the runs of buckets and directory slots that are taken from them.
 *
 * An arena is an address range that is reserved once, and made usable from its start on as rows are needed. Reserving
 * takes no memory; the first use of a row takes its page. So an arena grows without copying anything. */
#define _GNU_SOURCE
#include "core.h"

#include "poison.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

enum {
    FIRST_STEP = 1 << 16,  /* bytes that are made usable at first */
    FIRST_INDEX_LOG2 = 12, /* keys of the index at first */
};
#define MOST_ROWS ((u64)NONE) /* the number of a row has 32 bits; NONE is no row's number */

static const u64 row_bytes[ARENAS] = {
    [ARENA_MAPS] = sizeof(struct map),
    [ARENA_SHAPES] = sizeof(struct shape),
    [ARENA_CHAINS] = sizeof(struct chains),
    [ARENA_FACTS] = sizeof(struct fact),
    [ARENA_EXTRAS] = sizeof(struct extra),
    [ARENA_BUCKETS] = sizeof(struct bucket),
    [ARENA_KEYS] = sizeof(struct bucket_keys),
    [ARENA_LISTED] = sizeof(u32),
    [ARENA_PARTS] = sizeof(u32),
    [ARENA_TABLES] = sizeof(struct table),
    [ARENA_DIRECTORY] = sizeof(u32),
};

_Static_assert(sizeof(struct map) == 64, "a map is a line");
_Static_assert(sizeof(struct shape) == 16, "a shape is a quarter of a line");
_Static_assert(sizeof(struct chains) == 32, "chains are half a line");
_Static_assert(sizeof(struct fact) == 64, "a fact is a line");
_Static_assert(sizeof(struct extra) == 64, "an extra is a line");
_Static_assert(sizeof(struct bucket) == 128, "a bucket is two lines");
_Static_assert(sizeof(struct table) == 16, "a table is a quarter of a line");

static u64 physical_bytes(void) { return (u64)sysconf(_SC_PHYS_PAGES) * (u64)sysconf(_SC_PAGESIZE); }

static u64 arena_bytes(u64 rows, u64 bytes_of_row)
{
    u64 page = (u64)sysconf(_SC_PAGESIZE);
    return (rows * bytes_of_row + page - 1) / page * page;
}

/* Map addresses that begin at a huge page; NULL: there are not enough addresses. */
static u8 *map_addresses(u64 bytes, int protection)
{
    u8 *base = mmap(NULL, bytes + HUGE_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    u64 before = -(uintptr_t)base % HUGE_PAGE;
    if (before != 0)
        munmap(base, before);
    munmap(base + before + bytes, HUGE_PAGE - before);
    return base + before;
}

/* Reserve the rows that fit into most_bytes; false: there are not enough addresses. */
static bool reserve(struct arena *a, u64 bytes_of_row, u64 most_bytes)
{
    u64 rows = most_bytes / bytes_of_row < MOST_ROWS ? most_bytes / bytes_of_row : MOST_ROWS;
    u8 *base = map_addresses(arena_bytes(rows, bytes_of_row), PROT_NONE);
    *a = (struct arena){base, bytes_of_row, 0, rows};
    return base != NULL;
}

static void release(struct arena *a)
{
    if (a->base == NULL)
        return;
    UNPOISON(a->base, a->rows * a->row_bytes); /* another mapping may get these addresses */
    munmap(a->base, arena_bytes(a->most_rows, a->row_bytes));
    a->base = NULL;
}

/* Reserve all arenas, each as large as the machine's memory. If addresses are limited (ulimit -v), halve the arenas
 * until they fit and leave the rest of the process as many addresses as one arena has. */
static bool reserve_all(struct world *w)
{
    for (u64 most = w->most_bytes; most >= FIRST_STEP; most /= 2) {
        struct arena others = {0};
        bool is_whole = true;
        for (int n = 0; n < ARENAS && is_whole; n++)
            is_whole = reserve(&w->arenas[n], row_bytes[n], most);
        is_whole = is_whole && reserve(&others, 1, most);
        release(&others);
        if (is_whole)
            return true;
        for (int n = 0; n < ARENAS; n++)
            release(&w->arenas[n]);
    }
    return false;
}

/* Make at least the first `rows` rows of an arena usable; false if that is impossible. */
static bool extend(struct arena *a, u64 rows)
{
    if (rows <= a->rows)
        return true;
    if (rows > a->most_rows)
        return false;
    u64 page = (u64)sysconf(_SC_PAGESIZE), usable = a->rows * a->row_bytes, most = a->most_rows * a->row_bytes;
    u64 wanted = rows * a->row_bytes, step = 2 * usable > FIRST_STEP ? 2 * usable : FIRST_STEP;
    if (wanted < step)
        wanted = step;
    if (wanted >= HUGE_PAGE)
        page = HUGE_PAGE;
    wanted = (wanted + page - 1) / page * page;
    if (wanted > most)
        wanted = most;
    if (mprotect(a->base, wanted, PROT_READ | PROT_WRITE) != 0)
        return false;
    /* Hints to the kernel, for speed only: with small pages an operation on a map of 100,000 entries waited longer for
     * the address translation than for its bucket. */
    if (wanted >= HUGE_PAGE)
        madvise(a->base, wanted, MADV_HUGEPAGE);
    if (wanted >= HUGE_PAGE && usable != 0 && usable < HUGE_PAGE)
        madvise(a->base, HUGE_PAGE, MADV_COLLAPSE); /* turn the small pages of the start into a huge one */
    POISON(a->base + usable, wanted - usable); /* until rows are taken */
    a->rows = wanted / a->row_bytes;
    return true;
}

/* A large index gets pages of its own: new pages are zero, so the index need not be cleared. */
struct index_slot *new_index(u64 slots)
{
    u64 bytes = slots * sizeof(struct index_slot);
    if (bytes < 2 * HUGE_PAGE)
        return calloc(slots, sizeof(struct index_slot));
    u8 *index = map_addresses(bytes, PROT_READ | PROT_WRITE);
    if (index != NULL)
        madvise(index, bytes, MADV_HUGEPAGE); /* a hint, for speed only */
    return (struct index_slot *)index;
}

void free_index(struct index_slot *index, u64 slots)
{
    u64 bytes = slots * sizeof *index;
    if (bytes < 2 * HUGE_PAGE)
        free(index);
    else
        munmap(index, bytes);
}

static bool extend_all(struct world *w, u64 maps, u64 buckets, u64 tables, u64 directory)
{
    const u64 rows[ARENAS] = {
        [ARENA_MAPS] = maps,     [ARENA_SHAPES] = maps,     [ARENA_CHAINS] = maps,         [ARENA_FACTS] = maps,
        [ARENA_EXTRAS] = maps,   [ARENA_BUCKETS] = buckets, [ARENA_KEYS] = buckets,        [ARENA_LISTED] = buckets,
        [ARENA_PARTS] = buckets, [ARENA_TABLES] = tables,   [ARENA_DIRECTORY] = directory,
    };
    w->usable_bytes = 0;
    /* checked here, as the system gives out more memory than it has, and kills the process that uses it */
    for (int n = 0; n < ARENAS; n++)
        if (n != ARENA_KEYS || w->has_key_types)
            w->usable_bytes += rows[n] * row_bytes[n];
    if (w->usable_bytes > w->most_bytes)
        return false;
    for (int n = 0; n < ARENAS; n++)
        if (!extend(&w->arenas[n], rows[n]))
            return false;
    return true;
}

static u64 least_rows(const struct world *w, int first, int last)
{
    u64 rows = w->arenas[first].rows;
    for (int n = first + 1; n <= last; n++)
        if (w->arenas[n].rows < rows)
            rows = w->arenas[n].rows;
    return rows;
}

static void note_room(struct world *w)
{
    w->maps = (void *)w->arenas[ARENA_MAPS].base;
    w->shapes = (void *)w->arenas[ARENA_SHAPES].base;
    w->chains = (void *)w->arenas[ARENA_CHAINS].base;
    w->facts = (void *)w->arenas[ARENA_FACTS].base;
    w->extras = (void *)w->arenas[ARENA_EXTRAS].base;
    w->buckets = (void *)w->arenas[ARENA_BUCKETS].base;
    w->keys = (void *)w->arenas[ARENA_KEYS].base;
    w->listed = (void *)w->arenas[ARENA_LISTED].base;
    w->listed_parts = (void *)w->arenas[ARENA_PARTS].base;
    w->tables = (void *)w->arenas[ARENA_TABLES].base;
    w->directory = (void *)w->arenas[ARENA_DIRECTORY].base;
    w->room_maps = least_rows(w, ARENA_MAPS, ARENA_EXTRAS);
    w->room_buckets = least_rows(w, ARENA_BUCKETS, ARENA_PARTS);
    w->room_tables = w->arenas[ARENA_TABLES].rows;
    w->room_directory = w->arenas[ARENA_DIRECTORY].rows;
    UNPOISON(w->listed, w->room_buckets * sizeof *w->listed);
    UNPOISON(w->listed_parts, w->room_buckets * sizeof *w->listed_parts);
}

COLD bool make_more_room(struct world *w, u64 maps, u64 buckets, u64 tables, u64 directory)
{
    u64 most = MOST_ROWS - 1;
    if (maps > most || buckets > most || tables > most || directory > most)
        return false;
    bool is_made = extend_all(w, maps, w->bucket_top + buckets, w->table_top + tables, w->directory_top + directory);
    note_room(w);
    return is_made;
}

struct world *world_new(bool is_swiss, const struct rules *rules, u32 stacks, u32 sites, u32 types)
{
    struct world *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->is_swiss = is_swiss;
    w->rules = *rules;
    w->stack_count = stacks, w->site_count = sites, w->type_count = types;
    w->index_mask = (1u << FIRST_INDEX_LOG2) - 1;
    w->index = new_index(w->index_mask + 1);
    w->site_of = calloc((u64)stacks + 1, sizeof *w->site_of);
    w->stacks = calloc((u64)stacks + 1, sizeof *w->stacks);
    w->sites = calloc((u64)sites + 1, sizeof *w->sites);
    w->types = calloc((u64)types + 1, sizeof *w->types);
    w->type_facts = calloc((u64)types + 1, sizeof *w->type_facts);
    memset(w->free_buckets, 0xFF, sizeof w->free_buckets);
    memset(w->free_directories, 0xFF, sizeof w->free_directories);
    w->free_table = NONE;
    w->most_bytes = physical_bytes();
    bool is_whole = w->index && w->site_of && w->stacks && w->sites && w->types && w->type_facts;
    if (!is_whole || !reserve_all(w) || !extend_all(w, 1, 1, 1, 1)) {
        world_free(w);
        return NULL;
    }
    note_room(w);
    return w;
}

void world_free(struct world *w)
{
    for (int n = 0; n < ARENAS; n++)
        release(&w->arenas[n]);
    free_index(w->index, w->index_mask + 1);
    free(w->site_of);
    free(w->stacks);
    free(w->sites);
    free(w->types);
    free(w->type_facts);
    free(w);
}

u32 add_map(struct world *w)
{
    u32 m = w->map_count++;
    UNPOISON(&w->maps[m], sizeof *w->maps);
    UNPOISON(&w->shapes[m], sizeof *w->shapes);
    UNPOISON(&w->chains[m], sizeof *w->chains);
    UNPOISON(&w->facts[m], sizeof *w->facts);
    UNPOISON(&w->extras[m], sizeof *w->extras);
    return m;
}

u32 take_buckets(struct world *w, u32 log2, u64 control, u32 stack)
{
    u32 first = w->free_buckets[log2];
    if (first == NONE) {
        first = w->bucket_top;
        w->bucket_top += 1u << log2;
    }
    UNPOISON(&w->buckets[first], sizeof *w->buckets << log2);
    UNPOISON(&w->keys[first], sizeof *w->keys << log2);
    if (first == w->free_buckets[log2])
        w->free_buckets[log2] = w->buckets[first].next;
    for (u32 b = first; b < first + (1u << log2); b++) {
        struct bucket *bucket = &w->buckets[b];
        bucket->control = control;
        /* hashes too: an old word would be taken for the stack that emptied the slot */
        memset(bucket->slots, 0xFF, sizeof bucket->slots + sizeof bucket->insert_stacks);
        bucket->grown_by = stack;
        bucket->last_insert = bucket->last_delete = bucket->next = NONE;
        bucket->kind = BUCKET_MAIN;
        if (RARE(bucket->has_key_type != 0))
            memset(&w->keys[b], 0, sizeof w->keys[b]);
        bucket->has_key_type = 0;
    }
    return first;
}

void give_buckets(struct world *w, u32 first, u32 log2)
{
    w->buckets[first].next = w->free_buckets[log2];
    w->free_buckets[log2] = first;
    POISON(&w->buckets[first], sizeof *w->buckets << log2);
    POISON(&w->keys[first], sizeof *w->keys << log2);
}

u32 take_directory(struct world *w, u32 log2)
{
    u32 first = w->free_directories[log2];
    if (first == NONE) {
        first = w->directory_top;
        w->directory_top += 1u << log2;
    }
    UNPOISON(&w->directory[first], sizeof *w->directory << log2);
    if (first == w->free_directories[log2])
        w->free_directories[log2] = w->directory[first];
    return first;
}

void give_directory(struct world *w, u32 first, u32 log2)
{
    w->directory[first] = w->free_directories[log2];
    w->free_directories[log2] = first;
    POISON(&w->directory[first], sizeof *w->directory << log2);
}

u32 take_table(struct world *w)
{
    u32 table = w->free_table;
    if (table == NONE)
        table = w->table_top++;
    UNPOISON(&w->tables[table], sizeof *w->tables);
    if (table == w->free_table)
        w->free_table = w->tables[table].first;
    return table;
}

void give_table(struct world *w, u32 table)
{
    w->tables[table].first = w->free_table;
    w->free_table = table;
    POISON(&w->tables[table], sizeof *w->tables);
}
