"""The runtime's hash of keys that stand in a process's memory, as its maps would compute it.

A key is hashed part by part, each hash the seed of the next. Code that the
compiler made takes runs of plain fields at once; `typehash`, which hashes what
interfaces hold, takes each field alone. Keys pass through and are forgotten.

go: runtime/alg.go typehash f64hash nilinterhash [1.18..1.27],
cmd/compile/internal/reflectdata/alg.go genhash [1.18..1.27]
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64, U8, U64
from mapprobe.errors import MapprobeError, MemoryReadError
from mapprobe.go.facts import (
    KIND_ARRAY,
    KIND_CHAN,
    KIND_COMPLEX64,
    KIND_COMPLEX128,
    KIND_FLOAT32,
    KIND_FLOAT64,
    KIND_FUNC,
    KIND_INTERFACE,
    KIND_MAP,
    KIND_POINTER,
    KIND_STRING,
    KIND_STRUCT,
    KIND_UNSAFE_POINTER,
)
from mapprobe.go.memhash import memhash, memhash_word
from mapprobe.go.types import MOST_FIELDS, TYPE_BYTES, Read, TypeTable, struct_fields

Known = npt.NDArray[np.bool_]

C0, C1 = np.uint64(33054211828000289), np.uint64(23344194077549503)  # go: runtime/alg.go c0 c1 [1.18..1.27]
REGULAR_MEMORY = 8
"""go: runtime/type.go tflagRegularMemory [1.18..1.20], internal/abi/type.go TFlagRegularMemory [1.21..1.27]"""
METHOD_COUNT, ITAB_TYPE = 64, 8
"""go: runtime/type.go interfacetype [1.18..1.27], runtime/runtime2.go itab [1.18..1.21],
internal/abi/iface.go ITab [1.22..1.27]"""
POINTERS = {KIND_CHAN, KIND_FUNC, KIND_MAP, KIND_POINTER, KIND_UNSAFE_POINTER}
"""Kinds that an interface holds itself instead of a pointer to them."""
FLOATS = {KIND_FLOAT32: (4, 1), KIND_FLOAT64: (8, 1), KIND_COMPLEX64: (4, 2), KIND_COMPLEX128: (8, 2)}
"""Kinds that are floating-point numbers: bytes of one, and how many a value has."""
PAIR_BYTES = 16
"""Bytes of a string or an interface: two words."""
ANOTHER = "the process is not the one that was inspected"
LONGEST_STRING = 1 << 20
LONGEST_VALUE = 1 << 12
"""Bytes of a value that an interface holds, at most: with more, the value is no key, or its type is no type."""
KINDS = range(1, KIND_UNSAFE_POINTER + 1)
MOST_BYTES = 1 << 28
"""Bytes of strings that are hashed in one step, at most: the hashes of more are unknown."""
NEAR = 1 << 14
MOST_AT_ONCE = 1 << 22
HIGHEST = np.uint64(1 << 47)
"""The end of a process's address space: a word from here on is no pointer."""
DEEPEST = 32
UNROLLED_BYTES = 32  # go: cmd/compile/internal/reflectdata/alg.go unrollSize [1.27]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a key that one function hashes: plain memory, or a value of a type."""

    offset: int
    length: int
    type_addr: int
    is_plain: bool
    is_run: bool = False


