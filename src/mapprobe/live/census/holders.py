"""A map's type from its holder: an object whose type the allocator keeps, and which refers to the map in a field.

The allocator keeps the types of large objects and of objects with pointers over 512 bytes, such as slices of maps.

go: runtime/mbitmap*.go heapSetType* [1.22..1.27], runtime/mheap.go largeType [1.22..1.27]
"""

from __future__ import annotations

import numpy as np

from mapprobe.arrays import I64, U64, Flags, distinct_rows
from mapprobe.errors import MapprobeError
from mapprobe.go.types import TypeTable, map_type_at
from mapprobe.live.census.layouts import HEADER_BYTES, NO_TYPE, Layouts
from mapprobe.live.heap.spans import NOWHERE, Spans
from mapprobe.live.memory import HIGHEST, PAGE_BYTES, Memory
from mapprobe.model.sizes import MIN_SIZE_FOR_MALLOC_HEADER

MOST_ELSEWHERE = 256
"""Most types outside the binary that are looked at: they are made at run time, few, and may be forged."""


def keeps_type(spans: Spans, layouts: Layouts) -> Flags:
    """Return for which spans the allocator keeps the types of objects."""
    has_header = spans.object_bytes > np.uint64(MIN_SIZE_FOR_MALLOC_HEADER)
    has_header &= bool(layouts.sizes.header_bytes) & ~spans.is_large
    found: Flags = spans.has_pointers & (has_header | (spans.large_type != 0))
    return found


def has_bitmap(spans: Spans, layouts: Layouts) -> Flags:
    """Return which spans have a bitmap of the words that are pointers: spans of objects up to 512 bytes.

    go: runtime/mbitmap_allocheaders.go heapBitsInSpan [1.22], runtime/mbitmap.go heapBitsInSpan [1.23..1.27]
    """
    is_small = spans.object_bytes <= np.uint64(MIN_SIZE_FOR_MALLOC_HEADER)
    found: Flags = spans.has_pointers & is_small & bool(layouts.sizes.header_bytes)
    return found


def held_types(memory: Memory, spans: Spans, layouts: Layouts, types: TypeTable, holder: U64) -> I64:
    """Return the map type of the field at each address, `NO_TYPE` if it isn't known.

    A type is given by its address in the binary.

    Parameters
    ----------
    holder
        Addresses of the fields, in objects of spans that keep types; 0 for none.
    """
    found_types = np.full(len(holder), NO_TYPE, np.int64)
    span, offset = spans.find(holder)
    rows = np.flatnonzero(span != NOWHERE)
    span, offset = span[rows], offset[rows]
    is_large = spans.is_large[span]
    headers, _ = memory.words(np.where(is_large, np.uint64(0), holder[rows] - offset.astype(np.uint64)))
    kept = np.where(is_large, spans.large_type[span], headers[:, 0])
    inner = np.where(is_large, offset, offset - HEADER_BYTES)
    if not len(rows):
        return found_types
    first, number = distinct_rows([kept])
    looked_at = _looked_at(kept[first], layouts)
    size = np.array([_size(types, layouts, addr) for addr in looked_at.tolist()], np.int64)[number]
    kept = looked_at[number]
    first, number = distinct_rows([kept, inner % size])
    found = [
        _map_type(types, layouts, *place)
        for place in zip(kept[first].tolist(), (inner % size)[first].tolist(), strict=True)
    ]
    found_types[rows] = np.array(found, np.int64)[number]
    found_types[rows[inner < 0]] = NO_TYPE
    return found_types


def _size(types: TypeTable, layouts: Layouts, addr: int) -> int:
    """Return the size of the type at an address [bytes], which is that of an element; 1 if the type can't be read."""
    try:
        size = types.common(addr, layouts.read).size if addr else 1
    except MapprobeError:
        return 1
    return size if 0 < size <= HIGHEST else 1


def _looked_at(addrs: U64, layouts: Layouts) -> U64:
    """Return the addresses of types; 0 if impossible, or made at run time after `MOST_ELSEWHERE` others."""
    found = np.where((addrs >= np.uint64(PAGE_BYTES)) & (addrs < np.uint64(HIGHEST)), addrs, np.uint64(0))
    elsewhere = np.flatnonzero(~layouts.is_of_binary(found))
    found[elsewhere[MOST_ELSEWHERE:]] = 0
    return found


def _map_type(types: TypeTable, layouts: Layouts, addr: int, offset: int) -> int:
    try:
        found = map_type_at(types, layouts.read, addr, offset) if addr else None
    except MapprobeError:
        return NO_TYPE
    is_known = found is not None and layouts.of_map_type(found - layouts.bias) is not None
    return found - layouts.bias if found is not None and is_known else NO_TYPE
