/* A world: what one replay knows of every map of a process.
 *
 * A map is a number m below world.map_count. A world has two things for each map. The model has the map's buckets as
 * the runtime has them, and who filled and emptied their slots (classic.c, swiss.c). The ledger has the operations on
 * the map, who did them and when (ledger.h). maps[m] is the line that every operation touches; shapes[m] and chains[m]
 * are the rest of the model, facts[m] and extras[m] the rest of the ledger.
 *
 * Buckets, Swiss tables and directory slots are stored in arenas, in runs whose length is a power of two. A run is
 * named by the number of its first row; NONE names no row. Arenas never move: addresses are reserved once and made
 * usable step by step (state.c), so pointers into arenas stay valid.
 *
 * A "line" is 64 bytes, a line of the processor's cache. No function here knows Python; the files py_*.c do. Code that
 * takes an index from a file or a process checks the index (batch.c, resume functions) before it calls a function here.
 *
 * Read on with replay.c, whose loop calls all else. */
#ifndef MAPPROBE_CORE_H
#define MAPPROBE_CORE_H

#include "codes.h"

#include <stdbool.h>
#include <stddef.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

#define SLOTS 8         /* of a bucket */
#define LONGEST_RUN_LOG2 31
#define MIX UINT64_C(0x9E3779B97F4A7C15) /* multiplier of hashes: odd, with irregular bits (2**64 / golden ratio) */
#define HUGE_PAGE 0x200000u /* bytes */
#define NO_HEADER 0 /* map.header of a map whose next header has to be compared in full */

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define RARE(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))
/* Fetch a line into the cache. The empty assembly keeps the prefetch: gcc takes a prefetch for code without effect, and
 * removes calls and loops without effect. */
#define PREFETCH(address)                                                                                              \
    do {                                                                                                               \
        const void *asked_for = (address);                                                                             \
        __asm__ volatile("" : : "r"(asked_for));                                                                       \
        __builtin_prefetch(asked_for, 0, 3);                                                                           \
    } while (0)

/* What differs between releases of Go, in the order of rules_of (rules.py). */
struct rules {
    i64 load_factor_num;             /* classic: entries per two buckets before a map grows */
    i64 malloc_header;               /* bytes before objects over 512 bytes that hold pointers */
    i64 prunes_tombstones;           /* Swiss: some inserts prune */
    i64 flags_tombstones;            /* Swiss: the header says whether tombstones are possible; clear depends on it */
    i64 update_grows_full_small_map; /* Swiss: assigning to a small map of eight entries grows it even if it has the key */
};

/* ---- the model ---- */

/* One line: all that an operation touches if its event has the same header as the map's last event. */
struct map {
    u64 header; /* the header that the model last agreed with: batch number << 32 | header; NO_HEADER: none */
    u64 last_ns; /* time of its last event */
    u64 inserts, updates, deletes;
    u32 count; /* entries in the model */
    u32 array; /* classic: first main bucket; Swiss: its one group, or first directory slot; NONE: none yet */
    u32 peak; /* most entries at one time */
    i32 type; /* type id, -1: not known */
    u16 overflow_count; /* classic: noverflow of the header */
    u8 log2; /* classic: B; Swiss: global depth */
    u8 flags; /* as the header has them: classic flags; Swiss bit 0: there may be tombstones */
    u8 state; /* bits above */
    u8 uncounted; /* Swiss: growths of the insert that is running; it returns them at its end */
    u16 unused;
};

/* The rest of a map's model, 16 bytes. */
struct shape {
    u32 bucket_bytes, has_pointers; /* of its type; 0 while the type is not known */
    u32 made_by; /* stack */
    u32 groups; /* Swiss: groups of all tables */
};

/* The rest of a classic map's model, 32 bytes; nothing writes it for Swiss maps. The old array and how many of its
 * buckets are evacuated for sure (the header's nevacuate); overflow buckets chained to the current array, and to waiting
 * old buckets; old buckets that wait; preallocated overflow buckets in use; overflow buckets allocated one by one for
 * the current array, and for the old one. */
struct chains {
    u32 old_array, evacuated, chained, old_chained, waiting, preallocated_used, heap, old_heap;
};

/* Kinds of buckets. */
enum { BUCKET_MAIN, BUCKET_PREALLOCATED, BUCKET_ON_HEAP };

/* A live slot has the hash of its entry, a dead slot the stack that emptied it. */
union slot {
    u64 hash;
    u32 delete_stack; /* low half */
};

/* Eight slots, 128 bytes. The control byte says whether a slot is live. A slot that is not live is dead if
 * insert_stacks names a stack, else virgin. Virgin slots have hash ~0, so their delete_stack is NONE. */
