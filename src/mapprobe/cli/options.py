"""Shared by all commands: options, exit codes, and functions that write to stdout, stderr and files."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mapprobe.cli.lean import give_memory_back, leave_pandas_for_later
from mapprobe.cli.steps import bar, is_terminal, say_above, steps
from mapprobe.errors import MapprobeError
from mapprobe.text import printable

if TYPE_CHECKING:
    from mapprobe.api.recording import Recording

INTERRUPTED = 130
CHECK_FAILED = 1
WRONG_USE = 2
HOST_LACKS = 3

MANY_EVENTS = 1_000_000
"""From this many events on a replay takes longer than a second."""
LATEST_S = 9e9
"""Latest moment [s]: in nanoseconds a later one does not fit into 64 bits."""

UsageError: Any = typer.BadParameter.__base__
"""The error of click for wrong use: typer has its own copy of click, and exports only subclasses of this error."""


class By(StrEnum):
    """What each row of a report stands for."""

    SITE = "site"
    MAP = "map"
    TYPE = "type"
    STACK = "stack"


ViewName = Literal["growth", "fill", "drain"]
"""Who is charged."""


def check_moment(value: float | None) -> float | None:
    """Return a moment of a recording [s]; refuse a number that can't be one."""
    if value is not None and not 0 <= value < LATEST_S:
        raise typer.BadParameter(f"{value} is no time of a recording: give seconds after its start")
    return value


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A recording.")]
At = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Show the state this many seconds after the start.", callback=check_moment),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def open_recording(folder: Path) -> Recording:
    """Open a recording."""
    with steps(f"opening {folder}"):
        from mapprobe.api.recording import open as open_folder

        leave_pandas_for_later()
        give_memory_back()
        recording = open_folder(folder)
        recording.tell = tell
        faults = recording.faults
    for fault in faults:
        tell(f"{folder}: {fault}")
    return recording


@contextmanager
def to_stdout() -> Iterator[None]:
    """Write to stdout inside this context; a reader that closes the pipe is no error.

    Raises
    ------
    MapprobeError
        If stdout can't be written for another reason.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        let_stdout_go()
    except OSError as error:
        let_stdout_go()
        raise MapprobeError(f"stdout: {error.strerror or error}: write to a place with free space") from None


def let_stdout_go() -> None:
    """Discard all further output to stdout: else Python reports an error for it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_out(path: Path | None, write: Callable[[Any], None]) -> None:
    """Call a writer with a file, or with stdout; a reader of stdout that closes the pipe is no error.

    A new file that can't be written completely is removed.

    Raises
    ------
    MapprobeError
        If the file can't be written.
    """
    if path is None:
        with to_stdout():
            write(sys.stdout)
        return
    was_there = path.exists()
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            write(file)
    except OSError as error:
        if not was_there:
            with suppress(OSError):
                path.unlink()
        raise MapprobeError(f"{path}: {error.strerror or error}: give another file to write") from None


def check_out(path: Path | None) -> None:
    """Refuse a file that can't be written, before a command starts its work."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        why = os.strerror(errno.EISDIR if path.is_dir() else errno.ENOENT)
        raise MapprobeError(f"{path}: {why}: give another file to write")


def say(*lines: str) -> None:
    """Write lines to stdout."""
    write_out(None, lambda file: file.writelines(f"{printable(line)}\n" for line in lines))


def size(text: str, least: int = 1) -> int:
    """Return a size in bytes: 500MiB, 2GiB, 1000."""
    from mapprobe.analysis.budget import bytes_of

    try:
        found = bytes_of(text)
    except ValueError:
        found = -1
    if found < least:
        raise typer.BadParameter(f"{text} is no size: give e.g. 500MiB or 2GiB")
    return found


def share(text: str) -> float:
    """Return a share that is given as 2% or 0.02; above 0 and below 1."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = 0
    if not 0 < found < 1:
        raise typer.BadParameter(f"{text} is no share: give e.g. 2%")
    return found


def until_ns(at: float | None) -> int | None:
    """Return a moment of a recording in nanoseconds, the unit of the API."""
    return None if at is None else int(at * 1e9)


def tell(line: str) -> None:
    """Write a line to stderr."""
    with suppress(OSError):  # stderr is closed: a recording continues even so
        say_above(printable(f"mapprobe: {line}"))


def print_json(found: object) -> None:
    """Write the JSON document of a command to stdout."""
    write_out(None, lambda file: print(json.dumps(found, indent=1, default=str), file=file))


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal while events are replayed; elsewhere say so once if there are many events."""
    with bar(total, what) as advance:
        yield advance if is_terminal() or total < MANY_EVENTS else _telling(f"{what} {total:,} events")


def _telling(line: str) -> Callable[[int], None]:
    """Return a function that writes a line on its first call: with a stored result there is no replay, and no call."""
    lines = [line]

    def advance(_: int) -> None:
        if lines:
            tell(lines.pop())

    return advance
