/* Numbers for words of 64 bits: 0, 1, 2 ... in order of appearance. The word 0 has number 0. */
#ifndef MAPPROBE_NUMBERING_H
#define MAPPROBE_NUMBERING_H

#include "core.h"

struct numbering {
    u64 *words; /* by number */
    u32 *index; /* open addressing: number + 1; 0: free */
    u32 count, mask;
};

bool numbering_new(struct numbering *n);
void numbering_free(struct numbering *n);
/* Forget all words but 0. */
void numbering_clear(struct numbering *n);
/* Give a new word the next number and return it; NONE: no memory. */
u32 number_new(struct numbering *n, u64 word);

static inline u32 place_of_word(const struct numbering *n, u64 word)
{
    u64 hash = (word ^ word >> 32) * MIX;
    u32 place = (u32)(hash >> 32) & n->mask;
    while (n->index[place] != 0 && n->words[n->index[place] - 1] != word)
        place = (place + 1) & n->mask;
    return place;
}
/* The number of a word, a new word included; NONE: no memory. */
static inline u32 number_of(struct numbering *n, u64 word)
{
    u32 place = place_of_word(n, word);
    return LIKELY(n->index[place] != 0) ? n->index[place] - 1 : number_new(n, word);
}

#endif
