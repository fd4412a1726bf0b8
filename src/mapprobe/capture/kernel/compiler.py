"""The child process of `loader`: bcc compiles BPF programs in it, and loads them into the kernel.

The loader runs this file by its path. The child has nothing but the standard library and Debian's python3-bpfcc, which
is loaded from the system's dist-packages without exposing the packages beside it. The loader sends requests over a
socket and gets an answer to each, in order: one JSON document a packet, with file descriptors beside it. The child ends
when the loader does.

Messages of bcc and clang go to file descriptor 2, as bcc and clang write them.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

DIST_PACKAGES = Path("/usr/lib/python3/dist-packages")
MOST_BYTES = 1 << 16
"""Largest size of a packet [bytes]: room for flags, a hundred names, or the text of an error."""
MOST_DESCRIPTORS = 100
"""Most descriptors sent with one answer. kernel: include/net/scm.h SCM_MAX_FD is 253"""
PR_SET_PDEATHSIG = 1

Answer = tuple[dict[str, Any], list[int]]


class NotThere(Exception):  # noqa: N818 - its text says what is lacking
    """The package bcc can't be used, for the reason that the text says."""


class Compiler:
    """bcc, and the programs that were compiled by bcc."""

    def __init__(self) -> None:
        self._bcc: ModuleType | None = None
        self._lack = ""
        self._bpf: Any = None
        try:
            self._bcc = load_bcc()
        except NotThere as error:
            self._lack = str(error)

    def answer(self, request: dict[str, Any]) -> Answer:
        """Do what a request says: ``do`` is ``version``, ``compile``, ``maps`` or ``load``."""
        if self._bcc is None:
            return {"lack": self._lack}, []
        try:
            return getattr(self, f"_{request.pop('do')}")(self._bcc, **request)  # type: ignore[no-any-return]
        except Exception as error:  # bcc raises nothing narrower
            return {"error": f"{error or type(error).__name__}"[: MOST_BYTES // 8]}, []

    def _version(self, bcc: ModuleType) -> Answer:
        return {"version": getattr(bcc, "__version__", "unknown version")}, []

    def _compile(self, bcc: ModuleType, source: str, flags: list[str]) -> Answer:
        self._bpf = bcc.BPF(src_file=source.encode(), cflags=flags)
        return {}, []

    def _maps(self, _: ModuleType, names: list[str]) -> Answer:
        return {}, [int(self._bpf[name.encode()].map_fd) for name in names]

    def _load(self, bcc: ModuleType, names: list[str], attach_type: int) -> Answer:
        """Load programs for uprobes; `attach_type` is -1 for programs that perf_event attaches."""
        more = {} if attach_type < 0 else {"attach_type": attach_type}
        return {}, [int(self._bpf.load_func(name.encode(), bcc.BPF.KPROBE, **more).fd) for name in names]


def load_bcc() -> ModuleType:
    """Import the system's bcc.

    Raises
    ------
    NotThere
        If python3-bpfcc is not installed, or can't be loaded.
    """
    package = DIST_PACKAGES / "bcc"
    spec = importlib.util.spec_from_file_location(
        "bcc", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None or not package.is_dir():
        raise NotThere(f"bcc is not in {DIST_PACKAGES}")
    module = sys.modules["bcc"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        raise NotThere(f"bcc can't be loaded ({error})") from None
    return module


def serve(descriptor: int) -> None:
    """Answer the requests of a socket until its other end is closed."""
    with socket.socket(fileno=descriptor) as peer:
        compiler = Compiler()
        while packet := peer.recv(MOST_BYTES):
            answer, descriptors = compiler.answer(json.loads(packet))
            socket.send_fds(peer, [json.dumps(answer).encode()], descriptors)


def main() -> None:
    """Serve the socket that the command line names, then end without clean-up: what was handed over stays."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        serve(int(sys.argv[1]))
    except OSError:  # the other end is gone
        pass
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
