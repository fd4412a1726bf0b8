"""What maps and call sites held at chosen times: live entries, slots, bytes, and the growths and clears in between.

One replay stops at each point of time. A map without an event since the last
point keeps its figures. Each point equals a report up to its time (`report
--at`), to the last byte. The last point is the report itself, with facts that
only the end shows: which maps had died, and the memory of maps that could not
be followed. Only the top maps and sites are kept, by the most bytes that they
retained at any point; `other` is the exact total less the top.

Points are evenly spaced from the first event to the last; one more point is
the end. Where events of several processors are slightly out of order, a point
moves to the next moment that has all earlier events before it. Pure: batches
and tables in, arrays and tables out.
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
"""Maps and sites that are watched for each one that is asked for: the top over time is not known beforehand."""
RETAINED, ALLOCATED = MEASURES.index("retained_bytes"), MEASURES.index("allocated_bytes")


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a recording that is shown over time, and in how many points.

    Attributes
    ----------
    span
        Points lie between the span's first and last event; the last point is the span's end, or a report's time.
    until_ns
        As in `walk`; None: to the end of the recording.
    points
        The number of points, at least two.
    top
        The number of maps, and the number of sites.
    """

    span: Span
    until_ns: int | None = None
    points: int = POINTS
    top: int = TOP

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points must be at least 2, not {self.points}")


@dataclass(frozen=True, slots=True)
class Series:
    """What the top maps, or the top sites, held at each point.

    Attributes
    ----------
    ids
        Rows of `schema.MAPS`, or of `Sites.table`, by the most bytes that they ever retained.
    keys
        One row for each of `ids`: its keys in a report (`retention.KEYS`).
    amounts
        `MEASURES` of each of `ids` at each point, ``(points, ids, MEASURES)``.
    others
        The number of all other maps or sites.
    """

    by: str
    ids: I64
    keys: pa.Table
    amounts: I64
    others: int

    def names(self) -> list[str]:
        """Return a short and unique name for each of `ids`."""
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
        """Return the sums of `MEASURES` over all maps or sites that are not in the top, ``(points, MEASURES)``."""
        rest: I64 = self.total - self.series[by].amounts.sum(axis=1)
        return rest

    def table(self, by: str) -> pa.Table:
        """Return one row for each point and each of the top, `other` and `total`.

        Columns are ``time_ns`` since the start of the recording, ``series`` (a short name), the keys of the grouping
        (null for `other` and `total`), and `MEASURES`.

        Raises
        ------
        ValueError
            If `by` is neither ``map`` nor ``site``.
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
    """Return what the top maps and sites held over time, and feed all events to `replay`.

    Parameters
    ----------
    events
        Batches of packed events, in order.
    ends
        The last point (`ends_of`).
    window
        The times and the number of maps and sites to show.
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
    """A report's rows of every map, or of every site, in the order of ids.

    Attributes
    ----------
    column
        Returns one of `schema.MEASURES`, ``(rows,)``; 0 where it is not known.
    rows
        Returns the rows of the report for some ids.
    """

    column: Callable[[str], I64]
    rows: Callable[[I64], pa.Table]

    def amounts(self, rows: I64) -> I64:
        """Return `MEASURES` of the chosen rows, ``(rows, MEASURES)``."""
        return np.stack([self.column(name)[rows] for name in MEASURES], axis=1)

    def did_anything(self) -> Flags:
        """Return for each row whether any of `MEASURES` is not 0."""
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
    """Return the ids that retain the most at the end, and the ids that ever had the most entries."""
    by_end = np.lexsort((-ends.column("allocated_bytes"), -ends.column("retained_bytes")))[:count]
    by_peak = np.argsort(-ends.column(schema.PEAK.name), kind="stable")[:count]
    return np.union1d(by_end, by_peak).astype(np.int64)


def _series(by: str, ends: Ends, did: int, watched: I64, amounts: I64, top: int) -> Series:
    # a map that holds something in between and nothing at the end counts, as reports at that time show it
    is_any = amounts.any(axis=(0, 2))
    did += int(np.count_nonzero(is_any & ~amounts[-1].any(axis=1)))
    watched, amounts = watched[is_any], amounts[:, is_any]
    most = amounts.max(axis=0, initial=0)
    order = np.lexsort((watched, -most[:, ALLOCATED], -most[:, RETAINED]))[:top]
    keys = ends.rows(watched[order]).select(list(KEYS[by]))
    return Series(by, watched[order], keys, amounts[:, order], did - len(order))
