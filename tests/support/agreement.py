"""Whether a recording agrees with a known program about the program's memory: every difference, in words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import mapprobe
from support import truth
from support.truth import Truth

FIGURES = ("live_slots", "slots", "buckets", "retained_buckets")
OPERATIONS = ("inserts", "updates", "deletes", "clears")


def record(program: Path, arguments: list[str], folder: Path) -> tuple[Truth, Any]:
    """Record a program from its first instruction on; return what it says and the recording."""
    command = [sys.executable, "-m", "mapprobe", "record", "-o", str(folder), "--", str(program), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return truth.parse(done.stdout), mapprobe.open(folder)


def differences(said: Truth, recording: Any) -> list[str]:
    """Return what is not as the program says: lost events, maps, operations, buckets in memory."""
    lost = recording.session.lost
    return [
        *([f"{lost} events lost"] if lost else []),
        *_maps(said, recording),
        *_operations(said, recording),
        *_memory(recording),
    ]


def last_generations(recording: Any) -> pd.DataFrame:
    """Return the maps that stood last at each address, by address."""
    rows = recording.retention(by="map").assign(map_addr=lambda rows: [int(m, 16) for m in rows["map"]])
    return rows.sort_values("generation").drop_duplicates("map_addr", keep="last").set_index("map_addr")


def _maps(said: Truth, recording: Any) -> Iterator[str]:
    last = last_generations(recording)
    for m in said.maps:
        if not m.buckets:  # a map that was never written need not have been seen
            continue
        if m.map_addr not in last.index:
            yield f"{m.name}: not seen"
            continue
        row = last.loc[m.map_addr]
        if row["state"] != "alive" or not row["exact"]:
            yield f"{m.name}: {row['state']}, exact: {row['exact']}"
        for figure in FIGURES:
            if row[figure] != getattr(m, figure):
                yield f"{m.name}: {row[figure]} {figure}, not {getattr(m, figure)}"


def _operations(said: Truth, recording: Any) -> Iterator[str]:
    rows = recording.retention(by="site", view="fill")
    sites = rows.groupby(rows["function"].map(truth.printed)).sum(numeric_only=True)
    for name, counted in said.functions.items():
        for operation in OPERATIONS:
            found = sites[operation].get(name, 0)
            if found != getattr(counted, operation):
                yield f"{name}: {found} {operation}, not {getattr(counted, operation)}"


def _memory(recording: Any) -> Iterator[str]:
    verified = recording.verify()
    if not verified["checked"]:
        yield "nothing verified"
    for kind, checked in (("headers_equal", "checked"), ("buckets_equal", "buckets")):
        if verified[kind] != verified[checked]:
            yield f"verify: {verified[kind]} of {verified[checked]} {kind}: {verified['mismatches'][:2]}"
