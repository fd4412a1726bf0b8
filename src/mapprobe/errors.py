"""What can go wrong, one class per thing a caller or an exit code tells apart.

::

    MapprobeError            exit 2  one line: what: where: what to do
    ├── TargetError          exit 2  no such process, not Go, unsupported release, it went away
    │   └── MemoryReadError  exit 2  .addr, .length
    ├── BinaryError          exit 2  .path: ELF, pclntab or type data isn't as Go writes it
    ├── RecordingError       exit 2  .path: no recording, unknown schema, cut before its first batch
    ├── HostError            exit 3  .remedy: what is lacking and the one command that mends it
    └── CheckFailed          exit 1  verify or check found differences

Messages are lower case, without a full stop, the thing first. This module
imports nothing.
"""

from __future__ import annotations


class MapprobeError(Exception):
    """Base of everything that mapprobe raises on purpose."""

    exit_code = 2


class TargetError(MapprobeError):
    """The process can't be used: not there, not Go, a release we don't know, gone."""


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


class CheckFailed(MapprobeError):  # noqa: N818 - the check worked; what it found is the news
    """A comparison was made and found differences."""

    exit_code = 1


FORGED = (ArithmeticError, LookupError, MemoryError, ValueError)
"""What computing with words that are no map's may raise beside our own errors: a reader's border catches them, and
says that what stands there is not what it should be."""
