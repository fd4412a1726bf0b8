"""The retention report as JSON, CSV, Parquet and as a table on the terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from mapprobe.analysis.certainty import Apart
from mapprobe.analysis.report import Report, limited
from mapprobe.analysis.retention import GROUPINGS
from mapprobe.recording.tables import schema
from mapprobe.report.table import (
    VIEW_SAYS,
    document,
    footnotes,
    headline,
    human_bytes,
    write,
    write_csv,
    write_json,
    write_parquet,
)
from mapprobe.vocabulary import INEXACT_REASONS, Implementation, Inexact, View
from support.recordings import Recording
from support.samples import ABOUT, report_on, shop

KEYS = {
    "map": ["map", "generation", "type", "implementation", "state", "exact", "created_at"],
    "site": ["function", "file", "line", "package"],
    "type": ["type"],
    "stack": ["stack"],
}
MEASURES = [
    *("maps", "growths", "inserts", "updates", "deletes", "clears", "live_slots", "dead_slots", "virgin_slots"),
    *("slots", "buckets", "retained_buckets", "allocated_bytes", "needed_bytes", "retained_bytes", "peak_live_slots"),
]
"""Both as the contract has them."""

every_grouping = pytest.mark.parametrize("by", GROUPINGS)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return shop()


def renamed(report: Report, name: str, value: str) -> Report:
    """Return the report with another text in its rows."""
    at = report.rows.column_names.index(name)
    return replace(report, rows=report.rows.set_column(at, name, pa.array([value] * len(report.rows))))


def shown(report: Report, top: int | None = None, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    write(report, out, top)
    return out.getvalue()


def as_csv(report: Report) -> io.BytesIO:
    out = io.BytesIO()
    write_csv(report, out)
    return io.BytesIO(out.getvalue())


class Terminal(io.StringIO):
    """A file that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_the_document_has_its_members_in_order(recording: Recording) -> None:
    assert list(document(report_on(recording, "map"))) == ["schema", "recording", "by", "view", "totals", "rows"]


def test_the_document_names_its_schema(recording: Recording) -> None:
    assert document(report_on(recording, "map"))["schema"] == "mapprobe.report/1"


def test_the_document_says_what_was_recorded(recording: Recording) -> None:
    assert document(report_on(recording, "map"))["recording"] == ABOUT


@pytest.mark.parametrize("view", View)
@every_grouping
def test_the_document_says_what_it_shows(recording: Recording, by: str, view: View) -> None:
    shows = document(report_on(recording, by, view))
    assert (shows["by"], shows["view"]) == (by, view.value)


def test_totals_are_the_measures_in_order(recording: Recording) -> None:
    assert list(document(report_on(recording, "map"))["totals"]) == MEASURES


@every_grouping
def test_rows_are_keys_and_measures_in_order(recording: Recording, by: str) -> None:
    rows = document(report_on(recording, by))["rows"]
    sureness = ["source", "why", *(column.name for column in schema.BOUNDS)] if by == "map" else []
    assert [list(row) for row in rows] == [KEYS[by] + MEASURES + sureness] * len(rows)


@every_grouping
def test_measures_are_integers(recording: Recording, by: str) -> None:
    rows = document(report_on(recording, by))["rows"]
    assert {type(row[name]) for row in rows for name in MEASURES} == {int}


def test_a_map_is_named_by_its_address(recording: Recording) -> None:
    rows = document(report_on(recording, "map"))["rows"]
    assert {row["map"] for row in rows} == {hex(made.address) for made in recording.maps}


def test_a_stack_is_a_list_of_sites(recording: Recording) -> None:
    rows = document(report_on(recording, "stack"))["rows"]
    assert {tuple(site) for row in rows for site in row["stack"]} == {tuple(KEYS["site"])}


@every_grouping
def test_json_is_the_document(recording: Recording, by: str) -> None:
    out = io.StringIO()
    write_json(report_on(recording, by), out)
    assert json.loads(out.getvalue()) == document(report_on(recording, by))


@pytest.mark.parametrize("by", ["site", "map", "type"])
def test_csv_reads_back_as_it_was(recording: Recording, by: str) -> None:
    rows = report_on(recording, by).rows
    options = pyarrow.csv.ConvertOptions(column_types=rows.schema)
    assert pyarrow.csv.read_csv(as_csv(report_on(recording, by)), convert_options=options).equals(rows)


def test_csv_joins_the_functions_of_a_stack(recording: Recording) -> None:
    stacks = pyarrow.csv.read_csv(as_csv(report_on(recording, "stack")))["stack"].to_pylist()
    assert "main.site1;main.main" in stacks


def test_csv_quotes_what_a_type_name_holds(recording: Recording) -> None:
    name = 'map[string]struct { A, B int "json:\\"a\\"" }'
    report = renamed(report_on(recording, "type"), "type", name)
    assert set(pyarrow.csv.read_csv(as_csv(report))["type"].to_pylist()) == {name}


