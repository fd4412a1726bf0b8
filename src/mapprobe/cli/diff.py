"""`mapprobe diff`: what grew and what shrank between two recordings, or two times of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mapprobe.cli.options import (
    Json,
    ViewName,
    check_moment,
    open_recording,
    print_json,
    progress,
    until_ns,
    write_out,
)


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A recording.")],
    after: Annotated[
        Path | None, typer.Argument(metavar="[B]", help="A later recording; else A at another time.")
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(metavar="SECONDS", help="Time after the start of A, given twice also of B; else the end."),
    ] = None,
    view: Annotated[ViewName, typer.Option(help="Charge who allocated, filled or emptied.")] = "fill",
    top: Annotated[int | None, typer.Option(min=1, help="Show this many rows, the rest as one.")] = None,
    as_json: Json = False,
) -> None:
    """Show what grew and what shrank, from recording A to B or between two times of A.

    Call sites of different builds are matched by function and map type, even if their lines differ.
    """
    times = [check_moment(moment) for moment in at or []]
    if len(times) > 2 or (after is None and not times):
        raise typer.BadParameter("diff compares two recordings or two times of one: give B, --at or --at twice")
    first, second = [until_ns(moment) for moment in times] + [None] * (2 - len(times))
    old = open_recording(before)
    new = old if after is None else open_recording(after)
    from mapprobe.report import diff as report

    with progress(old.event_count + new.event_count, "replaying") as advance:
        found = new.difference(old, view, (first, second), advance)
    if as_json:
        print_json(report.document(found, top))
    else:
        write_out(None, lambda file: report.write(found, file, top or 20))
