"""Tells what a frame of a goroutine's stack holds where at a program counter, from the collector's stack maps.

Pure. Places are distances from the word of the return address, the one place of
a frame that does not depend on how the function was compiled. ::

    lower addresses                                            higher addresses
    stack pointer ... variables, saved frame pointer | return address | arguments
                      ^ negative offsets               0                ^ from 8 on

go: runtime/stkframe.go getStackMap [1.21..1.27], runtime/stack.go stackObjectRecord [1.18..1.27],
runtime/symtab.go stackmap stackmapdata [1.18..1.27]
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import NO_FUNCDATA, Func, FunctionTable

STACK_MAP_INDEX = 1  # go: runtime/symtab.go _PCDATA_StackMapIndex [1.18..1.20],
# internal/abi/symtab.go PCDATA_StackMapIndex [1.21..1.27]
ARGUMENT_MAPS, LOCAL_MAPS, STACK_OBJECTS = 0, 1, 2
"""go: runtime/symtab.go _FUNCDATA_ArgsPointerMaps _FUNCDATA_LocalsPointerMaps _FUNCDATA_StackObjects [1.18..1.20],
internal/abi/symtab.go FUNCDATA_ArgsPointerMaps FUNCDATA_LocalsPointerMaps FUNCDATA_StackObjects [1.21..1.27]"""
TOP_FRAME, WRITES_SP = 1, 2
"""go: runtime/symtab.go funcFlag_TOPFRAME funcFlag_SPWRITE [1.18..1.20],
internal/abi/symtab.go FuncFlagTopFrame FuncFlagSPWrite [1.21..1.27]"""
KEEPS_REGISTERS = ("runtime.asyncPreempt", "runtime.debugCallV2")
"""Functions that keep the registers of an interrupted function, the frame above: all words of both may be pointers.
go: runtime/mgcmark.go scanframeworker [1.18..1.27]"""
WORD, OBJECT_BYTES, MAP_HEADER_BYTES = 8, 16, 8
MOST_MAPS, MOST_BITS, MOST_OBJECTS = 1 << 16, 1 << 24, 1 << 16
"""More than any function has: a table with more is damaged."""
MOST_ARGUMENT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class StackObject:
    """A variable with pointers whose address is taken, which is in use as long as something points to it.

    Attributes
    ----------
    offset
        From the return address [bytes].
    pointer_bytes
        Bytes up to the last pointer; negative where a GC program makes the variable's bitmap.
    """

    offset: int
    bytes: int
    pointer_bytes: int


@dataclass(frozen=True, slots=True)
class FrameMap:
    """What a frame holds where, at one program counter.

    Attributes
    ----------
    size
        From the stack pointer to the return address [bytes].
    argument_bytes
        Bytes of arguments and results behind the return address.
    pointers
        Offsets from the return address of words that are pointers in use.
    objects
        The frame's variables whose addresses are taken.
    is_last
        No frame is above it.
    is_closed
        The function writes the stack pointer itself: nothing tells what is above the frame.
    is_blind
        Nothing says which words of the frame are pointers.
    keeps_registers
        The function is one of `KEEPS_REGISTERS`.
    """

    size: int
    argument_bytes: int
    pointers: tuple[int, ...]
    objects: tuple[StackObject, ...]
    is_last: bool
    is_closed: bool
    is_blind: bool
    keeps_registers: bool


class StackMaps:
    """The frames of a binary's functions."""

    def __init__(self, binary: GoBinary, functions: FunctionTable) -> None:
        self._binary, self._functions = binary, functions
        self._known: dict[int, FrameMap | None] = {}

    def at(self, pc: int) -> FrameMap | None:
        """Return the frame at a return address, or where a goroutine will continue; None outside of Go code.

        Raises
        ------
        BinaryError
            If the binary's tables are damaged.
        """
        if pc not in self._known:
            func = self._functions.func_at(pc)
            self._known[pc] = None if func is None else self._frame(func, pc)
        return self._known[pc]

    def _frame(self, func: Func, pc: int) -> FrameMap | None:
        """Return the frame of a function at one of its addresses."""
        size = self._functions.value(func, func.pc_sp, pc)
        if size < 0 or size % WORD:
            return None
        index = -1
        if pc != func.entry and len(func.pcdata) > STACK_MAP_INDEX:
            # the call stands in front of its return address
            index = self._functions.value(func, func.pcdata[STACK_MAP_INDEX], pc - 1)
        index = max(index, 0)
        variables = -WORD if size else 0  # a frame pointer is saved below the return address
        local, is_known = self._bitmap(func, LOCAL_MAPS, index)
        argument, _ = self._bitmap(func, ARGUMENT_MAPS, index)
        begin = variables - WORD * len(local)
        pointers = [begin + WORD * n for n in np.flatnonzero(local).tolist()] if size else []
        pointers += [WORD + WORD * n for n in np.flatnonzero(argument).tolist()]
        return FrameMap(
            size=size,
            argument_bytes=min(func.argument_bytes, MOST_ARGUMENT_BYTES) if func.argument_bytes < 1 << 31 else 0,
            pointers=tuple(pointers),
            objects=self._objects(func, variables),
            is_last=bool(func.flags & TOP_FRAME),
            is_closed=bool(func.flags & WRITES_SP),
            is_blind=size > WORD and not is_known,
            keeps_registers=self._functions.name(func) in KEEPS_REGISTERS,
        )

    def _bitmap(self, func: Func, number: int, index: int) -> tuple[np.ndarray, bool]:
        """Return a bit for each word of a function's variables or arguments, and whether stack maps say so."""
        none, addr = np.empty(0, np.uint8), self._data(func, number)
        if addr is None:
            return none, False
        maps, bits = struct.unpack("<ii", self._binary.view(addr, MAP_HEADER_BYTES))
        if not 0 <= maps <= MOST_MAPS or not 0 <= bits <= MOST_BITS:
            raise BinaryError(self._binary.path, f"the stack maps at {addr:#x} are damaged: copy it again")
        if index >= maps or not bits:
            return none, maps > 0 and (index < maps or not bits)
        length = -(-bits // 8)
        raw = self._binary.view(addr + MAP_HEADER_BYTES + index * length, length)
        return np.unpackbits(np.frombuffer(raw, np.uint8), count=bits, bitorder="little"), True

    def _objects(self, func: Func, variables: int) -> tuple[StackObject, ...]:
        """Return the stack objects of a function."""
        addr = self._data(func, STACK_OBJECTS)
        if addr is None:
            return ()
        count = self._binary.word(addr)
        if count > MOST_OBJECTS:
            raise BinaryError(self._binary.path, f"the stack objects at {addr:#x} are damaged: copy it again")
        found = list[StackObject]()
        for offset, size, pointer_bytes, _ in struct.iter_unpack(
            "<iiiI", self._binary.view(addr + WORD, OBJECT_BYTES * count)
        ):
            # behind the return address stand arguments and results
            found.append(StackObject(offset + (variables if offset < 0 else WORD), size, pointer_bytes))
        return tuple(found)

    def _data(self, func: Func, number: int) -> int | None:
        """Return the address of a function's data with a number, None if the function has none."""
        if len(func.funcdata) <= number or func.funcdata[number] == NO_FUNCDATA:
            return None
        return self._binary.gofunc + func.funcdata[number]