@every_grouping
def test_parquet_reads_back_as_it_was(recording: Recording, by: str) -> None:
    report, out = report_on(recording, by), io.BytesIO()
    write_parquet(report, out)
    assert pyarrow.parquet.read_table(io.BytesIO(out.getvalue())).equals(report.rows)


def test_the_head_says_what_would_come_back(recording: Recording) -> None:
    report = report_on(recording, "site")
    sums = report.totals
    share = f"{100 * sums['retained_bytes'] / sums['allocated_bytes']:.0f} %"
    assert f"{human_bytes(sums['retained_bytes'])} of it ({share}) would come back" in shown(report)


def test_the_head_says_of_what_time_it_is(recording: Recording) -> None:
    early = replace(report_on(recording, "site"), at_ns=1_500_000_000)
    assert shown(early).startswith("/srv/shop (go1.27.3, swiss maps) after 1.5 s: ")
    assert (document(early)["at_ns"], "at_ns" in document(report_on(recording, "site"))) == (1_500_000_000, False)


@pytest.mark.parametrize("name", ["main.\x1b[2JF", "main.F\nmain.G", "main.\u202eF"])
def test_a_name_moves_no_cursor(recording: Recording, name: str) -> None:
    lines = shown(renamed(report_on(recording, "site"), "function", name)).splitlines()
    assert sum("main." in line for line in lines) == 3
    assert all(line.isprintable() for line in lines)


def test_the_head_says_what_was_lost(recording: Recording) -> None:
    report = report_on(recording, "site")
    lossy = replace(report, recording=ABOUT | {"lost_events": 1_234})
    assert "12,345 events, 1,234 lost" in shown(lossy)


def test_every_row_is_shown(recording: Recording) -> None:
    assert re.findall(r"main\.site\d site\.go:7", shown(report_on(recording, "site"))) == [
        f"main.site{n} site.go:7" for n in (1, 2, 3)
    ]


def test_rows_beyond_the_top_are_one(recording: Recording) -> None:
    text = shown(report_on(recording, "site"), top=1)
    assert (len(re.findall(r"main\.site\d", text)), text.count("other (2 more, see --top)")) == (1, 1)


def test_the_other_row_is_the_sum_of_what_it_stands_for(recording: Recording) -> None:
    report = report_on(recording, "site")
    (line,) = [line for line in shown(report, top=1).splitlines() if "other" in line]
    inserts = sum(report.rows["inserts"].to_pylist()[1:])
    assert f" {inserts} " in line


@pytest.mark.parametrize("top", [None, 3, 10])
def test_there_is_no_other_row_when_all_are_shown(recording: Recording, top: int | None) -> None:
    assert "other" not in shown(report_on(recording, "site"), top)


@pytest.mark.parametrize("by", ["site", "stack"])
def test_a_footnote_says_who_is_charged(recording: Recording, by: str) -> None:
    said = "retained is charged to who emptied it (view drain)"
    assert said in shown(report_on(recording, by, View.DRAIN))


@pytest.mark.parametrize("by", ["map", "type"])
def test_where_nobody_is_charged_no_footnote_says_who(recording: Recording, by: str) -> None:
    assert "charged" not in shown(report_on(recording, by))


@every_grouping
def test_footnotes_tell_what_is_not_exact(recording: Recording, by: str) -> None:
    reason = INEXACT_REASONS[Inexact.EVENTS_LOST]
    assert f"2 maps are not exact: {reason}\n" in shown(report_on(recording, by, inexact={reason: 2}))


def test_one_map_is_not_exact_in_the_singular(recording: Recording) -> None:
    reason = INEXACT_REASONS[Inexact.CUT_OFF]
    assert f"1 map is not exact: {reason}\n" in shown(report_on(recording, "map", inexact={reason: 1}))


def test_each_reason_has_its_footnote(recording: Recording) -> None:
    reasons = {INEXACT_REASONS[reason]: 1 for reason in Inexact if reason}
    assert shown(report_on(recording, "map", inexact=reasons)).count("not exact:") == len(reasons)


def unsure(recording: Recording) -> Report:
    """Return a report with maps that died, that may be alive or dead, and whose figures have bounds."""
    report = report_on(recording, "map")
    apart = Apart(
        dead=1200, uncollected_bytes=12 << 20, unknown=3, unknown_retained_bytes=2048, unknown_allocated_bytes=4096,
        bounded=2, retained_bytes=(1024, 3072), allocated_bytes=(4096, 8192),
    )  # fmt: skip
    return replace(report, apart=apart)


def test_dead_and_unknown_maps_are_told_apart_from_the_totals(recording: Recording) -> None:
    said = headline(unsure(recording))
    assert "and 1,200 maps that died, 12.0 MiB of them not collected yet" in said
    assert "and 3 maps that may be alive or dead: at most 4.0 KiB" in said


