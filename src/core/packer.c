/* Events into columns of a packed batch, with each distinct header once. */
#include "packer.h"

#include "headerwords.h"
#include "zigzag.h"

#include <stdlib.h>
#include <string.h>

#define AT_ONCE 16u /* events whose maps are looked up together, so that misses of the cache overlap */
#define FIRST_MAPS 512u
#define FIRST_HEADERS 1024u

static u64 mixed(u64 word) { return (word ^ word >> 32) * MIX; }

/* ---- making and ending ---- */

struct packer *packer_new(bool is_classic)
{
    struct packer *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->is_classic = is_classic;
    p->batch = 1;
    p->columns = malloc(sizeof *p->columns);
    p->map_room = FIRST_MAPS;
    p->maps = malloc(p->map_room * sizeof *p->maps);
    p->header_room = FIRST_HEADERS;
    p->header = malloc(p->header_room * sizeof *p->header);
    p->header_mask = 2 * FIRST_HEADERS - 1;
    p->header_index = calloc(2 * FIRST_HEADERS, sizeof *p->header_index);
    bool is_numbering = numbering_new(&p->stacks) && numbering_new(&p->types);
    if (!is_numbering || !map_index_resize(&p->index, 2 * FIRST_MAPS) || p->columns == NULL || p->maps == NULL ||
        p->header == NULL || p->header_index == NULL) {
        packer_free(p);
        return NULL;
    }
    return p;
}

void packer_free(struct packer *p)
{
    free(p->columns);
    free(p->index.places);
    free(p->maps);
    free(p->header);
    free(p->header_index);
    numbering_free(&p->stacks);
    numbering_free(&p->types);
    free(p);
}

/* ---- maps ---- */

/* Double the room for maps; false: no memory, and nothing has changed. */
static COLD bool grow_maps(struct packer *p)
{
    u64 room = 2 * (u64)p->map_room;
    struct seen_map *maps = realloc(p->maps, room * sizeof *maps);
    if (maps == NULL)
        return false;
    p->maps = maps;
    if (!map_index_resize(&p->index, 2 * room))
        return false;
    p->map_room = (u32)room;
    return true;
}

static COLD u32 new_map(struct packer *p, const struct map_event *e)
{
    if (p->map_count == p->map_room && !grow_maps(p))
        return NONE;
    u32 m = p->map_count++;
    *find_place(&p->index, e->map_addr, e->stack_offset) = (struct map_place){e->map_addr, e->stack_offset, m + 1};
    p->maps[m] = (struct seen_map){
        .addr = e->map_addr,
        .stack_offset = e->stack_offset,
        .is_filled = e->kind != EVENT_CREATE && e->kind != EVENT_CLONE && e->header[0] != 0,
    };
    return m;
}

/* Find the maps of at most AT_ONCE events; false: no memory. */
static bool find_maps(struct packer *p, const struct map_event *events, u32 count, u32 *maps)
{
    for (u32 i = 0; i < count; i++)
        PREFETCH(&p->index.places[(u32)hash_of_map(events[i].map_addr, events[i].stack_offset) & p->index.mask]);
    for (u32 i = 0; i < count; i++) {
        u32 m = find_place(&p->index, events[i].map_addr, events[i].stack_offset)->map;
        maps[i] = LIKELY(m != 0) ? m - 1 : new_map(p, &events[i]);
        if (RARE(maps[i] == NONE))
            return false;
        PREFETCH(&p->maps[maps[i]]);
    }
    for (u32 i = 0; i < count; i++) {
        const struct seen_map *map = &p->maps[maps[i]];
        if (LIKELY(map->batch == p->batch)) {
            PREFETCH(&p->header[map->number]);
            PREFETCH((const u8 *)&p->header[map->number] + sizeof *p->header - 1);
        }
    }
    return true;
}

/* ---- headers ---- */

static struct header_key key_of(const struct packer *p, const struct map_event *e, u64 step)
{
    struct header_key key = {
        .type_addr = e->type_addr,
        .key_type = e->key_type,
        .step_high = (u32)(step >> 32),
        .count_high = (u32)(e->header[0] >> 32),
        .goid_high = (u32)(e->goid >> 32),
    };
    common_header_words(p->is_classic, e->header, key.words);
    return key;
}

static bool is_equal(const struct header_key *a, const struct header_key *b)
{
    u64 difference = (a->type_addr ^ b->type_addr) | (a->key_type ^ b->key_type);
    for (u32 word = 0; word < HEADER_WORDS; word++)
        difference |= a->words[word] ^ b->words[word];
    difference |= (u64)((a->step_high ^ b->step_high) | (a->count_high ^ b->count_high));
    return (difference | (a->goid_high ^ b->goid_high)) == 0;
}

