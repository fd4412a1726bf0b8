"""What grew and what shrank, as tables and as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.comparison import compare, site_charges
from mapprobe.analysis.report import Report
from mapprobe.analysis.retention import HOLDINGS, aggregate, totals
from mapprobe.report.diff import Difference, document, signed, write
from mapprobe.units import human_bytes
from mapprobe.vocabulary import INEXACT_REASONS, Implementation, Inexact, View
from support.recordings import TYPES, Recording, spread
from support.samples import ABOUT


@pytest.fixture(scope="module")
def difference() -> Difference:
    """Give what changed while one map was drained and two others were made and filled."""
    recording = Recording(Implementation.SWISS)
    first = recording.create(stack=1)
    first.insert(*spread(500), stack=1)
    first.delete(*spread(490), stack=1)
    middle = recording.now
    first.insert(*spread(490), stack=1)
    for stack in (3, 5):
        made = recording.create(hint=1000, stack=stack)
        made.insert(*spread(stack), stack=stack)
    sides = []
    for until in (middle, None):
        replayed = recording.settled(until_ns=until)
        rows = aggregate(replayed, TYPES, recording.sites, "swiss", "type", View.GROWTH)
        report = Report(ABOUT, "type", "growth", totals(replayed), rows, {}, {}, apart(replayed))
        sides.append((report, site_charges(replayed, TYPES, recording.sites, View.GROWTH)))
    (before, was), (after, now) = sides
    return Difference(before, after, compare(was, now, is_same_build=True))


def shown(of: Difference, top: int = 20) -> str:
    out = io.StringIO()
    write(of, out, top)
    return out.getvalue()


def test_the_head_says_by_how_much(difference: Difference) -> None:
    was, now = (side.totals["retained_bytes"] for side in (difference.before, difference.after))
    said = f"retained: {human_bytes(was)} before, {human_bytes(now)} after ({signed(now - was)})"
    assert said in shown(difference)


def test_growth_is_listed_above_shrinkage(difference: Difference) -> None:
    grew, shrank = shown(difference).split("shrank")
    assert ("main.site2" in grew, "main.site3" in grew, "main.site1" in shrank) == (True, True, True)


def test_what_was_not_there_before_appeared(difference: Difference) -> None:
    assert "main.site2 site.go:7 map[int]int (appeared)" in shown(difference)


def test_rows_beyond_the_top_are_one(difference: Difference) -> None:
    assert "other (1 more, see --top)" in shown(difference, top=1)


def test_the_charged_site_is_shown(difference: Difference) -> None:
    assert "retained is charged to who allocated it (view growth)" in shown(difference)


def test_what_is_not_exact_is_said_of_its_side(difference: Difference) -> None:
    reason = INEXACT_REASONS[Inexact.EVENTS_LOST]
    of = Difference(Report(*_members(difference.before, {reason: 2})), difference.after, difference.rows)
    assert f"before: 2 maps are not exact: {reason}" in shown(of)


def _members(report: Report, inexact: dict[str, int]) -> tuple[object, ...]:
    return report.recording, report.by, report.view, report.totals, report.rows, inexact, {}, report.apart


@pytest.mark.parametrize("top", [None, 1, 2])
def test_rows_and_the_rest_sum_to_the_totals(difference: Difference, top: int | None) -> None:
    found = json.loads(json.dumps(document(difference, top)))
    rows = [*found["rows"], *([found["other"]] if "other" in found else [])]
    for side in ("before", "after"):
        sums = {name: sum(row[side][name] for row in rows) for name in HOLDINGS}
        assert sums == {name: found[side]["totals"][name] for name in HOLDINGS}


def test_the_rest_says_how_many_it_is(difference: Difference) -> None:
    assert document(difference, 1)["other"]["rows"] == 2


def test_a_change_is_after_less_before(difference: Difference) -> None:
    for row in document(difference)["rows"]:
        assert row["change"] == {name: row["after"][name] - row["before"][name] for name in HOLDINGS}


def test_nothing_changed_is_no_table(difference: Difference) -> None:
    none = Difference(difference.before, difference.before, difference.rows.slice(0, 0))
    assert "shrank" not in shown(none)


def test_the_times_are_shown(difference: Difference) -> None:
    of = replace(difference, before=replace(difference.before, at_ns=1_500_000_000))
    assert shown(of).startswith("/srv/shop (go1.27.3) after 1.5 s against /srv/shop (go1.27.3) at its end\n")
    assert (document(of)["before"]["at_ns"], document(of)["after"]["at_ns"]) == (1_500_000_000, None)


def test_a_change_has_its_sign() -> None:
    assert [signed(n) for n in (0, 1, -1)] == ["0 B", "+1 B", "-1 B"]


def test_types_whose_live_entries_grew_have_rows_of_their_own(difference: Difference) -> None:
    was, now = (side.totals for side in (difference.before, difference.after))
    (row,) = document(difference)["live_growth"]

    assert (row["type"], row["function"]) == ("map[int]int", "main.site1")
    for side, totals_of in (("before", was), ("after", now)):
        assert row[side]["live_slots"] == totals_of["live_slots"]
        assert row[side]["live_bytes"] == totals_of["allocated_bytes"] - totals_of["retained_bytes"]
    assert row["change"]["maps"] == 2
    (shown_row,) = (
        line for line in shown(difference).splitlines() if "map[int]int main.site1" in line and "+2" in line
    )
    assert shown_row.split()[:3] == [
        f"{now['live_slots'] - was['live_slots']:+,}",
        f"{was['live_slots']:,}",
        f"{now['live_slots']:,}",
    ]


def test_entries_that_did_not_grow_have_no_rows(difference: Difference) -> None:
    backwards = Difference(difference.after, difference.before, difference.rows)

    assert document(backwards)["live_growth"] == []
    assert "live entries" not in shown(backwards)


def test_totals_that_are_not_known_have_bounds(difference: Difference) -> None:
    after = difference.after
    unsure = replace(after.apart, retained_bytes=(after.apart.retained_bytes[0], None), unknown=2)
    of = replace(difference, after=replace(after, apart=unsure))
    was, now = (side.totals["retained_bytes"] for side in (of.before, of.after))

    said = f"{human_bytes(was)} before, at least {human_bytes(now)} after ({signed(now - was)} of what is known)"
    assert said in shown(of)
    sides = document(of)
    assert sides["after"]["bounds"]["retained_bytes"] == [now, None]
    assert sides["after"]["unknown"]["maps"] == 2
    assert "bounds" not in sides["before"]
