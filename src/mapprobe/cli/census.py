"""`mapprobe census`: all maps of a running process, found in its memory without a probe."""

from __future__ import annotations

import re
import select
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from mapprobe.cli.lean import give_memory_back, leave_pandas_out
from mapprobe.cli.options import Json, tell, write_out
from mapprobe.cli.steps import bar, is_terminal, steps
from mapprobe.errors import TargetError
from mapprobe.units import human_bytes

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
LONGEST_PID = 10
"""Most digits of a PID; the kernel's PIDs have at most seven. proc(5) pid_max"""
LONGEST_SECONDS = 86400 * 365
SHOWN = 20
"""Types and maps that are shown by default."""
LARGE_BYTES = 256 << 20
"""From this much memory on a census takes longer than a second."""


def census(
    target: Annotated[str, typer.Argument(metavar="PID", help="A running Go process.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Keep the census, for report and diff.")
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Stop the process while it is read (SIGSTOP), and let it go on.")
    ] = False,
    references: Annotated[
        bool, typer.Option(help="Look for references to each map: a map that nothing refers to is dead.")
    ] = True,
    watch: Annotated[str | None, typer.Option(metavar="TIME", help="Repeat every TIME (10s, 5m): changes.")] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Show this many types and maps, the rest as one.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing recording.")] = False,
    as_json: Json = False,
) -> None:
    """Find every map of a running process in its memory: no probe, no stop.

    The maps are shown, and with --out kept as a recording without events.
    """
    every = _seconds(watch) if watch is not None else None
    if every is not None and (out is not None or as_json):
        raise typer.BadParameter("--watch shows changes: leave out --out and --json, or take one census after another")
    pid = _pid(target)
    _announce(pid)
    leave_pandas_out()
    with ExitStack() as stack:
        with steps(f"looking at process {pid}"):
            from mapprobe.api.census import Headcount, summary_of
            from mapprobe.report import census as report

            headcount = stack.enter_context(Headcount(pid))
        with bar(headcount.resident_bytes(), "reading") as advance:
            recording = headcount.take(out, freeze=freeze, references=references, force=force, progress=advance)
        give_memory_back()  # only after reading, which uses the same memory again and again
        shown = top or (report.MOST_ROWS if as_json else SHOWN)
        found, about = summary_of(recording, shown), recording.session.document()
        write = report.write_json if as_json else report.write
        write_out(None, lambda file: write(found, about, file, shown))
        if out is not None:
            tell(f"kept in {out}: mapprobe report {out} --by type")
        while every is not None:
            sys.stdout.flush()
            select.select([], [], [], every)
            # the folder is removed here, where Ctrl-C is seen: while an object is freed Ctrl-C would be lost
            with TemporaryDirectory(prefix="mapprobe-census-") as scratch:
                again = headcount.take(Path(scratch), freeze=freeze, references=references)
                before, found = found, summary_of(again, shown)
                print(f"\n{again.session.row['started']}")
                report.changes(before, found, sys.stdout, shown)


def _announce(pid: int) -> None:
    """Say what is read if there is much to read and no terminal that shows a bar."""
    from mapprobe.live.process import Process

    with Process(pid) as process:
        if process.resident_bytes() >= LARGE_BYTES and not is_terminal():
            tell(f"reading the memory of {process.executable()[1]} ({pid}), {human_bytes(process.resident_bytes())}")


def _pid(text: str) -> int:
    """Return the PID that a text is; if the text is none, say what it is and how to find the PID."""
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_PID:
        return int(text)
    if not Path(text).is_file():
        raise TargetError(f"{text}: not a PID: see 'pgrep -a {Path(text).name}'")
    from mapprobe.go.binary import GoBinary

    with GoBinary.open(text):
        raise TargetError(f"{text}: a file: give the PID of the process that runs it, see 'pgrep -a {Path(text).name}'")


def _seconds(text: str) -> float:
    """Return a time in seconds: 10s, 5m, 250ms."""
    found = DURATION.fullmatch(text)
    seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if not 0 < seconds < LONGEST_SECONDS:
        raise typer.BadParameter(f"{text} is no time: give e.g. 10s or 5m")
    return seconds
