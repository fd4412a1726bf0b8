/* Operations on the eight control bytes of a bucket, which are one word. They return masks: bit s stands for slot s. */
#ifndef MAPPROBE_CONTROL_H
#define MAPPROBE_CONTROL_H

#if defined(__SSE2__) && !defined(MAPPROBE_NO_SSE)
#include <emmintrin.h>
#define HAS_SSE 1
#else
#define HAS_SSE 0
#endif

#include "core.h"

#define CTRL_EMPTY 0x80 /* go: internal/runtime/maps/group.go ctrlEmpty [1.24..1.27] */
#define CTRL_DELETED 0xFE /* go: internal/runtime/maps/group.go ctrlDeleted [1.24..1.27] */
#define ALL_EMPTY 0x8080808080808080u
#define ALL_SLOTS 0xFFu

#if HAS_SSE
static inline __m128i control_vector(u64 control) { return _mm_cvtsi64_si128((i64)control); }

/* The slots whose control byte is `byte`. */
static inline u32 match_byte(u64 control, u8 byte)
{
    return (u32)_mm_movemask_epi8(_mm_cmpeq_epi8(control_vector(control), _mm_set1_epi8((char)byte))) & ALL_SLOTS;
}

/* The slots whose control byte has its high bit. */
static inline u32 match_high(u64 control) { return (u32)_mm_movemask_epi8(control_vector(control)) & ALL_SLOTS; }
#else /* a recording is replayed on any machine */
/* The slots whose control byte has its high bit: the product gathers the eight bits in the highest byte. */
static inline u32 match_high(u64 control)
{
    return (u32)(((control & ALL_EMPTY) >> 7) * UINT64_C(0x0102040810204080) >> 56);
}

/* The slots whose control byte is `byte`: there the difference is 0. */
static inline u32 match_byte(u64 control, u8 byte)
{
    const u64 low_bits = ~(u64)ALL_EMPTY, difference = control ^ UINT64_C(0x0101010101010101) * byte;
    return match_high(~(((difference & low_bits) + low_bits) | difference));
}
#endif

/* The empty slots, without tombstones. CTRL_EMPTY and CTRL_DELETED are the only control bytes with a high bit in a
 * Swiss bucket: resume refuses all others.
 *
 * go: internal/runtime/maps/group.go ctrlGroupMatchEmpty [1.24..1.27] */
static inline u32 match_empty(u64 control) { return match_byte(control, CTRL_EMPTY); }

/* The slots that hold no entry.
 *
 * go: internal/runtime/maps/group.go ctrlGroupMatchEmptyOrDeleted [1.24..1.27] */
static inline u32 match_empty_or_deleted(u64 control) { return match_high(control); }

/* The lowest slot of a mask that is not 0. */
static inline u32 first_slot(u32 mask) { return (u32)__builtin_ctz(mask); }

static inline u32 slot_count(u32 mask) { return (u32)__builtin_popcount(mask); }

/* The mask without its lowest slot. */
static inline u32 other_slots(u32 mask) { return mask & (mask - 1); }

static inline u8 get_byte(u64 control, u32 slot) { return (u8)(control >> (8 * slot)); }

/* The word with `byte` as the control byte of a slot. */
static inline u64 with_byte(u64 control, u32 slot, u8 byte)
{
    return (control & ~((u64)0xFF << (8 * slot))) | (u64)byte << (8 * slot);
}

#endif
