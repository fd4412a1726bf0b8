/* The six words of a map's header as the ring has them, and the columns that are made from them.
 *
 * go: runtime/map.go hmap [1.18..1.23]
 * go: internal/runtime/maps/map.go Map [1.24..1.27] */
#ifndef MAPPROBE_HEADERWORDS_H
#define MAPPROBE_HEADERWORDS_H

#include "core.h"

#define WRITING_CLASSIC 4u                                        /* flag: an operation is under way */
#define CLASSIC_COMMON (0xFFFFFFFF0000FFFFull & ~(u64)WRITING_CLASSIC) /* of the second word: flags, B, seed */
#define SWISS_COMMON 0x010000FFull                                /* of the fifth word: global depth, tombstones */

/* Write the words from which the columns follow that seldom change; words that a family does not have are 0. */
static inline void common_header_words(bool is_classic, const u64 *words, u64 *common)
{
    common[0] = is_classic ? words[1] & CLASSIC_COMMON : words[1];
    common[1] = words[2];
    common[2] = words[3];
    common[3] = is_classic ? 0 : words[4] & SWISS_COMMON;
    common[4] = is_classic ? 0 : words[5];
}

/* Overflow count and evacuated, which change with operations: directly from the words of the ring. */
static inline u16 own_overflow_count(bool is_classic, const u64 *words)
{
    return is_classic ? (u16)(words[1] >> 16) : 0;
}
static inline u32 own_evacuated(bool is_classic, const u64 *words) { return is_classic ? (u32)words[4] : 0; }

/* The columns that seldom change, from the words of common_header_words. */
static inline u64 seed_of(bool is_classic, const u64 *common) { return is_classic ? common[0] >> 32 : common[0]; }
static inline u64 array_addr_of(const u64 *common) { return common[1]; }
static inline u64 old_array_addr_of(bool is_classic, const u64 *common) { return is_classic ? common[2] : 0; }
static inline u8 flags_of(bool is_classic, const u64 *common)
{
    return is_classic ? (u8)common[0] : (u8)(common[3] >> 24 & 1);
}
static inline u8 log2_size_of(bool is_classic, const u64 *common)
{
    return is_classic ? (u8)(common[0] >> 8) : (u8)common[3];
}
static inline u32 directory_length_of(bool is_classic, const u64 *common) { return is_classic ? 0 : (u32)common[2]; }
static inline u32 clear_seq_of(bool is_classic, const u64 *common) { return is_classic ? 0 : (u32)common[4]; }

#endif
