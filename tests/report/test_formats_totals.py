"""All views and formats have the same totals for one recording, at any time."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow.csv
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.budget import Limit, Per, judge
from mapprobe.analysis.certainty import apart
from mapprobe.analysis.comparison import compare, site_charges
from mapprobe.analysis.profile import VALUES, profile_of
from mapprobe.analysis.provenance import bounds
from mapprobe.analysis.report import Report, limited
from mapprobe.analysis.retention import GROUPINGS, aggregate, totals
from mapprobe.recording.tables.schema import MEASURES, PEAK
from mapprobe.report.diff import Difference
from mapprobe.report.diff import document as diff_document
from mapprobe.report.profiles import folded, pprof, speedscope
from mapprobe.report.table import write_csv, write_json, write_parquet
from mapprobe.vocabulary import View
from support.drawn import recordings
from support.recordings import TYPES, Recording, tables_of_stacks
from support.samples import ABOUT, inlined_frames

ADDITIVE = [name for name in MEASURES if name != PEAK.name]
Sums = dict[str, int]


def binary(write: Any, what: Any) -> bytes:
    out = io.BytesIO()
    write(what, out)
    return out.getvalue()


def text(write: Any, what: Any) -> str:
    out = io.StringIO()
    write(what, out)
    return out.getvalue()


def of_tables(report: Report) -> list[Sums]:
    """Return what the formats of tables sum to."""
    document = json.loads(text(write_json, report))
    rows = [*document["rows"], *([document["other"]] if "other" in document else [])]
    tables = [
        pyarrow.parquet.read_table(io.BytesIO(binary(write_parquet, report))),
        pyarrow.csv.read_csv(io.BytesIO(binary(write_csv, report))),
    ]
    return [
        {name: sum(row[name] for row in rows) for name in ADDITIVE},
        *({name: sum(count or 0 for count in table[name].to_pylist()) for name in ADDITIVE} for table in tables),
    ]


def of_profiles(profile: Any) -> list[Sums]:
    """Return what the formats of profiles sum to."""
    message = pprof.message_class().FromString(gzip.decompress(binary(pprof.write, profile)))
    in_pprof = [sum(sample.value[column] for sample in message.sample) for column in range(len(VALUES))]
    shown = json.loads(text(speedscope.write, profile))["profiles"]
    lines = text(folded.write, profile).splitlines()
    return [
        dict(zip(VALUES, in_pprof, strict=True)),
        {one["name"]: sum(one["weights"]) for one in shown},
        {"retained_bytes": sum(int(line.rpartition(" ")[2]) for line in lines)},
    ]


@settings(max_examples=25, deadline=None)
@given(recording=recordings(lossy=True), data=st.data(), top=st.integers(1, 5))
def test_all_views_and_formats_give_the_same_totals_at_any_time(
    recording: Recording, data: st.DataObject, top: int
) -> None:
    until = data.draw(st.one_of(st.none(), st.integers(0, recording.now)))
    replayed, inputs = recording.settled(until_ns=until), recording.inputs()
    expected = totals(replayed)
    unsure = bounds(replayed, inputs.points, inputs.gaps), apart(replayed)
    tables = {"stacks": tables_of_stacks()[0], "frames": inlined_frames(), "types": TYPES}
    held = {name: expected[measure] for name, (measure, _) in VALUES.items()}
    for view in View:
        for by in GROUPINGS:
            rows = aggregate(replayed, TYPES, recording.sites, "swiss", by, view)
            report = limited(Report(ABOUT, by, str(view), expected, rows, {}, *unsure), top)
            assert of_tables(report) == [{name: expected[name] for name in ADDITIVE}] * 3
        for sums in of_profiles(profile_of(ABOUT, replayed, tables, recording.sites, view, top)):
            assert sums == {name: held[name] for name in sums}
        by_site = aggregate(replayed, TYPES, recording.sites, "swiss", "site", view)
        for over in judge(Limit("", per=Per.TOTAL, max_retained_bytes=0), by_site).over:
            assert (over.retained_bytes, over.allocated_bytes) == (held["retained_bytes"], held["allocated_bytes"])
        charges = site_charges(replayed, TYPES, recording.sites, view)
        by_type = aggregate(replayed, TYPES, recording.sites, "swiss", "type", view)
        report = Report(ABOUT, "type", str(view), expected, by_type, {}, *unsure)
        none = site_charges(recording.settled(until_ns=0), TYPES, recording.sites, view)
        found: Any = diff_document(Difference(report, report, compare(none, charges, is_same_build=True)), top)
        rows = [*found["rows"], *([found["other"]] if "other" in found else [])]
        assert sum(row["after"]["retained_bytes"] for row in rows) == held["retained_bytes"]
