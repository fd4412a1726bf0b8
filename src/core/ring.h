/* The ring that the kernel fills with records: a word of length and flags, then one event.
 *
 * kernel: include/uapi/linux/bpf.h BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT */
#ifndef MAPPROBE_RING_H
#define MAPPROBE_RING_H

#include "core.h"

#define RING_BUSY (1u << 31)
#define RING_DISCARD (1u << 30)
#define RECORD_HEAD 8u /* bytes before the event */

/* One event of a map: the same struct as in probes/events.h. */
struct map_event {
    u64 time_ns, map_addr, type_addr, hash;
    u64 header[6];
    u64 key_type, goid, stack;
    u32 tid, stack_offset;
    u8 kind, point, unused[2];
    u32 depth;
};
_Static_assert(sizeof(struct map_event) == 120, "an event has no holes");

/* Copy the events of `count` records to `out`, up to the first record that is not fully written. Return how many
 * records were used; *events: how many events were copied (discarded records have none). event_bytes: a multiple of
 * eight. */
u64 take_records(const u8 *records, u64 count, u64 event_bytes, u8 *out, u64 *events);

/* When each point was watched. */
struct watched {
    const u64 *first_ns, *last_ns;
    u64 points;
};

/* Set is_outside[i] if event i is from a time in which its point was not watched. Return how many such events there
 * are; NONE: an event names a point that does not exist. */
u32 find_outside(const struct map_event *events, u32 count, const struct watched *watched, u8 *is_outside);

#endif
