"""What the commands share: options, exit codes, and how they write to stdout, stderr and files."""

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
"""Seconds; in nanoseconds a later moment has no room in 64 bits."""

UsageError: Any = typer.BadParameter.__base__
"""Typer brings its own click; its errors are reached through the one that typer hands out."""


class By(StrEnum):
    """What a row of the report is."""

    SITE = "site"
    MAP = "map"
    TYPE = "type"
    STACK = "stack"


ViewName = Literal["growth", "fill", "drain"]
"""Who is charged."""


def check_moment(value: float | None) -> float | None:
    """Return a moment of a recording [s], if it may be one."""
    if value is not None and not 0 <= value < LATEST_S:
        raise typer.BadParameter(f"{value} is no time of a recording: give seconds after its start")
    return value


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A recording.")]
At = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="As it stood this many seconds after the start.", callback=check_moment),
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
    """Let what is written to stdout get there as long as somebody reads it; that nobody does is no error.

    Raises
    ------
    MapprobeError
        If it can't be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        let_stdout_go()
    except OSError as error:
        let_stdout_go()
        raise MapprobeError(f"stdout: {error.strerror or error}: give it a place with room") from None


def let_stdout_go() -> None:
    """Let what is still to be written go nowhere, or Python complains of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_out(path: Path | None, write: Callable[[Any], None]) -> None:
    """Let a writer write to a file, or to stdout as long as somebody reads it.

    A file that can't be written to its end is not left behind.
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
    """Refuse a file that can't be there before anything is made to be written to it."""
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
    """Return a share of something, more than none of it and less than all: 2%, 0.02."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = 0
    if not 0 < found < 1:
        raise typer.BadParameter(f"{text} is no share: give e.g. 2%")
    return found


def until_ns(at: float | None) -> int | None:
    """Return a moment of the recording [s] as the API takes it [ns]."""
    return None if at is None else int(at * 1e9)


def tell(line: str) -> None:
    """Write a line to stderr."""
    with suppress(OSError):  # nobody listens: a recording goes on all the same
        say_above(printable(f"mapprobe: {line}"))


def print_json(found: object) -> None:
    """Write the one JSON document of a command."""
    write_out(None, lambda file: print(json.dumps(found, indent=1, default=str), file=file))


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal while events are replayed, elsewhere say that many are."""
    with bar(total, what) as advance:
        yield advance if is_terminal() or total < MANY_EVENTS else _telling(f"{what} {total:,} events")


def _telling(line: str) -> Callable[[int], None]:
    """Return what says a line when it is called for the first time: a result that is kept takes no replay."""
    lines = [line]

    def advance(_: int) -> None:
        if lines:
            tell(lines.pop())

    return advance
