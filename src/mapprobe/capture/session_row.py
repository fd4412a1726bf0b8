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
    """Return the row of a recording without events that begins now, but for times on the clock of the events.

    Parameters
    ----------
    path
        Of the binary.
    command
        With its arguments, if the process is one that was started for the recording.
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
    """Return what time it is, as a recording has it."""
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
