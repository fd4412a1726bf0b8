"""Errors of mapprobe: one class for each case that a caller or an exit code tells apart.

::

    MapprobeError            exit 2  one line: what: where: what to do
    ├── TargetError          exit 2  no such process, not Go, unsupported release, process has ended
    │   └── MemoryReadError  exit 2  .addr, .length
    ├── BinaryError          exit 2  .path: ELF, pclntab or type data isn't as Go writes it
    ├── RecordingError       exit 2  .path: no recording, unknown schema, cut before its first batch
    ├── HostError            exit 3  .remedy: what the host lacks, and the one command that fixes it
    └── CheckFailed          exit 1  verify or check found differences

Messages are lower case, name the thing first and have no full stop. This
module imports nothing.
"""

from __future__ import annotations


class MapprobeError(Exception):
    """Base of everything that mapprobe raises on purpose."""

    exit_code = 2


class TargetError(MapprobeError):
    """The process can't be used: it does not exist, is no Go program or of an unsupported release, or has ended."""


class MemoryReadError(TargetError):
    """A read of the target's memory came back short or not at all."""

    def __init__(self, addr: int, length: int, why: str) -> None:
        super().__init__(f"memory at {addr:#x} ({length} bytes): {why}")
        self.addr = addr
        self.length = length


class BinaryError(MapprobeError):
    """An executable isn't as Go writes it."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


class RecordingError(MapprobeError):
    """A folder isn't a recording that this version can read."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"recording {path}: {what}")
        self.path = path


class HostError(MapprobeError):
    """The host lacks something that recording needs."""

    exit_code = 3

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.remedy = remedy


class CheckFailed(MapprobeError):  # noqa: N818 - the check itself has worked: it found differences
    """A comparison was made and found differences."""

    exit_code = 1


FORGED = (ArithmeticError, LookupError, MemoryError, ValueError)
"""Errors that arithmetic on invalid memory may raise besides `MapprobeError`: each reader catches them at its border,
and reports that the memory does not hold what it should."""
