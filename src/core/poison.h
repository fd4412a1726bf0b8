/* Marks for AddressSanitizer: rows of arenas that are not in use (never taken, or given back) must not be touched. */
#ifndef MAPPROBE_POISON_H
#define MAPPROBE_POISON_H

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(IS_SANITIZED)
#include <sanitizer/asan_interface.h>
#define POISON(rows, bytes) ASAN_POISON_MEMORY_REGION(rows, bytes)
#define UNPOISON(rows, bytes) ASAN_UNPOISON_MEMORY_REGION(rows, bytes)
#else
#define POISON(rows, bytes) ((void)(rows))
#define UNPOISON(rows, bytes) ((void)(rows))
#endif

#endif
