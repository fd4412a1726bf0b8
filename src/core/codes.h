/* Numbers that the core shares with Python: each is listed here, and nowhere else in C.
 *
 * Python has events and reasons in vocabulary.py (EventKind, Inexact), with what they mean; tests/model/test_core.py
 * holds the names and numbers equal. */
#ifndef MAPPROBE_CODES_H
#define MAPPROBE_CODES_H

#include <stdint.h>

#define NONE UINT32_MAX /* no bucket, no table, no map, no stack */
#define BEFORE 0u       /* the stack of what happened before the recording, or out of sight of it */
#define UNEQUAL_KEY 1u  /* the key type of a key that is not equal to itself */

/* clang-format off */
#define EVENT_KINDS(CODE) \
    CODE(ASSIGN, 1) \
    CODE(DELETE, 2) \
    CODE(CLEAR, 3) \
    CODE(CREATE, 4) \
    CODE(GROW, 5) \
    CODE(OVERFLOW, 6) \
    CODE(EXIT, 7) \
    CODE(CLONE, 8)

/* Why a map is not exact. */
#define INEXACT_REASONS(CODE) \
    CODE(EXACT, 0) \
    CODE(BEFORE_RECORDING, 1) \
    CODE(HEADER_MISMATCH, 2) \
    CODE(EVENTS_LOST, 3) \
    CODE(GROWTH_ONLY, 4) \
    CODE(OUT_OF_SIGHT, 5) \
    CODE(CUT_OFF, 6) \
    CODE(UNEQUAL_KEYS, 7) \
    CODE(NOT_WATCHED, 8) \
    CODE(NEVER_STILL, 9) \
    CODE(SIZE_NOT_KNOWN, 10) \
    CODE(UNTOUCHED, 11) \
    CODE(EQUAL_HASHES, 12) \
    CODE(TOO_LARGE, 13)

/* Bits of map.state.
 *
 * MODELLED: the model follows the map. DEAD: the map has ended. GROWING: classic, old buckets wait for evacuation.
 * HAS_DIRECTORY: Swiss, the map has tables; array is its directory, of 1 << log2 slots. UNEQUAL: the map may hold keys
 * that are not equal to themselves. */
#define MAP_STATES(CODE) \
    CODE(MODELLED, 1) \
    CODE(DEAD, 2) \
    CODE(GROWING, 4) \
    CODE(HAS_DIRECTORY, 8) \
    CODE(UNEQUAL, 16)
/* clang-format on */

#define EVENT_CODE(name, number) EVENT_##name = number,
#define PLAIN_CODE(name, number) name = number,
enum event_kind { EVENT_KINDS(EVENT_CODE) };
enum inexact { INEXACT_REASONS(PLAIN_CODE) };
enum map_state { MAP_STATES(PLAIN_CODE) };
#undef EVENT_CODE
#undef PLAIN_CODE

#endif
