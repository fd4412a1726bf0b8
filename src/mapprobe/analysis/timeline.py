"""What maps and call sites held at chosen times: live entries, slots, bytes, and who grew and cleared meanwhile.

One replay that stops at each point of time and carries forward what the
maps that had no event since the last point hold. A point is what a report
up to its time says (`report --at`), to the last byte; the last point is the
report itself, with what only the end shows: which maps had died, and the
memory of those that could not be followed. Only the top maps and sites are
kept, by the most bytes that they retained at any point; all else is `other`,
which is the exact total less theirs.

Points are evenly apart from the first event to the last; behind that only
the end is one. Where events of several processors stand a little out of
order a point moves on to the next moment that has all earlier ones before
it. Pure: batches and tables in, arrays and tables out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.map_rows import map_column
from mapprobe.analysis.retention import KEYS, by_map, of_sites
from mapprobe.arrays import I64, Flags
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.session import Span
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.stepping import MEASURES, SteppedReplay, walk
from mapprobe.vocabulary import View

POINTS, TOP = 300, 10
GROUPINGS = ("site", "map")
OTHER, TOTAL = "other", "total"
CANDIDATES = 8
"""So many times as many maps and sites as are asked for are watched, to find those that ever retained the most."""
RETAINED, ALLOCATED = MEASURES.index("retained_bytes"), MEASURES.index("allocated_bytes")


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a recording is shown over time, and how finely.

    Attributes
    ----------
    span
        Points are between its first and its last event, the last point at its end; a report at a time ends there.
    until_ns
        As of `walk`; None: to the end of the recording.
    points
        How many points, two at least.
    top
        How many maps and how many sites.
    """

    span: Span
    until_ns: int | None = None
    points: int = POINTS
    top: int = TOP

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points must be 2 at least, not {self.points}")


