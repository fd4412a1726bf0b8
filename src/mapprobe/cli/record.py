"""`mapprobe record`: record the map operations of a process or a command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mapprobe.cli.lean import leave_pandas_out
from mapprobe.cli.options import INTERRUPTED, Json, print_json, share, size, tell
from mapprobe.cli.steps import steps_at_once


class Probes(StrEnum):
    """The operations that are recorded."""

    OPS = "ops"
    GROWTH = "growth"
    LIGHT = "light"


WhatIsProbed = Annotated[
    Probes,
    typer.Option(
        help="ops: every operation; growth: creation, growth, clear; light: growth, clear. "
        "growth and light don't record who filled and emptied maps."
    ),
]
WithCensus = Annotated[
    bool,
    typer.Option(help="Find all maps at the start and the end; without it, maps that could not be read are unknown."),
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
    max_size: Annotated[str | None, typer.Option(help="Stop when the recording has this size, e.g. 2GiB.")] = None,
    max_overhead: Annotated[
        str | None,
        typer.Option(
            help="Share of the process's CPU time that probing may take, e.g. 2%; operations that cost "
            "more are watched only in windows of time."
        ),
    ] = None,
    census: WithCensus = True,
    with_heap: Annotated[
        bool, typer.Option("--heap/--no-heap", help="Follow bucket arrays, collections, and memory returned to the OS.")
    ] = False,
    large_objects: Annotated[
        bool, typer.Option("--large-objects", help="With --heap: follow every object over 32 KiB.")
    ] = False,
    freeze: Frozen = False,
    keep_arguments: Annotated[
        bool, typer.Option("--keep-arguments", help="Keep the arguments of CMD in the recording, secrets included.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing recording.")] = False,
    as_json: Json = False,
) -> None:
    """Record until --duration, Ctrl-C or the target's end.

    A command keeps stdin, stdout and stderr for itself. If it still runs when the recording ends, it is asked
    to end (SIGTERM); a process given by its PID goes on.
    """
    leave_pandas_out()
    from mapprobe.capture.recorder import Options
    from mapprobe.capture.recorder import record as run

    limit = size(max_size) if max_size else None
    most = share(max_overhead) if max_overhead else None
    heap = {"heap": with_heap or large_objects, "large_objects": large_objects}
    last = {"census": census, "freeze": freeze, "keep_arguments": keep_arguments}
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
        tell("the CPU time that probing took from the process can't be measured on this host")
    elif cpu_ns := row["cpu_ns"]:
        tell(_cost_line(row["cost_ns"], cpu_ns))
        if row["max_overhead"] is not None and row["cost_ns"] > row["max_overhead"] * cpu_ns:
            most = f"{row['max_overhead']:.1%}"
            tell(f"that is over --max-overhead {most}: its first seconds cost more, a longer recording makes up for it")
    if row.get("exit_status"):
        tell(f"the command's exit status was {row['exit_status']}")


def _cost_line(cost_ns: int, cpu_ns: int) -> str:
    """Return the estimated CPU time that probing took; its share is unknown if the estimate is all of the CPU time."""
    if cost_ns >= cpu_ns:
        return f"probing took most of the {cpu_ns / 1e9:.2f} s of CPU time of the process"
    took = f"{cost_ns / 1e9:.2f} s of the {cpu_ns / 1e9:.2f} s of CPU time"
    return f"probing took about {took} of the process ({cost_ns / cpu_ns:.1%})"


def _target(words: list[str]) -> int | list[str]:
    """Return a PID if the words are a single number, else the words of a command."""
    if len(words) == 1 and words[0].isdigit():
        return int(words[0])
    return words
