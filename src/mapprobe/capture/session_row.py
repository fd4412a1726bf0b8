"""Who is recorded, by what and when: the row of `schema.SESSION` as far as it is known at the start."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Sequence

from mapprobe.go.binary import GoBinary
from mapprobe.live.process import Process


def first_row(
    process: Process, path: str, binary: GoBinary, probes: str, command: Sequence[str] | None = None
) -> dict[str, object]:
    """Return the row of a recording that begins now and has no events yet, without the times on the events' clock.

    Parameters
    ----------
    path
        Path of the binary.
    command
        The command with the arguments that are kept, if the process was started for the recording.
    """
    return {
        "pid": process.pid,
        "binary": path,
        "command": list(command or ()),
        "go_version": binary.go_version,
        "build_id": binary.build_id,
        "module": binary.module,
        "implementation": str(binary.implementation),
        "probes": probes,
        "stack_depth": 0,
        "attached": command is None,
        "started": wall_clock(),
        "events": 0,
        "lost": 0,
        "host": f"{platform.system()} {platform.release()} {platform.machine()}",
        "mapprobe": importlib.metadata.version("mapprobe"),
    }


def wall_clock() -> str:
    """Return the time of day as a recording writes it: ISO 8601, to the millisecond."""
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
