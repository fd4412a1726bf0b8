/* The bytes of a fuzzer's input, taken one after the other; after the last one all are 0. */
#ifndef MAPPROBE_FUZZ_INPUT_H
#define MAPPROBE_FUZZ_INPUT_H

#include "../core.h"

#include <stdlib.h>

struct bytes {
    const u8 *next, *end;
};

static inline u8 take(struct bytes *from) { return from->next < from->end ? *from->next++ : 0; }

/* Take a number below 248, or one time in 32 any number. */
static inline u64 take_number(struct bytes *from)
{
    u8 first = take(from);
    if (first < 248)
        return first;
    u64 number = 0;
    for (int n = 0; n < 8; n++)
        number = number << 8 | take(from);
    return number >> (first - 248) * 8; /* of eight bytes, or fewer */
}

/* An array of its own: AddressSanitizer sees what reads or writes past it. */
static inline void *column(u64 length, size_t item)
{
    void *made = calloc(length ? length : 1, item);
    if (made == NULL)
        abort();
    return made;
}

#endif
