"""The command `mapprobe`.

Heavy imports are inside the commands, so that `--help` loads nothing but typer.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from io import TextIOWrapper
from typing import Annotated, Any

import typer

import mapprobe
from mapprobe.cli.census import census
from mapprobe.cli.check import check
from mapprobe.cli.diff import diff
from mapprobe.cli.doctor import doctor, inspect
from mapprobe.cli.heap import heap
from mapprobe.cli.options import INTERRUPTED, WRONG_USE, UsageError, tell, to_stdout
from mapprobe.cli.record import record
from mapprobe.cli.replay import pack, replay, verify
from mapprobe.cli.report import report
from mapprobe.errors import MapprobeError

app = typer.Typer(
    name="mapprobe",
    help="Show which call sites of a running Go program hold how many bytes of empty map buckets.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(census)
app.command()(check)
app.command()(diff)
app.command()(heap)
app.command()(doctor)
app.command()(inspect)
app.command(context_settings={"allow_interspersed_args": True})(record)
app.command()(replay)
app.command()(pack)
app.command()(report)
app.command()(verify)


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


def _is_answered_by_typer(words: list[str]) -> bool:
    """True if typer itself writes the answer to stdout."""
    ours = words[: words.index("--")] if "--" in words else words
    return not {"--help", "--version"}.isdisjoint(ours)


def main() -> None:
    """Run the command line, and turn errors into one line and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for letters that the terminal can't show
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
