"""Goroutines, and the parts of their stacks that are in use; words below are left over from calls that have returned.

go: runtime/runtime2.go g gobuf _Grunning _Gsyscall _Gdead _Gscan, runtime/proc.go allgadd [1.18..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mapprobe.arrays import U64, Flags
from mapprobe.go.facts import (
    DEFERRED,
    PANICKING,
    SCHEDULED_CONTEXT,
    SCHEDULED_PC,
    SCHEDULED_SP,
    STACK_HIGH,
    STATUS_BEFORE_GOID,
)
from mapprobe.live.memory import HIGHEST, WORD, Memory

MOST_GOROUTINES = 1 << 24
AT_ONCE = 1 << 16
RUNNABLE, RUNNING, SYSCALL, WAITING, PREEMPTED, LEAKED = 1, 2, 3, 4, 9, 10
IDLE, DEAD, DEAD_EXTRA = 0, 6, 11
SCANNED = np.uint64(0x1000)
LARGEST_STACK = np.uint64(1 << 30)
ALIGNED = ~np.uint64(WORD - 1)


@dataclass(frozen=True, slots=True)
class GoroutineLayout:
    """The list of goroutines, and offsets in a goroutine.

    Attributes
    ----------
    addr
        Address of the slice runtime.allgs.
    syscall_sp, status
        Offsets of these fields in g [bytes].
    """

    addr: int
    syscall_sp: int
    status: int


@dataclass(frozen=True, slots=True)
class Goroutines:
    """Goroutines that have a stack in use; one row each.

    Attributes
    ----------
    number
        The goid.
    top, high
        Start and end of the used part of the stack; of the whole stack while the goroutine runs.
    sp, pc
        Stack pointer and program counter with which the goroutine will continue; both 0 if not known, as it runs.
    context
        The closure with which the goroutine will continue, in a register.
    panicking, deferred
        Addresses of its innermost panic, and of its next deferred call; 0 for none.
    """

    number: U64
    top: U64
    high: U64
    sp: U64
    pc: U64
    context: U64
    panicking: U64
    deferred: U64

    def __len__(self) -> int:
        """Return the number of goroutines."""
        return len(self.number)

    def take(self, rows: np.ndarray) -> Goroutines:
        """Return some goroutines."""
        return Goroutines(*(getattr(self, f.name)[rows] for f in fields(Goroutines)))


def read_goroutines(memory: Memory, layout: GoroutineLayout) -> Goroutines | None:
    """Return the goroutines whose stacks are in use, None if they can't be read.

    The g0 of each thread, on which the scheduler runs, is not among them.
    """
    header, known = memory.words(np.array([layout.addr], np.uint64), 3)
    table, count, room = (int(word) for word in header[0])
    if not known[0] or not 0 < count <= room <= MOST_GOROUTINES:
        return None
    parts = list[Goroutines]()
    for start in range(0, count, AT_ONCE):
        number = np.arange(start, min(start + AT_ONCE, count), dtype=np.uint64)
        pointers, _ = memory.words(np.uint64(table) + number * np.uint64(WORD))
        words, known = memory.words(pointers[:, 0], (layout.status + STATUS_BEFORE_GOID) // WORD + 1)
        if not known.all():
            return None
        parts.append(_in_use(words, layout))
    return Goroutines(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Goroutines)))


def _in_use(words: U64, layout: GoroutineLayout) -> Goroutines:
    """Return the goroutines with these words that have a stack in use."""

    def at(offset: int) -> U64:
        found: U64 = words[:, offset // WORD]
        return found

    low, high = at(0), at(STACK_HIGH)
    status = at(layout.status) & np.uint64(0xFFFFFFFF) & ~SCANNED
    is_parked = np.isin(status, np.array([RUNNABLE, WAITING, PREEMPTED, LEAKED], np.uint64))
    is_outside = status == np.uint64(SYSCALL)
    nothing = np.zeros(len(words), np.uint64)
    sp = np.where(is_parked, at(SCHEDULED_SP), np.where(is_outside, at(layout.syscall_sp), nothing))
    pc = np.where(is_parked, at(SCHEDULED_PC), np.where(is_outside, at(layout.syscall_sp + WORD), nothing))
    is_known: Flags = (sp >= low) & (sp < high) & (sp & np.uint64(WORD - 1) == 0)
    top = np.where((sp >= low) & (sp < high), sp, low)
    is_there = ~np.isin(status, np.array([IDLE, DEAD, DEAD_EXTRA], np.uint64)) & (low > 0)
    is_there &= (high - low < LARGEST_STACK) & (high < np.uint64(HIGHEST))
    context = np.where(is_parked, at(SCHEDULED_CONTEXT), nothing)
    found = Goroutines(
        number=at(layout.status + STATUS_BEFORE_GOID),
        top=top & ALIGNED,
        high=high & ALIGNED,
        sp=np.where(is_known, sp, nothing),
        pc=np.where(is_known, pc, nothing),
        context=context,
        panicking=at(PANICKING),
        deferred=at(DEFERRED),
    )
    return found.take(is_there)


def stacks_in_use(memory: Memory, layout: GoroutineLayout) -> U64 | None:
    """Return start and end of the used part of each stack, ``(n, 2)``; None if the goroutines can't be read."""
    goroutines = read_goroutines(memory, layout)
    return None if goroutines is None else np.stack([goroutines.top, goroutines.high], axis=1)


MOST_PROCESSORS = 1 << 16


def processors(memory: Memory, allp: int) -> U64:
    """Return the addresses of all Ps of the scheduler; none if there is no list of Ps at `allp`.

    A P is an object of the heap. It keeps the last pointers of the write barrier, even after their objects have died,
    so these are no references. Each P contains its number.

    go: runtime/runtime2.go p, runtime/mwbbuf.go wbBuf, runtime/proc.go procresize [1.18..1.27]
    """
    none = np.empty(0, np.uint64)
    header, known = memory.words(np.array([allp], np.uint64), 2)
    table, count = (int(word) for word in header[0])
    if not known[0] or not 0 < count <= MOST_PROCESSORS:
        return none
    pointers, _ = memory.words(np.uint64(table) + np.arange(count, dtype=np.uint64) * np.uint64(WORD))
    found: U64 = pointers[:, 0]
    first, known = memory.words(found)
    numbers = first[:, 0] & np.uint64(0xFFFFFFFF)
    return found if known.all() and (numbers == np.arange(count, dtype=np.uint64)).all() else none
