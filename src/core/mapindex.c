/* Enlarging an index of maps. */
#include "mapindex.h"

#include <stdlib.h>

bool map_index_resize(struct map_index *index, u64 places)
{
    if (places > 1u << 31)
        return false;
    struct map_index larger = {calloc(places, sizeof *larger.places), (u32)(places - 1)};
    if (larger.places == NULL)
        return false;
    for (u64 n = 0; index->places != NULL && n <= index->mask; n++)
        if (index->places[n].map != 0)
            *find_place(&larger, index->places[n].addr, index->places[n].stack_offset) = index->places[n];
    free(index->places);
    *index = larger;
    return true;
}
