"""`mapprobe report`: who holds how many empty buckets, in any format."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from mapprobe.cli.options import (
    At,
    By,
    Folder,
    Json,
    ViewName,
    check_out,
    open_recording,
    progress,
    until_ns,
    write_out,
)
from mapprobe.report.formats import FORMATS, JSON, TABLE, Source

FormatName = StrEnum("FormatName", {name.upper(): name for name in FORMATS})  # type: ignore[misc]
TOP_OF_TABLE = 20
"""Rows of a table on a terminal by default."""
Patterns = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Show only rows that match.")]


def report(
    folder: Folder,
    by: Annotated[By, typer.Option(help="What each row stands for.")] = By.SITE,
    view: Annotated[
        Literal[ViewName, "all"], typer.Option(help="Charge who allocated, filled or emptied; all: the three in turn.")
    ] = "fill",
    function: Patterns = None,
    package: Patterns = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Show this many rows or stacks, the rest as one; not html, perfetto.")
    ] = None,
    at: At = None,
    form: Annotated[FormatName, typer.Option("--format", help="The format to write.")] = FormatName(TABLE),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; else stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Show who holds how many empty buckets; replays first when needed.

    PATTERN is a regular expression, a shell pattern for the whole name, or a piece of it. Maps match by their maker.
    """
    recording = open_recording(folder)
    from mapprobe.analysis.report import MOST_ROWS, limited
    from mapprobe.analysis.selection import Choice, pattern

    name = JSON if as_json else str(form)
    wanted = FORMATS[name]
    choice = Choice(*(tuple(pattern(text) for text in texts or ()) for texts in (function, package)))
    _check_form(name, out, view, choice)
    check_out(out)
    views = list(get_args(ViewName)) if view == "all" else [view]
    views = views if by in (By.SITE, By.STACK) else views[:1]
    found: Any
    more: list[Any] = []
    with progress(recording.event_count, "replaying") as advance:
        match wanted.made_from:
            case Source.PROFILE:
                found = recording.profile_data(view, until_ns(at), advance, top)
            case Source.OVERVIEW:
                found = recording.overview(view, until_ns(at), advance)
                more = [recording.heap_beside(found)]
            case Source.REPORT:
                shown = top or (TOP_OF_TABLE if name == TABLE else MOST_ROWS)
                found, *more = recording.reports(str(by), views, until_ns(at), advance, choice, shown)
    if wanted.is_whole:
        found = limited(found, top or MOST_ROWS)
    elif name == TABLE:
        more = [top or TOP_OF_TABLE, *more]
    writer = wanted.writer()
    write_out(out, lambda file: writer(found, file if wanted.takes_text else file.buffer, *more))


def _check_form(form: str, out: Path | None, view: str, choice: object) -> None:
    """Refuse options that a format can't show."""
    wanted = FORMATS[form]
    if not wanted.is_text and out is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is no text: give the file to write with -o FILE")
    if view == "all" and not wanted.has_views:
        raise typer.BadParameter(f"{form} has one view: give --view growth, fill or drain")
    if choice and wanted.made_from is not Source.REPORT:
        raise typer.BadParameter(f"{form} has all stacks: leave out --function and --package")
