"""Who is recorded, by what and when: the row of `schema.SESSION` as far as it is known at the start."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform

from mapprobe.live.target import Target


def first_row(target: Target, probes: str, *, keeps_arguments: bool = False) -> dict[str, object]:
    """Return the row of a recording that begins now and has no events yet, without the times on the events' clock.

    Parameters
    ----------
    keeps_arguments
        Keep the arguments of the command, which may hold secrets.
    """
    command = target.command.arguments if target.command else []
    binary = target.binary
    return {
        "pid": target.process.pid,
        "binary": target.path,
        "command": command if keeps_arguments else command[:1],
        "go_version": binary.go_version,
        "build_id": binary.build_id,
        "module": binary.module,
        "implementation": str(binary.implementation),
        "probes": probes,
        "stack_depth": 0,
        "attached": target.command is None,
        "started": wall_clock(),
        "events": 0,
        "lost": 0,
        "host": f"{platform.system()} {platform.release()} {platform.machine()}",
        "mapprobe": importlib.metadata.version("mapprobe"),
    }


def wall_clock() -> str:
    """Return the time of day as a recording writes it: ISO 8601, to the millisecond."""
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
