"""Map types as the runtime's descriptors give them: names, sizes, layout.

Descriptors stand in the binary between moduledata's `types` and `etypes`.
Descriptors that reflect makes at run time stand on the heap, with the same
layout, and are read from the process.

go: internal/abi/type.go Type [1.21..1.27], internal/abi/type.go MapType [1.21..1.23],
internal/abi/map.go MapType [1.26..1.27], runtime/type.go _type maptype [1.18..1.20]
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapprobe.errors import BinaryError, MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import (
    CLASSIC_TYPE_BYTES,
    KIND_ARRAY,
    KIND_CHAN,
    KIND_COMPLEX128,
    KIND_FLOAT32,
    KIND_FUNC,
    KIND_INTERFACE,
    KIND_MAP,
    KIND_POINTER,
    KIND_SLICE,
    KIND_STRUCT,
)
from mapprobe.vocabulary import Implementation

Read = Callable[[int, int], bytes]

TYPE_BYTES = 48
KIND_MASK = 31
EXTRA_STAR = 2
HAS_UNCOMMON = 1
KIND_BYTES = {
    KIND_ARRAY: 72, KIND_CHAN: 64, KIND_FUNC: 56, KIND_INTERFACE: 80, KIND_POINTER: 56, KIND_SLICE: 56,
    KIND_STRUCT: 80,
}  # fmt: skip
"""Descriptor sizes of the kinds that are larger than Type itself.

