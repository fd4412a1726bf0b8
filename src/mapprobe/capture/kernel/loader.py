"""The loader: compile and load BPF programs in a child process, which hands their file descriptors over and ends.

bcc loads clang and LLVM, which take 120 MB once they have compiled. This process never has that memory, and the child
(`compiler`) is killed as soon as it has handed over all descriptors. Programs and maps stay in the kernel as long as
this process holds their descriptors. The child dies with this process, however this process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapprobe.capture.kernel import compiler
from mapprobe.capture.kernel.compiler import MOST_BYTES, MOST_DESCRIPTORS
from mapprobe.errors import HostError

PATIENCE_SECONDS = 300.0
"""How long an answer may take: compiling takes half a second, on a very busy host many times that."""
DESCRIPTOR_BYTES = array("i").itemsize
SEE_DOCTOR = "see 'mapprobe doctor'"


def probes_folder() -> Path:
    """Return the folder of the BPF sources: in the wheel, or at the top of a checkout."""
    inside = Path(__file__).parents[2] / "probes"
    return inside if inside.is_dir() else Path(__file__).parents[4] / "probes"


class Loader:
    """bcc in a child process, which starts at once; a context manager: once it is left, the child has ended.

    A request to compile is sent at once, and its answer is read before the next request: the child compiles while this
    process does other things.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as undo, theirs:
            self._socket = undo.enter_context(ours)
            self._socket.settimeout(PATIENCE_SECONDS)
            self._said = os.memfd_create("mapprobe_compiler")
            undo.callback(os.close, self._said)
            self._child = self._start(theirs.fileno())
            undo.callback(self._end)
            self._stack = undo.pop_all()
        self._compiles = False
        self._heard = 0

    def __enter__(self) -> Loader:
        """Return the loader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.close()

    def close(self) -> None:
        """End the child; the programs and maps that it has handed over stay."""
        self._stack.close()

    @property
    def pid(self) -> int:
        """The child's PID."""
        return self._child.pid

    def version(self) -> str:
        """Return the version of bcc.

        Raises
        ------
        HostError
            If bcc is not there, or can't be used.
        """
        return str(self._ask("say its version", do="version")[0]["version"])

    def compile(self, source: str, flags: Sequence[str]) -> None:
        """Begin to compile a file of BPF programs, and to make its maps; the next request raises any error of this."""
        self._send({"do": "compile", "source": source, "flags": list(flags)})
        self._compiles = True

    def maps(self, names: Sequence[str]) -> list[int]:
        """Return descriptors of maps, which are the caller's to close.

        Raises
        ------
        HostError
            If the programs can't be compiled, there is no such map, or the child is gone.
        """
        return self._fetch("make the maps", names, do="maps")

    def load(self, names: Sequence[str], attach_type: int = -1) -> list[int]:
        """Load programs into the kernel; return their descriptors, which are the caller's to close.

        Parameters
        ----------
        attach_type
            How the programs will be attached: ``BPF_TRACE_UPROBE_MULTI``; -1: by perf_event.

        Raises
        ------
        HostError
            If the programs can't be compiled, the kernel refuses one, or the child is gone.
        """
        return self._fetch("load the probes", names, do="load", attach_type=attach_type)

    def _start(self, descriptor: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", compiler.__file__, str(descriptor)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said, pass_fds=[descriptor],
                env=os.environ | {"BCC_KERNEL_SOURCE": str(probes_folder() / "kernel")},
                start_new_session=True,  # Ctrl-C is for this process alone
            )  # fmt: skip
        except OSError as error:
            raise HostError(f"no process can be started for bcc ({error.strerror})", "try again") from None

    def _fetch(self, what: str, names: Sequence[str], **request: Any) -> list[int]:
        found: list[int] = []
        with contextlib.ExitStack() as undo:
            for first in range(0, len(names), MOST_DESCRIPTORS):
                some = list(names[first : first + MOST_DESCRIPTORS])
                descriptors = self._ask(what, names=some, **request)[1]
                for descriptor in descriptors:
                    undo.callback(os.close, descriptor)
                if len(descriptors) != len(some):
                    why = f"only {len(found) + len(descriptors)} of {len(names)} file descriptors came over"
                    raise HostError(why, "raise the limit on open files with 'ulimit -n 4096'")
                found += descriptors
            undo.pop_all()
        return found

    def _ask(self, what: str, **request: Any) -> tuple[dict[str, Any], list[int]]:
        """Send a request and return its answer; first read the answer of a compilation that was begun before."""
        if self._compiles:
            self._compiles = False
            self._receive("compile the probes")
        self._send(request)
        return self._receive(what)

    def _send(self, request: dict[str, Any]) -> None:
        packet = json.dumps(request).encode()
        if len(packet) > MOST_BYTES:
            raise HostError(f"a request of {len(packet)} bytes is too long for the compiler of the probes", SEE_DOCTOR)
        # if the child is gone, reading its answer says so
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.send(packet)

    def _receive(self, what: str) -> tuple[dict[str, Any], list[int]]:
        try:
            packet, descriptors = _received(self._socket)
        except TimeoutError:
            raise HostError(f"bcc did not {what} within {PATIENCE_SECONDS:.0f} s", "try again") from None
        except ConnectionResetError:
            packet, descriptors = b"", []
        if not packet:
            raise self._gone(what)
        answer: dict[str, Any] = json.loads(packet)
        said = self._first_line()
        if "lack" in answer:
            raise HostError(answer["lack"], "apt-get install python3-bpfcc")
        if "error" in answer:
            raise HostError(f"bcc can't {what} ({said or answer['error']})", SEE_DOCTOR)
        return answer, descriptors

    def _gone(self, what: str) -> HostError:
        """Return the error for a child that has ended on its own."""
        status = self._child.wait()
        if status == -signal.SIGKILL:
            remedy = "see that 200 MB of memory are free for a moment, and try again"
            return HostError(f"bcc was killed before it could {what}", remedy)
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        said = self._first_line()
        return HostError(f"bcc could not {what} ({how}{': ' if said else ''}{said})", SEE_DOCTOR)

    def _first_line(self) -> str:
        """Return the first line that bcc and clang have written since the last answer."""
        raw = os.pread(self._said, MOST_BYTES, self._heard)
        self._heard = os.fstat(self._said).st_size
        text = raw.decode(errors="replace").strip()
        return text.splitlines()[0] if text else ""

    def _end(self) -> None:
        self._child.kill()
        self._child.wait()


def _received(peer: socket.socket) -> tuple[bytes, list[int]]:
    """Return a packet and its descriptors, marked so that no program started later inherits them.

    `socket.recv_fds` can't mark them: it does not pass its flags on.
    """
    room = socket.CMSG_SPACE(MOST_DESCRIPTORS * DESCRIPTOR_BYTES)
    packet, beside, _, _ = peer.recvmsg(MOST_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) // DESCRIPTOR_BYTES * DESCRIPTOR_BYTES])
    return packet, descriptors.tolist()