class KeyHasher:
    """Hashes keys of one process.

    Parameters
    ----------
    key
        The process's random key, ``(128,)`` bytes.
    read
        Reads the process's memory.
    longest
        Longest string that is hashed [bytes].
    most_types
        Most types that are looked at of those that interfaces hold, the most common ones first; None: all.
    """

    def __init__(
        self, types: TypeTable, key: U8, read: Read, longest: int = LONGEST_STRING, most_types: int | None = None
    ) -> None:
        self._types, self._key, self._read, self.longest = types, key, read, longest
        self._most_types = most_types
        self._parts: dict[tuple[int, bool], list[Part]] = {}

    def hashes(self, key_type: int, keys: U8, seeds: U64) -> tuple[U64, Known]:
        """Return the hashes of keys, and which of them are known.

        Parameters
        ----------
        key_type
            Address of the descriptor of the keys' type.
        keys
            Keys as they stand in their slots, or where the slots point to, ``(rows, bytes)``.
        seeds
            Seed of each key's map, ``(rows,)``.

        Raises
        ------
        MapprobeError
            If the descriptor is damaged.
        """
        return self._hash(key_type, keys, seeds, is_compiled=True, depth=0)

    def _hash(self, addr: int, data: U8, seeds: U64, *, is_compiled: bool, depth: int) -> tuple[U64, Known]:
        if depth > DEEPEST:
            raise MapprobeError(f"type {addr:#x}: its parts have no end: {ANOTHER}")
        known = np.ones(len(data), np.bool_)
        for part in self._parts_of(addr, is_compiled):
            here = data[:, part.offset : part.offset + part.length]
            if here.shape[1] != part.length:
                raise MapprobeError(f"type {addr:#x}: its parts are larger than itself: {ANOTHER}")
            if part.is_plain:
                is_word = part.length in (4, 8) and not part.is_run
                seeds = (memhash_word if is_word else memhash)(self._key, here, seeds)
                continue
            is_leaf = part.type_addr == addr or (is_compiled and self._types.facts.hashes_by_signature)
            hash_part = self._value if is_leaf else self._nested
            seeds, here_known = hash_part(part.type_addr, here, seeds, is_compiled, depth)
            known &= here_known
        return seeds, known

    def _nested(self, addr: int, data: U8, seeds: U64, is_compiled: bool, depth: int) -> tuple[U64, Known]:
        return self._hash(addr, data, seeds, is_compiled=is_compiled, depth=depth + 1)

    def _value(self, addr: int, data: U8, seeds: U64, _is_compiled: bool, depth: int) -> tuple[U64, Known]:
        """Hash values that are neither plain memory nor made of parts."""
        kind = self._types.common(addr, self._read).kind
        width, count = (PAIR_BYTES, 1) if kind in (KIND_STRING, KIND_INTERFACE) else FLOATS.get(kind, (0, 0))
        if data.shape[1] != width * count:
            raise MapprobeError(f"type {addr:#x}: a value of kind {kind} with {data.shape[1]} bytes: {ANOTHER}")
        if kind == KIND_STRING:
            return self._strings(data, seeds)
        if kind == KIND_INTERFACE:
            return self._interfaces(addr, data, seeds, depth)
        if kind not in FLOATS:
            raise MapprobeError(f"type {addr:#x}: no key is of kind {kind}: {ANOTHER}")
        known = np.ones(len(data), np.bool_)
        for n in range(count):
            raw = np.ascontiguousarray(data[:, width * n : width * (n + 1)])
            number = raw.view(np.float32 if width == 4 else np.float64).reshape(-1)
            known &= ~np.isnan(number)
            seeds = np.where(number == 0, C1 * (C0 ^ seeds), memhash(self._key, raw, seeds))
        return seeds, known

    def _strings(self, data: U8, seeds: U64) -> tuple[U64, Known]:
        words = np.ascontiguousarray(data).view(np.uint64).reshape(-1, 2)
        is_short = words[:, 1] <= self.longest
        lengths = np.where(is_short, words[:, 1], 0).astype(np.int64)
        if lengths.sum() > MOST_BYTES:
            return seeds, np.zeros(len(data), np.bool_)
        memory, starts, known = fetch(self._read, words[:, 0], lengths)
        hashes = seeds.copy()
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            text = memory[starts[rows, None] + np.arange(length)]
            hashes[rows] = memhash(self._key, text, seeds[rows])
        return hashes, known & is_short

    def _interfaces(self, addr: int, data: U8, seeds: U64, depth: int) -> tuple[U64, Known]:
        has_methods = int.from_bytes(self._read(addr + METHOD_COUNT, 8), "little") != 0
        words = np.ascontiguousarray(data).view(np.uint64).reshape(-1, 2)
        hashes, known = seeds.copy(), words[:, 0] == 0
        for word, rows in self._by_type(words[:, 0]):
            try:
                held = int.from_bytes(self._read(word + ITAB_TYPE, 8), "little") if has_methods else word
                common = self._types.common(held, self._read)
                size = common.size
                if common.kind not in KINDS or size > LONGEST_VALUE:  # not a type, or not one of keys
                    continue
                if self._is_direct(held):
                    value, there = words[rows, 1:].copy().view(np.uint8), np.ones(len(rows), np.bool_)
                else:
                    value, there = gather(self._read, words[rows, 1], size)
                inner, inner_known = self._hash(held, value, seeds[rows] ^ C0, is_compiled=False, depth=depth + 1)
            except MapprobeError:  # the word is no type, or the memory is gone
                continue
            hashes[rows], known[rows] = C1 * inner, there & inner_known
        return hashes, known

    def _by_type(self, words: U64) -> Iterator[tuple[int, I64]]:
        """Yield the first words of interfaces that are not 0, the most common first, with the rows of each."""
        order = np.argsort(words, kind="stable")
        found, begins, counts = np.unique(words[order], return_index=True, return_counts=True)
        is_type = found != 0
        found, begins, counts = found[is_type], begins[is_type], counts[is_type]
        for n in np.argsort(-counts, kind="stable")[: self._most_types].tolist():
            yield int(found[n]), order[begins[n] : begins[n] + counts[n]]

    def _is_direct(self, addr: int) -> bool:
        """True if an interface holds a value of a type itself, not a pointer to the value.

        go: cmd/compile/internal/types/type.go IsDirectIface [1.18..1.27]
        """
        for _ in range(DEEPEST):
            kind = self._types.common(addr, self._read).kind
            if kind == KIND_ARRAY:
                addr, _slice, length = struct.unpack("<QQQ", self._read(addr + TYPE_BYTES, 24))
                if length != 1:
                    return False
            elif kind == KIND_STRUCT:
                fields = self._fields(addr)
                if len(fields) != 1:
                    return False
                addr = fields[0][1]
            else:
                return kind in POINTERS
        return False

    def _parts_of(self, addr: int, is_compiled: bool) -> list[Part]:
        if (addr, is_compiled) not in self._parts:
            self._parts[addr, is_compiled] = list(self._split(addr, is_compiled))
        return self._parts[addr, is_compiled]

    def _split(self, addr: int, is_compiled: bool) -> Iterator[Part]:
        """Yield the parts that a value of a type is hashed in."""
        if is_compiled and self._types.facts.hashes_by_signature:
            yield from runs(self._leaves(addr, 0, 0))
            return
        common = self._types.common(addr, self._read)
        if common.flags & REGULAR_MEMORY:
            if common.size or not is_compiled:  # typehash hashes even 0 bytes, compiled code does not
                yield Part(0, common.size, addr, is_plain=True)
        elif common.kind == KIND_ARRAY:
            elem, size, length = self._array(addr)
            for n in range(length):
                yield Part(size * n, size, elem, is_plain=False)
        elif common.kind == KIND_STRUCT:
            yield from self._fields_in_runs(addr) if is_compiled else self._fields_alone(addr)
        else:
            yield Part(0, common.size, addr, is_plain=False)

    def _leaves(self, addr: int, at: int, depth: int) -> Iterator[Part | None]:
        """Yield the values that a type is made of, and None where a run of plain ones ends.

        go: cmd/compile/internal/reflectdata/alg.go (*eqSigBuilder).build [1.27]
        """
        common = self._types.common(addr, self._read)
        if depth > DEEPEST:
            raise MapprobeError(f"type {addr:#x}: its parts have no end: {ANOTHER}")
        if common.kind == KIND_STRUCT:
            for offset, field, is_blank in self._fields(addr):
                if not is_blank:
                    yield from self._leaves(field, at + offset, depth + 1)
        elif common.kind == KIND_ARRAY and not common.flags & REGULAR_MEMORY:
            elem, size, length = self._array(addr)
            at_once = max(1, UNROLLED_BYTES // size) if size else 1
            rest = length % at_once
            is_loop = length - rest > at_once
            for n in range(length if size else 0):
                if is_loop and n >= rest and (n - rest) % at_once == 0:
                    yield None
                yield from self._leaves(elem, at + size * n, depth + 1)
            if is_loop:
                yield None
        else:
            is_plain = bool(common.flags & REGULAR_MEMORY)
            yield Part(at, common.size, addr, is_plain=is_plain)

    def _array(self, addr: int) -> tuple[int, int, int]:
        """Return type and size of an array's elements, and their number."""
        elem, _slice, length = struct.unpack("<QQQ", self._read(addr + TYPE_BYTES, 24))
        size = self._types.common(elem, self._read).size
        if size * length > self._types.common(addr, self._read).size or length > MOST_FIELDS:
            raise MapprobeError(f"type {addr:#x}: an array of {length}: {ANOTHER}")
        return elem, size, length

    def _fields_alone(self, addr: int) -> Iterator[Part]:
        for offset, field, is_blank in self._fields(addr):
            if not is_blank:
                yield Part(offset, self._types.common(field, self._read).size, field, is_plain=False)

    def _fields_in_runs(self, addr: int) -> Iterator[Part]:
        """Yield each field that is not plain, and each run of plain fields without padding between them.

        go: cmd/compile/internal/reflectdata/alg.go memrun [1.18],
        cmd/compile/internal/compare/compare.go Memrun [1.19..1.26]
        """
        start = end = 0
        for offset, field, is_blank in self._fields(addr):
            common = self._types.common(field, self._read)
            is_plain = bool(common.flags & REGULAR_MEMORY) and not is_blank
            if end > start and not (is_plain and offset == end):
                yield Part(start, end - start, addr, is_plain=True, is_run=True)
                start = end = 0
            if is_plain:
                start, end = (start if end > start else offset), offset + common.size
            elif not is_blank:
                yield Part(offset, common.size, field, is_plain=False)
        if end > start:
            yield Part(start, end - start, addr, is_plain=True, is_run=True)

    def _fields(self, addr: int) -> list[tuple[int, int, bool]]:
        """Return offset and type of each field of a struct, and whether it is blank."""
        # a name is its flags, its length and its letters. go: runtime/type.go isBlank [1.18..1.20],
        # internal/abi/type.go IsBlank [1.21..1.27]
        rows = struct_fields(self._read, addr)
        return [(offset, kind, self._read(name + 1, 2) == b"\x01_") for name, kind, offset in rows]


def runs(leaves: Iterable[Part | None]) -> Iterator[Part]:
    """Yield leaves; those of plain memory that follow each other are joined."""
    run: Part | None = None
    for leaf in leaves:
        if run and leaf and leaf.is_plain and leaf.offset == run.offset + run.length:
            run = replace(run, length=run.length + leaf.length)
            continue
        if run and run.length:
            yield run
        run = leaf if leaf and leaf.is_plain else None
        if leaf and not leaf.is_plain:
            yield leaf
    if run and run.length:
        yield run


def gather(read: Read, addrs: U64, length: int) -> tuple[U8, Known]:
    """Read `length` bytes at each address.

    Returns
    -------
    The bytes, ``(addrs, length)``, and at which addresses they could be read.
    """
    memory, starts, known = fetch(read, addrs, np.full(len(addrs), length, np.int64))
    return memory[starts[:, None] + np.arange(length)], known


def fetch(read: Read, addrs: U64, lengths: I64) -> tuple[U8, I64, Known]:
    """Read bytes at each address; addresses near each other are read at once.

    Returns
    -------
    Memory, where in it the bytes of each address begin, and whether they could be read; zeros if not.
    """
    is_wild = addrs >= HIGHEST
    order = np.flatnonzero(~is_wild)[np.argsort(addrs[~is_wild], kind="stable")]
    first, end = addrs[order], (addrs + lengths.astype(np.uint64))[order]
    reached = np.maximum.accumulate(end) if len(end) else end
    is_apart = first[1:] > reached[:-1] + np.uint64(NEAR)
    # a run is read whole: none may be longer than is worth holding
    is_apart |= np.diff((first - first[:1]) // np.uint64(MOST_AT_ONCE)) != 0
    begins = np.flatnonzero(np.r_[len(order) > 0, is_apart])
    ends = np.r_[begins[1:], len(order)].astype(np.int64)[: len(begins)]
    starts, known = np.zeros(len(addrs), np.int64), np.ones(len(addrs), np.bool_)
    parts: list[bytes] = []
    held = 0
    for lo, hi in zip(begins.tolist(), ends.tolist(), strict=True):
        rows, base = order[lo:hi], int(first[lo])
        try:
            part = read(base, int(end[lo:hi].max()) - base)
        except MemoryReadError:
            part = _each(read, addrs[rows], lengths[rows], known, rows)
            starts[rows] = held + np.cumsum(lengths[rows]) - lengths[rows]
        else:
            starts[rows] = held + (first[lo:hi] - first[lo]).astype(np.int64)
        parts.append(part)
        held += len(part)
    starts[is_wild], known[is_wild] = held, False
    parts.append(bytes(int(lengths[is_wild].max(initial=0))))
    return np.frombuffer(b"".join(parts), np.uint8), starts, known


def _each(read: Read, addrs: U64, lengths: I64, known: Known, rows: I64) -> bytes:
    """Read the bytes of each address alone: one address may be wrong, or a page between two of them missing."""
    parts: list[bytes] = []
    for row, addr, length in zip(rows.tolist(), addrs.tolist(), lengths.tolist(), strict=True):
        try:
            parts.append(read(addr, length))
        except MemoryReadError:
            parts.append(bytes(length))
            known[row] = False
    return b"".join(parts)