def test_bounds_are_not_shown_as_a_figure(recording: Recording) -> None:
    said = " ".join(headline(unsure(recording)))
    assert "hold at least 4.0 KiB, at most 8.0 KiB of buckets" in said
    assert "at least 1.0 KiB, at most 3.0 KiB of it would come back" in said


def ended(recording: Recording, unknown: int = 3, retained: int | None = 2048, allocated: int | None = 4096) -> Report:
    """Return a report of a process that ended by itself: some maps may have lived then."""
    report = report_on(recording, "site")
    apart = Apart(
        dead=7, uncollected_bytes=0, unknown=unknown, unknown_retained_bytes=retained,
        unknown_allocated_bytes=allocated, bounded=0, retained_bytes=(0, retained), allocated_bytes=(0, allocated),
    )  # fmt: skip
    return replace(report, apart=apart, recording=report.recording | {"process_ended": True})


def test_a_process_that_has_ended_holds_nothing_and_has_an_upper_bound(
    recording: Recording,
) -> None:
    _, said, *more = headline(ended(recording))
    now = "the process ended by itself: it holds nothing now; its 3 maps held at most 4.0 KiB of buckets at its end"
    assert said == f"{now}, of which at most 2.0 KiB would have come back"
    assert more == ["and 7 maps that died", ""]


def test_unknown_facts_of_a_process_that_has_ended_are_named(recording: Recording) -> None:
    assert "nobody knows what its 1 map held at its end" in headline(ended(recording, 1, None, None))[1]
    assert "no map is known to have existed at its end" in headline(ended(recording, 0, 0, 0))[1]
    assert any("'record -- CMD' reads it then" in line for line in footnotes(ended(recording)))
    assert not any("no census was taken" in line for line in footnotes(ended(recording)))


def test_a_row_of_which_nothing_is_known_shows_its_bound_and_no_figure(recording: Recording) -> None:
    report = report_on(recording, "site")
    zeros = dict.fromkeys(schema.MEASURES, 0)
    pairs = zip(report.rows.to_pylist()[:3], (2048, None, 0), strict=True)
    rows = [row | zeros | {"most_retained_bytes": most} for row, most in pairs]
    schema_ = report.rows.schema.append(pa.field("most_retained_bytes", pa.int64()))
    unsure = replace(report, rows=pa.Table.from_pylist(rows, schema_))
    first, second, third = shown(unsure).splitlines()[-len(rows) - len(footnotes(unsure)) :][: len(rows)]

    assert first.split()[:6] == ["at", "most", "2.0", "KiB", "unknown", "unknown"]
    assert second.split()[:3] == ["unknown"] * 3
    assert third.split()[:4] == ["0", "B", "0/0", "0"]
    assert [row["most_retained_bytes"] for row in document(unsure)["rows"]] == [2048, None, 0]


def test_a_footnote_tells_how_many_maps_have_bounds(recording: Recording) -> None:
    assert any(line.startswith("2 maps could not be read at one moment") for line in footnotes(unsure(recording)))


def test_a_footnote_tells_between_what_the_operations_were(recording: Recording) -> None:
    report = replace(report_on(recording, "map"), bounds={"deletes": (1000, 1200), "inserts": (5, None)})
    assert footnotes(report) == ["with lost events there were at least 5 inserts, 1,000 to 1,200 deletes"]


def test_the_document_says_what_is_in_no_total(recording: Recording) -> None:
    assert {"dead", "unknown"}.isdisjoint(document(report_on(recording, "map")))

    found = document(unsure(recording))
    assert found["dead"] == {"maps": 1200, "uncollected_bytes": 12 << 20}
    assert found["unknown"] == {"maps": 3, "most_allocated_bytes": 4096, "most_retained_bytes": 2048}
    assert found["bounds"] == {"allocated_bytes": [4096, 8192], "retained_bytes": [1024, 3072]}


def test_the_document_has_bounds_only_where_something_was_lost(recording: Recording) -> None:
    report = report_on(recording, "map")
    assert "bounds" not in document(report)
    assert document(replace(report, bounds={"clears": (1, 2)}))["bounds"] == {"clears": [1, 2]}


def test_exact_maps_need_no_footnote(recording: Recording) -> None:
    assert "not exact" not in shown(report_on(recording, "map"))


def test_a_map_that_is_not_exact_is_marked_in_its_row() -> None:
    lossy = Recording(Implementation.SWISS)
    made = lossy.create()
    with lossy.losing_events():
        made.insert(1)
    assert f"{made.address:#x}#1 map[int]int (not exact: events were lost while it lived)" in shown(
        report_on(lossy, "map")
    )


