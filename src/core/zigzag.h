/* Zigzag: signed numbers as unsigned ones, 0, -1, 1, -2 ... as 0, 1, 2, 3 ..., so that numbers near 0 have few bits. */
#ifndef MAPPROBE_ZIGZAG_H
#define MAPPROBE_ZIGZAG_H

#include "core.h"

static inline u64 zigzag64(u64 value) { return value << 1 ^ (~(value >> 63) + 1); }
static inline u64 unzigzag64(u64 value) { return value >> 1 ^ (~(value & 1) + 1); }
static inline u32 zigzag32(u32 value) { return value << 1 ^ (~(value >> 31) + 1); }
static inline u32 unzigzag32(u32 value) { return value >> 1 ^ (~(value & 1) + 1); }
static inline u16 zigzag16(u16 value) { return (u16)((u32)value << 1 ^ (value >> 15 ? 0xFFFFu : 0)); }
static inline u16 unzigzag16(u16 value) { return (u16)(value >> 1 ^ (value & 1 ? 0xFFFFu : 0)); }

#endif
