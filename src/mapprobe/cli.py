"""The command `mapprobe`: parse, one call, show. The only module that prints, and that knows exit codes.

Heavy imports stand inside the commands, so that `--help` costs typer alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import mapprobe
from mapprobe.errors import MapprobeError

INTERRUPTED = 130
CHECK_FAILED = 1
WRONG_USE = 2
HOST_LACKS = 3

UsageError: Any = typer.BadParameter.__base__
"""Typer brings its own click; its errors are reached through the one that typer hands out."""

app = typer.Typer(
    name="mapprobe",
    help="Tell which call sites of a running Go program hold how many bytes of map buckets that hold nothing.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


class Probes(StrEnum):
    """What is recorded."""

    OPS = "ops"
    GROWTH = "growth"


class Format(StrEnum):
    """How the report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    HTML = "html"
    PERFETTO = "perfetto"


OVERVIEWS = (Format.HTML, Format.PERFETTO)
"""Formats that show all groupings, and how it came to it over time."""
BINARIES = (Format.PARQUET, Format.PERFETTO)


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A recording.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


def _positive(value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"{value} is no time to record: give a number of seconds above 0")
    return value


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
    from mapprobe.doctor import doctor as examine

    found: Any = examine(target)
    checks = found["checks"]
    if as_json:
        _print_json(found)
    else:
        for check in checks:
            print(f"{'ok  ' if check['ok'] else 'LACK'} {check['what']}: {check['found']}")
            if not check["ok"]:
                print(f"     mend it: {check['remedy']}")
        for note in found["notes"]:
            print(f"note {note}")
    if not found["ok"]:
        lacks = [check["what"] for check in checks if not check["ok"]]
        raise typer.Exit(WRONG_USE if lacks == ["target"] else HOST_LACKS)


@app.command()
def inspect(
    target: Annotated[str, typer.Argument(metavar="PID|BINARY", help="A Go process or executable.")],
    as_json: Json = False,
) -> None:
    """Show Go version, build ID, map implementation, linkage, every probe point and the map types."""
    from mapprobe.doctor import inspect as look

    found: Any = look(target)
    if as_json:
        _print_json(found)
        return
    for name in ("binary", "go_version", "build_id", "module", "implementation"):
        print(f"{name:16}{found[name]}")
    linkage = [name for name in ("position_independent", "static", "stripped", "cgo") if found[name]]
    print(f"{'linkage':16}{', '.join(linkage) or 'dynamic'}")
    print(f"\n{'probe point':46}{'kind':10}{'address':12}{'cost':10}instruction")
    for point in found["points"]:
        columns = f"{point['function']:46}{point['kind']:10}{point['address']:12}{point['cost']:10}"
        print(columns + point["instruction"])
    print(f"\n{'key':>6}{'elem':>6}{'slot':>6}{'bucket':>8}  map type  [bytes]")
    for kind in found["map_types"]:
        sizes = f"{kind['key_bytes']:6}{kind['elem_bytes']:6}{kind['slot_bytes']:6}{kind['bucket_bytes']:8}"
        print(f"{sizes}  {kind['name']}")


