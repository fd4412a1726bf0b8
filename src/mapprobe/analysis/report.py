"""The data of a report: its rows, the sums of the rows that are left out, and facts about the recording."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.certainty import Apart
from mapprobe.analysis.map_rows import Rest
from mapprobe.analysis.margins import LEAST, MOST
from mapprobe.recording.tables import schema

BOUNDED = (LEAST, MOST)
"""Columns of bounds: rows of maps always have them, other rows if some maps are unknown or have bounds."""
ADDITIVE = tuple(name for name in schema.MEASURES if name != schema.PEAK.name)
MOST_ROWS = 100_000
"""Rows of JSON, CSV and Parquet, unless the user asks for another number; all other rows are added up in one."""


@dataclass(frozen=True, slots=True)
class Other:
    """Rows that a report does not show one by one.

    Attributes
    ----------
    name
        ``other``: rows beyond the top; ``not_matching``: rows of other functions and packages than were asked for.
    rows
        The number of these rows.
    unknown
        The number of these rows whose holdings are not known.
    measures
        Sums over the rows with known figures, None if no row has any. There is no sum of peaks: maps peak at
        different times.
    """

    name: str
    rows: int
    unknown: int
    measures: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a report shows.

    Attributes
    ----------
    recording
        The ``recording`` object of the JSON document.
    rows
        Keys of the grouping and measures, the most retained bytes first.
    inexact
        How many maps are not exact, by reason.
    bounds
        Least and most of each operation that may have been lost (`provenance.bounds`).
    apart
        Figures that are given apart from the totals.
    others
        Sums of the rows that are not shown; `rows` and `others` together sum to the totals.
    at_ns
        The time of the report [ns since the start of the recording]; None: its end.
    """

    recording: dict[str, object]
    by: str
    view: str
    totals: dict[str, int]
    rows: pa.Table
    inexact: dict[str, int]
    bounds: dict[str, tuple[int, int | None]]
    apart: Apart
    others: tuple[Other, ...] = ()
    at_ns: int | None = None


def limited(report: Report, top: int) -> Report:
    """Return the report with only its first `top` rows; the rest is added to `Report.others`."""
    if len(report.rows) <= top:
        return report
    rest = other("other", report.rows.slice(top))
    return replace(report, rows=report.rows.slice(0, top), others=(rest, *report.others))


def chosen(report: Report, is_meant: npt.NDArray[np.bool_]) -> Report:
    """Return the report with only the chosen rows; the rest is added to `Report.others`."""
    kept = pa.array(is_meant)
    others = (*report.others, other("not_matching", report.rows.filter(pc.invert(kept))))
    return replace(report, rows=report.rows.filter(kept), others=others)


def other(name: str, rows: pa.Table) -> Other:
    """Add up rows, without the figures that are not known."""
    measures = {measure: known_sum(rows[measure]) for measure in ADDITIVE}
    for bound in BOUNDED:
        if bound in rows.column_names:
            measures[bound] = None if rows[bound].null_count else known_sum(rows[bound])
    return Other(name, len(rows), rows["retained_bytes"].null_count, measures)


def other_maps(rest: Rest) -> Other:
    """Return the maps that a report does not show one by one."""
    return Other("other", rest.rows, rest.unknown, {name: rest.measures[name] for name in (*ADDITIVE, *BOUNDED)})


def known_sum(column: pa.ChunkedArray) -> int | None:
    """Return the sum of the known figures, None if no figure is known."""
    found: int | None = pc.sum(column, min_count=min(1, len(column))).as_py()
    return found
