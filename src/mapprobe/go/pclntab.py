"""Turns addresses into functions, files, lines and inlined calls, by the table that the runtime itself uses.

The function table is two columns of a numpy array; names are looked up by
searching their bytes. Nothing runs over all functions in Python.

go: runtime/symtab.go [1.18..1.27], runtime/symtabinl.go [1.21..1.27]
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary

PCDATA_INL_TREE_INDEX = 2  # go: runtime/symtab.go _PCDATA_InlTreeIndex [1.18..1.20],
# internal/abi/symtab.go PCDATA_InlTreeIndex [1.21..1.27]
FUNCDATA_INL_TREE = 3  # go: runtime/symtab.go _FUNCDATA_InlTree [1.18..1.20],
# internal/abi/symtab.go FUNCDATA_InlTree [1.21..1.27]
NO_FUNCDATA = 0xFFFFFFFF
NO_FILE = 0xFFFFFFFF
LONGEST_CHAIN = 255
"""Calls inlined into each other at most: `schema.FRAMES` numbers them with one byte."""
LARGEST_VALUE = (1 << 31) - 1  # what fits in an int32. go: runtime/symtab.go pcvalue [1.18..1.27]
LONGEST_FUNCTION = 1 << 15
"""Bytes of a function that is decoded, at most: time grows with their square; the runtime's functions have a few
thousand."""
LAYOUT_1_18 = 0xFFFFFFF0


@dataclass(frozen=True, slots=True)
class Function:
    """A function's name and its addresses, from `entry` up to but not including `end`."""

    name: str
    entry: int
    end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One logical frame of a program counter.

    Attributes
    ----------
    inlined
        The compiler inlined the call into the next frame.
    is_wrapper
        The compiler made the function: it is in no source.
    """

    function: str
    file: str
    line: int
    inlined: bool
    is_wrapper: bool


@dataclass(frozen=True, slots=True)
class Func:
    """One function of the table, and where its tables of program counters stand.

    Attributes
    ----------
    argument_bytes
        Bytes that arguments and results take on the caller's stack.
    pc_sp
        The table of distances from the stack pointer to the return address.
    flags
        Bits such as `TOP_FRAME` in `stack_maps`.
    pcdata, funcdata
        The function's other tables (places in the table of tables), and its data (offsets from gofunc).

    go: runtime/runtime2.go _func [1.18..1.27]
    """

    row: int
    entry: int
    name: int
    argument_bytes: int
    pc_sp: int
    flags: int
    pc_file: int
    pc_line: int
    unit: int
    func_id: int
    pcdata: tuple[int, ...]
    funcdata: tuple[int, ...]


class FunctionTable:
    """All functions of a binary.

    Attributes
    ----------
    text_start, text_end
        The addresses of Go functions, from `text_start` up to but not including `text_end`.
    """

    def __init__(self, binary: GoBinary) -> None:
        header = binary.pcln
        self._binary = binary
        self._header = header
        self._facts = binary.facts
        self._raw = binary.rest(header.vaddr)
        size = header.functions * 8 + 4
        table = self._raw[header.function_table :][:size]
        if len(table) < size:
            raise BinaryError(binary.path, "its function table is cut off: copy it again")
        pairs = np.frombuffer(table, "<u4")
        self._entries: npt.NDArray[np.uint32] = pairs[0::2]
        self._offsets: npt.NDArray[np.uint32] = pairs[1::2]
        if not (self._entries[:-1] <= self._entries[1:]).all():
            raise BinaryError(binary.path, "its function table is not sorted: it is damaged, copy it again")
        self.text_start = binary.text_start + int(self._entries[0])
        self.text_end = binary.text_start + int(self._entries[-1])

    def __len__(self) -> int:
        """How many functions there are."""
        return self._header.functions

    def find(self, name: str) -> Function | None:
        """Return a function by its full name; of two with the same name, the one that is no wrapper."""
        names = b"\0" + bytes(self._raw[self._header.names : self._header.units])
        place = names.find(b"\0" + name.encode() + b"\0")
        if place < 0:
            return None
        # _func begins with the entry's offset, then the name's
        starts = self._offsets[:-1].astype(np.int64) + self._header.function_table + 4
        raw = np.frombuffer(self._raw, np.uint8)
        if len(starts) and not 0 <= int(starts.min()) <= int(starts.max()) <= len(raw) - 4:
            raise BinaryError(self._binary.path, "its function table is damaged: copy it again")
        found = raw[starts[:, None] + np.arange(4)].view("<u4").reshape(-1) if len(starts) else raw[:0]
        rows = np.flatnonzero(found == place).tolist()
        if not rows:
            return None
        funcs = [self._func(row) for row in rows]
        genuine = [func for func in funcs if func.func_id != self._facts.func_id_wrapper]
        return self._function((genuine or funcs)[0])

    def at(self, pc: int) -> Function | None:
        """Return the function that an address belongs to."""
        func = self.func_at(pc)
        return self._function(func) if func else None

    def code(self, function: Function) -> bytes:
        """Return a function's code.

        Raises
        ------
        BinaryError
            If the function has no code, or more than `LONGEST_FUNCTION` bytes.
        """
        length = function.end - function.entry
        if not 0 < length <= LONGEST_FUNCTION:
            what = f"{function.name} has {length} bytes of code"
            raise BinaryError(self._binary.path, f"{what}: its function table is damaged, copy it again")
        return self._binary.read(function.entry, length)

    def expand(self, pc: int) -> list[Frame]:
        """Return the logical frames at a program counter, innermost first; none outside of Go code.

        Parameters
        ----------
        pc
            An address of the instruction; for a caller, the return address less one.
        """
        func = self.func_at(pc)
        if func is None:
            return []
        if self._header.magic == LAYOUT_1_18:
            return self._expand_1_18(func, pc)
        frames: list[Frame] = []
        tree = self._inline_tree(func)
        while len(frames) < LONGEST_CHAIN:
            file, line = self._file(func, self.value(func, func.pc_file, pc)), self.value(func, func.pc_line, pc)
            index = self._inline_index(func, pc) if tree else -1
            if index < 0:
                frames.append(self._frame(self._name(func.name), file, line, False, func.func_id))
                return frames
            entry = self._binary.view(tree + index * self._facts.inline_entry_bytes, self._facts.inline_entry_bytes)
            name, parent = struct.unpack_from("<ii", entry, self._facts.inline_name)
            frames.append(self._frame(self._name(name), file, line, True, entry[0]))
            pc = func.entry + parent
        raise BinaryError(self._binary.path, f"the inlined calls at {pc:#x} never end: it is damaged, copy it again")

    def _expand_1_18(self, func: Func, pc: int) -> list[Frame]:
        """Return the frames by entries of Go 1.18 and 1.19, which name their parent and the place of the call."""
        frames: list[Frame] = []
        tree = self._inline_tree(func)
        file, line = self._file(func, self.value(func, func.pc_file, pc)), self.value(func, func.pc_line, pc)
        index = self._inline_index(func, pc) if tree else -1
        while index >= 0 and len(frames) < LONGEST_CHAIN:
            entry = self._binary.view(tree + index * self._facts.inline_entry_bytes, self._facts.inline_entry_bytes)
            parent, func_id, call_file, call_line, name = struct.unpack_from("<hBxiii", entry)
            frames.append(self._frame(self._name(name), file, line, True, func_id))
            file, line, index = self._file(func, call_file), call_line, parent
        return [*frames, self._frame(self._name(func.name), file, line, False, func.func_id)]

    def _frame(self, name: str, file: str, line: int, inlined: bool, func_id: int) -> Frame:
        return Frame(name, file, max(line, 0), inlined, func_id == self._facts.func_id_wrapper)

    def _function(self, func: Func) -> Function:
        end = self._binary.text_start + int(self._entries[func.row + 1])
        return Function(self._name(func.name), func.entry, end)

    def func_at(self, pc: int) -> Func | None:
        """Return the row of the table that an address belongs to."""
        if not self.text_start <= pc < self.text_end:
            return None
        row = int(np.searchsorted(self._entries, pc - self._binary.text_start, side="right")) - 1
        return self._func(row)

    def _func(self, row: int) -> Func:
        start = self._header.function_table + int(self._offsets[row])
        fixed = self._facts.func_bytes
        try:
            words = struct.unpack_from("<9I", self._raw, start)
            func_id, flags, _, funcdata_count = self._raw[start + fixed - 4 : start + fixed]
            pcdata = struct.unpack_from(f"<{words[7]}I", self._raw, start + fixed)
            funcdata = struct.unpack_from(f"<{funcdata_count}I", self._raw, start + fixed + 4 * words[7])
        except (struct.error, ValueError, IndexError):
            raise BinaryError(self._binary.path, f"function {row} is cut off: copy it again") from None
        entry = self._binary.text_start + int(self._entries[row])
        _, name, argument_bytes, _, pc_sp, pc_file, pc_line, _, unit = words
        return Func(row, entry, name, argument_bytes, pc_sp, flags, pc_file, pc_line, unit, func_id, pcdata, funcdata)

    def _inline_tree(self, func: Func) -> int:
        if len(func.funcdata) <= FUNCDATA_INL_TREE or func.funcdata[FUNCDATA_INL_TREE] == NO_FUNCDATA:
            return 0
        return self._binary.gofunc + func.funcdata[FUNCDATA_INL_TREE]

    def _inline_index(self, func: Func, pc: int) -> int:
        if len(func.pcdata) <= PCDATA_INL_TREE_INDEX:
            return -1
        return self.value(func, func.pcdata[PCDATA_INL_TREE_INDEX], pc)

    def value(self, func: Func, table: int, pc: int) -> int:
        """Return what one of a function's tables says at `pc`, -1 for nothing.

        go: runtime/symtab.go pcvalue [1.18..1.27]
        """
        if table == 0:
            return -1
        raw, place = self._raw, self._header.pc_tables + table
        value, here, is_first = -1, func.entry, True
        while True:
            delta, place = self._varint(raw, place)
            if delta == 0 and not is_first:
                return -1
            is_first = False
            value += (delta >> 1) ^ -(delta & 1)
            step, place = self._varint(raw, place)
            here += step
            if pc < here:
                break
        if value > LARGEST_VALUE:
            raise BinaryError(self._binary.path, f"the line table at {pc:#x} is damaged: copy it again")
        return value

    def _varint(self, raw: memoryview, place: int) -> tuple[int, int]:
        value = shift = 0
        while place < len(raw) and shift < 64:
            byte = raw[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, place
            shift += 7
        raise BinaryError(self._binary.path, "a line table is cut off: copy it again")

    def _file(self, func: Func, number: int) -> str:
        place = self._header.units + 4 * (func.unit + number)
        if number < 0 or place + 4 > len(self._raw):
            return "?"
        offset = int.from_bytes(self._raw[place : place + 4], "little")
        return "?" if offset == NO_FILE else self._text(self._header.files + offset)

    def name(self, func: Func) -> str:
        """Return the full name of a function."""
        return self._name(func.name)

    def _name(self, offset: int) -> str:
        return self._text(self._header.names + offset)

    def _text(self, start: int) -> str:
        length = 64
        while True:
            part = bytes(self._raw[start : start + length])
            end = part.find(b"\0")
            if end >= 0:
                return part[:end].decode("utf-8", "replace")
            if len(part) < length:
                raise BinaryError(self._binary.path, "a name is cut off: copy it again")
            length *= 4
