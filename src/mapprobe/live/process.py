"""A process as /proc shows it: identity, executable, mappings, memory; and a command that mapprobe starts.

`Process` only reads: no ptrace, no stop. The only signal that it sends is
SIGCONT, to a command that was stopped at its exit.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mapprobe.errors import MemoryReadError, TargetError

PATIENCE_SECONDS = 10.0
"""Time that a command may take to end after SIGTERM before it is killed, if a recording was given up [s]."""

GATE = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
gate = int(sys.argv[1])
opened = os.read(gate, 1)
os.close(gate)
if not opened:
    os._exit(125)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[3:])
"""
"""What runs in a started process until its probes are in place: wait for a byte, then become the command.

The kernel sends the command SIGCONT when mapprobe ends, even by kill -9: a command that is held at its exit goes on.
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity of a process: the time of its start distinguishes it from a later process with the same PID."""

    pid: int
    start_ticks: int


class Process:
    """A live process, read from outside; a context manager.

    Parameters
    ----------
    pid
        The process's PID.

    Raises
    ------
    TargetError
        If there is no such process, or mapprobe may not look at the process.
    """

    def __init__(self, pid: int) -> None:
        self.identity = Identity(pid, _start_ticks(pid))
        self._memory = -1

    @property
    def pid(self) -> int:
        """The PID."""
        return self.identity.pid

    def __enter__(self) -> Process:
        """Return the process itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the descriptor of its memory."""
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def is_alive(self) -> bool:
        """True while this process runs: it is no zombie, and its PID is not used by a later process."""
        try:
            return _start_ticks(self.pid) == self.identity.start_ticks and self.state() not in "ZX"
        except TargetError:
            return False

    def state(self) -> str:
        """Return the state letter of /proc/PID/stat: R, S, D, T, Z, ..."""
        return _stat(self.pid)[0]

    def name(self) -> str:
        """Return the short name that ps shows."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text().strip()
        except OSError:
            return "?"

    def executable(self) -> tuple[str, str]:
        """Return a path by which mapprobe can open the executable, and its path as the process sees it.

        The first path goes through /proc, so it works for deleted or replaced files and for other mount
        namespaces too.

        Raises
        ------
        TargetError
            If mapprobe may not look at the process, or the process has no executable.
        """
        link = f"/proc/{self.pid}/exe"
        try:
            return link, os.readlink(link)
        except PermissionError:
            why = "run as root" if os.geteuid() else "the kernel lets nobody look at it from here"
            raise TargetError(f"process {self.pid} ({self.name()}): not ours to look at: {why}") from None
        except OSError:
            what = "a kernel thread or a zombie: give the PID of a Go program"
            raise TargetError(f"process {self.pid} ({self.name()}): {what}") from None

    def load_bias(self, lowest_vaddr: int) -> int:
        """Return the load bias: the number that the kernel added to the addresses of a position-independent executable.

        Parameters
        ----------
        lowest_vaddr
            Lowest address of the executable's PT_LOAD segments, rounded down to a page.

        Raises
        ------
        TargetError
            If the executable is not mapped.
        """
        addr = self._mapped_at()
        if addr is None:
            path = self.executable()[1]
            raise TargetError(f"process {self.pid} ({self.name()}): {path} is not mapped: is it just starting?")
        return addr - lowest_vaddr

    def is_mapped(self) -> bool:
        """True once the executable is mapped; the process has the executable's name slightly earlier."""
        return self._mapped_at() is not None

    def _mapped_at(self) -> int | None:
        status = os.stat(self.executable()[0])
        for line in self.mappings().splitlines():
            span, _, offset, device, inode, *_name = line.split(maxsplit=5)
            major, minor = (int(part, 16) for part in device.split(":"))
            if int(offset, 16) == 0 and (os.makedev(major, minor), int(inode)) == (status.st_dev, status.st_ino):
                return int(span.split("-")[0], 16)
        return None

    def read(self, addr: int, length: int) -> bytes:
        """Return `length` bytes of its memory.

        Raises
        ------
        MemoryReadError
            If not all bytes can be read.
        """
        memory = self._opened(addr, length)
        parts = bytearray()
        while len(parts) < length:
            try:
                part = os.pread(memory, length - len(parts), addr + len(parts))
            except (OSError, OverflowError) as error:
                raise MemoryReadError(addr, length, str(error)) from None
            if not part:
                raise MemoryReadError(addr, length, "the process is gone")
            if len(part) == length:
                return part
            parts += part
        return bytes(parts)

    def read_into(self, addr: int, buffer: memoryview) -> int:
        """Read its memory into a buffer, up to the first hole, and return how many bytes were read.

        Raises
        ------
        MemoryReadError
            If the process is gone, or mapprobe may not read it.
        """
        memory = self._opened(addr, len(buffer))
        got = 0
        while got < len(buffer):
            try:
                part = os.preadv(memory, [buffer[got:]], addr + got)
            except (OSError, OverflowError):  # a hole: no memory is mapped here
                break
            if not part:
                raise MemoryReadError(addr + got, len(buffer) - got, "the process is gone")
            got += part
        return got

    def memory_descriptor(self) -> int:
        """Return a descriptor of its memory, in which an address is an offset; `Process` closes the descriptor.

        Raises
        ------
        MemoryReadError
            If mapprobe may not read the memory.
        """
        return self._opened(0, 0)

    def _opened(self, addr: int, length: int) -> int:
        """Return the descriptor of its memory; `addr` and `length` are for the error only."""
        if self._memory < 0:
            try:
                self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise MemoryReadError(addr, length, error.strerror or "unreadable") from None
        return self._memory

    @contextmanager
    def wait_descriptor(self) -> Iterator[list[int]]:
        """Yield a list with a file descriptor that is readable once the process has ended; empty if it has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield []
            return
        try:
            yield [descriptor]
        finally:
            os.close(descriptor)

    def wake(self) -> None:
        """Send SIGCONT."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGCONT)

    def wake_if(self, is_stopped: bool) -> None:
        """Send SIGCONT if the process was stopped at its exit, so that it does not stay stopped after an error."""
        if is_stopped:
            self.wake()

    def resident_bytes(self) -> int:
        """Return how much memory of the process is resident [bytes]."""
        return int(self._read_text("statm").split()[1]) * os.sysconf("SC_PAGESIZE")

    def mapped_bytes(self) -> int:
        """Return how much memory the process has mapped, resident or not [bytes]."""
        return int(self._read_text("statm").split()[0]) * os.sysconf("SC_PAGESIZE")

    def mappings(self) -> str:
        """Return /proc/PID/maps."""
        return self._read_text("maps")

    def mapped_code(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each file from which the process maps code: its path as the process sees it, paths to open it by."""
        seen = set()
        for line in self.mappings().splitlines():
            span, flags, _, device, inode, *path = line.split(maxsplit=5)
            if "x" in flags and inode != "0" and path and (device, inode) not in seen:
                seen.add((device, inode))
                yield path[0], (f"/proc/{self.pid}/map_files/{span}", f"/proc/{self.pid}/root{path[0]}")

    def smaps(self) -> str:
        """Return /proc/PID/smaps: its mappings, and how much of each is resident."""
        return self._read_text("smaps")

    def page_map(self, first: int, count: int) -> bytes:
        """Return the words of /proc/PID/pagemap for `count` pages from page `first` on; fewer at the end of the file.

        Raises
        ------
        TargetError
            If the file can't be read.
        """
        try:
            with open(f"/proc/{self.pid}/pagemap", "rb", buffering=0) as file:
                return os.pread(file.fileno(), 8 * count, 8 * first)
        except OSError as error:
            raise TargetError(f"process {self.pid}: {error.strerror}") from None

    @staticmethod
    def page_flags(frame: int) -> int:
        """Return the kernel's flags of a page frame (/proc/kpageflags); 0 if they can't be read."""
        try:
            with open("/proc/kpageflags", "rb", buffering=0) as file:
                return int.from_bytes(os.pread(file.fileno(), 8, 8 * frame), "little")
        except OSError:
            return 0

    def _read_text(self, name: str) -> str:
        try:
            return Path(f"/proc/{self.pid}/{name}").read_text()
        except OSError as error:
            raise TargetError(f"process {self.pid}: {error.strerror}") from None


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state letter on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise TargetError(f"process {pid}: no such process: see 'pgrep -a NAME'") from None
    except OSError as error:
        raise TargetError(f"process {pid}: {error.strerror}") from None
    return text[text.rindex(")") + 2 :].split()


def _start_ticks(pid: int) -> int:
    return int(_stat(pid)[19])


class Command:
    """A command that mapprobe starts, but that waits at a gate until its probes are attached.

    Its stdin, stdout, stderr and environment are its own. A context manager: at its end, a command that
    still waits is never run, and a command that runs is asked to end.

    Parameters
    ----------
    arguments
        Program and arguments; the program is looked up in PATH, as a shell does.

    Raises
    ------
    TargetError
        If the program can't be found or run.
    """

    def __init__(self, arguments: list[str]) -> None:
        program = shutil.which(arguments[0])
        if program is None:
            raise TargetError(f"{arguments[0]}: no such program: give the path of an executable")
        self.arguments = arguments
        self.path = os.path.realpath(program)
        ours, self._gate = os.pipe()
        gate = [sys.executable, "-I", "-S", "-c", GATE, str(ours)]
        self._popen = subprocess.Popen([*gate, program, *arguments], pass_fds=[ours])
        os.close(ours)

    @property
    def pid(self) -> int:
        """The PID, which is the same before and after the gate."""
        return self._popen.pid

    def __enter__(self) -> Command:
        """Return the command itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the gate, and end the command if it still runs."""
        self._close_gate()
        self.end(PATIENCE_SECONDS)

    def start(self) -> None:
        """Open the gate: the command begins to run.

        Raises
        ------
        TargetError
            If the process has ended at the gate.
        """
        try:
            os.write(self._gate, b"1")
        except BrokenPipeError:
            raise TargetError(f"{self.path}: ended before it began: try again") from None
        finally:
            self._close_gate()

    def has_started(self) -> bool:
        """True once the process is the command, or has ended."""
        try:
            return os.path.samefile(f"/proc/{self.pid}/exe", self.path) or self.exit_status() is not None
        except OSError:
            return True

    def exit_status(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def end(self, patience_seconds: float) -> int:
        """End the command: send SIGTERM, after `patience_seconds` SIGKILL; return its exit status."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                return self._popen.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self._popen.wait()

    def _close_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
