"""`mapprobe check`: check a recording against a budget."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mapprobe.cli.options import (
    At,
    Folder,
    Json,
    ViewName,
    check_out,
    open_recording,
    print_json,
    progress,
    size,
    until_ns,
    write_out,
)
from mapprobe.errors import CheckFailed

if TYPE_CHECKING:
    from mapprobe.analysis.budget import Limit


class PerOption(StrEnum):
    """Whether a limit applies to each call site, or to all together."""

    SITE = "site"
    TOTAL = "total"


def check(
    folder: Folder,
    max_retained: Annotated[str | None, typer.Option(metavar="SIZE", help="Most bytes a call site may retain.")] = None,
    max_retained_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Most retained bytes as a share of allocated bytes, 0 to 1.")
    ] = None,
    site: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Check only matching functions.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Don't check matching functions.")] = None,
    per: Annotated[PerOption, typer.Option(help="Check each call site, or all together.")] = PerOption.SITE,
    ignore_below: Annotated[
        str, typer.Option(metavar="SIZE", help="No limit of share for sites that retain less.")
    ] = "0",
    limits: Annotated[Path | None, typer.Option(metavar="FILE", help="More limits, in TOML.")] = None,
    view: Annotated[ViewName | None, typer.Option(help="Charge who allocated, filled or emptied.")] = None,
    at: At = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML there.")] = None,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write a summary in Markdown there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check call sites against a budget of retained bytes; exit 1 if any is over it.

    PATTERN is a regular expression, a shell pattern for the whole name, or a piece of a function's full name.
    """
    recording = open_recording(folder)
    from mapprobe.api.limits import limits as limits_in
    from mapprobe.report import budget, junit, markdown

    if max_retained is None and max_retained_share is None and limits is None:
        raise typer.BadParameter("nothing to check: give --max-retained, --max-retained-share or --limits")
    check_out(junit_file)
    check_out(markdown_file)
    file_view, held_to = limits_in(limits) if limits else (None, [])
    if max_retained is not None or max_retained_share is not None:
        measures = _size_or_none(max_retained), max_retained_share, _size_or_none(ignore_below) or 0
        held_to.append(_limit(site or [], ignore or [], per, measures))
    with progress(recording.event_count, "replaying") as advance:
        checked = recording.check_data(held_to, view or file_view or "fill", until_ns(at), advance)
    if junit_file:
        write_out(junit_file, lambda file: junit.write(checked, file.buffer))
    if markdown_file:
        write_out(markdown_file, lambda file: markdown.write(checked, file))
    if as_json:
        print_json(budget.document(checked))
    else:
        write_out(None, lambda file: budget.write(checked, file))
    if not checked.is_within:
        raise CheckFailed(checked.complaint)


def _limit(site: list[str], ignore: list[str], per: PerOption, measures: tuple[int | None, float | None, int]) -> Limit:
    from mapprobe.analysis.budget import Limit, Per, title
    from mapprobe.analysis.selection import pattern

    sites, ignored = (tuple(pattern(text) for text in texts) for texts in (site, ignore))
    return Limit(title(sites, Per(per)), sites, ignored, Per(per), *measures)


def _size_or_none(text: str | None) -> int | None:
    return None if text is None else size(text, least=0)
