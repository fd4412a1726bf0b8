"""The command `mapprobe`: parse, one call, show. The only package that prints, and that knows exit codes.

Heavy imports stand inside the commands, so that `--help` costs typer alone.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from enum import StrEnum
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

import mapprobe
from mapprobe.cli.census import census
from mapprobe.cli.check import check
from mapprobe.cli.diff import diff
from mapprobe.cli.heap import heap
from mapprobe.cli.options import (
    CHECK_FAILED,
    HOST_LACKS,
    INTERRUPTED,
    WRONG_USE,
    At,
    By,
    Folder,
    Json,
    UsageError,
    ViewName,
    check_out,
    open_recording,
    print_json,
    progress,
    say,
    tell,
    to_stdout,
    until_ns,
    write_out,
)
from mapprobe.cli.record import record
from mapprobe.cli.steps import bar
from mapprobe.errors import MapprobeError

app = typer.Typer(
    name="mapprobe",
    help="Tell which call sites of a running Go program hold how many bytes of map buckets that hold nothing.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.command()(census)
app.command()(check)
app.command()(diff)
app.command()(heap)


class Format(StrEnum):
    """How the report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    PPROF = "pprof"
    FOLDED = "folded"
    SPEEDSCOPE = "speedscope"
    HTML = "html"
    PERFETTO = "perfetto"


PROFILES = (Format.PPROF, Format.FOLDED, Format.SPEEDSCOPE)
"""Formats of stacks: what a row is, is not theirs to choose."""
OVERVIEWS = (Format.HTML, Format.PERFETTO)
"""Formats that show all groupings, and how it came to it over time."""
NO_TEXT = (Format.PARQUET, Format.PPROF, Format.PERFETTO)


Patterns = Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Only those that match.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mapprobe {mapprobe.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(WRONG_USE)


@app.command()
def doctor(
    target: Annotated[str | None, typer.Argument(metavar="[PID|BINARY]", help="Can it be recorded?")] = None,
    as_json: Json = False,
) -> None:
    """Say what this host, and this target, can do, and what mends each lack."""
    from mapprobe.api.doctor import doctor as examine

    found: Any = examine(target)
    checks = found["checks"]
    if as_json:
        print_json(found)
    else:
        lines = []
        for check in checks:
            lines.append(f"{'ok  ' if check['ok'] else 'LACK'} {check['what']}: {check['found']}")
            if not check["ok"]:
                lines.append(f"     mend it: {check['remedy']}")
        say(*lines, *(f"note {note}" for note in found["notes"]))
    if not found["ok"]:
        lacks = [check["what"] for check in checks if not check["ok"]]
        raise typer.Exit(WRONG_USE if lacks == ["target"] else HOST_LACKS)


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(metavar="PID|BINARY", help="A Go process or executable.")],
    as_json: Json = False,
) -> None:
    """Show Go version, build ID, map implementation, linkage, every probe point and the map types."""
    from mapprobe.api.doctor import inspect as look

    found: Any = look(target)
    if as_json:
        print_json(found)
        return
    lines = [f"{name:16}{found[name]}" for name in ("binary", "go_version", "build_id", "module", "implementation")]
    linkage = [name for name in ("position_independent", "static", "stripped", "library", "cgo") if found[name]]
    lines += [f"{'linkage':16}{', '.join(linkage) or 'dynamic'}", ""]
    lines.append(f"{'probe point':46}{'kind':16}{'address':12}{'cost':10}instruction")
    for point in [*found["points"], *found["heap"]["points"]]:
        columns = f"{point['function']:46}{point['kind']:16}{point['address']:12}{point['cost']:10}"
        lines.append(columns + point["instruction"])
    if lack := found["heap"]["lack"]:
        lines += ["", f"record --heap: {lack}"]
    lines += ["", f"{'key':>6}{'elem':>6}{'slot':>6}{'bucket':>8}  map type  [bytes]"]
    for kind in found["map_types"]:
        sizes = f"{kind['key_bytes']:6}{kind['elem_bytes']:6}{kind['slot_bytes']:6}{kind['bucket_bytes']:8}"
        lines.append(f"{sizes}  {kind['name']}")
    say(*lines)


app.command(context_settings={"allow_interspersed_args": True})(record)


@app.command()
def replay(
    folder: Folder,
    force: Annotated[bool, typer.Option("--force", help="Replay again even if there is a result.")] = False,
    as_json: Json = False,
) -> None:
    """Replay a recording, and keep the result in it."""
    recording = open_recording(folder)
    from mapprobe.analysis.retention import totals

    with progress(recording.event_count, "replaying") as advance:
        replayed = recording.replay(force=force, progress=advance)
    sums = totals(replayed)
    if as_json:
        print_json({"recording": recording.session.document(), "totals": sums})
    else:
        names = ("inserts", "updates", "deletes", "clears", "growths")
        say(f"{sums['maps']:,} maps: {', '.join(f'{sums[name]:,} {name}' for name in names)}")


@app.command()
def pack(folder: Folder, as_json: Json = False) -> None:
    """Compress a recording further, to keep it or to send it; every command reads it as before."""
    recording = open_recording(folder)
    with bar(recording.event_count, "packing") as advance:
        before, after = recording.pack(advance)
    found = {"events": recording.event_count, "bytes_before": before, "bytes": after}
    if as_json:
        print_json(found)
    else:
        say(f"{found['events']:,} events: {before:,} bytes before, {found['bytes']:,} now")


