"""A loop of mapprobe's own around one instruction that the kernel emulates, in executable memory: made to be probed.

The loop shows what a hit costs on this host (`overhead`), and whether the kernel attaches as it should (`links`).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

import numpy as np

from mapprobe.errors import HostError

LOOP = bytes.fromhex("89f9 55 5d ffc9 75fa c3")
"""mov ecx, edi; again: push rbp; pop rbp; dec ecx; jnz again; ret."""
PUSH_OFFSET = 2
HITS = 200
TURNS = 20
"""Turns of the loop, of `HITS` hits each: a turn takes some 0.1 ms, less than a CPU gives to one thread at a time."""


class Trap(NamedTuple):
    """The loop: the file and the offset in the file to attach to, and a function that runs the loop N times."""

    path: str
    offset: int
    run: Callable[[int], None]


@contextmanager
def loop_to_probe() -> Iterator[Trap]:
    """Map the loop into this process; nothing of the loop is left afterwards.

    Raises
    ------
    HostError
        If this host lets nobody run code from memory.
    """
    with ExitStack() as stack:
        try:
            code = os.memfd_create("mapprobe_calibration")
            stack.callback(os.close, code)
            os.write(code, LOOP)
            # the kernel puts no probe into writable memory
            loop = mmap.mmap(code, len(LOOP), mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
        except OSError as error:
            raise HostError(f"what a hit costs can't be measured ({error})", "record without --max-overhead") from None
        with loop:
            addr = np.frombuffer(loop, np.uint8).ctypes.data
            yield Trap(f"/proc/self/fd/{code}", PUSH_OFFSET, ctypes.CFUNCTYPE(None, ctypes.c_int)(addr))


def calibrate(attach_empty: Callable[[str, int], AbstractContextManager[None]]) -> float:
    """Return what one hit of an empty BPF program on an emulated instruction takes on this host [ns].

    Parameters
    ----------
    attach_empty
        Attaches an empty program to this process, at an offset of a file, while in its context.

    Raises
    ------
    HostError
        If this host lets nobody run code from memory, or probe such code.
    """
    with loop_to_probe() as trap:
        bare = _hit_ns(trap.run)
        with attach_empty(trap.path, trap.offset):
            return _hit_ns(trap.run) - bare


def _hit_ns(run: Callable[[int], None]) -> float:
    """Return the CPU time of this thread that a hit takes in the shortest of `TURNS` turns of the loop.

    The thread's CPU time contains the trap, as the kernel does that work for this thread. It does not contain the time
    during which other threads had the CPU. Other threads also fill the caches, which makes a turn longer, never
    shorter: the shortest turn is the price.
    """
    took = []
    for _ in range(TURNS):
        begin = time.thread_time_ns()
        run(HITS)
        took.append((time.thread_time_ns() - begin) / HITS)
    return min(took)
