/* The maps that are known while a file is encoded or decoded. */
#include "encoding.h"

#include <stdlib.h>

bool make_known(struct known_maps *maps, u32 count)
{
    if (count > maps->room) {
        u64 room = maps->room ? 2 * (u64)maps->room : 512;
        struct moving *moving = realloc(maps->moving, room * sizeof *moving);
        if (moving == NULL)
            return false;
        maps->moving = moving;
        struct map_header *headers = realloc(maps->headers, room * sizeof *headers);
        if (headers == NULL)
            return false;
        maps->headers = headers;
        maps->room = (u32)room;
    }
    for (; maps->count < count; maps->count++) {
        maps->moving[maps->count] = (struct moving){.clean = NONE};
        memset(&maps->headers[maps->count], 0, sizeof *maps->headers);
    }
    return true;
}

void forget_maps(struct known_maps *maps)
{
    free(maps->moving);
    free(maps->headers);
    *maps = (struct known_maps){0};
}
