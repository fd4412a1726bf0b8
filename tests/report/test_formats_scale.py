"""A million maps by 100,000 call sites: every format in bounded size, however large the recording is."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest

from mapprobe.analysis.budget import Limit, judge
from mapprobe.analysis.comparison import compare, site_charges
from mapprobe.analysis.profile import MOST_SAMPLES, profile_of
from mapprobe.analysis.report import MOST_ROWS, Report, chosen, limited
from mapprobe.analysis.retention import GROUPINGS, totals
from mapprobe.analysis.selection import Choice, pattern, select
from mapprobe.report import budget as budget_report
from mapprobe.report import diff as diff_report
from mapprobe.report import junit, markdown
from mapprobe.report.page import html
from mapprobe.report.profiles import folded, perfetto, pprof, speedscope
from mapprobe.report.table import write, write_csv, write_json, write_parquet
from mapprobe.vocabulary import View
from support.many import POINTS, TOP, Many, replayed
from support.recordings import TYPES
from support.samples import ABOUT

MAPS, SITES = 1_000_000, 100_000
BYTES_A_ROW = 1200
"""At most, of JSON, which names each measure in each row."""
LETTERS = 200


@pytest.fixture(scope="module")
def many() -> Many:
    return replayed(MAPS, SITES)


@pytest.fixture(scope="module", params=GROUPINGS)
def report(request: pytest.FixtureRequest, many: Many) -> Report:
    return many.report(request.param)


def written(write: Callable[[Any], None], out: Any = None) -> Any:
    out = out or io.BytesIO()
    write(out)
    return out.getvalue()


def test_the_table_is_short(report: Report) -> None:
    text = written(lambda out: write(report, out, 20), io.StringIO())

    assert len(text.splitlines()) < 30
    assert ("other (" in text) == (report.by != "type")


@pytest.mark.parametrize("top", [7, MOST_ROWS])
def test_rows_of_json_csv_and_parquet_are_the_top_and_one_more(report: Report, top: int) -> None:
    few = limited(report, top)
    rows = min(top, len(report.rows))
    one_more = int(rows < len(report.rows))
    as_csv, as_parquet = written(lambda out: write_csv(few, out)), written(lambda out: write_parquet(few, out))

    assert pyarrow.csv.read_csv(io.BytesIO(as_csv)).num_rows == rows + one_more
    assert pyarrow.parquet.read_table(io.BytesIO(as_parquet)).num_rows == rows + one_more
    assert len(written(lambda out: write_json(few, out), io.StringIO())) < BYTES_A_ROW * (rows + 5)


def test_rows_of_a_package_are_found(report: Report, many: Many) -> None:
    choice = Choice(packages=(pattern("shop/part7$"),))
    part = chosen(report, select(report.rows, report.by, many.replayed, TYPES, many.inputs.sites, choice))

    assert 0 < len(part.rows) <= len(report.rows)


def test_the_page_is_bounded(many: Many) -> None:
    page = written(lambda out: html.write(many.overview(), out))

    assert len(page) <= html.LARGEST


def test_a_trace_has_its_tracks_and_no_more(many: Many) -> None:
    trace = written(lambda out: perfetto.write(many.overview(), out))

    groups, counters_and_marks = 2 * TOP + 3, 3 + 2
    assert len(trace) < groups * counters_and_marks * (POINTS + 2) * LETTERS


@pytest.mark.parametrize("top", [7, MOST_SAMPLES])
def test_profiles_have_the_top_and_say_so(many: Many, top: int) -> None:
    profile = profile_of(ABOUT, many.replayed, many.recording.tables(), many.inputs.sites, View.FILL, top)

    assert len(profile.stacks) == top + 1
    assert profile.values.sum(axis=0)[0] == totals(many.replayed)["retained_bytes"]
    assert len(written(lambda out: pprof.write(profile, out))) < LETTERS * (top + 30)
    for form in (folded, speedscope):
        text = written(lambda out, form=form: form.write(profile, out), io.StringIO())
        assert "(other: " in text
        assert len(text) < 5 * LETTERS * (top + 30)


@pytest.mark.parametrize("top", [7, diff_report.MOST_ROWS])
def test_a_difference_has_the_top_and_one_more(many: Many, top: int) -> None:
    charges = site_charges(many.replayed, TYPES, many.inputs.sites, View.FILL)
    rows = compare(charges.slice(0, 0), charges, is_same_build=False)
    found = many.report("type")
    difference = diff_report.Difference(found, found, rows)

    assert len(diff_report.document(difference, top)["rows"]) == top
    assert len(written(lambda out: diff_report.write(difference, out, 7), io.StringIO()).splitlines()) < 20


def test_a_budget_lists_a_limited_number_of_sites(many: Many) -> None:
    found = many.report("site")
    checked = budget_report.Checked(found, [judge(Limit("none", max_retained_bytes=0), found.rows)])

    assert written(lambda out: junit.write(checked, out)).count(b"<testcase") == 101
    for form in (markdown, budget_report):
        assert len(written(lambda out, form=form: form.write(checked, out), io.StringIO()).splitlines()) < 130
