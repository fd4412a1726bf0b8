"""A loop of mapprobe's own around one instruction that the kernel emulates, in executable memory: made to be probed.

The loop shows what a hit costs on this host (`overhead`), and whether the kernel attaches as it should (`links`).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np

from mapprobe.errors import HostError

LOOP = bytes.fromhex("89f9 55 5d ffc9 75fa c3")
"""mov ecx, edi; again: push rbp; pop rbp; dec ecx; jnz again; ret."""
PUSH_OFFSET = 2


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
