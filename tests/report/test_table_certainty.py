"""What a report says of figures that nobody knows for sure: bounds, dead maps, maps that may live or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mapprobe.analysis.certainty import Apart
from mapprobe.analysis.report import Report
from mapprobe.report.table import document, footnotes, headline
from support.recordings import Recording
from support.samples import report_on, shop


@pytest.fixture(scope="module")
def recording() -> Recording:
    return shop()


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


def test_what_has_bounds_is_not_said_as_a_figure(recording: Recording) -> None:
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


def test_a_process_that_has_ended_holds_nothing_and_is_said_to_have_held_something_at_most(
    recording: Recording,
) -> None:
    _, said, *more = headline(ended(recording))
    now = "the process ended by itself: it holds nothing now; its 3 maps held at most 4.0 KiB of buckets at its end"
    assert said == f"{now}, of which at most 2.0 KiB would have come back"
    assert more == ["and 7 maps that died", ""]


def test_what_nobody_knows_of_a_process_that_has_ended_is_said(recording: Recording) -> None:
    assert "nobody knows what its 1 map held at its end" in headline(ended(recording, 1, None, None))[1]
    assert "no map is known to have existed at its end" in headline(ended(recording, 0, 0, 0))[1]
    assert any("'record -- CMD' reads it then" in line for line in footnotes(ended(recording)))
    assert not any("no census was taken" in line for line in footnotes(ended(recording)))


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