struct bucket {
    u64 control;
    union slot slots[SLOTS];
    u32 insert_stacks[SLOTS];
    u32 grown_by, last_insert, last_delete; /* stacks; NONE: nobody */
    u32 next; /* classic: the next bucket of the chain; in a free run: the next free run; NONE: none */
    u8 kind;
    u8 has_key_type; /* bit s is set if the key type of slot s (bucket_keys) is not 0 */
    u8 unused[6];
};

/* Key types of a bucket's entries: valid where the bucket's has_key_type has a bit, else 0. So an operation on keys
 * that are not interfaces touches none of these lines. */
struct bucket_keys {
    u64 key_types[SLOTS];
};

/* A Swiss table, 16 bytes. */
struct table {
    u32 first; /* its first group; in a free table: the next free table */
    u32 index; /* its first directory slot */
    u16 used; /* entries */
    u16 growth_left; /* inserts before growth */
    u8 log2_groups;
    u8 local_depth;
    u16 unused;
};

/* ---- the ledger ---- */

/* What the ledger compares with each new header of a map, one line. */
struct fact {
    u64 key; /* its identity: address, or ON_STACK | goroutine << 31 | distance from the top of its stack */
    u64 addr, seed, array_addr; /* as last seen in a header */
    u64 key_type; /* of its last header */
    u64 created_ns;
    u32 created_by, grown_by, generation;
    u8 inexact, pending, doubt_point; /* enum inexact; kind of the event that is not settled, 0: none; its point */
    u8 unused;
};

/* The rest of what the ledger knows of a map, one line. It is all 0 for most maps, and then never written: a page of
 * these lines takes memory only if a map on it has something here. */
struct extra {
    u64 resumed_ns, ended_ns;
    u64 last_count; /* if the map is not modelled: count in its last header; else the count before the doubt */
    u64 doubt_hash; /* hash of the key of the operation in doubt */
    u64 growths, clears;
    u32 pending_stack;
    u32 clone_of, older; /* map + 1; 0: none. older: the next map of the goroutine's stack, nearer to its top */
    u32 unused;
};

struct live {
    i64 live, peak;
}; /* live entries, and the most at one time */

struct stack_counts {
    i64 maps, growths, inserts, updates, deletes, clears, live, peak;
};

/* What replay needs of a map type: a row of layouts()["types_in"]. */
struct type_facts {
    u32 bucket_bytes;
    i32 layout, name; /* types with the same layout, or name, have the same number; name -1: a shape of generic code */
    u8 has_pointers, is_indirect, may_meet, unused;
};

struct index_slot {
    u64 key, row;
};

/* ---- the world ---- */

struct arena {
    u8 *base;
    u64 row_bytes, rows, most_rows;
}; /* rows: usable; most_rows: reserved */

enum {
    ARENA_MAPS,
    ARENA_SHAPES,
    ARENA_CHAINS,
    ARENA_FACTS,
    ARENA_EXTRAS,
    ARENA_BUCKETS,
    ARENA_KEYS,
    ARENA_LISTED,
    ARENA_PARTS,
    ARENA_TABLES,
    ARENA_DIRECTORY,
    ARENAS
};

struct world {
    bool is_swiss, sees_growths, has_key_types;
    struct rules rules;
    /* arenas */
    struct map *maps;
    struct shape *shapes;
    struct chains *chains;
    struct fact *facts;
    struct extra *extras;
    struct bucket *buckets;
    struct bucket_keys *keys;
    u32 *listed, *listed_parts; /* room for list_buckets of any one map */
    struct table *tables;
    u32 *directory;
    u32 map_count, bucket_top, table_top, directory_top; /* rows in use */
    u32 free_buckets[LONGEST_RUN_LOG2 + 1], free_directories[LONGEST_RUN_LOG2 + 1], free_table;
    /* index from a key to its row: open addressing, key 0 marks a free place */
    struct index_slot *index;
    u64 index_mask, index_keys;
    u64 batches; /* how many were begun */
    u64 maps_on_stacks;
    /* counts by stack, call site and type */
    u32 stack_count, site_count, type_count;
    u32 *site_of; /* site of each stack */
    struct stack_counts *stacks;
    struct live *sites, *types, total; /* of each site, each type, of all */
    struct type_facts *type_facts;
    u8 prunes[256]; /* whether an insert at a point prunes tombstones */
    u8 why_first, why_filled; /* enum inexact of a map when first seen: for any map; for a map with entries */
    struct arena arenas[ARENAS];
    u64 usable_bytes, most_bytes;
    u64 room_maps, room_buckets, room_tables, room_directory; /* rows usable */
};

