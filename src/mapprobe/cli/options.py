"""What the commands share: options, exit codes, and how they write to stdout, stderr and files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mapprobe.errors import MapprobeError

INTERRUPTED = 130
CHECK_FAILED = 1
WRONG_USE = 2
HOST_LACKS = 3

UsageError: Any = typer.BadParameter.__base__
"""Typer brings its own click; its errors are reached through the one that typer hands out."""


class By(StrEnum):
    """What a row of the report is."""

    SITE = "site"
    MAP = "map"
    TYPE = "type"
    STACK = "stack"


class ViewOption(StrEnum):
    """Who is charged."""

    GROWTH = "growth"
    FILL = "fill"
    DRAIN = "drain"


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A recording.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def write_out(path: Path | None, write: Callable[[Any], None]) -> None:
    """Let a writer write to a file, or to stdout."""
    if path is None:
        write(sys.stdout)
        return
    try:
        with path.open("w") as file:
            write(file)
    except OSError as error:
        raise MapprobeError(f"{path}: {error.strerror or error}: give another file to write") from None


def size(text: str) -> int:
    """Return a size in bytes: 500MiB, 2GiB, 1000."""
    units = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
    number = text.rstrip("BKMGibkmg")
    try:
        found = int(float(number) * units[text[len(number) :].upper()])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found <= 0:
        raise typer.BadParameter(f"{text} is no size: give e.g. 500MiB or 2GiB")
    return found


def tell(line: str) -> None:
    """Write a line to stderr."""
    print(f"mapprobe: {line}", file=sys.stderr, flush=True)


def print_json(found: object) -> None:
    """Write the one JSON document of a command."""
    print(json.dumps(found, indent=1, default=str))


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal while events are replayed; say so when kernels must be compiled first."""
    from mapprobe.recording import is_compiled

    if not is_compiled():
        tell("compiling the replay kernels, once on this machine (about a minute)")
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda events: bar.advance(task, events)
