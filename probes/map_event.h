/* One event of the ring; LAYOUT_ASSERTS (-D, rendered from ring.py) holds it to its numpy dtype. */
#ifndef MAPPROBE_MAP_EVENT_H
#define MAPPROBE_MAP_EVENT_H

struct map_event {
    u64 time_ns;
    u64 map_addr;
    u64 type_addr;
    u64 hash;
    u64 header[6];
    u64 key_type;
    u64 goid;
    u64 stack; /* key of `stacks` */
    u32 tid;
    u32 stack_offset;
    u8 kind;
    u8 point;
    u8 unused[6];
};

/* Return addresses, innermost first, zeros behind the last. */
struct stack {
    u64 frames[STACK_DEPTH];
};

LAYOUT_ASSERTS

#endif
