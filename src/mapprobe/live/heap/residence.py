"""Resident memory of a process by purpose: page by page in the heap, mapping by mapping elsewhere.

The heap's spans show what each of its pages holds, and the kernel shows whether
the page is in memory: an array that was allocated but not written yet takes no
memory. Both are read while the process runs.

kernel: Documentation/admin-guide/mm/pagemap.rst bits 63, 56, KPF_ZERO_PAGE, Documentation/filesystems/proc.rst smaps
go: runtime/mheap.go arenas, runtime/malloc.go arenaBaseOffset [1.18..1.27]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.heap.objects import ARENA_BASE, ARENA_BYTES, PAGE
from mapprobe.live.heap.spans import Layout, Spans
from mapprobe.live.heap.states import CHUNK_BYTES, returned_bits
from mapprobe.live.memory import PAGE_BYTES, Memory
from mapprobe.live.process import Process
from mapprobe.vocabulary import Part

PRESENT, EXCLUSIVE, FRAME = np.uint64(63), np.uint64(56), np.uint64((1 << 55) - 1)
ZERO_PAGE = 24
FEW_FRAMES = 1 << 14
WORD = 8
HEADING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+) *(.*)$")
C_HEAP = "[heap]"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping of /proc/PID/smaps and how much of it is resident."""

    start: int
    end: int
    is_file: bool
    name: str
    resident: int


def residence(process: Process, memory: Memory, layout: Layout, spans: Spans) -> dict[Part, tuple[int, int]]:
    """Return the size of each part, and how much of the part is resident [bytes].

    Raises
    ------
    MemoryReadError, TargetError
        If the process is gone.
    """
    mappings = list(parsed(process.smaps()))
    found = {part: [0, 0] for part in Part}

    def add(part: Part, size: int, resident: int) -> None:
        found[part][0] += size
        found[part][1] += resident

    small, large = ~spans.is_large, spans.is_large
    runs = {
        Part.LARGE: np.stack([spans.start[large], spans.end[large]], axis=1),
        Part.SMALL: np.stack([spans.start[small], spans.end[small]], axis=1),
        Part.STACKS: spans.stacks,
    }
    for mapping in mappings:
        rest = mapping.resident
        for start, end in _arenas(memory, layout, mapping):
            there = _presence(process, start, end)
            sums = np.append(0, np.cumsum(there)) * PAGE_BYTES
            free = int(sums[-1])
            for part, run in runs.items():
                size, resident = _within(run, start, sums)
                add(part, size, resident)
                free -= resident
            returned = PAGE_BYTES * int(np.count_nonzero(there & _returned(memory, layout, start, end)))
            add(Part.RETURNED, returned, returned)
            add(Part.FREE, max(0, free - returned), max(0, free - returned))
            rest -= int(sums[-1])
        add(_kind(mapping), mapping.end - mapping.start, max(0, rest))
    resident = process.resident_bytes()
    add(Part.PROCESS, resident, resident)
    return {part: (size, there) for part, (size, there) in found.items()}


def parsed(smaps: str) -> Iterator[Mapping]:
    """Yield the mappings of /proc/PID/smaps."""
    place: tuple[int, int, bool, str] | None = None
    for line in smaps.splitlines():
        if heading := HEADING.match(line):
            start, end, inode, name = heading.groups()
            place = int(start, 16), int(end, 16), inode != "0", name
        elif line.startswith("Rss:") and place:
            yield Mapping(*place, int(line.split()[1]) * 1024)


def _kind(mapping: Mapping) -> Part:
    if mapping.is_file:
        return Part.FILES
    return Part.C_HEAP if mapping.name == C_HEAP else Part.ANONYMOUS


def _arenas(memory: Memory, layout: Layout, mapping: Mapping) -> Iterator[tuple[int, int]]:
    """Yield the pieces of a mapping that belong to arenas of the heap, start and end of each."""
    if mapping.is_file or mapping.end > ARENA_BASE:
        return
    table, known = memory.words(np.array([layout.addr + layout.heap.arenas], np.uint64))
    if not known[0] or not table[0, 0]:
        return
    first, last = ((addr + ARENA_BASE) // ARENA_BYTES for addr in (mapping.start, mapping.end - 1))
    numbers = np.arange(first, last + 1, dtype=np.uint64)
    entries, _ = memory.words(table[0, 0] + numbers * np.uint64(WORD))
    for number in numbers[entries[:, 0] != 0].tolist():
        start = number * ARENA_BYTES - ARENA_BASE
        yield max(start, mapping.start), min(start + ARENA_BYTES, mapping.end)


def _presence(process: Process, start: int, end: int) -> Flags:
    """Return which pages from `start` to `end` are resident; the kernel's shared page of zeros does not count.

    A page that was never written becomes this page when it is read from outside, for example by a census.
    """
    count = (end - start) // PAGE_BYTES
    raw = process.page_map(start // PAGE_BYTES, count)
    words = np.zeros(count, np.uint64)
    words[: len(raw) // WORD] = np.frombuffer(raw, np.uint64)
    there: Flags = words >> PRESENT != 0
    shared = np.flatnonzero(there & ((words >> EXCLUSIVE & np.uint64(1)) == 0))
    if len(shared):
        frames, which, counts = np.unique(words[shared] & FRAME, return_inverse=True, return_counts=True)
        asked = np.flatnonzero((counts > 1) | (len(frames) <= FEW_FRAMES))[:FEW_FRAMES]
        is_zeros = np.zeros(len(frames), np.bool_)
        is_zeros[asked] = [process.page_flags(frame) >> ZERO_PAGE & 1 for frame in frames[asked].tolist()]
        there[shared[is_zeros[which]]] = False
    return there


def _returned(memory: Memory, layout: Layout, start: int, end: int) -> Flags:
    """Return which pages from `start` to `end` are free, and have been returned or were never used."""
    numbers = np.arange((start + ARENA_BASE) // CHUNK_BYTES, -(-(end + ARENA_BASE) // CHUNK_BYTES), dtype=np.uint64)
    bits = np.ascontiguousarray(returned_bits(memory, layout, numbers))
    of_go_pages = np.unpackbits(bits.view(np.uint8), bitorder="little")
    first = (start + ARENA_BASE) % CHUNK_BYTES // PAGE_BYTES
    pages: Flags = np.repeat(of_go_pages.astype(np.bool_), PAGE // PAGE_BYTES)
    return pages[first : first + (end - start) // PAGE_BYTES]


def _within(runs: U64, start: int, sums: I64) -> tuple[int, int]:
    """Return how much of some runs lies in an arena, and how much of that is resident."""
    pages = (runs.astype(np.int64) - start) // PAGE_BYTES
    pages = np.clip(pages, 0, len(sums) - 1)
    resident = int((sums[pages[:, 1]] - sums[pages[:, 0]]).sum())
    return int((pages[:, 1] - pages[:, 0]).sum()) * PAGE_BYTES, resident
