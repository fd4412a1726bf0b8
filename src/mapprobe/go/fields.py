"""Which map type a value of some type has at an offset: a field, or an element, of what it is made of."""

from __future__ import annotations

from mapprobe.errors import MapprobeError
from mapprobe.go.facts import KIND_ARRAY, KIND_MAP, KIND_STRUCT
from mapprobe.go.types import TYPE_BYTES, Read, TypeTable, struct_fields

DEEPEST = 32


def map_type_at(types: TypeTable, read: Read, addr: int, offset: int) -> int | None:
    """Return the address of the map type that a value has at an offset, None if something else stands there.

    Parameters
    ----------
    read
        Reads the process's memory.
    addr
        Of the value's type, in the process.

    Raises
    ------
    MapprobeError
        If what stands there is no type.
    """
    for _ in range(DEEPEST):
        common = types.common(addr, read)
        if offset >= common.size or common.kind == KIND_MAP:
            return addr if common.kind == KIND_MAP and offset == 0 else None
        if common.kind == KIND_ARRAY:
            addr = int.from_bytes(read(addr + TYPE_BYTES, 8), "little")
            offset %= max(1, types.common(addr, read).size)
        elif common.kind == KIND_STRUCT:
            before = [(start, field) for _, field, start in struct_fields(read, addr) if start <= offset]
            if not before:
                return None
            # they are in order, and of several at one offset only the last has a size
            start, addr = before[-1]
            offset -= start
        else:
            return None
    raise MapprobeError(f"type {addr:#x}: its parts have no end: the process is not the one that was inspected")
