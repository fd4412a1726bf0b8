"""Overviews of recordings made by hand, for the tests of what shows them."""

from __future__ import annotations

from dataclasses import replace

from mapprobe.overview import Overview, overview
from mapprobe.recorded import About, Span
from mapprobe.schema import Implementation, View
from mapprobe.sites import Sites
from recordings import SESSIONS, Recording, spread

ABOUT = {
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
HOSTILE = 'main.(*Cache[map[string]<-chan *T])."</script><script>document.title="owned"</script>&amp;'
"""No function is called so, and one that is must not do anything."""


def shop() -> Recording:
    """Return a recording of three maps by three sites: one drained, one cleared, one that is in use."""
    recording = Recording(Implementation.SWISS)
    drained = recording.create(stack=1, type_id=SESSIONS)
    drained.insert(*spread(1000), stack=1)
    drained.delete(*spread(950), stack=3)
    cleared = recording.create(stack=3)
    cleared.insert(*spread(300), stack=3)
    cleared.clear(stack=5)
    recording.create(stack=5).insert(*spread(20), stack=5)
    return recording


def overview_of(
    recording: Recording, view: View = View.FILL, points: int = 50, top: int = 10, until_ns: int | None = None
) -> Overview:
    """Return the overview of a recording."""
    end_ns = recording.now if until_ns is None else until_ns
    about = About(Span(0, 0, min(recording.now, end_ns), end_ns), dict(ABOUT), {}, {})
    replayed = recording.replay(until_ns=until_ns)
    return overview(recording.batches(), recording.inputs(), replayed, about, view, until_ns is None, points, top)


def named(recording: Recording, function: str) -> Recording:
    """Return the recording with the first site called otherwise."""
    table = [
        replace(site, function=function) if site.function == "main.site1" else site for site in recording.sites.table
    ]
    stacks = [[replace(site, function=function) if site.function == "main.site1" else site for site in stack]
              for stack in recording.sites.stacks]  # fmt: skip
    recording.sites = Sites(table, recording.sites.site_of_stack, stacks)
    return recording