@app.command()
def report(
    folder: Folder,
    by: Annotated[By, typer.Option(help="What a row is.")] = By.SITE,
    view: Annotated[
        Literal[ViewName, "all"], typer.Option(help="Charge who allocated, filled or emptied; all: one below another.")
    ] = "fill",
    function: Patterns = None,
    package: Patterns = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="So many rows or stacks, the rest as one; html and perfetto ignore it.")
    ] = None,
    at: At = None,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it; else stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Show who holds how many buckets that hold nothing; replays first when needed.

    PATTERN is a regular expression, a shell pattern for the whole name, or a piece of it. A map is its maker's.
    """
    recording = open_recording(folder)
    from mapprobe.analysis.selection import Choice, pattern
    from mapprobe.report import table

    form = Format.JSON if as_json else form
    choice = Choice(*(tuple(pattern(text) for text in texts or ()) for texts in (function, package)))
    _check_form(form, out, view, choice)
    check_out(out)
    views = list(get_args(ViewName)) if view == "all" else [view]
    views = views if by in (By.SITE, By.STACK) else views[:1]
    found: Any
    more: list[Any] = []
    with progress(recording.event_count, "replaying") as advance:
        if form in PROFILES:
            found = recording.profile_data(view, until_ns(at), advance, top)
        elif form in OVERVIEWS:
            found = recording.overview(view, until_ns(at), advance)
            more = [recording.heap_beside(found)]
        else:
            shown = top or (20 if form is Format.TABLE else table.MOST_ROWS)
            found, *more = recording.reports(str(by), views, until_ns(at), advance, choice, shown)
    if form in (Format.JSON, Format.CSV, Format.PARQUET):
        found = table.limited(found, top or table.MOST_ROWS)
    write_out(out, _writer(form, found, more, top))


def _writer(form: Format, found: Any, more: list[Any], top: int | None) -> Callable[[Any], None]:
    """Return what writes a format."""
    from mapprobe.report import table

    if form in (*PROFILES, *OVERVIEWS):
        package = "page" if form is Format.HTML else "profiles"
        writes: Any = import_module(f"mapprobe.report.{package}.{form}").write  # no other format's libraries
        return lambda file: writes(found, file if form in (Format.FOLDED, Format.SPEEDSCOPE) else file.buffer, *more)
    return {
        Format.TABLE: lambda file: table.write(found, file, top or 20, *more),
        Format.JSON: lambda file: table.write_json(found, file),
        Format.CSV: lambda file: table.write_csv(found, file.buffer),
        Format.PARQUET: lambda file: table.write_parquet(found, file.buffer),
    }[form]


def _check_form(form: Format, out: Path | None, view: str, choice: object) -> None:
    """Refuse what a format can't show."""
    if form in NO_TEXT and out is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is no text: give the file to write with -o FILE")
    if view == "all" and form is not Format.TABLE:
        raise typer.BadParameter(f"{form} has one view: give --view growth, fill or drain")
    if choice and form in (*PROFILES, *OVERVIEWS):
        raise typer.BadParameter(f"{form} has all stacks: choose functions in what shows it")


@app.command()
def verify(folder: Folder, as_json: Json = False) -> None:
    """Hold the replayed maps against the process's memory read at the end of the recording."""
    recording = open_recording(folder)
    with progress(recording.event_count, "verifying") as advance:
        found: Any = recording.verify(advance)
    if as_json:
        print_json(found)
    else:
        _show_verification(found)
    if found["mismatches"] or not found["checked"]:
        raise typer.Exit(CHECK_FAILED)


def _show_verification(found: Any) -> None:
    compared = f"{found['checked']:,} of {found['maps']:,} maps compared with the memory of the process"
    buckets = f"{found['buckets_equal']:,} of {found['buckets']:,} buckets"
    lines = [f"{compared}: {found['headers_equal']:,} headers and {buckets} are equal"]
    for why, count in Counter(entry["why"] for entry in found["skipped"]).items():
        lines.append(f"{count:,} not compared: {why}")
    for entry in found["mismatches"][:10]:
        where = "header" if entry["bucket"] is None else f"bucket {entry['bucket']}"
        lines.append(f"DIFFERENT {entry['map']} {where}: expected {entry['expected']}, found {entry['found']}")
    if not found["checked"]:
        lines.append("nothing could be compared")
    say(*lines)


def _is_answered_by_typer(words: list[str]) -> bool:
    """True if typer itself writes the answer to stdout."""
    ours = words[: words.index("--")] if "--" in words else words
    return not {"--help", "--version"}.isdisjoint(ours)


def main() -> None:
    """Run the command line, and turn what went wrong into one line and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # letters that the terminal has not
    status: Any = 0
    try:
        with to_stdout() if _is_answered_by_typer(sys.argv[1:]) else nullcontext():
            status = app(standalone_mode=False)
        with to_stdout():
            sys.stdout.flush()
        sys.exit(status)
    except MapprobeError as error:
        tell(str(error))
        sys.exit(error.exit_code)
    except UsageError as error:
        what = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
        tell(f"{what}: see 'mapprobe --help'")
        sys.exit(WRONG_USE)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