go: runtime/type.go maptype [1.18..1.20], internal/abi/type.go [1.21..1.27]"""
LONGEST_NAME = 1 << 16
STRUCT_FIELDS, FIELD_BYTES, MOST_FIELDS = 56, 24, 1 << 16
"""go: runtime/type.go structtype structfield [1.18..1.20], internal/abi/type.go StructType StructField [1.21..1.27]"""
LARGEST_TYPE, LARGEST_BUCKET = 1 << 47, 1 << 16
"""Bytes of a value and of a bucket at most: more than the address space no value takes, and buckets take a few
thousand."""
MOST_PARTS = 1 << 16
NOT_REFLEXIVE = {*range(KIND_FLOAT32, KIND_COMPLEX128 + 1), KIND_INTERFACE}
DEEPEST_NAME = 8
"""Levels of maps in maps that are named, at most: a type that was read may be a map of itself."""
CONTROL_BYTES = 8  # go: internal/runtime/maps/group.go ctrlGroup [1.24..1.27]
CLASSIC_INDIRECT_KEY, CLASSIC_INDIRECT_ELEM = 1, 2  # go: internal/abi/type.go MapType.Flags [1.21..1.23]
SWISS_INDIRECT_KEY, SWISS_INDIRECT_ELEM = 4, 8  # go: internal/abi/map.go MapIndirectKey [1.26..1.27]


@dataclass(frozen=True, slots=True)
class MapType:
    """One map type; the attributes are the columns of `schema.TYPES`."""

    type_addr: int
    name: str
    key: str
    elem: str
    key_kind: int
    key_bytes: int
    elem_bytes: int
    slot_bytes: int
    bucket_bytes: int
    bucket_has_pointers: bool
    indirect_key: bool
    indirect_elem: bool
    key_has_pointers: bool
    elem_has_pointers: bool
    key_reflexive: bool
    keys_may_meet: bool = False


@dataclass(frozen=True, slots=True)
class _Type:
    """The common part of a descriptor.

    go: runtime/type.go _type [1.18..1.20], internal/abi/type.go Type [1.21..1.27]
    """

    size: int
    pointer_bytes: int
    flags: int
    kind: int
    name_offset: int


class TypeTable:
    """The types of a binary."""

    def __init__(self, binary: GoBinary) -> None:
        self._binary = binary
        self.facts = binary.facts
        self.is_swiss = binary.implementation is Implementation.SWISS
        # before anything is attached: facts that do not fit a newer release show here
        if binary.is_newer_than_known and not self.map_types():
            raise BinaryError(binary.path, "none of its type descriptors is a map's: please report this Go release")

    def map_type(self, addr: int) -> MapType:
        """Return the map type whose descriptor stands at an address.

        Raises
        ------
        BinaryError
            If no map type of this binary stands there.
        """
        if not self._is_ours(addr):
            raise BinaryError(self._binary.path, f"{addr:#x} is no type of it: is it another build?")
        return build_map_type(self, addr, self._binary.read, 0)

    def map_types(self) -> list[MapType]:
        """Return all map types that the linker lists."""
        return [self.map_type(addr) for addr in self._listed() if self._is_map(addr)]

    def type_name(self, addr: int) -> str:
        """Return the name of a type as Go prints it."""
        return self.name_of(addr, self._common(addr, self._binary.read), self._binary.read, 0)

    def name_of(self, addr: int, common: _Type, read: Read, bias: int, depth: int = 0) -> str:
        """Return a type's name; for a map type that reflect made, a name made of key and element."""
        if self._is_ours(addr - bias):
            name = self._name(common.name_offset)
            return name[1:] if common.flags & EXTRA_STAR else name
        if common.kind == KIND_MAP and depth < DEEPEST_NAME:
            key, elem = struct.unpack("<QQ", read(addr + TYPE_BYTES, 16))
            parts = [self.name_of(part, self._common(part, read), read, bias, depth + 1) for part in (key, elem)]
            return f"map[{parts[0]}]{parts[1]}"
        return "(made at run time)"

    def common(self, addr: int, read: Read) -> _Type:
        """Return the common part of the descriptor at an address."""
        return self._common(addr, read)

    def _is_ours(self, addr: int) -> bool:
        return self._binary.types <= addr < self._binary.etypes

    def _is_map(self, addr: int) -> bool:
        return self._common(addr, self._binary.read).kind == KIND_MAP

    def _common(self, addr: int, read: Read) -> _Type:
        size, pointer_bytes, _hash, flags, _, _, kind, _equal, _gc, name, _ptr = struct.unpack(
            "<QQIBBBBQQii", read(addr, TYPE_BYTES)
        )
        return _Type(size, pointer_bytes, flags, kind & KIND_MASK, name)

    def _name(self, offset: int) -> str:
        if offset == 0:
            return ""
        raw = self._binary.rest(self._binary.types + offset)
        length = shift = 0
        for place in range(1, min(6, len(raw))):
            length |= (raw[place] & 0x7F) << shift
            shift += 7
            if raw[place] < 0x80:
                if length > LONGEST_NAME:
                    break
                return bytes(raw[place + 1 : place + 1 + length]).decode("utf-8", "replace")
        raise BinaryError(self._binary.path, f"the type name at {offset:#x} is damaged: copy it again")

    def _listed(self) -> list[int]:
        facts, binary = self.facts, self._binary
        if facts.typelinks is not None:
            start, length = struct.unpack("<QQ", binary.read(binary.moduledata + facts.typelinks, 16))
            links = np.frombuffer(binary.read(start, 4 * length), "<i4")
            return [binary.types + int(link) for link in links]
        assert facts.typedesclen is not None
        addrs: list[int] = []
        length = binary.word(binary.moduledata + facts.typedesclen)
        if length > len(binary.rest(binary.types)):
            raise BinaryError(binary.path, "its type descriptors are cut off: copy it again")
        addr, end = binary.types + 8, binary.types + length
        while addr < end:
            addr = (addr + 7) & ~7
            addrs.append(addr)
            addr += self._descriptor_bytes(addr)
        return addrs

    def _descriptor_bytes(self, addr: int) -> int:
        """Return how long a descriptor is: descriptors follow each other from Go 1.27 on.

        go: internal/abi/type.go (*Type).DescriptorSize [1.27]
        """
        read = self._binary.read
        common = self._common(addr, read)
        size = self._map_bytes() if common.kind == KIND_MAP else KIND_BYTES.get(common.kind, TYPE_BYTES)
        tail = 0
        if common.kind == KIND_FUNC:
            inputs, outputs = struct.unpack("<HH", read(addr + TYPE_BYTES, 4))
            tail = 8 * (inputs + (outputs & 0x7FFF))
        elif common.kind == KIND_INTERFACE:
            tail = 8 * self._binary.word(addr + 64)
        elif common.kind == KIND_STRUCT:
            tail = 24 * self._binary.word(addr + 64)
        if common.flags & HAS_UNCOMMON:
            tail += 16 + 16 * int.from_bytes(read(addr + size + 4, 2), "little")
        return size + tail

    def _map_bytes(self) -> int:
        return self.facts.swiss_type_bytes if self.is_swiss else CLASSIC_TYPE_BYTES

    def layout(self, addr: int, read: Read) -> tuple[int, int, bool, bool]:
        """Return slot bytes, bucket bytes, and whether key and element stand outside their slot."""
        if not self.is_swiss:
            key, elem, bucket, flags = struct.unpack("<BBHI", read(addr + 80, 8))
            return key + elem, bucket, bool(flags & CLASSIC_INDIRECT_KEY), bool(flags & CLASSIC_INDIRECT_ELEM)
        group = int.from_bytes(read(addr + 80, 8), "little")
        if group < CONTROL_BYTES:
            raise BinaryError(self._binary.path, f"the map type at {addr:#x} is damaged: copy it again")
        flags = int.from_bytes(read(addr + self.facts.swiss_flags, 4), "little")
        return (group - CONTROL_BYTES) // 8, group, bool(flags & SWISS_INDIRECT_KEY), bool(flags & SWISS_INDIRECT_ELEM)


