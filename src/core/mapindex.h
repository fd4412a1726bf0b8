/* An index from the place of a map (its address, its distance from the top of a stack) to its number. */
#ifndef MAPPROBE_MAPINDEX_H
#define MAPPROBE_MAPINDEX_H

#include "core.h"

struct map_place {
    u64 addr;
    u32 stack_offset;
    u32 map; /* + 1; 0: free */
};

struct map_index {
    struct map_place *places; /* open addressing */
    u32 mask;
};

static inline u64 hash_of_map(u64 addr, u32 stack_offset)
{
    u64 word = addr + (u64)stack_offset * MIX;
    u64 hash = (word ^ word >> 32) * MIX;
    return hash ^ hash >> 32;
}

/* The map's place in the index; a free place if the map is not in the index. */
static inline struct map_place *find_place(const struct map_index *index, u64 addr, u32 stack_offset)
{
    u32 place = (u32)hash_of_map(addr, stack_offset) & index->mask;
    while (index->places[place].map != 0 &&
           (index->places[place].addr != addr || index->places[place].stack_offset != stack_offset))
        place = (place + 1) & index->mask;
    return &index->places[place];
}

/* Make room for places / 2 maps (places: a power of two). False: no memory, or too many; the index is unchanged. */
bool map_index_resize(struct map_index *index, u64 places);

#endif