/* state.c: memory. */
struct world *world_new(bool is_swiss, const struct rules *rules, u32 stacks, u32 sites, u32 types);
void world_free(struct world *w);
/* Make the first `maps` map rows usable, and this many buckets, tables, directory slots beyond those in use; false: no
 * memory. */
bool make_more_room(struct world *w, u64 maps, u64 buckets, u64 tables, u64 directory);
static inline bool make_room(struct world *w, u64 maps, u64 buckets, u64 tables, u64 directory)
{
    if (LIKELY(maps <= w->room_maps && w->bucket_top + buckets <= w->room_buckets &&
               w->table_top + tables <= w->room_tables && w->directory_top + directory <= w->room_directory))
        return true;
    return make_more_room(w, maps, buckets, tables, directory);
}
/* An index of this many slots, a power of two, without keys; NULL: no memory. */
struct index_slot *new_index(u64 slots);
void free_index(struct index_slot *index, u64 slots);
/* Take and give back maps, runs of 1 << log2 buckets or directory slots, tables. The caller of take has made room. */
u32 add_map(struct world *w); /* the next map row; the caller fills it in */
u32 take_buckets(struct world *w, u32 log2, u64 control, u32 stack);
void give_buckets(struct world *w, u32 first, u32 log2);
u32 take_directory(struct world *w, u32 log2);
void give_directory(struct world *w, u32 first, u32 log2);
u32 take_table(struct world *w);
void give_table(struct world *w, u32 table);

/* ---- sizes.c: what the Go allocator charges (arguments as in the Python of sizes) ---- */
i64 charged_bytes(const struct rules *rules, i64 size, bool has_pointers);
i64 array_buckets(const struct rules *rules, i64 bucket_bytes, bool has_pointers, u32 log2);
i64 array_bytes(const struct rules *rules, i64 bucket_bytes, bool has_pointers, u32 log2);
i64 table_bytes(const struct rules *rules, i64 group_bytes, bool has_pointers, u32 log2_groups);
i64 directory_bytes(const struct rules *rules, u32 depth);
i64 fresh_classic_bytes(const struct rules *rules, i64 bucket_bytes, bool has_pointers, i64 entries);
i64 fresh_swiss_bytes(const struct rules *rules, i64 group_bytes, bool has_pointers, i64 entries);
bool over_load_factor(const struct rules *rules, u64 count, u32 log2);
u32 classic_log2(const struct rules *rules, i64 hint, i64 bucket_bytes);
i32 initial_depth(i64 hint, i64 group_bytes); /* -1: starts small */
u32 initial_groups_log2(i64 hint, u32 depth);

/* ---- the two families: classic.c, swiss.c ----
 * An insert returns 2 * growths + 1 if the key is new, 2 * growths if the map has the key, where growths is how often
 * the insert made the map grow; or NO_ROOM if splits without end took all room (a damaged recording). A delete returns
 * the stack that inserted the entry, NONE if the map does not have the key. */
#define NO_ROOM UINT32_MAX

/* To be called when a word that headers show changes (array, log2, flags, state): the last header is outdated then. */
static inline void forget_header(struct map *p) { p->header = NO_HEADER; }

/* The words of a header, read before an operation. */
struct header_words {
    u64 count;
    bool array_is_nil, is_growing;
    u8 flags, log2;
    u32 overflow_count, directory_length, evacuated;
};

/* Buckets of one map as they were read from memory, in the model's order. Every array has `length` rows; a row of
 * hashes and key_types has eight words. */
struct read_buckets {
    u64 length;
    const u64 *control;
    const u32 *part, *home;
    const u64 *hashes, *key_types;
};