def test_brackets_in_names_are_no_markup(recording: Recording) -> None:
    report = renamed(report_on(recording, "site"), "function", "main.Put[bold]")
    assert "main.Put[bold] site.go:7" in shown(report)


def test_brackets_in_the_binarys_path_are_no_markup(recording: Recording) -> None:
    report = replace(report_on(recording, "map"), recording=ABOUT | {"binary": "/srv/[red]shop"})
    assert shown(report).startswith("/srv/[red]shop (go1.27.3")


def test_long_names_are_shown_whole(recording: Recording) -> None:
    name = "main." + "Long" * 60
    text = shown(renamed(report_on(recording, "site"), "function", name), top=1)
    assert name in re.sub(r"\s", "", text)


def test_a_pipe_gets_no_escape_sequences(recording: Recording) -> None:
    assert "\x1b" not in shown(report_on(recording, "site"))


def test_a_narrow_terminal_gets_fewer_columns(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "growths" not in shown(report_on(recording, "site"), out=Terminal())


def test_a_very_narrow_terminal_gets_what_is_retained_and_who(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = shown(report_on(recording, "site"), out=Terminal())
    assert ("live" in text, "retained" in text, "main.site3" in text, "█" * 6 in text) == (False, True, True, True)
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in text.splitlines()) <= 40


@pytest.mark.parametrize("name", ["main.F", "main." + "Long" * 500])
def test_in_a_pipe_a_row_is_a_line_without_padding(recording: Recording, name: str) -> None:
    lines = shown(renamed(report_on(recording, "site"), "function", name)).splitlines()
    assert sum(name in line for line in lines) == 3
    assert [line for line in lines if line != line.rstrip()] == []


def test_bars_are_as_long_as_what_they_stand_for(recording: Recording) -> None:
    report = report_on(recording, "site")
    most = max(report.rows["retained_bytes"].to_pylist())
    bars = [line.count("█") for line in shown(report).splitlines() if "main.site" in line]
    assert bars == [round(12 * retained / most) for retained in report.rows["retained_bytes"].to_pylist()]


def test_bars_are_ascii_where_nothing_else_can_be_written(recording: Recording) -> None:
    class Ascii(Terminal):
        encoding = "ascii"

    shown(report_on(recording, "site"), out=Ascii()).encode("ascii")


def test_the_three_views_stand_below_one_another(recording: Recording) -> None:
    first, *more = (report_on(recording, "site", view) for view in View)
    out = io.StringIO()
    write(first, out, None, *more)
    titles = [f"{says} (view {view})" for view, says in VIEW_SAYS.items()]
    assert [line for line in out.getvalue().splitlines() if "(view" in line] == titles


def test_the_document_tells_what_it_leaves_out(recording: Recording) -> None:
    whole, cut = (document(report) for report in (report_on(recording, "map"), limited(report_on(recording, "map"), 1)))
    assert cut["rows"] == whole["rows"][:1]
    assert cut["other"]["rows"] == 2
    assert cut["other"]["inserts"] == sum(row["inserts"] for row in whole["rows"][1:])


@every_grouping
def test_parquet_and_csv_have_a_row_for_what_they_leave_out(recording: Recording, by: str) -> None:
    report, out = limited(report_on(recording, by), 1), io.BytesIO()
    write_parquet(report, out)
    for rows in (pyarrow.parquet.read_table(io.BytesIO(out.getvalue())), pyarrow.csv.read_csv(as_csv(report))):
        assert sum(rows["inserts"].to_pylist()) == report.totals["inserts"]
        assert f"(other: {report.others[0].rows} rows)" in str(rows[0].to_pylist()[-1])


def test_a_recording_without_maps_is_reported() -> None:
    assert "0 maps hold 0 B of buckets for 0 entries" in shown(report_on(Recording(Implementation.SWISS), "site"))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024**2, "10.0 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**40, "1.0 TiB"),
        (5000 * 2**40, "5000.0 TiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_bytes_have_a_binary_unit(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_the_rest_says_how_many_are_unknown(recording: Recording) -> None:
    report = report_on(recording, "map")
    number = report.rows.column_names.index("retained_bytes")
    first, *rest = report.rows["retained_bytes"].to_pylist()
    for unknown, expected in (([first, *rest[:-1], None], sum(rest[:-1])), ([first, *[None] * len(rest)], None)):
        rows = report.rows.set_column(number, "retained_bytes", pa.array(unknown, pa.int64()))
        (other,) = limited(replace(report, rows=rows), 1).others
        count = unknown.count(None)

        assert (other.unknown, other.measures["retained_bytes"]) == (count, expected)
        text = io.StringIO()
        write(replace(report, rows=rows), text, 1)
        assert f"other ({len(rest)} more, see --top, {count} unknown)" in text.getvalue()
        assert document(limited(replace(report, rows=rows), 1))["other"]["unknown"] == count
