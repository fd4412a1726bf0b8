"""`mapprobe replay`, `mapprobe pack` and `mapprobe verify`: commands for a recording as a whole."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from mapprobe.cli.options import (
    CHECK_FAILED,
    Folder,
    Json,
    open_recording,
    print_json,
    progress,
    say,
)
from mapprobe.cli.steps import bar


def replay(
    folder: Folder,
    force: Annotated[bool, typer.Option("--force", help="Replay again even if a result is stored.")] = False,
    as_json: Json = False,
) -> None:
    """Replay a recording, and store the result in it."""
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


def verify(folder: Folder, as_json: Json = False) -> None:
    """Compare the replayed maps with the process's memory, read at the end of the recording."""
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