#define FAMILY(name)                                                                                                     \
    bool name##_has_room_to_create(struct world *w, u32 m, i64 hint, i64 bucket_bytes);                                  \
    bool name##_has_room(struct world *w, u32 m); /* makes room for one operation; false: no memory */                   \
    void name##_create(struct world *w, u32 m, i64 hint, u32 bucket_bytes, bool has_pointers, u32 stack);                \
    u32 name##_delete(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack);                                        \
    bool name##_holds(struct world *w, u32 m, u64 hash, u64 key_type);                                                   \
    void name##_clear(struct world *w, u32 m, u32 stack);                                                                \
    void name##_forget(struct world *w, u32 m);                                                                          \
    u64 name##_count_buckets(const struct world *w, u32 m);                                                              \
    u64 name##_list_buckets(const struct world *w, u32 m, u32 *buckets, u32 *parts);                                     \
    bool name##_agrees(const struct world *w, u32 m, const struct header_words *h);                                      \
    i64 name##_allocated_bytes(const struct world *w, u32 m);                                                            \
    i64 name##_needed_bytes(const struct world *w, u32 m);                                                               \
    bool name##_has_room_to_clone(struct world *w, u32 original, u32 m);                                                 \
    void name##_clone(struct world *w, u32 original, u32 m, u32 stack);                                                  \
    /* Set map m to the state that header and buckets show. False: header and buckets contradict each other, and the   \
     * map is empty now; or there is no memory (*no_memory). Checks every index. */ \
    bool name##_resume(struct world *w, u32 m, const struct header_words *h, const struct read_buckets *read,            \
                       bool *no_memory);                                                                                 \
    void name##_prefetch_first(const struct world *w, u32 m, u64 hash); /* some 20 events ahead */                       \
    void name##_prefetch_second(const struct world *w, u32 m, u64 hash) /* some 10 events ahead */

FAMILY(classic);
FAMILY(swiss);

u32 swiss_insert(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack, bool prunes);
/* Assign to a key if no bucket has to be allocated or moved, as with most assignments. Return 1 if the key is new, 0 if
 * the map has the key, INVOLVED if it takes more: then nothing was done. */
#define INVOLVED UINT32_MAX
u32 swiss_insert_simply(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack);
u32 classic_insert_simply(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack);
/* A classic insert has two parts: begin_insert and insert_evacuated. If the outcome of an operation is known only later
 * (doubts.c), the first part is done at once and the second part later. A delete has two parts as well. */
void classic_begin_insert(struct world *w, u32 m, u64 hash, u32 stack);
u32 classic_insert_evacuated(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack);
void classic_evacuate_for(struct world *w, u32 m, u64 hash, u32 stack);
u32 classic_delete_evacuated(struct world *w, u32 m, u64 hash, u64 key_type, u32 stack);
void classic_set_iterator_flags(struct world *w, u32 m, u8 flags);

#define RANDOM_OVERFLOW_LOG2 16 /* go: runtime/map.go (*hmap).incrnoverflow [1.18..1.23] */
#define SAME_SIZE_GROW 8u /* go: runtime/map.go sameSizeGrow [1.18..1.23] */
#define ITERATOR 1u /* go: runtime/map.go iterator [1.18..1.23] */
#define OLD_ITERATOR 2u /* go: runtime/map.go oldIterator [1.18..1.23] */
#define TOMBSTONE_POSSIBLE 1u /* go: internal/runtime/maps/map.go tombstonePossible [1.25..1.27] */

/* Masks with bit s set if slot s is live. */
u32 classic_live_slots(u64 control);
u32 swiss_live_slots(u64 control);
static inline u32 live_slots(const struct world *w, u64 control)
{
    return w->is_swiss ? swiss_live_slots(control) : classic_live_slots(control);
}
static inline u64 count_buckets(const struct world *w, u32 m)
{
    return w->is_swiss ? swiss_count_buckets(w, m) : classic_count_buckets(w, m);
}
static inline u64 list_buckets(const struct world *w, u32 m, u32 *buckets, u32 *parts)
{
    return w->is_swiss ? swiss_list_buckets(w, m, buckets, parts) : classic_list_buckets(w, m, buckets, parts);
}

struct batch; /* events to apply: batch.h */

/* ---- ledger.c, generations.c, localmaps.c, doubts.c, replay.c, closing.c ---- */

/* Apply events from batch.row up to row `end`; false: no memory for the event at batch.row. */
bool apply(struct world *w, struct batch *b, u64 end);
/* Row of the newest generation under a key, NONE: none. */
u32 find(const struct world *w, u64 key);
/* Take every live entry of a map out of the live counters. */
void drop_live(struct world *w, u32 m);
void add_live(struct world *w, u32 m, u32 stack, i64 n);
/* Count the pending operation of a map that is not modelled: the count in the next header shows what it did. */
void settle(struct world *w, u32 m, u64 count);
/* Do the operation in doubt of a map, as the count in its next header shows what it was; the caller has made room. */
void settle_doubt(struct world *w, u32 m, u64 count);
void presume_all(struct world *w);
/* Mark the maps that were dead when their headers were read (one row of `headers` for each; died: one byte a row), and
 * settle the last operation of the others. False: no memory. */
bool judge_headers(struct world *w, struct batch *headers, const u8 *died);
/* Set is_touched[m] for each known map that has one of the events lo to hi. */
void note_maps(const struct world *w, const struct batch *b, u64 lo, u64 hi, u8 *is_touched);

#endif
