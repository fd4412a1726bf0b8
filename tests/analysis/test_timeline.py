"""The timeline: each point equals the report at that time, and the last point equals the report itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.retention import aggregate, totals
from mapprobe.analysis.timeline import GROUPINGS, OTHER, TOTAL, Timeline, Window, ends_of, timeline
from mapprobe.recording.session import Span
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.balance import reconcile_at
from mapprobe.replay.last_read import before_end
from mapprobe.replay.lifetimes import lifetimes
from mapprobe.replay.replay import replay
from mapprobe.replay.stepping import MEASURES, SteppedReplay
from mapprobe.vocabulary import Implementation, View
from support.balances import balanced, filled_before, inputs_of, seen, taken
from support.drawn import recordings
from support.recordings import SESSIONS, TYPES, Recording, filled, spread

KEYS = {"map": ("map", "generation"), "site": ("function", "file", "line", "package")}
few_examples = settings(max_examples=20, deadline=None)


def over_time(
    recording: Recording, view: View = View.FILL, points: int = 9, top: int = 10, until_ns: int | None = None
) -> Timeline:
    """Return the timeline of a recording, its events in three batches."""
    inputs, n, whole = recording.inputs(), len(recording.events), recording.settled()
    replayed = whole if until_ns is None else at(recording, until_ns)
    end_ns = recording.now if until_ns is None else until_ns
    span = Span(0, 0, min(recording.now, end_ns), end_ns)
    batches = [batch for batch in recording.batches(n // 3, n // 2) if batch.num_rows]
    stepped = SteppedReplay(inputs, view, lifetimes(whole, inputs, view))
    return timeline(batches, stepped, ends_of(replayed, inputs, view), Window(span, until_ns, points, top))


def at(recording: Recording, until_ns: int) -> Replayed:
    """Return the result at a time."""
    return reconcile_at(recording.replay(until_ns=until_ns), recording.settled(), recording.inputs(), until_ns)


def rows_at(found: Timeline, by: str) -> list[tuple[int, dict[tuple[Any, ...], dict[str, int]]]]:
    """Return of each point what each of the top holds, those that hold and did nothing left out."""
    rows = found.table(by).to_pylist()
    points = []
    for at in found.at_ns.tolist():
        here = [row for row in rows if row["time_ns"] == at and row["series"] not in (OTHER, TOTAL)]
        measures = {tuple(row[key] for key in KEYS[by]): {name: row[name] for name in MEASURES} for row in here}
        points.append((at, {key: amounts for key, amounts in measures.items() if any(amounts.values())}))
    return points


def report_at(recording: Recording, by: str, view: View, until_ns: int | None) -> dict[tuple[Any, ...], Any]:
    """Return what the report at a time says of each row."""
    replayed = recording.settled() if until_ns is None else at(recording, until_ns)
    rows = aggregate(replayed, TYPES, recording.sites, recording.implementation, by, view).to_pylist()
    return drawn(by, rows)


def drawn(by: str, rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, int]]:
    """Return what is drawn of the rows of a report: nothing of what nobody knows, no row that is nothing else."""
    found = {tuple(row[key] for key in KEYS[by]): {name: row[name] or 0 for name in MEASURES} for row in rows}
    return {key: amounts for key, amounts in found.items() if any(amounts.values())}


def totals_at(recording: Recording, until_ns: int | None) -> list[int]:
    found = totals(recording.settled() if until_ns is None else at(recording, until_ns))
    return [found[name] for name in MEASURES]


@pytest.mark.parametrize("by", GROUPINGS)
@few_examples
@given(recording=recordings(lossy=True), view=st.sampled_from(list(View)))
def test_any_point_is_the_report_at_that_time(recording: Recording, by: str, view: View) -> None:
    *points, _ = rows_at(over_time(recording, view), by)

    assert [here for _, here in points] == [report_at(recording, by, view, at) for at, _ in points]


def test_a_site_that_holds_nothing_at_the_end_is_shown_while_its_map_lived(recording: Recording) -> None:
    recording.create(stack=1).insert(1)
    died = recording.create(stack=3)
    recording.create(stack=1).insert(1)
    died.insert(1, stack=1)
    recording.create(stack=1, at=died)
    points = rows_at(over_time(recording, points=20), "site")

    assert [len(here) for _, here in points[:-1]] == [
        len(report_at(recording, "site", View.FILL, at)) for at, _ in points[:-1]
    ]
    assert {len(here) for _, here in points} >= {1, 2}


@pytest.mark.parametrize("by", GROUPINGS)
@few_examples
@given(recording=recordings(lossy=True), view=st.sampled_from(list(View)))
def test_the_last_point_is_the_report(recording: Recording, by: str, view: View) -> None:
    *_, (_, last) = rows_at(over_time(recording, view), by)

    assert last == report_at(recording, by, view, None)


@few_examples
@given(recording=recordings(lossy=True))
def test_totals_are_those_of_the_report_at_that_time(recording: Recording) -> None:
    found = over_time(recording)

    expected = [totals_at(recording, at) for at in found.at_ns.tolist()[:-1]] + [totals_at(recording, None)]
    assert found.total.tolist() == expected


@pytest.mark.parametrize("by", GROUPINGS)
@few_examples
@given(recording=recordings(), top=st.integers(1, 3))
def test_the_top_and_all_others_are_the_total(recording: Recording, by: str, top: int) -> None:
    found = over_time(recording, top=top)

    sums = found.series[by].amounts.sum(axis=1) + found.other(by)
    assert sums.tolist() == found.total.tolist()
    assert found.other(by).min() >= 0


def test_maps_that_were_read_while_they_lived_are_as_in_the_report(recording: Recording) -> None:
    recording.attached = True
    with recording.out_of_sight():
        made, still = filled(recording, 30), filled(recording, 40)
    made.insert(*spread(5, 30))
    made.look()
    still.delete(*spread(3))
    still.look()
    recording.now += 5
    made.delete(*spread(20))
    *points, _ = rows_at(over_time(recording, points=recording.now), "map")

    assert [here for _, here in points] == [report_at(recording, "map", View.FILL, at) for at, _ in points]


def test_a_timeline_up_to_a_time_ends_with_the_report_at_it(recording: Recording) -> None:
    made = filled(recording, 100)
    made.delete(*spread(50))
    found = over_time(recording, until_ns=120)

    assert found.at_ns[-1] == 120
    assert found.total[-1].tolist() == totals_at(recording, 120)


def test_points_are_evenly_apart(recording: Recording) -> None:
    filled(recording, 79)

    assert over_time(recording).at_ns.tolist() == [recording.now * n // 7 for n in range(8)]


def test_a_point_waits_for_earlier_events_that_come_later(recording: Recording) -> None:
    filled(recording, 79)
    (late,) = (event for event in recording.events if event["time_ns"] == recording.now // 2 + 1)
    late["time_ns"] -= 10  # of another processor
    found = over_time(recording, points=recording.now + 2)

    assert not set(range(late["time_ns"], recording.now // 2)) & set(found.at_ns.tolist())
    expected = [totals_at(recording, at) for at in found.at_ns.tolist()[:-1]]
    assert found.total[:-1].tolist() == expected


def test_growths_and_clears_stand_where_they_happened(recording: Recording) -> None:
    made = filled(recording, 8)
    made.insert(*spread(1, 8))
    made.clear()
    found = over_time(recording, points=recording.now + 2)

    growths, clears = (found.total[:, MEASURES.index(name)] for name in ("growths", "clears"))
    assert np.flatnonzero(np.diff(growths)).tolist() == [9]
    assert np.flatnonzero(np.diff(clears)).tolist() == [11]  # after the event of the growth


def test_the_top_are_those_that_ever_retained_the_most() -> None:
    recording = Recording(Implementation.SWISS)
    small, large = filled(recording, 100), filled(recording, 1000)
    large.delete(*spread(1000))
    small.delete(*spread(100))
    for _ in range(20):
        recording.now += 1
    recording.create(at=large)  # the large one is dead by the end
    (name,) = over_time(recording, top=1, points=200).series["map"].names()

    assert name == f"{large.address:#x}#1 map[int]int"


def test_rows_of_a_point_are_the_top_then_other_then_total(recording: Recording) -> None:
    for n in range(3):
        filled(recording, 10 * (n + 1), stack=2 * n + 1)
    rows = over_time(recording, points=2, top=2).table("map").to_pylist()

    assert [row["series"] for row in rows[:4]][2:] == [OTHER, TOTAL]
    assert [row["map"] for row in rows[:4]][2:] == [None, None]
    assert len(rows) == 8


def test_names_of_maps_and_sites_are_short_and_their_own(recording: Recording) -> None:
    filled(recording, 20, type_id=SESSIONS)
    found = over_time(recording)

    assert found.series["map"].names() == [f"{recording.maps[0].address:#x}#1 map[string]*main.Session"]
    assert found.series["site"].names() == ["main.site1 site.go:7"]


def test_a_recording_without_maps_has_points_of_nothing(recording: Recording) -> None:
    found = over_time(recording)

    assert found.total.sum() == 0
    assert found.series["map"].names() == found.series["site"].names() == []


def test_a_timeline_begins_with_what_the_start_found(recording: Recording) -> None:
    made = filled_before(recording)
    start, other = taken(recording.now, seen(made)), seen(made, map_addr=0xC0DE000, live_slots=7)
    recording.now += 50
    made.insert(*spread(1, 200))
    made.read()
    end = taken(recording.now, seen(made), other)
    start = replace(start, rows=pa.concat_tables([start.rows, end.rows.slice(1)]))
    inputs, whole = inputs_of(recording, end, start), balanced(recording, end, start)
    for view in View:
        stepped = SteppedReplay(inputs, view, lifetimes(whole, inputs, view))
        span = Span(0, start.started_ns, recording.now, recording.now)
        found = timeline(recording.batches(), stepped, ends_of(whole, inputs, view), Window(span, points=9))
        live = MEASURES.index("live_slots")
        assert found.total[0, live] == 107
        for by in GROUPINGS:
            for point, (stop, rows) in enumerate(rows_at(found, by)[:-1]):
                part = replay(before_end(recording.batches(), inputs), inputs, stop)
                result = reconcile_at(part, whole, inputs, stop)
                table = aggregate(result, TYPES, inputs.sites, recording.implementation, by, view).to_pylist()
                assert rows == drawn(by, table), (view, by, point)
