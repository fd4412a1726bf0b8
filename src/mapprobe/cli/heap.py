"""The command `mapprobe heap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mapprobe.cli.options import Folder, Json, ViewName, bar, check_out, open_recording, write_out


def heap(
    folder: Folder,
    view: Annotated[ViewName, typer.Option(help="Whom retained buckets are charged to.")] = "fill",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it; else stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Say what keeps the process's memory: its maps, its collector, its scavenger, or nothing of the heap.

    The recording must have been made with --heap.
    """
    recording = open_recording(folder)
    check_out(out)
    from mapprobe.report.heap import write, write_json

    with bar(recording.event_count, "replaying") as advance:
        report = recording.heap.data(view, advance)
    write_out(out, lambda file: (write_json if as_json else write)(report, file))
