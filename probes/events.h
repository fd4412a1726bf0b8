/* SPDX-License-Identifier: GPL-2.0-only */
/* The records of the two rings. LAYOUT_ASSERTS (-D, rendered by capture/kernel/ring.py) checks each struct against its
 * numpy dtype. */
#ifndef MAPPROBE_EVENTS_H
#define MAPPROBE_EVENTS_H

#define HEADER_WORDS 6 /* of a map's header */

struct map_event {
    u64 time_ns;
    u64 map_addr;
    u64 type_addr;
    u64 hash;
    u64 header[HEADER_WORDS];
    u64 key_type;
    u64 goid;
    u64 stack; /* key of `stacks` */
    u32 tid;
    u32 stack_offset;
    u8 kind;
    u8 point;
    u8 unused[2];
    u32 depth; /* from the top of the goroutine's stack to the frame of the caller; 0: not known */
};

/* One event of the heap. */
struct heap_event {
    u64 time_ns;
    u64 words[3]; /* of spans: start, bytes, span class; else the words that the point lists */
    u64 goid;     /* 0 on a system stack */
    u64 stack;    /* key of `stacks`, 0 for none */
    u32 tid;
    u8 kind;
    u8 point;
    u8 unused[2];
};

/* Return addresses, innermost first, then zeros. */
struct stack {
    u64 frames[STACK_DEPTH];
};

LAYOUT_ASSERTS

#endif
