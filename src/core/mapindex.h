/* An index from a map's place, address and distance from the top of a stack, to a number. */
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

/* Where a map stands, or would. */
static inline struct map_place *find_place(const struct map_index *index, u64 addr, u32 stack_offset)
{
    u32 place = (u32)hash_of_map(addr, stack_offset) & index->mask;
    while (index->places[place].map != 0 &&
           (index->places[place].addr != addr || index->places[place].stack_offset != stack_offset))
        place = (place + 1) & index->mask;
    return &index->places[place];
}

/* Have room for places / 2 maps (places: a power of two); false: no memory, or too many, all is as it was. */
bool map_index_resize(struct map_index *index, u64 places);

#endif
