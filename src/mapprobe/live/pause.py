"""Stops a process while it is read, and lets it continue even if mapprobe dies.

SIGSTOP stops all threads of the process; the process's parent may see the stop.
A watcher, which is a child process of mapprobe, sends SIGCONT if mapprobe ends
without having sent it, even by kill -9. A process that somebody else has
stopped stays stopped.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mapprobe.errors import TargetError
from mapprobe.live.process import Process

WATCHER = """
import os, signal, sys
descriptor = int(sys.argv[1])
os.write(1, b"r")
if not os.read(0, 1):
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    except ProcessLookupError:
        pass
"""
"""Program of the watcher: it waits for a byte, and sends SIGCONT if the pipe closes first, as mapprobe is gone then."""
STOPPED = "Tt"
"""Letters in /proc/PID/stat for a process that is stopped, by a signal or by a tracer."""
PATIENCE_SECONDS = 2.0
"""Time that a process may take to stop [s]: it takes microseconds; a thread in a system call may take longer."""
POLL_SECONDS = 0.0005
"""Time between two looks whether the process has stopped [s]."""


@dataclass(slots=True)
class Pause:
    """Whether the process is stopped, and afterwards, how long it was stopped [ns]; None: it was never stopped."""

    took_ns: int | None = None
    is_held: bool = False


@contextmanager
def paused(process: Process, *, wanted: bool) -> Iterator[Pause]:
    """Stop a process while the block runs, if `wanted` is true.

    Raises
    ------
    TargetError
        If the process can't be stopped.
    """
    pause = Pause()
    if not wanted or process.state() in STOPPED:
        pause.is_held = wanted
        yield pause
        return
    with _watched(process):
        started = time.monotonic_ns()
        try:
            _stop(process)
            pause.is_held = True
            yield pause
        finally:
            if process.is_alive():
                os.kill(process.pid, signal.SIGCONT)
            pause.took_ns = time.monotonic_ns() - started


def _stop(process: Process) -> None:
    try:
        os.kill(process.pid, signal.SIGSTOP)
    except OSError as error:
        raise TargetError(f"process {process.pid}: can't be stopped ({error.strerror}): leave out --freeze") from None
    give_up = time.monotonic() + PATIENCE_SECONDS
    while process.state() not in STOPPED:
        if not process.is_alive() or time.monotonic() > give_up:
            raise TargetError(f"process {process.pid}: does not stop: leave out --freeze")
        select.select([], [], [], POLL_SECONDS)


@contextmanager
def _watched(process: Process) -> Iterator[None]:
    """Run a watcher while the block runs: the watcher continues the process if mapprobe dies."""
    descriptor = os.pidfd_open(process.pid)
    try:
        watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WATCHER, str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor],
            start_new_session=True,  # Ctrl-C is for mapprobe alone
        )
        assert watcher.stdin
        assert watcher.stdout
        with watcher, watcher.stdin as told, watcher.stdout as ready:
            ready.read(1)
            try:
                yield
            finally:
                told.write(b".")  # the process runs again by now
    finally:
        os.close(descriptor)