def build_map_type(types: TypeTable, addr: int, read: Read, bias: int) -> MapType:
    """Return the map type at an address that `read` reads, which is `bias` above the binary's address."""
    common = types.common(addr, read)
    if common.kind != KIND_MAP:
        raise MapprobeError(f"type {addr:#x}: not a map type: the process is not the one that was inspected")
    key_addr, elem_addr, bucket_addr = struct.unpack("<QQQ", read(addr + TYPE_BYTES, 24))
    key, elem, bucket = (types.common(part, read) for part in (key_addr, elem_addr, bucket_addr))
    slot_bytes, bucket_bytes, indirect_key, indirect_elem = types.layout(addr, read)
    if max(key.size, elem.size) > LARGEST_TYPE or bucket_bytes > LARGEST_BUCKET:
        raise MapprobeError(f"type {addr:#x}: larger than any is: the process is not the one that was inspected")
    return MapType(
        type_addr=addr - bias,
        name=types.name_of(addr, common, read, bias),
        key=types.name_of(key_addr, key, read, bias),
        elem=types.name_of(elem_addr, elem, read, bias),
        key_kind=key.kind,
        key_bytes=key.size,
        elem_bytes=elem.size,
        slot_bytes=slot_bytes,
        bucket_bytes=bucket_bytes,
        bucket_has_pointers=bucket.pointer_bytes != 0,
        indirect_key=indirect_key,
        indirect_elem=indirect_elem,
        key_has_pointers=key.pointer_bytes != 0,
        elem_has_pointers=elem.pointer_bytes != 0,
        key_reflexive=is_reflexive(types, key_addr, read),
        keys_may_meet=may_meet(types, key_addr, read),
    )


def is_reflexive(types: TypeTable, addr: int, read: Read) -> bool:
    """True if no value of the type at an address can differ from itself, as NaN does.

    go: reflect/type.go isReflexive, cmd/compile/internal/types/type.go IsReflexive [1.18..1.27]
    """
    return NOT_REFLEXIVE.isdisjoint(kinds_within(types, addr, read))


def may_meet(types: TypeTable, addr: int, read: Read) -> bool:
    """True if different values of the type at an address may have the same hash: a part of them is an interface.

    The dynamic type of an interface is not hashed. Where the key itself is one, events tell the dynamic type.

    go: runtime/alg.go interhash nilinterhash [1.18..1.27]
    """
    return KIND_INTERFACE in kinds_within(types, addr, read) and types.common(addr, read).kind != KIND_INTERFACE


def kinds_within(types: TypeTable, addr: int, read: Read) -> set[int]:
    """Return the kinds of the type at an address and of its parts: elements of an array, fields of a struct."""
    parts, seen, kinds = [addr], set[int](), set[int]()
    while parts:
        part = parts.pop()
        if part in seen:
            continue
        if len(seen) > MOST_PARTS:
            raise MapprobeError(f"type {addr:#x}: its parts have no end: the process is not the one that was inspected")
        seen.add(part)
        kinds.add(kind := types.common(part, read).kind)
        if kind == KIND_ARRAY:
            parts.append(int.from_bytes(read(part + TYPE_BYTES, 8), "little"))
        elif kind == KIND_STRUCT:
            parts += [field for _, field, _ in struct_fields(read, part)]
    return kinds


def struct_fields(read: Read, addr: int) -> list[tuple[int, int, int]]:
    """Return name, type and offset of each field of the struct type at an address.

    Raises
    ------
    MapprobeError
        If the descriptor is damaged.
    """
    fields, length = struct.unpack("<QQ", read(addr + STRUCT_FIELDS, 16))
    if length > MOST_FIELDS:
        raise MapprobeError(f"type {addr:#x}: {length} fields: the process is not the one that was inspected")
    return list(struct.iter_unpack("<QQQ", read(fields, FIELD_BYTES * length)))


def read_map_type(types: TypeTable, addr: int, read: Read, bias: int) -> MapType:
    """Return a map type that was made at run time, from the process's memory."""
    return build_map_type(types, addr, read, bias)


DEEPEST = 32
"""Levels of types within types that are followed, at most: what nests deeper was no type."""


def map_type_at(types: TypeTable, read: Read, addr: int, offset: int) -> int | None:
    """Return the address of the map type that a value has at an offset, None if something else stands there.

    Parameters
    ----------
    read
        Reads the process's memory.
    addr
        Address of the value's type, in the process.

    Raises
    ------
    MapprobeError
        If no type stands there.
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
            # fields are in order, and of several at one offset only the last has a size
            start, addr = before[-1]
            offset -= start
        else:
            return None
    raise MapprobeError(f"type {addr:#x}: its parts have no end: the process is not the one that was inspected")
