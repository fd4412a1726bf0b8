/* The size classes of the Go allocator, for py_sizes.c, with which a test compares them to Go's sources. */
#ifndef MAPPROBE_SIZES_H
#define MAPPROBE_SIZES_H

#include "core.h"

#define SIZE_CLASSES 68

extern const u16 size_classes[SIZE_CLASSES];

#endif
