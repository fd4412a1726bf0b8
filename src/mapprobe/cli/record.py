"""The command `mapprobe record`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mapprobe.cli.lean import keep_little, leave_pandas_out
from mapprobe.cli.options import INTERRUPTED, Json, print_json, share, size, tell
from mapprobe.cli.steps import steps_at_once


class Probes(StrEnum):
    """What is recorded."""

    OPS = "ops"
    GROWTH = "growth"
    LIGHT = "light"


WhatIsProbed = Annotated[
    Probes,
    typer.Option(
        help="ops: every operation; growth: creation, growth, clear; light: growth, clear. "
        "growth and light do not see who filled and emptied."
    ),
]
WithCensus = Annotated[
    bool,
    typer.Option(help="Find all maps at the start and the end; without, maps that could not be read are unknown."),
]
Frozen = Annotated[
    bool,
    typer.Option(
        "--freeze", help="Stop the process (SIGSTOP) for the last read only: the census of the end and the maps."
    ),
]


def _positive(value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise typer.BadParameter(f"{value} is no time to record: give a number of seconds above 0")
    return value


def record(
    target: Annotated[list[str], typer.Argument(metavar="PID | -- CMD ARG...", help="What to record.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The recording to make.")],
    duration: Annotated[float | None, typer.Option(help="Stop after this many seconds.", callback=_positive)] = None,
    probes: WhatIsProbed = Probes.OPS,
    stack_depth: Annotated[int, typer.Option(min=2, max=32, help="Frames recorded of each call stack.")] = 8,
    max_size: Annotated[str | None, typer.Option(help="Stop when the recording is so large, e.g. 2GiB.")] = None,
    max_overhead: Annotated[
        str | None,
        typer.Option(
            help="CPU time that probing may take from the process, e.g. 2%: what is dearer is watched in windows."
        ),
    ] = None,
    census: WithCensus = True,
    with_heap: Annotated[
        bool, typer.Option("--heap/--no-heap", help="Follow bucket arrays, collections, and what goes back to the OS.")
    ] = False,
    large_objects: Annotated[
        bool, typer.Option("--large-objects", help="With --heap: every object over 32 KiB, event by event.")
    ] = False,
    freeze: Frozen = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a recording that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Record until --duration, Ctrl-C or the target's end.

    A command's stdin, stdout and stderr are its own. If it still runs when the recording ends, it is asked
    to end (SIGTERM); a process that was attached to is left alone.
    """
    leave_pandas_out()
    keep_little()
    from mapprobe.capture.recorder import Options
    from mapprobe.capture.recorder import record as run

    limit = size(max_size) if max_size else None
    most = share(max_overhead) if max_overhead else None
    heap = {"heap": with_heap or large_objects, "large_objects": large_objects}
    last = {"census": census, "freeze": freeze}
    options = Options(str(probes), stack_depth, duration, limit, force, max_overhead=most, **last, **heap)
    with steps_at_once("looking at the program") as step:
        row: Any = run(_target(target), out, options, tell, at_step=step)
    if as_json:
        print_json(row)
    else:
        _show_recorded(row, out)
    if row["ended_by"] == "interrupt":
        raise typer.Exit(INTERRUPTED)


def _show_recorded(row: Any, out: Path) -> None:
    tell(f"{row['events']:,} events, {row['lost']:,} lost, ended by {row['ended_by']}: mapprobe report {out}")
    if row["cost_ns"] is None:
        tell("what probing took of the process can't be measured on this host")
    elif cpu_ns := row["cpu_ns"]:
        tell(_cost_line(row["cost_ns"], cpu_ns))
        if row["max_overhead"] is not None and row["cost_ns"] > row["max_overhead"] * cpu_ns:
            tell(f"that is over --max-overhead {row['max_overhead']:.1%}: a longer recording pays the first look back")
    if row.get("exit_status"):
        tell(f"the command's exit status was {row['exit_status']}")


def _cost_line(cost_ns: int, cpu_ns: int) -> str:
    """Return what probing took, an estimate; where it sums to all that the process took no share is known."""
    if cost_ns >= cpu_ns:
        return f"probing took most of the {cpu_ns / 1e9:.2f} s of CPU time of the process"
    took = f"{cost_ns / 1e9:.2f} s of the {cpu_ns / 1e9:.2f} s of CPU time"
    return f"probing took about {took} of the process ({cost_ns / cpu_ns:.1%})"


def _target(words: list[str]) -> int | list[str]:
    """A single number is a PID; anything else is a command."""
    if len(words) == 1 and words[0].isdigit():
        return int(words[0])
    return words
