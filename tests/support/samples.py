"""One recording made by hand, and all inputs from which formats of reports are written."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.overview import Overview, Results, Shown, overview
from mapprobe.analysis.profile import MOST_SAMPLES, Profile, profile_of
from mapprobe.analysis.provenance import About
from mapprobe.analysis.report import Report
from mapprobe.analysis.retention import aggregate, totals
from mapprobe.recording.session import Span
from mapprobe.recording.sites import Sites
from mapprobe.recording.tables import schema
from mapprobe.replay.balance import reconcile_at
from mapprobe.vocabulary import Implementation, View
from support.recordings import SESSIONS, STACKS, TYPES, Recording, spread, table_of, tables_of_stacks

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
    "census": {"end": {}},
}
HOSTILE = 'main.(*Cache[map[string]<-chan *T])."</script><script>document.title="owned"</script>&amp;'
"""No function is called so, and one that is must not do anything."""


def shop() -> Recording:
    """Return a recording of three maps, of two types, by three sites: drained, cleared, and half in use."""
    recording = Recording(Implementation.SWISS)
    drained = recording.create(stack=1, type_id=SESSIONS)
    drained.insert(*spread(1000), stack=1)
    drained.delete(*spread(950), stack=3)
    cleared = recording.create(stack=3)
    cleared.insert(*spread(300), stack=3)
    cleared.clear(stack=5)
    in_use = recording.create(stack=5)
    in_use.insert(*spread(40), stack=5)
    in_use.delete(*spread(20), stack=5)
    return recording


def named(recording: Recording, function: str) -> Recording:
    """Return the recording with the first site called otherwise."""
    sites = recording.sites

    def renamed(site):  # type: ignore[no-untyped-def]
        return replace(site, function=function) if site.function == "main.site1" else site

    stacks = [[renamed(site) for site in stack] for stack in sites.stacks]
    recording.sites = Sites([renamed(site) for site in sites.table], sites.site_of_stack, stacks)
    return recording


def report_on(
    recording: Recording | None = None,
    by: str = "site",
    view: View = View.FILL,
    inexact: dict[str, int] | None = None,
) -> Report:
    """Return the report of a recording made by hand."""
    recording = recording or shop()
    replayed = recording.settled()
    rows = aggregate(replayed, TYPES, recording.sites, str(recording.implementation), by, view)
    return Report(ABOUT, by, str(view), totals(replayed), rows, inexact or {}, {}, apart(replayed))


def overview_of(
    recording: Recording | None = None,
    view: View = View.FILL,
    points: int = 50,
    top: int = 10,
    until_ns: int | None = None,
) -> Overview:
    """Return the overview of a recording made by hand."""
    recording = recording or shop()
    end_ns = recording.now if until_ns is None else until_ns
    inputs, whole = recording.inputs(), recording.settled()
    replayed = whole if until_ns is None else reconcile_at(recording.replay(until_ns=until_ns), whole, inputs, until_ns)
    about = About(Span(0, 0, min(recording.now, end_ns), end_ns), dict(ABOUT), {}, {}, apart(replayed))
    return overview(
        recording.batches(), inputs, Results(replayed, whole), about, Shown(view, until_ns is None, points, top)
    )


def profile(
    recording: Recording | None = None,
    view: View = View.FILL,
    top: int = MOST_SAMPLES,
    frames: pa.Table | None = None,
    about: dict[str, object] | None = None,
) -> Profile:
    """Return the profile of a recording made by hand."""
    replayed = (recording or shop()).settled()
    given = inlined_frames() if frames is None else frames
    tables = {"stacks": tables_of_stacks()[0], "frames": given, "types": TYPES}
    return profile_of(about or ABOUT, replayed, tables, (recording or shop()).sites, view, top)


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