@app.command(context_settings={"allow_interspersed_args": True})
def record(
    target: Annotated[list[str], typer.Argument(metavar="PID | -- CMD ARG...", help="What to record.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The recording to make.")],
    duration: Annotated[float | None, typer.Option(help="Stop after so many seconds.", callback=_positive)] = None,
    probes: Annotated[Probes, typer.Option(help="Every operation, or only creation, growth and clear.")] = Probes.OPS,
    stack_depth: Annotated[int, typer.Option(min=2, max=32, help="Frames recorded of each call stack.")] = 8,
    max_size: Annotated[str | None, typer.Option(help="Stop when the recording is so large, e.g. 2GiB.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a recording that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Record until --duration, Ctrl-C or the target's end.

    A command's stdin, stdout and stderr are its own. If it still runs when the recording ends, it is asked
    to end (SIGTERM); a process that was attached to is left alone.
    """
    from mapprobe.recorder import Options
    from mapprobe.recorder import record as run

    limit = _bytes(max_size) if max_size else None
    options = Options(str(probes), stack_depth, duration, limit, force)
    row = run(_target(target), out, options, _tell)
    if as_json:
        _print_json(row)
    else:
        _tell(f"{row['events']:,} events, {row['lost']:,} lost, ended by {row['ended_by']}: mapprobe report {out}")
        if row.get("exit_status"):
            _tell(f"the command's exit status was {row['exit_status']}")
    if row["ended_by"] == "interrupt":
        raise typer.Exit(INTERRUPTED)


@app.command()
def replay(
    folder: Folder,
    force: Annotated[bool, typer.Option("--force", help="Replay again even if there is a result.")] = False,
    as_json: Json = False,
) -> None:
    """Replay a recording, and keep the result in it."""
    from mapprobe.recording import open as open_recording
    from mapprobe.retention import totals

    recording = open_recording(folder)
    with _progress(recording.event_count, "replaying") as advance:
        replayed = recording.replay(force=force, progress=advance)
    sums = totals(replayed)
    if as_json:
        _print_json({"recording": recording.session.document(), "totals": sums})
    else:
        print(f"{sums['maps']:,} maps: {sums['inserts']:,} inserts, {sums['updates']:,} updates, ", end="")
        print(f"{sums['deletes']:,} deletes, {sums['clears']:,} clears, {sums['growths']:,} growths")


@app.command()
def report(
    folder: Folder,
    by: Annotated[By, typer.Option(help="What a row is.")] = By.SITE,
    view: Annotated[ViewOption, typer.Option(help="Charge who allocated, filled or emptied.")] = ViewOption.FILL,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table.")] = 20,
    at: Annotated[float | None, typer.Option(help="As it stood so many seconds after the start.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it; else stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Show who holds how many buckets that hold nothing; replays first when needed."""
    from mapprobe.recording import open as open_recording
    from mapprobe.report import html, perfetto, table

    recording = open_recording(folder)
    until = None if at is None else int(at * 1e9)
    form = Format.JSON if as_json else form
    with _progress(recording.event_count, "replaying") as advance:
        found: Any
        if form in OVERVIEWS:
            found = recording.overview(str(view), until, advance)
        else:
            found = recording.report_data(str(by), str(view), until, advance)
    writers: dict[Format, Callable[[Any], None]] = {
        Format.TABLE: lambda file: table.write(found, file, top),
        Format.JSON: lambda file: table.write_json(found, file),
        Format.CSV: lambda file: table.write_csv(found, file.buffer),
        Format.PARQUET: lambda file: table.write_parquet(found, file.buffer),
        Format.HTML: lambda file: html.write(found, file.buffer),
        Format.PERFETTO: lambda file: perfetto.write(found, file.buffer),
    }
    if form in BINARIES and out is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is no text: give the file to write with -o FILE")
    _write(out, writers[form])


@app.command()
def verify(folder: Folder, as_json: Json = False) -> None:
    """Hold the replayed maps against the process's memory read at the end of the recording."""
    from mapprobe.recording import open as open_recording

    recording = open_recording(folder)
    with _progress(recording.event_count, "verifying") as advance:
        found: Any = recording.verify(advance)
    if as_json:
        _print_json(found)
    else:
        _show_verification(found)
    if found["mismatches"] or not found["checked"]:
        raise typer.Exit(CHECK_FAILED)


def _show_verification(found: Any) -> None:
    print(f"{found['checked']:,} of {found['maps']:,} maps compared with the memory of the process: ", end="")
    print(
        f"{found['headers_equal']:,} headers and {found['buckets_equal']:,} of {found['buckets']:,} buckets are equal"
    )
    for why in dict.fromkeys(entry["why"] for entry in found["skipped"]):
        print(f"{sum(entry['why'] == why for entry in found['skipped']):,} not compared: {why}")
    for entry in found["mismatches"][:10]:
        where = "header" if entry["bucket"] is None else f"bucket {entry['bucket']}"
        print(f"DIFFERENT {entry['map']} {where}: expected {entry['expected']}, found {entry['found']}")
    if not found["checked"]:
        print("nothing could be compared")


def _write(path: Path | None, write: Callable[[Any], None]) -> None:
    """Let a writer write to a file, or to stdout."""
    if path is None:
        write(sys.stdout)
        return
    try:
        with path.open("w") as file:
            write(file)
    except OSError as error:
        raise MapprobeError(f"{path}: {error.strerror or error}: give another file to write") from None


def _target(words: list[str]) -> int | list[str]:
    """A single number is a PID; anything else is a command."""
    if len(words) == 1 and words[0].isdigit():
        return int(words[0])
    return words


def _bytes(text: str) -> int:
    units = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
    number = text.rstrip("BKMGibkmg")
    try:
        size = int(float(number) * units[text[len(number) :].upper()])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size <= 0:
        raise typer.BadParameter(f"{text} is no size: give e.g. 500MiB or 2GiB")
    return size


def _tell(line: str) -> None:
    print(f"mapprobe: {line}", file=sys.stderr, flush=True)


def _print_json(found: object) -> None:
    print(json.dumps(found, indent=1, default=str))


@contextmanager
def _progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal while events are replayed; say so when kernels must be compiled first."""
    from mapprobe.recording import is_compiled

    if not is_compiled():
        _tell("compiling the replay kernels, once on this machine (about a minute)")
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda events: bar.advance(task, events)


def main() -> None:
    """Run the command line, and turn what went wrong into one line and an exit code."""
    try:
        sys.exit(app(standalone_mode=False))
    except MapprobeError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except UsageError as error:
        what = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
        _tell(f"{what}: see 'mapprobe --help'")
        sys.exit(WRONG_USE)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
