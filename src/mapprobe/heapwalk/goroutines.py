"""The parts of goroutines' stacks that are in use: what lies below is left over from calls that have returned.

go: runtime/runtime2.go g gobuf _Grunning _Gsyscall _Gdead _Gscan, runtime/proc.go allgadd [1.18..1.27]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapprobe.go.facts import SCHEDULED_SP, STACK_HIGH
from mapprobe.heapwalk.memory import HIGHEST, U64, WORD, Memory

MOST_GOROUTINES = 1 << 24
AT_ONCE = 1 << 16
RUNNABLE, RUNNING, SYSCALL, WAITING, PREEMPTED, LEAKED = 1, 2, 3, 4, 9, 10
IDLE, DEAD, DEAD_EXTRA = 0, 6, 11
SCANNED = np.uint64(0x1000)
LARGEST_STACK = np.uint64(1 << 30)


@dataclass(frozen=True, slots=True)
class GoroutineLayout:
    """Where goroutines are listed, and what stands where in one.

    Attributes
    ----------
    addr
        Of the slice runtime.allgs.
    syscall_sp, status
        In g.
    """

    addr: int
    syscall_sp: int
    status: int


def stacks_in_use(memory: Memory, layout: GoroutineLayout) -> U64 | None:
    """Return from where to where stacks are in use, ``(n, 2)``; of one that runs all of it. None if that can't be read.

    Stacks of threads, which Go's scheduler runs on, are not among them.
    """
    header, known = memory.words(np.array([layout.addr], np.uint64), 3)
    table, count, room = (int(word) for word in header[0])
    if not known[0] or not 0 < count <= room <= MOST_GOROUTINES:
        return None
    parts = [np.empty((0, 2), np.uint64)]
    for start in range(0, count, AT_ONCE):
        number = np.arange(start, min(count, start + AT_ONCE), dtype=np.uint64)
        pointers, _ = memory.words(np.uint64(table) + number * np.uint64(WORD))
        words, known = memory.words(pointers[:, 0], layout.status // WORD + 1)
        if not known.all():
            return None
        parts.append(_in_use(words, layout))
    return np.concatenate(parts)


def _in_use(words: U64, layout: GoroutineLayout) -> U64:
    """Return from where to where the stacks of some goroutines are in use."""
    low, high = words[:, 0], words[:, STACK_HIGH // WORD]
    status = words[:, layout.status // WORD] & np.uint64(0xFFFFFFFF) & ~SCANNED
    is_parked = np.isin(status, np.array([RUNNABLE, WAITING, PREEMPTED, LEAKED], np.uint64))
    top = np.where(is_parked, words[:, SCHEDULED_SP // WORD], low)
    top = np.where(status == np.uint64(SYSCALL), words[:, layout.syscall_sp // WORD], top)
    top = np.where((top >= low) & (top < high), top, low)
    is_there = ~np.isin(status, np.array([IDLE, DEAD, DEAD_EXTRA], np.uint64)) & (low > 0)
    is_there &= (high - low < LARGEST_STACK) & (high < np.uint64(HIGHEST))
    found: U64 = np.stack([top, high], axis=1)[is_there] & ~np.uint64(WORD - 1)
    return found
