"""Rows of sites, stacks and types have the least and most that they retain, if one of their maps has bounds."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest

from mapprobe.analysis.margins import margins
from mapprobe.analysis.report import Report, limited
from mapprobe.analysis.retention import aggregate, totals
from mapprobe.report.table import document, write
from mapprobe.vocabulary import View
from support.balances import balanced, inputs_of, seen, taken
from support.recordings import TYPES, Recording, filled, spread

SLACK, LARGE = 900, 1 << 20


def report_of(recording: Recording, by: str, view: View, *, settled: bool) -> Report:
    """Return a report of a map that was replayed and of two that a census read, one of them during writes."""
    made = filled(recording, 5000)
    made.delete(*spread(4000))
    still = seen(made, map_addr=0xC0DE000, allocated_bytes=LARGE)
    busy = seen(made, map_addr=0xC0DF000, settled=settled, allocated_bytes=LARGE)
    if not settled:
        busy |= {"live_least": busy["live_slots"] - SLACK, "live_most": busy["live_slots"] + SLACK}
    found = balanced(recording, taken(recording.now, seen(made), still, busy))
    sites = inputs_of(recording).sites
    rows = aggregate(found, TYPES, sites, "swiss", by, view)
    about = {"binary": "b", "go_version": "go1.27", "implementation": "swiss", "probes": "ops"}
    about |= {"events": 1, "lost_events": 0}
    from mapprobe.analysis.certainty import apart

    return Report(about, by, view, totals(found), rows, {}, {}, apart(found))


@pytest.mark.parametrize("by", ["site", "stack", "type"])
@pytest.mark.parametrize("view", View)
def test_rows_with_maps_that_have_bounds_say_them_and_sum_to_those_of_the_head(
    recording: Recording, by: str, view: View
) -> None:
    report = report_of(recording, by, view, settled=False)
    rows = document(report)["rows"]
    least, most = (sum(row[f"{end}_retained_bytes"] for row in rows) for end in ("least", "most"))

    assert (least, most) == report.apart.retained_bytes
    assert least < most
    sure = [row for row in rows if row["least_retained_bytes"] == row["most_retained_bytes"]]
    assert all(row["least_retained_bytes"] == row["retained_bytes"] for row in sure)
    assert len(rows) - len(sure) == 1


@pytest.mark.parametrize("by", ["site", "stack", "type"])
def test_rows_have_no_bounds_where_no_map_has(recording: Recording, by: str) -> None:
    (row, *_) = document(report_of(recording, by, View.FILL, settled=True))["rows"]

    assert {"least_retained_bytes", "most_retained_bytes"}.isdisjoint(row)


def test_the_table_marks_such_rows_also_among_those_left_out(recording: Recording) -> None:
    report = report_of(recording, "type", View.FILL, settled=False)
    for shown in (report, limited(report, 0)):
        out = io.StringIO()
        write(shown, out)
        (line,) = [line for line in out.getvalue().splitlines() if line.startswith("at least ")]
        assert ", at most " in line
    (rest,) = limited(report, 0).others
    assert (rest.measures["least_retained_bytes"], rest.measures["most_retained_bytes"]) == report.apart.retained_bytes


def test_what_has_no_upper_bound_has_none_in_any_group(recording: Recording) -> None:
    made = filled(recording, 500)
    maps = balanced(recording, taken(recording.now, seen(made))).maps
    column = maps.schema.get_field_index("most_retained_bytes")
    maps = maps.set_column(column, maps.schema.field(column), pa.array([None], pa.int64()))
    retained = maps["retained_bytes"].to_pylist()[0]
    found = margins(maps, (np.array([0, 0, 0]), np.array([0, 2, 2])), np.array([retained, 5, 7]))

    assert found["most_retained_bytes"].to_pylist() == [None, 5, None]
    assert found["least_retained_bytes"].to_pylist()[1:] == [5, 7]
