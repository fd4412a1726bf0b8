/* Taking records from the ring: events are copied out, one after the other. */
#include "ring.h"

#include <string.h>

/* Read a record's word of length and flags. With acquire order: once BUSY is clear, the whole record is visible. */
static u32 head_of(const u8 *record) { return __atomic_load_n((const u32 *)(const void *)record, __ATOMIC_ACQUIRE); }

/* take_records for one size of event: the compiler turns a copy of known length into a dozen moves. */
static inline __attribute__((always_inline)) u64 take_sized(const u8 *records, u64 count, u64 event_bytes, u8 *out,
                                                            u64 *events)
{
    u64 used = 0, taken = 0;
    for (; used < count; used++, records += RECORD_HEAD + event_bytes) {
        u32 head = head_of(records);
        if (RARE(head & RING_BUSY))
            break;
        memcpy(out + taken * event_bytes, records + RECORD_HEAD, event_bytes);
        taken += (head & RING_DISCARD) == 0;
    }
    *events = taken;
    return used;
}

u64 take_records(const u8 *records, u64 count, u64 event_bytes, u8 *out, u64 *events)
{
    if (event_bytes == sizeof(struct map_event))
        return take_sized(records, count, sizeof(struct map_event), out, events);
    return take_sized(records, count, event_bytes, out, events);
}

u32 find_outside(const struct map_event *events, u32 count, const struct watched *watched, u8 *is_outside)
{
    u32 outside = 0;
    for (u32 i = 0; i < count; i++) {
        u64 point = events[i].point, when = events[i].time_ns;
        if (RARE(point >= watched->points))
            return NONE;
        is_outside[i] = when < watched->first_ns[point] || when > watched->last_ns[point];
        outside += is_outside[i];
    }
    return outside;
}
