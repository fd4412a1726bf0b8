"""Uprobes as uprobe_multi links: the kernel attaches a link, and detaches it when its descriptor is closed.

To detach a link takes 20 to 30 ms, to detach a uprobe made through perf_event 120 to 150 ms, as each close waits out a
grace period of its own (Linux 6.18). Every window of `--max-overhead` ends by detaching, so links are used wherever
they work. Linux 6.6 to 6.9 accept links, but drop the hits of all threads of a process but one.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from mapprobe.errors import HostError
from mapprobe.trap import loop_to_probe

BPF_SYSCALL, BPF_LINK_CREATE, LINK_ATTRIBUTE_BYTES = 321, 28, 64
"""kernel: include/uapi/linux/bpf.h BPF_LINK_CREATE and the part of union bpf_attr that it reads."""
UPROBE_MULTI = 48
"""The attach type of a program for such links. kernel: include/uapi/linux/bpf.h BPF_TRACE_UPROBE_MULTI."""


def link_uprobe(program: int, path: str, offset: int, pid: int) -> int:
    """Attach a program that was loaded for `UPROBE_MULTI` at an offset of a file, in one process; return the link.

    Raises
    ------
    OSError
        If the kernel doesn't.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    offsets = (ctypes.c_uint64 * 1)(offset)
    attributes = ctypes.create_string_buffer(LINK_ATTRIBUTE_BYTES)
    # program, target, type, flags; path, offsets, reference counters, cookies; count, flags of uprobes, process
    words = (program, 0, UPROBE_MULTI, 0, ctypes.addressof(name), ctypes.addressof(offsets), 0, 0, 1, 0, pid)
    struct.pack_into("<IIIIQQQQIII", attributes, 0, *words)
    libc = ctypes.CDLL(None, use_errno=True)
    link = int(libc.syscall(BPF_SYSCALL, BPF_LINK_CREATE, attributes, LINK_ATTRIBUTE_BYTES))
    if link < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return link


def sees_every_thread(program: int, was_hit: Callable[[], bool]) -> bool:
    """True if a link of this process shows a hit of a thread that did not make it.

    Parameters
    ----------
    program
        Notes that it ran.
    was_hit
        True once it did.
    """
    try:
        with loop_to_probe() as trap:
            link = link_uprobe(program, trap.path, trap.offset, os.getpid())
            try:
                other = Thread(target=trap.run, args=(1,))
                other.start()
                other.join()
                return was_hit()
            finally:
                os.close(link)
    except (OSError, HostError):
        return False


def close_all(links: Sequence[int]) -> None:
    """Let go of uprobes: the kernel waits for each until no CPU can be in it any more, and may as well for all."""
    with ThreadPoolExecutor(max(1, len(links))) as pool:
        list(pool.map(os.close, links))