@dataclass(frozen=True, slots=True)
class Series:
    """What the top maps, or sites, held at each point.

    Attributes
    ----------
    ids
        Rows of `schema.MAPS`, or of `Sites.table`; those that ever retained the most first.
    keys
        One row for each: the keys that a report has of it (`retention.KEYS`).
    amounts
        `MEASURES` of each at each point, ``(points, tops, MEASURES)``.
    others
        How many maps or sites there are beside them.
    """

    by: str
    ids: I64
    keys: pa.Table
    amounts: I64
    others: int

    def names(self) -> list[str]:
        """Return a short name of each that no other has."""
        rows = self.keys.to_pylist()
        if self.by == "map":
            return [f"{row['map']}#{row['generation']} {row['type']}" for row in rows]
        return [f"{row['function']} {row['file'].rpartition('/')[2]}:{row['line']}".removesuffix(" :0") for row in rows]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Points of time and what was held at each.

    Attributes
    ----------
    at_ns
        When each point was [ns since the start of the recording], ``(points,)``.
    total
        `MEASURES` of all maps together, ``(points, MEASURES)``.
    series
        The top maps and the top sites, under ``map`` and ``site``.
    """

    at_ns: I64
    total: I64
    series: dict[str, Series]

    def other(self, by: str) -> I64:
        """Return `MEASURES` of all that is not among the top, ``(points, MEASURES)``."""
        rest: I64 = self.total - self.series[by].amounts.sum(axis=1)
        return rest

    def table(self, by: str) -> pa.Table:
        """Return one row for each point of each of the top, of `other`, and of `total`.

        Columns are ``time_ns`` since the start of the recording, ``series`` (a short name), the keys of the grouping
        (null for `other` and `total`), and `MEASURES`.
        """
        if by not in self.series:
            raise ValueError(f"by must be one of {', '.join(self.series)}, not {by!r}")
        top, points = self.series[by], len(self.at_ns)
        names = [*top.names(), OTHER, TOTAL]
        amounts = np.concatenate([top.amounts, self.other(by)[:, None], self.total[:, None]], axis=1)
        row_of = pa.array([*range(len(top.ids)), None, None] * points, pa.int64())
        keys = top.keys.take(row_of)
        columns: dict[str, object] = {
            "time_ns": pa.array(np.repeat(self.at_ns, len(names))),
            "series": pa.array(names * points),
        }
        columns |= {name: keys[name] for name in KEYS[by]}
        flat = amounts.reshape(-1, len(MEASURES))
        return pa.table(columns | {name: pa.array(flat[:, n]) for n, name in enumerate(MEASURES)})


def timeline(
    events: Iterable[pa.RecordBatch],
    replay: SteppedReplay,
    ends: dict[str, Ends],
    window: Window,
    progress: Callable[[int], None] | None = None,
) -> Timeline:
    """Return what the top maps and sites held over time; `replay` has had all events then.

    Parameters
    ----------
    events
        Batches of packed events, in order.
    ends
        The last point (`ends_of`).
    window
        What is shown of them.
    """
    span, top = window.span, window.top
    watched = {by: _candidates(ends[by], CANDIDATES * top) for by in GROUPINGS}
    stops: list[int] = []
    amounts: dict[str, list[I64]] = {by: [] for by in (*GROUPINGS, TOTAL)}
    for stop_ns in walk(events, replay, span.points(window.points - 1), window.until_ns, progress):
        stops.append(stop_ns)
        amounts["map"].append(replay.of_maps(watched["map"]))
        amounts["site"].append(replay.of_sites(watched["site"]))
        amounts[TOTAL].append(replay.of_all())
    for by in GROUPINGS:
        amounts[by].append(ends[by].amounts(watched[by]))
    amounts[TOTAL].append(np.array([ends["map"].column(name).sum() for name in MEASURES]))
    stops.append(span.end_ns)
    did = {by: int(ends[by].did_anything().sum()) for by in GROUPINGS}
    series = {by: _series(by, ends[by], did[by], watched[by], np.array(amounts[by]), top) for by in GROUPINGS}
    return Timeline(np.array(stops) - span.start_ns, np.array(amounts[TOTAL]), series)


@dataclass(frozen=True, slots=True)
class Ends:
    """Every map, or every site, as a report has it, in the order of its id.

    Attributes
    ----------
    column
        Gives one of `schema.MEASURES`, ``(rows,)``; 0 of what nobody knows.
    rows
        Gives some rows of the report.
    """

    column: Callable[[str], I64]
    rows: Callable[[I64], pa.Table]

    def amounts(self, rows: I64) -> I64:
        """Return `MEASURES` of some rows, ``(rows, MEASURES)``."""
        return np.stack([self.column(name)[rows] for name in MEASURES], axis=1)

    def did_anything(self) -> Flags:
        """Return of each row whether any of `MEASURES` is not 0."""
        found: Flags = self.column(MEASURES[0]) != 0
        for name in MEASURES[1:]:
            found |= self.column(name) != 0
        return found


def ends_of(replayed: Replayed, inputs: Inputs, view: View) -> dict[str, Ends]:
    """Return the last point of every map and every site."""
    args = replayed, inputs.types, inputs.sites, str(inputs.implementation)
    sites = of_sites(replayed, inputs.sites, view)
    return {
        "map": Ends(lambda name: map_column(replayed, name), lambda rows: by_map(*args, rows)),
        "site": Ends(
            lambda name: np.asarray(pc.fill_null(sites[name], 0)).astype(np.int64),
            lambda rows: sites.take(pa.array(rows)),
        ),
    }


def _candidates(ends: Ends, count: int) -> I64:
    """Return those that retain the most at the end, and those that ever had the most entries."""
    by_end = np.lexsort((-ends.column("allocated_bytes"), -ends.column("retained_bytes")))[:count]
    by_peak = np.argsort(-ends.column(schema.PEAK.name), kind="stable")[:count]
    return np.union1d(by_end, by_peak).astype(np.int64)


def _series(by: str, ends: Ends, did: int, watched: I64, amounts: I64, top: int) -> Series:
    # who holds something between, and nothing at the end, is in reports at that time
    is_any = amounts.any(axis=(0, 2))
    did += int(np.count_nonzero(is_any & ~amounts[-1].any(axis=1)))
    watched, amounts = watched[is_any], amounts[:, is_any]
    most = amounts.max(axis=0, initial=0)
    order = np.lexsort((watched, -most[:, ALLOCATED], -most[:, RETAINED]))[:top]
    keys = ends.rows(watched[order]).select(list(KEYS[by]))
    return Series(by, watched[order], keys, amounts[:, order], did - len(order))
