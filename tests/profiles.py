"""Profiles made by hand, for the formats that take one."""

from __future__ import annotations

import pyarrow as pa

from mapprobe import schema
from mapprobe.report.profile import MOST_SAMPLES, Profile, profile_of
from mapprobe.schema import Implementation, View
from recordings import SESSIONS, STACKS, TYPES, Recording, spread, table_of, tables_of_stacks

ABOUT: dict[str, object] = {
    "go_version": "go1.27.3",
    "build_id": "abc/def",
    "binary": "/srv/shop",
    "pid": 4711,
    "implementation": "swiss",
    "started": "2026-11-21T09:00:00+00:00",
    "ended": "2026-11-21T09:05:00+00:00",
    "events": 12_345,
    "lost_events": 0,
    "probes": "ops",
}


def inlined_frames(names: dict[int, str] | None = None) -> pa.Table:
    """Return frames for the stacks of `recordings`: each site is inlined into a function main.outer."""
    rows: list[dict[str, object]] = []
    for n in range(1, STACKS):
        site = (names or {}).get(n, f"main.site{(n + 1) // 2}")
        rows.append({"pc": n, "function": "runtime.mapassign_fast64", "file": "map.go", "line": 3, "inlined": True})
        rows.append({"pc": n, "depth": 1, "function": site, "file": "site.go", "line": 7, "inlined": True})
        rows.append({"pc": n, "depth": 2, "function": f"main.outer{n}", "file": "outer.go", "line": 9})
    rows.append({"pc": 100, "function": "main.main", "file": "main.go", "line": 1})
    return table_of(schema.FRAMES, rows)


def drained() -> Recording:
    """Return a recording of three maps, by three sites, of two types, mostly drained."""
    recording = Recording(Implementation.SWISS)
    for n, stack in enumerate((1, 3, 5)):
        made = recording.create(stack=stack, type_id=SESSIONS if n else 0)
        made.insert(*spread(100 * (n + 1)), stack=stack)
        made.delete(*spread(90), stack=stack)
    return recording


def profile(
    recording: Recording | None = None,
    view: View = View.FILL,
    top: int = MOST_SAMPLES,
    frames: pa.Table | None = None,
    about: dict[str, object] | None = None,
) -> Profile:
    """Return the profile of a recording made by hand."""
    replayed = (recording or drained()).replay()
    given = inlined_frames() if frames is None else frames
    tables = {"stacks": tables_of_stacks()[0], "frames": given, "types": TYPES}
    return profile_of(about or ABOUT, replayed, tables, view, top)
