"""Layouts of a binary's map types: the objects that the allocator makes for buckets, and which types fit an array.

Map types with the same key and element share one bucket type (classic) or
group type (Swiss), whatever their names are: such types form a shape. The
shapes of an array follow from the size of its object, its offset in the
object, whether it has pointers, and its number of buckets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mapprobe.arrays import U64, Flags
from mapprobe.errors import MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import KIND_MAP, KIND_STRUCT
from mapprobe.go.types import KIND_MASK, TYPE_BYTES, MapType, TypeTable
from mapprobe.live.heap.frames import NO_POINTERS
from mapprobe.live.memory import HIGHEST, PAGE_BYTES, WORD
from mapprobe.model.sizes import Sizes, sizes_of
from mapprobe.vocabulary import Implementation

Read = Callable[[int, int], bytes]

KIND_WORD, KIND_SHIFT = 2, np.uint64(56)
KEY_WORD, ELEM_WORD, BUCKET_WORD = 6, 7, 8
BUCKET = 8 * BUCKET_WORD
LARGEST_BUCKET = 8 + 8 * 2 * 128 + 8
"""Largest size of a bucket [bytes]: keys and elements over 128 bytes are stored outside of it.

go: runtime/map.go maxKeySize maxElemSize [1.18..1.20], internal/abi/map.go MapMaxKeyBytes MapMaxElemBytes [1.21..1.23],
internal/abi/map_swiss.go SwissMapMaxKeyBytes SwissMapMaxElemBytes [1.24..1.25],
internal/abi/map.go MapMaxKeyBytes MapMaxElemBytes [1.26..1.27]"""
MOST_MADE, MOST_TRIED = 1 << 12, 1 << 16
"""Most types made at run time that are kept, and most addresses that are looked at for them: a program makes few."""
UNNAMED = "map["
NO_TYPE = -1
MADE_AT_RUN_TIME = "(made at run time)"
HEADER_BYTES = 8  # go: runtime/mbitmap*.go mallocHeaderSize [1.22..1.24]


@dataclass(frozen=True, slots=True)
class Shape:
    """The map types with one key and element type, which share a bucket type.

    Attributes
    ----------
    bucket_type
        Address of the bucket or group type, less the load bias.
    map_type
        One of the map types: one with a name of its own, if there is any.
    others
        The other map types, those with names of their own first.
    """

    bucket_type: int
    map_type: MapType
    others: tuple[MapType, ...] = ()

    @property
    def map_types(self) -> tuple[MapType, ...]:
        """All map types of the shape."""
        return self.map_type, *self.others

    @property
    def size(self) -> tuple[int, bool]:
        """Size of a bucket [bytes], and whether it has pointers."""
        return self.map_type.bucket_bytes, self.map_type.bucket_has_pointers


@dataclass(slots=True)
class Layouts:
    """The shapes of a binary, and the sizes of allocations in its release.

    Attributes
    ----------
    sizes
        Sizes of allocations in the release.
    shapes
        The shapes by id: first those of the binary, then those met at run time.
    bucket_types
        The bucket or group type of each map type of the binary; addresses less the load bias.
    types
        Start and end of the binary's types, less the load bias.
    """

    implementation: Implementation
    sizes: Sizes
    read: Read
    bias: int
    shapes: list[Shape]
    bucket_types: dict[int, int] = field(default_factory=dict)
    types: tuple[int, int] = (0, 0)
    _by_bucket_type: dict[int, int | None] = field(default_factory=dict)
    _by_size: dict[tuple[int, bool], tuple[int, ...]] = field(default_factory=dict)
    _key_types: dict[int, int] = field(default_factory=dict)
    _tried: int = 0
    _of_binary: int = 0

    def __post_init__(self) -> None:
        """Index the shapes of the binary."""
        self._of_binary = len(self.shapes)
        for number, shape in enumerate(self.shapes):
            self._by_bucket_type[shape.bucket_type] = number
            self._by_size[shape.size] = (*self._by_size.get(shape.size, ()), number)

    def of_size(self, bucket_bytes: int, has_pointers: bool) -> tuple[int, ...]:
        """Return the ids of the binary's shapes with buckets of a size."""
        return self._by_size.get((bucket_bytes, has_pointers), ())

    def at(self, addr: int) -> int | None:
        """Return the id of the shape whose bucket type is at an address of the process, None if there is none."""
        vaddr = addr - self.bias
        if not PAGE_BYTES <= addr < HIGHEST or addr % WORD:
            return None
        if vaddr not in self._by_bucket_type:
            self._by_bucket_type[vaddr] = self._made_at_run_time(addr)
        return self._by_bucket_type[vaddr]

    def is_of_binary(self, addrs: U64) -> Flags:
        """Return which addresses of the process are among the binary's types."""
        first, end = self.types
        found: Flags = (addrs >= np.uint64(first + self.bias)) & (addrs < np.uint64(end + self.bias))
        return found

    @property
    def bucket_types_there(self) -> U64:
        """Addresses in the process of the bucket types of the binary, ascending."""
        found = [shape.bucket_type + self.bias for shape in self.shapes[: self._of_binary]]
        return np.sort(np.array(found, np.uint64))

    def of_map_type(self, vaddr: int) -> int | None:
        """Return the id of the shape of the map type at an address of the binary, None if there is no map type."""
        return self._by_bucket_type.get(self.bucket_types.get(vaddr, -1))

    def known_type(self, vaddr: int | None) -> int:
        """Return the address if a map type of the binary is there, else `NO_TYPE`."""
        return vaddr if vaddr is not None and self.of_map_type(vaddr) is not None else NO_TYPE

    def map_type(self, vaddr: int) -> MapType:
        """Return the map type at an address of the binary that has one (`of_map_type`)."""
        shape = self.shapes[self._by_bucket_type[self.bucket_types[vaddr]] or 0]
        return next(of for of in shape.map_types if of.type_addr == vaddr)

    def key_type(self, of: MapType) -> int:
        """Return the address in the process of the type of a map type's keys, 0 if it is not known."""
        if not of.type_addr:
            return 0
        if of.type_addr not in self._key_types:
            try:
                raw = self.read(of.type_addr + self.bias + TYPE_BYTES, 8)
            except MapprobeError:
                raw = b""
            self._key_types[of.type_addr] = int.from_bytes(raw, "little")
        return self._key_types[of.type_addr]

    def placed(self, length: int, has_pointers: bool) -> tuple[int, int]:
        """Return the size of the object that holds `length` bytes, and the offset of these bytes in it [bytes]."""
        offset = HEADER_BYTES if self.sizes.has_header(length, has_pointers) else 0
        return self.sizes.charged(length, has_pointers), offset

    def array_placed(self, bucket_bytes: int, has_pointers: bool, buckets: int) -> tuple[int, int]:
        """Return `placed` for an array; a classic array includes its preallocated overflow buckets."""
        if self.implementation is Implementation.CLASSIC:
            log2 = buckets.bit_length() - 1
            buckets = self.sizes.array_buckets(bucket_bytes, has_pointers, log2)
        return self.placed(bucket_bytes * buckets, has_pointers)

    def sizes_that_fit(self, buckets: int, object_bytes: int, offset: int, has_pointers: bool) -> tuple[int, ...]:
        """Return the bucket sizes with which an array of `buckets` buckets is placed in such an object."""
        fit = (object_bytes, offset)
        return tuple(
            sorted(
                size
                for size, points in self._by_size
                if points == has_pointers and self.array_placed(size, points, buckets) == fit
            )
        )

    def sizes_in_frame(self, bucket_bytes: int) -> tuple[tuple[int, bool], ...]:
        """Return the possible kinds of a bucket in a frame: size, and whether it has pointers (`frames.Claim`)."""
        known = sorted(self._by_size)
        if bucket_bytes > 0:
            return tuple(key for key in known if key == (bucket_bytes, True))
        return tuple(key for key in known if not key[1] or bucket_bytes != NO_POINTERS)

    def _made_at_run_time(self, addr: int) -> int | None:
        """Return the id of a new shape for a bucket type that reflect made; key and element types are not known."""
        self._tried += 1
        if self._tried > MOST_TRIED or len(self.shapes) - self._of_binary > MOST_MADE:
            return None
        try:
            raw = self.read(addr, TYPE_BYTES)
        except MapprobeError:
            return None
        size, pointer_bytes = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:16], "little")
        if raw[23] & KIND_MASK != KIND_STRUCT or not 8 < size <= LARGEST_BUCKET or pointer_bytes > size:
            return None
        nothing = MapType(
            0, MADE_AT_RUN_TIME, "", "", 0, 0, 0, (size - 8) // 8, size, bool(pointer_bytes), *[False] * 5
        )
        self.shapes.append(Shape(addr - self.bias, nothing))
        return len(self.shapes) - 1