static u32 hash_of_header(u32 map, const struct header_key *key)
{
    u64 hash = mixed(map ^ (u64)key->step_high << 32);
    hash = mixed(hash ^ key->type_addr);
    hash = mixed(hash ^ key->key_type);
    for (u32 word = 0; word < HEADER_WORDS; word++)
        hash = mixed(hash ^ key->words[word]);
    hash = mixed(hash ^ key->count_high ^ (u64)key->goid_high << 32);
    return (u32)(hash >> 32);
}

/* Find the place of a header in the index; a free place if the batch does not have the header. */
static u32 *find_header(const struct packer *p, u32 map, const struct header_key *key)
{
    u32 place = hash_of_header(map, key) & p->header_mask;
    for (; p->header_index[place] != 0; place = (place + 1) & p->header_mask) {
        const struct packed_header *header = &p->header[p->header_index[place] - 1];
        if (header->map == map && is_equal(&header->key, key))
            break;
    }
    return &p->header_index[place];
}

/* Double the room for headers; false: no memory, and nothing has changed. */
static COLD bool grow_headers(struct packer *p)
{
    u32 room = 2 * p->header_room;
    u32 *index = calloc(2 * (u64)room, sizeof *index);
    struct packed_header *header = index ? realloc(p->header, room * sizeof *header) : NULL;
    if (header == NULL) {
        free(index);
        return false;
    }
    free(p->header_index);
    p->header = header;
    p->header_index = index;
    p->header_room = room;
    p->header_mask = 2 * room - 1;
    for (u32 n = 0; n < p->headers; n++)
        *find_header(p, header[n].map, &header[n].key) = n + 1;
    return true;
}

/* Add a header to the batch and return its number; NONE: no memory. */
static u32 new_header(struct packer *p, u32 m, const struct header_key *key)
{
    u32 type = number_of(&p->types, key->type_addr);
    if (type == NONE || (p->headers == p->header_room && !grow_headers(p)))
        return NONE;
    p->header[p->headers] = (struct packed_header){m, type, *key};
    *find_header(p, m, key) = p->headers + 1;
    return p->headers++;
}

/* Change the last header of a map; false: no memory. */
static __attribute__((noinline)) bool change_header(struct packer *p, u32 m, const struct header_key *key)
{
    struct seen_map *map = &p->maps[m];
    u32 number = *find_header(p, m, key);
    number = number != 0 ? number - 1 : new_header(p, m, key);
    if (number == NONE)
        return false;
    map->batch = p->batch;
    map->number = number;
    if (p->header[number].type != 0)
        map->next_type = p->header[number].type;
    return true;
}

/* ---- events ---- */

static bool add_event(struct packer *p, const struct map_event *e, u32 m)
{
    u64 step = zigzag64(e->time_ns - p->last_ns);
    struct header_key key = key_of(p, e, step);
    struct seen_map *map = &p->maps[m];
    bool is_same = LIKELY(map->batch == p->batch) && LIKELY(is_equal(&p->header[map->number].key, &key));
    if (!is_same && !change_header(p, m, &key))
        return false;
    u32 stack = number_of(&p->stacks, e->stack);
    if (RARE(stack == NONE))
        return false;
    struct packed_columns *c = p->columns;
    u32 row = p->rows++;
    p->last_ns = e->time_ns;
    c->step[row] = (u32)step;
    c->number[row] = (u16)map->number;
    c->kind[row] = e->kind;
    c->point[row] = e->point;
    c->hash[row] = e->hash;
    c->count[row] = (u32)e->header[0];
    c->overflow_count[row] = own_overflow_count(p->is_classic, e->header);
    c->evacuated[row] = own_evacuated(p->is_classic, e->header);
    c->goid[row] = (u32)e->goid;
    c->tid[row] = e->tid;
    c->stack[row] = stack;
    c->depth[row] = e->depth;
    return true;
}

bool packer_add(struct packer *p, const struct map_event *events, u32 count)
{
    u32 maps[AT_ONCE];
    while (count != 0) {
        u32 part = count < AT_ONCE ? count : AT_ONCE;
        if (!find_maps(p, events, part, maps))
            return false;
        for (u32 i = 0; i < part; i++)
            if (!add_event(p, &events[i], maps[i]))
                return false;
        events += part;
        count -= part;
    }
    return true;
}

void packer_next(struct packer *p)
{
    for (u32 n = 0; n < p->headers; n++) {
        struct seen_map *map = &p->maps[p->header[n].map];
        map->is_known = 1;
        map->type = map->next_type;
    }
    memset(p->header_index, 0, ((u64)p->header_mask + 1) * sizeof *p->header_index);
    p->rows = p->headers = 0;
    p->last_ns = 0;
    p->batch++;
}
