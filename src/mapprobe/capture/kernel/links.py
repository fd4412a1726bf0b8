"""Uprobes as uprobe_multi links: the kernel detaches the uprobe when the link's descriptor is closed.

Detaching takes 20 to 30 ms for a link, and 120 to 150 ms for a uprobe made through perf_event, as each close waits for
a grace period of its own (Linux 6.18). Every window of `--max-overhead` ends by detaching, so links are used wherever
they work. Linux 6.6 to 6.9 accept links, but drop the hits of all threads of a process but one.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

from mapprobe.capture.kernel import bpf
from mapprobe.capture.kernel.trap import loop_to_probe
from mapprobe.errors import HostError

LINK = struct.Struct("<IIIIQQQQIIIxxxx")
"""Program, target, type, flags; addresses of path, offsets, reference counters, cookies; count, flags of uprobes, PID.

kernel: include/uapi/linux/bpf.h union bpf_attr link_create.uprobe_multi"""
UPROBE_MULTI = 48
"""The attach type of a program for such links. kernel: include/uapi/linux/bpf.h BPF_TRACE_UPROBE_MULTI."""
UPROBE_TYPE = Path("/sys/bus/event_source/devices/uprobe/type")
PERF_EVENT_OPEN, PERF_FLAG_FD_CLOEXEC = 298, 8
PERF = struct.Struct("<IIQQQQQIIQQ")
"""Type, bytes of this, config; period, samples, reads, flags; wakeup, breakpoint; address of the path, offset.

kernel: include/uapi/linux/perf_event.h struct perf_event_attr as of its first release with config2"""
SET_BPF, ENABLE = 0x40042408, 0x2400
"""kernel: include/uapi/linux/perf_event.h PERF_EVENT_IOC_SET_BPF, PERF_EVENT_IOC_ENABLE"""

_libc = ctypes.CDLL(None, use_errno=True)


def link_uprobe(program: int, path: str, offset: int, pid: int) -> int:
    """Attach a program that was loaded for `UPROBE_MULTI` at an offset of a file, in one process; return the link.

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    offsets = (ctypes.c_uint64 * 1)(offset)
    where = (ctypes.addressof(name), ctypes.addressof(offsets), 0, 0)
    return bpf.call(bpf.LINK_CREATE, LINK.pack(program, 0, UPROBE_MULTI, 0, *where, 1, 0, pid))


def perf_uprobe(program: int, path: str, offset: int, pid: int) -> int:
    """Attach a program at an offset of a file, in one process, by perf_event_open; return the event's descriptor.

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    kind = int(UPROBE_TYPE.read_text())
    about = ctypes.create_string_buffer(PERF.pack(kind, PERF.size, 0, 1, 0, 0, 0, 1, 0, ctypes.addressof(name), offset))
    event = int(_libc.syscall(PERF_EVENT_OPEN, about, pid, -1, -1, PERF_FLAG_FD_CLOEXEC))
    if event < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        fcntl.ioctl(event, SET_BPF, program)
        fcntl.ioctl(event, ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return event


def sees_every_thread(program: int, was_hit: Callable[[], bool]) -> bool:
    """True if a link shows a hit of another thread than the one that made the link.

    Parameters
    ----------
    program
        A program that notes that it ran.
    was_hit
        Returns True once the program ran.
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
                let_go(link)
    except (OSError, HostError):
        return False


def let_go(link: int) -> None:
    """Detach a uprobe in this process, and do not wait until it is detached."""
    Thread(target=os.close, args=(link,)).start()


def close_all(links: Sequence[int]) -> None:
    """Detach uprobes, all at once: for each, the kernel waits until no CPU can be in the uprobe any more."""
    with ThreadPoolExecutor(max(1, len(links))) as pool:
        list(pool.map(os.close, links))