def layouts_of(binary: GoBinary, types: TypeTable, read: Read, bias: int) -> Layouts:
    """Return the layouts of a binary, including map types that the linker doesn't list."""
    of_bucket: dict[int, list[MapType]] = {}
    bucket_types: dict[int, int] = {}
    for addr in _map_type_addrs(binary):
        try:
            map_type = types.map_type(addr)
            bucket_type = binary.word(addr + BUCKET)
            bucket = types.common(bucket_type, binary.read)
        except MapprobeError:  # it looks like a map type, but is not
            continue
        is_bucket = bucket.kind == KIND_STRUCT and bucket.size == map_type.bucket_bytes
        if not is_bucket or not 8 < bucket.size <= LARGEST_BUCKET:
            continue
        bucket_types[addr] = bucket_type
        of_bucket.setdefault(bucket_type, []).append(map_type)
    shapes = list[Shape]()
    for bucket_type, theirs in of_bucket.items():
        first, *others = sorted(theirs, key=lambda of: (of.name.startswith(UNNAMED), of.name))
        shapes.append(Shape(bucket_type, first, tuple(others)))
    sizes = sizes_of(binary.implementation, binary.go_release)
    return Layouts(binary.implementation, sizes, read, bias, shapes, bucket_types, (binary.types, binary.etypes))


def _map_type_addrs(binary: GoBinary) -> list[int]:
    """Return the addresses between `types` and `etypes` that look like a map type: a pointer's size, three types."""
    raw = binary.rest(binary.types)
    length = min(binary.etypes - binary.types, len(raw)) // 8 * 8
    words = np.frombuffer(raw[:length], "<u8")
    count = len(words) - BUCKET_WORD
    if count <= 0:
        return []
    found = ((words[KIND_WORD:][:count] >> KIND_SHIFT) & np.uint64(KIND_MASK)) == np.uint64(KIND_MAP)
    found &= words[:count] == np.uint64(8)
    for place in (KEY_WORD, ELEM_WORD, BUCKET_WORD):
        part = words[place:][:count]
        found &= (part >= np.uint64(binary.types)) & (part < np.uint64(binary.etypes))
    addrs: list[int] = (binary.types + 8 * np.flatnonzero(found)).tolist()
    return addrs
