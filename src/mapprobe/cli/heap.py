"""`mapprobe heap`: what keeps the memory of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mapprobe.cli.options import Folder, Json, ViewName, check_out, open_recording, progress, write_out


def heap(
    folder: Folder,
    view: Annotated[ViewName, typer.Option(help="Charge who allocated, filled or emptied.")] = "fill",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; else stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Say what keeps the process's memory: maps, the collector, the scavenger, or memory outside the heap.

    The recording must have been made with --heap.
    """
    recording = open_recording(folder)
    check_out(out)
    from mapprobe.report.heap import write, write_json

    with progress(recording.event_count, "replaying") as advance:
        report = recording.heap.data(view, advance)
    write_out(out, lambda file: (write_json if as_json else write)(report, file))
