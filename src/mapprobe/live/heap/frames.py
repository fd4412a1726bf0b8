"""Finds which map headers in a goroutine's stack frames are in use, by the rules by which the collector scans a stack.

A map that does not escape has its header in the frame of the function that made it, as a variable whose address is
taken: a stack object. For the collector a stack object is in use if the frame's bitmap says so for the object's own
words, or if a pointer in use leads to the object; the collector ignores words that are left over from earlier calls.
This module does the same: it reads the words of stacks, and unwinds frames by the tables of the binary.

go: runtime/mgcmark.go scanstack scanframeworker, runtime/traceback.go gentraceback [1.18..1.20],
runtime/mgcmark.go scanstack scanframeworker, runtime/traceback.go unwinder [1.21..1.27]
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from mapprobe.go.facts import DEFERRED_WORDS
from mapprobe.go.stack_maps import FrameMap, StackMaps, StackObject
from mapprobe.live.memory import WORD, Memory

MOST_FRAMES = 1 << 20
"""Most frames that are unwound in one census, of all goroutines together: this takes about a second."""
MOST_DEFERRED = 256
HEADER_POINTER = 2 * WORD
"""Offset in a header of the address of its buckets or directory [bytes].
go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]"""
SIZE_NOT_KNOWN, NO_POINTERS = -1, 0


class Use(IntEnum):
    """Whether a frame uses a candidate for a header that is in it; `NOT_TOLD`: the frame does not show it."""

    NOT_TOLD = 0
    IN_USE = 1
    LEFT_OVER = 2
    NO_HEADER = 3


class Claim(NamedTuple):
    """What a frame shows about one candidate.

    Attributes
    ----------
    bucket_bytes
        Size of the map's bucket if the bucket is in a frame too [bytes]; `NO_POINTERS`: a bucket without pointers, of
        any size; `SIZE_NOT_KNOWN`: nothing is known of it.
    pc, offset
        Where the function of the frame will continue, as an address in the binary, and the distance of the candidate
        from the return address of the frame [bytes]; 0 if not known.
    """

    use: Use
    bucket_bytes: int
    pc: int = 0
    offset: int = 0


class Stack(NamedTuple):
    """The part of a goroutine's stack that is in use, and where the goroutine will continue.

    Attributes
    ----------
    words
        The words of the stack from `top` on.
    sp, pc
        Stack pointer and program counter with which the goroutine will continue; pc is 0 if not known.
    roots
        Other words of the goroutine that may refer to its stack.
    deferred
        Address of its next deferred call, 0 for none.
    is_panicking
        The goroutine panics: its frames will not continue at their return addresses.
    """

    top: int
    words: list[int]
    sp: int
    pc: int
    roots: tuple[int, ...]
    deferred: int
    is_panicking: bool

    @property
    def high(self) -> int:
        """The end of the stack, its highest address."""
        return self.top + WORD * len(self.words)

    def word(self, addr: int) -> int:
        """Return the word at an address in the stack."""
        return self.words[(addr - self.top) // WORD]

    def part(self, start: int, end: int) -> list[int]:
        """Return the words from one address to another, as far as they are in the stack."""
        return self.words[max(0, start - self.top) // WORD : max(0, end - self.top) // WORD]


class _Frame(NamedTuple):
    pc: int
    sp: int
    slot: int
    map: FrameMap


@dataclass(slots=True)
class _Objects:
    """The stack objects of one stack, by address, and which of them a pointer in use leads to."""

    starts: list[int] = field(default_factory=list)
    records: list[StackObject] = field(default_factory=list)
    pcs: list[int] = field(default_factory=list)
    is_reached: list[bool] = field(default_factory=list)

    def add(self, addr: int, record: StackObject, pc: int) -> None:
        """Add an object if its address is higher than those of all others."""
        if record.bytes > 0 and (not self.starts or addr > self.starts[-1]):
            self.starts.append(addr)
            self.records.append(record)
            self.pcs.append(pc)
            self.is_reached.append(False)

    def find(self, addr: int) -> int | None:
        """Return the number of the object that contains an address, None if there is none."""
        n = bisect_right(self.starts, addr) - 1
        return n if n >= 0 and addr < self.starts[n] + self.records[n].bytes else None

    def at(self, addr: int) -> int | None:
        """Return the number of the object that begins at an address, None if there is none."""
        n = self.find(addr)
        return n if n is not None and self.starts[n] == addr else None


class Frames:
    """Finds which headers in stack frames of one process are in use.

    Parameters
    ----------
    header
        Sizes of a header (`candidates.header_object`).
    deferred_link
        Offset in a deferred call of the address of the next one [bytes].
    """

    def __init__(self, memory: Memory, maps: StackMaps, bias: int, header: tuple[int, int], deferred_link: int) -> None:
        self._memory, self._maps, self._bias = memory, maps, bias
        self._header, self._link = header, deferred_link
        self._left = MOST_FRAMES

    def claims(self, stack: Stack, headers: list[tuple[int, int]]) -> list[Claim]:
        """Return what the frames of a stack show about some candidates for headers.

        Parameters
        ----------
        headers
            The address of each candidate, and the address of its buckets by its words.

        Raises
        ------
        BinaryError
            If the binary's tables are damaged.
        """
        frames, is_whole = self._unwind(stack)
        objects = _Objects()
        for frame in frames:
            for record in frame.map.objects:
                addr = frame.slot + record.offset
                if addr >= frame.sp and addr + record.bytes <= stack.high:
                    objects.add(addr, record, frame.pc)
        live, conservative = self._trace(stack, frames, objects)
        found = list[Claim]()
        for addr, buckets in headers:
            number, bucket = objects.at(addr), objects.at(buckets)
            bucket_bytes = NO_POINTERS if is_whole else SIZE_NOT_KNOWN
            if bucket is not None:
                bucket_bytes = objects.records[bucket].bytes
            if number is None or not self._is_header(objects.records[number]):
                found.append(Claim(Use.NO_HEADER if is_whole else Use.NOT_TOLD, bucket_bytes))
                continue
            is_used = objects.is_reached[number] or addr + HEADER_POINTER in live
            is_told = is_whole and not stack.is_panicking and not any(s <= addr < e for s, e in conservative)
            use = Use.IN_USE if is_used else Use.LEFT_OVER if is_told else Use.NOT_TOLD
            found.append(Claim(use, bucket_bytes, objects.pcs[number], objects.records[number].offset))
        return found

    def _is_header(self, record: StackObject) -> bool:
        return (record.bytes, record.pointer_bytes) == self._header

    def _unwind(self, stack: Stack) -> tuple[list[_Frame], bool]:
        """Return the frames of a stack, innermost first, and whether they are all, up to the goroutine's start."""
        frames, pc, sp = list[_Frame](), stack.pc, stack.sp
        while pc and self._left > 0 and stack.top <= sp < stack.high:
            self._left -= 1
            frame_map = self._maps.at(pc - self._bias)
            if frame_map is None:
                break
            if frame_map.is_last:
                return frames, True
            slot = sp + frame_map.size
            if slot >= stack.high:
                break
            frames.append(_Frame(pc - self._bias, sp, slot, frame_map))
            if frame_map.is_closed and len(frames) > 1:
                break
            pc, sp = stack.word(slot), slot + WORD
        return frames, False

    def _trace(self, stack: Stack, frames: list[_Frame], objects: _Objects) -> tuple[set[int], list[tuple[int, int]]]:
        """Mark the objects that are reached; return addresses of pointers in use, and ranges whose words all may be."""
        live, conservative = set[int](), list[tuple[int, int]]()
        waiting = [*stack.roots, *self._deferred(stack)]
        keeps_registers = False
        for _, sp, slot, frame_map in frames:
            if keeps_registers or frame_map.keeps_registers or frame_map.is_blind:
                end = slot + WORD + frame_map.argument_bytes
                conservative.append((sp, end))
                waiting += stack.part(sp, end)
            else:
                places = [slot + offset for offset in frame_map.pointers if sp <= slot + offset < stack.high]
                live.update(places)
                waiting += map(stack.word, places)
            keeps_registers = frame_map.keeps_registers
        lowest, high = objects.starts[0] if objects.starts else stack.high, stack.high
        while waiting:
            word = waiting.pop()
            if not lowest <= word < high:  # as most words
                continue
            number = objects.find(word)
            if number is not None and not objects.is_reached[number]:
                objects.is_reached[number] = True
                start, record = objects.starts[number], objects.records[number]
                waiting += stack.part(start, start + record.bytes)
        return live, conservative

    def _deferred(self, stack: Stack) -> list[int]:
        """Return the words of all deferred calls, which may refer to objects, and the addresses of the calls."""
        found, addr = list[int](), stack.deferred
        for _ in range(MOST_DEFERRED):
            if not addr:
                break
            words = self._memory.words(np.array([addr], np.uint64), DEFERRED_WORDS)[0][0].tolist()
            found += [addr, *words]
            addr = words[self._link // WORD]
        return found
