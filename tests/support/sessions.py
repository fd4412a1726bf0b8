"""A service to record, the recorder as a separate process, and the code of the service during a recording."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import mapprobe
from support import truth
from support.truth import Truth
from support.waiting import until_attached

BPF_SYSCALL, BPF_PROG_GET_NEXT_ID, BPF_ATTR_BYTES = 321, 11, 12  # linux/bpf.h
BREAKPOINT = b"\xcc"
ARGUMENTS = ("-ops", "60000")


class Service:
    """The program session_cache: its cache was filled and drained, and it serves until it is told to end."""

    def __init__(self, program: Path, command: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            command or [str(program), *ARGUMENTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        self._points = mapprobe.inspect(str(program))["points"]

    def probed(self) -> int:
        """Return how many probe points hold a breakpoint in its memory."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            return sum(read(memory, int(point["address"], 16)) == BREAKPOINT for point in self._points)

    def end(self) -> Truth:
        """Let it end by itself, and return what it says of its maps."""
        stdout, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return truth.parse(stdout)


def read(memory: object, addr: int) -> bytes:
    memory.seek(addr)  # type: ignore[attr-defined]
    return memory.read(1)  # type: ignore[attr-defined,no-any-return]


@contextmanager
def serving(program: Path, command: Sequence[str] = ()) -> Iterator[Service]:
    """Give the service; `command` may end up in it by a detour."""
    service = Service(program, command)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.communicate()


def bpf_programs() -> set[int]:
    """Return the numbers of the BPF programs that the kernel has."""
    libc = ctypes.CDLL(None, use_errno=True)
    about = ctypes.create_string_buffer(BPF_ATTR_BYTES)  # start_id, next_id
    found: set[int] = set()
    while libc.syscall(BPF_SYSCALL, BPF_PROG_GET_NEXT_ID, about, len(about)) == 0:
        last = int.from_bytes(about[4:8], "little")
        found.add(last)
        about[0:4] = last.to_bytes(4, "little")
    return found


def record_command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mapprobe", "record", *map(str, arguments)]


@contextmanager
def recording(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a recorder, and give it once all probes are attached."""
    recorder = subprocess.Popen(record_command(*arguments), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert recorder.stderr
        until_attached(recorder.stderr)
        yield recorder
    finally:
        recorder.kill()
        recorder.wait()
        recorder.stderr.close()
