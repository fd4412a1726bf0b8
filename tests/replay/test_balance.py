"""The end of a recording, reconciled: the census says which maps are alive, replay what they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.retention import GROUPINGS, aggregate, totals
from mapprobe.recording.inputs import Taken
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.balance import reconcile_at
from mapprobe.replay.last_read import before_end
from mapprobe.replay.replay import replay
from mapprobe.vocabulary import Implementation, Inexact, Liveness, View
from support.balances import GROWER, SOME_BYTES, balanced, filled_before, inputs_of, seen, taken
from support.drawn import recordings
from support.recordings import INTS, SESSIONS, TYPES, RecordedMap, Recording, filled, spread


def states(found: Replayed) -> list[str]:
    return found.maps["state"].to_pylist()


def test_a_map_that_the_census_found_lives_and_another_has_died(recording: Recording) -> None:
    lives, _ = filled(recording, 50), filled(recording, 60)
    found = balanced(recording, taken(recording.now, seen(lives)))

    assert states(found) == ["alive", "dead"]
    assert totals(found)["live_slots"] == 50
    assert apart(found).dead == 1


def test_a_map_that_nothing_refers_to_holds_nothing(recording: Recording) -> None:
    made = filled(recording, 50)
    found = balanced(recording, taken(recording.now, seen(made, state="dead", liveness=Liveness.NOT_REFERRED_TO)))

    assert (states(found), totals(found)["allocated_bytes"], len(found.charges)) == (["dead"], 0, 0)


def test_a_living_map_is_as_replayed_and_exact(recording: Recording) -> None:
    made = filled(recording, 50)
    (row,) = balanced(recording, taken(recording.now + 1, seen(made))).maps.to_pylist()

    assert (row["source"], row["inexact"], row["live_slots"]) == ("replayed", Inexact.EXACT, 50)
    assert row["least_retained_bytes"] == row["retained_bytes"] == row["most_retained_bytes"]


def test_where_replay_and_memory_differ_memory_is_right(recording: Recording) -> None:
    made = filled(recording, 50)
    (row,) = balanced(recording, taken(recording.now + 1, seen(made, live_slots=51))).maps.to_pylist()

    assert (row["source"], row["inexact"], row["live_slots"]) == ("read", Inexact.HEADER_MISMATCH, 51)


@pytest.mark.parametrize("other", [{"allocated_bytes": 208}, {"buckets": 9}])
def test_what_was_read_as_another_map_than_it_is_the_census_says(recording: Recording, other: dict[str, int]) -> None:
    """The creation of the map that stands there now was lost, so it was read as if it were the one before it."""
    made = filled(recording, 5)
    with recording.losing_events():
        made.insert(*spread(1, 100))
    made.read()
    held = recording.settled().maps.to_pylist()[0]
    same = {name: held[name] for name in ("live_slots", "buckets", "allocated_bytes")}
    row = seen(made, **same | other | {"type_id": SESSIONS})
    (found,) = balanced(recording, taken(recording.now + 1, row)).maps.to_pylist()

    assert {name: found[name] for name in other} == other
    assert (found["source"], found["inexact"]) == ("read", Inexact.EVENTS_LOST)
    assert found["type_id"] == SESSIONS


def test_what_was_read_as_the_census_says_keeps_its_type_and_who_grew_it(recording: Recording) -> None:
    made = filled(recording, 5)
    with recording.losing_events():
        made.insert(*spread(1, 100))
    made.read()
    held = recording.settled().maps.to_pylist()[0]
    same = {name: held[name] for name in ("live_slots", "buckets", "allocated_bytes")}
    (found,) = balanced(recording, taken(recording.now + 1, seen(made, **same, grown_by=0))).maps.to_pylist()

    assert (found["source"], found["type_id"], found["charged_to"]) == ("read", made.type_id, held["charged_to"])


def test_a_map_that_was_written_after_the_census_read_it_may_differ(recording: Recording) -> None:
    made = filled(recording, 50)
    before = seen(made)
    made.insert(*spread(1, 100))
    (row,) = balanced(recording, taken(recording.now, before)).maps.to_pylist()

    assert (row["source"], row["inexact"], row["live_slots"]) == ("replayed", Inexact.EXACT, 51)


def test_a_map_that_no_event_was_about_is_as_it_was_read(recording: Recording) -> None:
    made = filled(recording, 50)
    other = seen(made, map_addr=0xC0DE000, live_slots=7)
    found = balanced(recording, taken(recording.now, seen(made), other))

    assert found.maps["source"].to_pylist() == ["replayed", "before"]
    assert totals(found)["live_slots"] == 57


def test_nobody_knows_whether_a_map_lives_where_no_census_was_taken(recording: Recording) -> None:
    made = filled(recording, 50)
    found = balanced(recording, None)
    held = recording.settled().maps["allocated_bytes"].to_pylist()[0]

    assert (states(found), totals(found)["maps"], totals(found)["allocated_bytes"]) == (["unknown"], 0, 0)
    assert apart(found).unknown_allocated_bytes == held
    assert apart(found).allocated_bytes == (0, held)
    assert made.count == 50


@pytest.mark.parametrize("by", ["site", "stack", "type"])
@pytest.mark.parametrize("view", View)
def test_where_no_map_is_known_to_live_each_row_has_what_it_holds_at_most(
    recording: Recording, by: str, view: View
) -> None:
    made = filled(recording, 5000)
    made.delete(*spread(4990))
    found = balanced(recording, None)
    settled = aggregate(recording.settled(), TYPES, recording.sites, "swiss", by, view).to_pylist()
    rows = aggregate(found, TYPES, inputs_of(recording).sites, "swiss", by, view).to_pylist()
    key = {"site": "function"}.get(by, by)

    assert sum(row["most_retained_bytes"] for row in rows) == apart(found).unknown_retained_bytes > 0
    assert {row["retained_bytes"] for row in rows} == {0}
    most = {str(row[key]): row["most_retained_bytes"] for row in rows}
    assert {str(row[key]): row["retained_bytes"] for row in settled if row["retained_bytes"]}.items() <= most.items()
    assert [row["most_retained_bytes"] for row in rows] == sorted(most.values(), reverse=True)


def test_where_a_map_is_known_to_live_rows_have_no_more_columns(recording: Recording) -> None:
    made, other = filled(recording, 50), filled(recording, 60)
    made.read()
    rows = aggregate(balanced(recording, None), TYPES, inputs_of(recording).sites, "swiss", "site", View.FILL)

    assert other
    assert "most_retained_bytes" not in rows.column_names


def test_a_map_that_was_read_at_the_end_lives_where_no_census_was_taken(recording: Recording) -> None:
    filled(recording, 50).read()

    assert states(balanced(recording, None)) == ["alive"]


def test_an_unknown_map_has_no_figure_in_its_row(recording: Recording) -> None:
    filled(recording, 50)
    found = balanced(recording, None)
    rows = aggregate(found, TYPES, recording.sites, str(recording.implementation), "map", View.FILL).to_pylist()

    assert {rows[0][name] for name in ("live_slots", "retained_bytes", "buckets")} == {None}
    assert rows[0]["inserts"] == 50


def on_stack(recording: Recording) -> RecordedMap:
    """Give a map on the stack of a goroutine, with some entries."""
    made = recording.create(seen=False)
    made.stack_offset, made.goid = 512, 7
    made.insert(*spread(50))
    return made


def test_a_map_on_a_stack_that_the_census_did_not_find_has_died(recording: Recording) -> None:
    on_stack(recording)

    assert states(balanced(recording, taken(recording.now))) == ["dead"]


def test_a_map_on_a_stack_lives_as_long_as_the_census_finds_it(recording: Recording) -> None:
    made = on_stack(recording)
    found = balanced(recording, taken(recording.now, seen(made)))

    assert (states(found), found.maps["stack_offset"].to_pylist()) == (["alive"], [512])


def test_nobody_knows_of_a_map_on_a_stack_that_no_census_looked_at(recording: Recording) -> None:
    on_stack(recording)

    assert states(balanced(recording, taken(recording.now, sees_stacks=False))) == ["unknown"]


def test_what_is_left_over_on_a_stack_is_no_map(recording: Recording) -> None:
    made = filled(recording, 50)
    stale = seen(made, goid=7, stack_offset=512, liveness=Liveness.ON_STACK)

    assert len(balanced(recording, taken(recording.now, seen(made), stale)).maps) == 1
    recording.attached = True
    assert len(balanced(recording, taken(recording.now, seen(made), stale)).maps) == 2


def test_a_map_without_buckets_may_live_or_not_and_holds_nothing(recording: Recording) -> None:
    recording.create()
    found = balanced(recording, taken(recording.now))

    assert states(found) == ["unknown"]
    assert apart(found).unknown == 0


def test_a_map_that_was_made_while_the_end_was_read_is_not_of_it(recording: Recording) -> None:
    lives = filled(recording, 50)
    end = taken(recording.now, seen(lives))
    recording.now += 5
    filled(recording, 60)

    assert len(balanced(recording, end).maps) == 1


def test_a_map_that_was_first_touched_while_the_end_was_read_is_as_the_census_found_it(recording: Recording) -> None:
    made = filled_before(recording)
    end = taken(recording.now, seen(made))
    recording.now += 5
    made.insert(*spread(1, 200))
    (row,) = balanced(recording, end).maps.to_pylist()

    assert (row["state"], row["source"], row["live_slots"]) == ("alive", "read", 100)


def test_what_was_there_before_is_charged_to_its_type_and_who_grew_it(recording: Recording) -> None:
    made = filled_before(recording)
    found = balanced(recording, taken(recording.now, seen(made)))
    sites = inputs_of(recording).sites
    for view in View:
        rows = aggregate(found, TYPES, sites, str(recording.implementation), "site", view).to_pylist()
        charged = {row["function"] for row in rows if row["allocated_bytes"]}
        grower = sites.table[sites.site_of_stack[GROWER]].function
        label = f"before the recording, map[int]int grown at {grower}"
        assert charged == ({grower} if view is View.GROWTH else {label})


def test_who_drained_what_was_there_before_is_named(recording: Recording) -> None:
    made = filled_before(recording)
    made.insert(*spread(1, 200))
    made.look()
    made.delete(*spread(60), stack=5)
    made.read()
    found = balanced(recording, taken(recording.now, seen(made)))
    sites = inputs_of(recording).sites
    rows = aggregate(found, TYPES, sites, str(recording.implementation), "site", View.DRAIN).to_pylist()
    by_name = {row["function"]: row["dead_slots"] for row in rows}

    assert by_name[sites.table[sites.site_of_stack[5]].function] == 60


@settings(max_examples=40, deadline=None)
@given(recording=recordings(lossy=True), data=st.data())
def test_every_view_and_grouping_sums_to_the_totals(recording: Recording, data: st.DataObject) -> None:
    maps = [made for made in recording.maps if not made.stack_offset and made.slots()["buckets"]]
    newest = {made.address: made for made in maps}.values()
    rows = [
        seen(made, state=data.draw(st.sampled_from(["alive", "dead"])), live_slots=data.draw(st.integers(0, 9)))
        for made in newest
        if data.draw(st.booleans())
    ]
    end = taken(recording.now, *rows, seen(maps[0], map_addr=0xC0DE000)) if maps else taken(recording.now)
    inputs = inputs_of(recording, end)
    found = balanced(recording, end)
    sums = totals(found)
    names = [column.name for column in schema.HOLDINGS] + ["maps", *(c.name for c in schema.OPERATIONS)]
    for view in View:
        for by in GROUPINGS:
            table = aggregate(found, TYPES, inputs.sites, str(recording.implementation), by, view)
            found_sums = {name: int(np.sum(table[name].fill_null(0).to_numpy())) for name in names}
            assert found_sums == {name: sums[name] for name in names}, (view, by)


def at(recording: Recording, time_ns: int, end: Taken | None, start: Taken | None = None) -> Replayed:
    """Return the result at a time."""
    inputs = inputs_of(recording, end, start)
    part = replay(before_end(recording.batches(), inputs), inputs, time_ns)
    return reconcile_at(part, balanced(recording, end, start), inputs, time_ns)


def test_a_map_that_an_event_is_about_later_lived(recording: Recording) -> None:
    made = filled(recording, 50)
    then = recording.now
    recording.now += 5
    made.insert(*spread(1, 100))
    end = taken(recording.now)

    assert states(at(recording, then, end)) == ["alive"]
    assert states(at(recording, recording.now, end)) == ["unknown"]
    assert states(balanced(recording, end)) == ["dead"]


def test_a_report_at_a_time_has_what_the_start_found_and_nobody_had_touched(recording: Recording) -> None:
    made = filled_before(recording)
    start = taken(recording.now, seen(made))
    then = recording.now
    recording.now += 5
    made.insert(*spread(1, 200))
    made.read()
    (row,) = at(recording, then, taken(recording.now, seen(made)), start).maps.to_pylist()

    assert (row["state"], row["source"], row["live_slots"]) == ("alive", "before", 100)


def test_nobody_knows_when_a_map_that_was_never_touched_has_died(recording: Recording) -> None:
    made = filled_before(recording)
    start = taken(recording.now, seen(made))
    recording.now += 5
    found = at(recording, recording.now, taken(recording.now), start)

    assert states(found) == ["unknown"]
    assert apart(found).unknown_allocated_bytes == SOME_BYTES


@pytest.mark.parametrize("implementation", Implementation)
def test_the_document_of_an_empty_recording_is_empty(implementation: Implementation) -> None:
    assert totals(balanced(Recording(implementation), taken(0)))["maps"] == 0
    assert INTS == 0
