/* Numbering words in order of appearance. */
#include "numbering.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 1024u

bool numbering_new(struct numbering *n)
{
    *n = (struct numbering){.mask = FIRST_PLACES - 1};
    n->words = malloc(FIRST_PLACES / 2 * sizeof *n->words);
    n->index = calloc(FIRST_PLACES, sizeof *n->index);
    if (n->words == NULL || n->index == NULL) {
        numbering_free(n);
        return false;
    }
    return number_new(n, 0) == 0;
}

void numbering_free(struct numbering *n)
{
    free(n->words);
    free(n->index);
    *n = (struct numbering){0};
}

/* Double the room of a numbering; false: no memory, and the numbering is unchanged. */
static COLD bool grow_numbering(struct numbering *n)
{
    u64 places = ((u64)n->mask + 1) * 2;
    if (places > 1u << 31)
        return false;
    u32 *index = calloc(places, sizeof *index);
    u64 *words = index ? realloc(n->words, places / 2 * sizeof *words) : NULL;
    if (words == NULL) {
        free(index);
        return false;
    }
    free(n->index);
    n->index = index;
    n->words = words;
    n->mask = (u32)(places - 1);
    for (u32 number = 0; number < n->count; number++)
        index[place_of_word(n, words[number])] = number + 1;
    return true;
}

u32 number_new(struct numbering *n, u64 word)
{
    if (n->count == (n->mask + 1) / 2 && !grow_numbering(n))
        return NONE;
    n->words[n->count] = word;
    n->index[place_of_word(n, word)] = ++n->count;
    return n->count - 1;
}

void numbering_clear(struct numbering *n)
{
    memset(n->index, 0, ((u64)n->mask + 1) * sizeof *n->index);
    n->count = 0;
    number_new(n, 0);
}
