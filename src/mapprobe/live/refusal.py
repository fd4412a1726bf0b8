"""Says why a process can't be recorded, by its executable and by what else it has loaded.

An interpreter may have loaded a Go library, and an emulator may run a Go program for another CPU: in both cases the
executable alone does not show Go.
"""

from __future__ import annotations

from pathlib import PurePath

from mapprobe.errors import BinaryError, MapprobeError, TargetError
from mapprobe.go.image import NOT_GO
from mapprobe.go.strangers import has_build_info
from mapprobe.live.process import Process

EMULATOR = "qemu-"
"""How the names of the emulators of programs begin: qemu-x86_64, qemu-aarch64-static."""


def refusal(process: Process, error: MapprobeError, command: str | None = None) -> TargetError:
    """Return the error for a process whose executable could not be read as a Go program.

    Parameters
    ----------
    error
        The error about the executable.
    command
        The path by which mapprobe started the process, which names the process in the error; None: it was not started.
    """
    who = command or f"process {process.pid} ({process.name()})"
    why = str(error).removeprefix(f"{error.path}: ") if isinstance(error, BinaryError) else str(error)
    if why == NOT_GO:
        why = _loaded(process) or why
    return TargetError(f"{who}: {why}")


def _loaded(process: Process) -> str | None:
    """Return the reason for a process that runs Go in another way than by its executable; None if it runs no Go."""
    try:
        emulator = PurePath(process.executable()[1]).name
        if emulator.startswith(EMULATOR):
            return f"{emulator} emulates a program: only those that this CPU runs itself are supported"
        for path, places in process.mapped_code():
            if any(has_build_info(place) for place in places):
                library = PurePath(path.removesuffix(" (deleted)")).name
                return f"{process.name()} maps a Go library, {library}: only executables are supported"
    except TargetError:  # the process has ended
        return None
    return None
