"""Charges: every view sums to the same totals, and each slot goes to the site that the contract names."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.provenance import bounds
from mapprobe.analysis.retention import GROUPINGS, KEYS, UNKNOWN_TYPE, aggregate, totals
from mapprobe.recording.tables import schema
from mapprobe.replay.replay import Replayed
from mapprobe.vocabulary import EventKind, View
from support.drawn import recordings
from support.recordings import NEVER_WRITTEN, SESSIONS, TYPES, RecordedMap, Recording, charges_of, spread
from support.reference import Bucket

SUMMED = [name for name in schema.MEASURES if name != schema.PEAK.name]
OPERATIONS = [column.name for column in schema.OPERATIONS]
SLOTS = ("live_slots", "dead_slots", "virgin_slots", "buckets", "retained_buckets")
MAKER, FILLER, DRAINER = 1, 3, 5
"""Stacks of three sites: main.site1, main.site2 and main.site3."""

every_view = pytest.mark.parametrize("view", View)
few_examples = settings(max_examples=15, deadline=None)


@pytest.fixture
def drained(recording: Recording) -> RecordedMap:
    """Give a map that one site made, a second one filled with 100 entries, and a third one emptied of 60."""
    made = recording.create(hint=100, stack=MAKER)
    made.insert(*spread(100), stack=FILLER)
    made.delete(*spread(60), stack=DRAINER)
    return made


def table(recording: Recording, by: str, view: View = View.FILL, replayed: Replayed | None = None) -> pa.Table:
    replayed = replayed or recording.settled()
    return aggregate(replayed, TYPES, recording.sites, recording.implementation, by, view)


def sums(rows: pa.Table) -> dict[str, int]:
    return {name: sum(rows[name].to_pylist()) for name in SUMMED}


def by_site(recording: Recording, view: View, measure: str) -> dict[str, int]:
    """Return the measure of each site that has some."""
    rows = table(recording, "site", view).to_pylist()
    return {row["function"]: row[measure] for row in rows if row[measure]}


def charged(bucket: Bucket, view: View) -> Counter[tuple[int, str]]:
    """Return what a bucket of the reference charges to each stack, by the words of the contract."""
    amounts = Counter[tuple[int, str]]()
    last = {View.GROWTH: None, View.FILL: bucket.last_insert, View.DRAIN: bucket.last_delete}[view]
    amounts[bucket.grown_by if last is None else last, "buckets"] += 1
    amounts[bucket.grown_by if last is None else last, "retained_buckets"] += not any(bucket.keys)
    for key, filled_by, emptied_by in zip(bucket.keys, bucket.inserted_by, bucket.deleted_by, strict=True):
        if key is not None:
            amounts[filled_by, "live_slots"] += 1
        elif filled_by is None:
            amounts[bucket.grown_by, "virgin_slots"] += 1
        else:
            emptier = {View.GROWTH: bucket.grown_by, View.FILL: filled_by, View.DRAIN: emptied_by}[view]
            amounts[emptier, "dead_slots"] += 1
    return amounts


@every_view
@pytest.mark.parametrize("by", GROUPINGS)
@few_examples
@given(recording=recordings())
def test_rows_sum_to_the_totals(recording: Recording, by: str, view: View) -> None:
    replayed = recording.settled()
    expected = totals(replayed)
    assert sums(table(recording, by, view, replayed)) == {name: expected[name] for name in SUMMED}


@every_view
@few_examples
@given(recording=recordings())
def test_each_slot_and_bucket_is_charged_as_in_the_reference(recording: Recording, view: View) -> None:
    living = {made.address: made for made in recording.maps}.values()
    expected = Counter[tuple[int, str]]()
    for made in living:
        for bucket, _ in made.reference.listed():
            expected += charged(bucket, view)
    found = Counter[tuple[int, str]]()
    for row in charges_of(recording.settled(), view):
        found += Counter({(row["stack_id"], name): row[name] for name in SLOTS})
    assert found == expected


@every_view
@few_examples
@given(recording=recordings())
def test_charges_of_each_map_sum_to_its_figures(recording: Recording, view: View) -> None:
    names = [column.name for column in schema.HOLDINGS]
    replayed = recording.settled()
    found = [Counter[str]() for _ in recording.maps]
    for row in charges_of(replayed, view):
        found[row["map_id"]] += Counter({name: row[name] for name in names})
    assert [[amounts[name] for name in names] for amounts in found] == [
        [row[name] for name in names] for row in replayed.maps.to_pylist()
    ]


@every_view
@few_examples
@given(recording=recordings())
def test_every_virgin_slot_is_marked_never_used(recording: Recording, view: View) -> None:
    rows = table(recording, "site", view)
    assert rows["never_used_slots"] == rows["virgin_slots"]


@every_view
def test_maps_known_by_their_memory_alone_sum_to_the_totals(recording: Recording, view: View) -> None:
    with recording.out_of_sight():
        made = recording.create()
        made.insert(*spread(100))
    made.delete(*spread(30))
    made.read()
    replayed = recording.settled()
    expected = totals(replayed)
    assert sums(table(recording, "site", view, replayed)) == {name: expected[name] for name in SUMMED}


@pytest.mark.parametrize(("view", "site"), [("growth", "main.site1"), ("fill", "main.site2"), ("drain", "main.site3")])
@pytest.mark.usefixtures("drained")
def test_a_dead_slot_goes_to_the_site_of_its_view(recording: Recording, view: str, site: str) -> None:
    assert by_site(recording, View(view), "dead_slots") == {site: 60}


@every_view
@pytest.mark.usefixtures("drained")
def test_a_live_slot_goes_to_the_site_that_inserted(recording: Recording, view: View) -> None:
    assert by_site(recording, view, "live_slots") == {"main.site2": 40}


@every_view
def test_a_virgin_slot_goes_to_the_site_that_grew(recording: Recording, drained: RecordedMap, view: View) -> None:
    assert by_site(recording, view, "virgin_slots") == {"main.site1": drained.slots()["virgin_slots"]}


def test_a_cleared_slot_goes_to_the_site_that_cleared(recording: Recording, drained: RecordedMap) -> None:
    drained.clear(stack=7)
    assert by_site(recording, View.DRAIN, "dead_slots") == {"main.site3": 60, "main.site4": 40}


def test_entries_keep_their_inserting_site_when_growth_moves_them(recording: Recording) -> None:
    made = recording.create()
    made.insert(*spread(8), stack=FILLER)
    made.insert(*spread(200, start=8), stack=DRAINER)
    assert by_site(recording, View.FILL, "live_slots") == {"main.site2": 8, "main.site3": 200}


def test_an_array_belongs_to_the_stack_that_grew_it(recording: Recording) -> None:
    made = recording.create(stack=MAKER)
    made.insert(*spread(100), stack=FILLER)
    assert by_site(recording, View.GROWTH, "buckets") == {"main.site2": made.slots()["buckets"]}


def test_buckets_that_were_never_filled_go_to_growth(recording: Recording) -> None:
    made = recording.create(hint=1000, stack=MAKER)
    assert by_site(recording, View.FILL, "buckets") == {"main.site1": made.slots()["buckets"]}


@every_view
def test_retained_bytes_follow_the_empty_slots(recording: Recording, view: View) -> None:
    made = recording.create(hint=1000, stack=MAKER)
    made.insert(*spread(1000), stack=FILLER)
    made.delete(*spread(1000), stack=FILLER)
    rows = table(recording, "site", view).to_pylist()
    total = totals(recording.settled())
    quotas = [total["retained_bytes"] * (r["dead_slots"] + r["virgin_slots"]) / total["slots"] for r in rows]
    assert [r["retained_bytes"] for r in rows] == pytest.approx(quotas, abs=1)


@every_view
@pytest.mark.usefixtures("drained")
def test_operations_count_where_they_were_done(recording: Recording, view: View) -> None:
    assert by_site(recording, view, "deletes") == {"main.site3": 60}


@pytest.mark.usefixtures("drained")
def test_two_stacks_of_one_site_are_one_row(recording: Recording) -> None:
    recording.maps[0].insert(*spread(10), stack=FILLER + 1)
    assert by_site(recording, View.FILL, "inserts") == {"main.site2": 110}


@pytest.mark.usefixtures("drained")
def test_the_most_retained_bytes_stand_first(recording: Recording) -> None:
    for hint in (500, 50, 5000):
        recording.create(hint=hint)
    retained = table(recording, "map")["retained_bytes"].to_pylist()
    assert retained == sorted(retained, reverse=True)


@pytest.mark.parametrize("by", GROUPINGS)
@pytest.mark.usefixtures("drained")
def test_columns_are_keys_then_measures(recording: Recording, by: str) -> None:
    columns = table(recording, by).column_names
    expected = [*KEYS[by], *schema.MEASURES]
    assert columns[: len(expected)] == expected


@pytest.mark.usefixtures("drained")
def test_sites_that_did_nothing_have_no_row(recording: Recording) -> None:
    assert set(table(recording, "site")["function"].to_pylist()) == {"main.site1", "main.site2", "main.site3"}


@pytest.mark.usefixtures("drained")
def test_a_stack_is_its_sites_innermost_first(recording: Recording) -> None:
    stacks = table(recording, "stack")["stack"].to_pylist()
    assert ["main.site2", "main.main"] in [[site["function"] for site in stack] for stack in stacks]


def test_the_peak_of_a_site_is_of_all_its_stacks_at_one_time(recording: Recording) -> None:
    made = recording.create()
    made.insert(*spread(20), stack=FILLER)
    made.delete(*spread(20), stack=DRAINER)
    made.insert(*spread(15), stack=FILLER + 1)
    assert by_site(recording, View.FILL, "peak_live_slots") == {"main.site2": 20}


def test_a_map_row_says_where_the_map_was_made(recording: Recording) -> None:
    recording.create(stack=MAKER)
    assert table(recording, "map")["created_at"].to_pylist() == ["main.site1 site.go:7"]


def test_a_map_made_before_the_recording_was_made_nowhere(recording: Recording) -> None:
    with recording.out_of_sight():
        made = recording.create()
        made.insert(1)
    made.insert(2)
    assert table(recording, "map")["created_at"].to_pylist() == [None]


def test_a_map_that_is_not_exact_says_so(recording: Recording) -> None:
    recording.create()
    with recording.losing_events():
        recording.now += 1
    assert table(recording, "map")["exact"].to_pylist() == [False]


def test_maps_of_one_type_are_one_row(recording: Recording) -> None:
    for _ in range(3):
        recording.create(type_id=SESSIONS)
    rows = table(recording, "type")
    assert rows.select(["type", "maps"]).to_pylist() == [{"type": "map[string]*main.Session", "maps": 3}]


def test_types_of_one_name_are_one_row(recording: Recording) -> None:
    recording.create()
    recording.create(type_id=SESSIONS)
    named_alike = TYPES.set_column(2, TYPES.schema.field("name"), pa.array(["map[int]int"] * len(TYPES)))
    rows = aggregate(recording.settled(), named_alike, recording.sites, "swiss", "type", View.FILL)
    assert rows["maps"].to_pylist() == [2]


def test_a_map_that_was_never_written_has_no_type(recording: Recording) -> None:
    recording.create()
    recording.events[0]["type_id"] = NEVER_WRITTEN
    assert table(recording, "type")["type"].to_pylist() == [UNKNOWN_TYPE]


@pytest.mark.parametrize("by", GROUPINGS)
def test_a_recording_without_maps_has_no_rows(recording: Recording, by: str) -> None:
    assert len(table(recording, by)) == 0


def test_totals_have_every_measure_in_its_order(recording: Recording) -> None:
    assert list(totals(recording.settled())) == list(schema.MEASURES)


def test_another_grouping_is_refused(recording: Recording) -> None:
    with pytest.raises(ValueError, match="by must be one of site, map, type, stack, not 'goroutine'"):
        table(recording, "goroutine")


def test_nothing_is_unsure_where_nothing_was_lost(drained: RecordedMap) -> None:
    recording = drained.recording
    inputs, replayed = recording.inputs(), recording.settled()

    assert bounds(replayed, inputs.points, inputs.gaps) == {}
    assert apart(replayed).is_known


@settings(max_examples=25)
@given(recording=recordings(lossy=True))
def test_what_was_done_lies_within_the_bounds(recording: Recording) -> None:
    inputs, replayed = recording.inputs(), recording.settled()
    unsure, found = bounds(replayed, inputs.points, inputs.gaps), totals(replayed)
    done = Counter[str](maps=len({(made.address, made.goid, made.stack_offset) for made in recording.maps}))
    for made in recording.maps:
        done += Counter({name: made.done[name] for name in OPERATIONS})

    for name in ("maps", *OPERATIONS):
        least, most = unsure.get(name, (found[name], found[name]))
        assert least <= done[name], name
        assert most is None or done[name] <= most, name


def test_a_map_that_was_not_read_after_a_loss_retains_any_number_of_bytes(drained: RecordedMap) -> None:
    with drained.recording.losing_events():
        drained.delete(*spread(10, 80))
    replayed = drained.recording.settled()

    found = apart(replayed)
    assert (found.bounded, found.retained_bytes, found.allocated_bytes[1]) == (1, (0, None), None)


def test_what_a_map_that_was_read_after_a_loss_retains_is_known(drained: RecordedMap) -> None:
    with drained.recording.losing_events():
        drained.delete(*spread(10, 80))
    drained.read()

    assert apart(drained.recording.settled()).is_known


def unsure_of(recording: Recording, missing: int | None = 0) -> dict[str, tuple[int, int | None]]:
    inputs = recording.inputs()
    return bounds(recording.settled(), inputs.points, inputs.gaps, missing)


def test_of_growth_alone_no_operation_has_bounds(recording: Recording) -> None:
    recording.probes = "growth"
    made = recording.create()
    made.insert(*spread(500))
    with recording.losing_events():
        made.insert(*spread(500, 1000))

    points = recording.points()
    growth = points.filter(
        pc.invert(pc.is_in(points["kind"], pa.array([EventKind.ASSIGN, EventKind.DELETE], pa.uint8())))
    )
    assert set(bounds(recording.settled(), growth, recording.inputs().gaps)) == {"maps", "growths"}


def test_events_that_are_missing_widen_the_bounds(drained: RecordedMap) -> None:
    assert unsure_of(drained.recording, 30)["inserts"] == (70, 130)
    assert unsure_of(drained.recording, 30)["clears"] == (0, 30)


def test_nobody_knows_the_most_where_nobody_knows_what_is_missing(drained: RecordedMap) -> None:
    assert unsure_of(drained.recording, None)["deletes"] == (60, None)


def test_a_gap_of_a_point_that_is_missing_may_have_held_anything(drained: RecordedMap) -> None:
    recording = drained.recording
    recording.gaps.append({"from_ns": 1, "to_ns": 2, "point": 200, "lost": 7, "reason": "ring full"})

    assert unsure_of(recording)["clears"] == (0, 7)


def test_clears_that_were_seen_are_sure(drained: RecordedMap) -> None:
    drained.clear()
    with drained.recording.losing_events():
        drained.insert(*spread(5))

    assert "clears" not in unsure_of(drained.recording)
    with drained.recording.losing_events():
        drained.clear()
    assert unsure_of(drained.recording)["clears"] == (1, 2)


def test_entries_of_a_clone_are_unsure_if_its_original_lost_events(recording: Recording) -> None:
    original = recording.create()
    original.insert(*spread(6))
    with recording.losing_events():
        original.clear()
    for _ in range(3):
        original.clone()

    assert totals(recording.settled())["inserts"] > 6
    assert unsure_of(recording)["inserts"][0] <= 6
