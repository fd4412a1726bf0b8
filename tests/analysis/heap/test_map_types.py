"""Findings about the maps of one type: made too large, empty and many, or with entries that only grow."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from mapprobe.analysis.heap.map_types import (
    GREW_LEAST,
    LEAST_TELLING,
    MANY,
    Known,
    MapType,
    Span,
    entries_by_type,
    map_types,
)
from mapprobe.recording.sites import display_type
from mapprobe.vocabulary import BEFORE, Implementation, View
from support.balances import inputs_of, seen, taken
from support.recordings import INTS, SESSIONS, TYPES, Recording, filled, spread


def found(recording: Recording, start: dict[str, int] | None = None, name: str = "map[int]int") -> MapType:
    """Return what is known of the maps of a type, all of which live."""
    replayed = recording.replay()
    span = Span(0, recording.now)
    known = Known(TYPES, recording.sites, recording.implementation, View.FILL, span, start)
    (kind,) = (kind for kind in map_types(replayed, replayed.maps, known) if kind.name == name)
    return kind


def test_the_figures_of_a_type_are_those_of_its_maps(recording: Recording) -> None:
    for n in range(3):
        recording.create(stack=1).insert(*spread(100, n), stack=3)
    recording.create(stack=1, type_id=SESSIONS).insert(*spread(5), stack=1)
    kind, maps = found(recording), recording.replay().maps.to_pylist()

    ints = [row for row in maps if row["type_id"] == INTS]
    assert (kind.maps, kind.live_slots) == (3, 300)
    assert kind.retained_bytes == sum(row["retained_bytes"] for row in ints)
    assert kind.live_bytes + kind.retained_bytes == sum(row["allocated_bytes"] for row in ints)
    assert [(site.function, amount) for site, amount in kind.inserted_by] == [("main.site2", 300)]


@pytest.mark.parametrize(("hint", "entries", "is_presized"), [(1000, 12, True), (1000, 900, False), (8, 1, False)])
def test_a_map_made_in_the_recording_is_too_large_if_it_was_hardly_used(
    recording: Recording, hint: int, entries: int, is_presized: bool
) -> None:
    recording.create(hint=hint, stack=1).insert(*spread(entries), stack=1)
    part = found(recording).presized

    assert part.maps == is_presized
    if is_presized:
        assert (part.most_entries, part.is_sure) == (entries, True)


def test_a_map_that_grew_and_was_drained_was_not_made_too_large(recording: Recording) -> None:
    drained = recording.create(stack=1)
    drained.insert(*spread(1000), stack=1)
    drained.delete(*spread(1000), stack=1)

    assert found(recording).presized.maps == 0


def test_many_empty_maps_are_told_from_a_few(recording: Recording) -> None:
    for n in range(MANY - 1):
        one = recording.create(stack=1)
        one.insert(*spread(3, n), stack=1)
        one.delete(*spread(3, n), stack=1)
    assert found(recording).empty.maps == 0

    last = recording.create(stack=1)
    last.insert(*spread(3), stack=1)
    last.delete(*spread(3), stack=1)
    kind = found(recording)
    assert (kind.empty.maps, kind.empty.retained_bytes) == (MANY, kind.retained_bytes)


def test_entries_that_only_grow_are_counted(recording: Recording) -> None:
    recording.create(stack=1).insert(*spread(2 * GREW_LEAST), stack=3)
    growth = found(recording).growth

    assert growth
    assert (growth.entries, growth.inserts, growth.deletes) == (2 * GREW_LEAST, 2 * GREW_LEAST, 0)
    assert growth.rate == pytest.approx(2 * GREW_LEAST / growth.seconds)


def test_what_the_census_of_the_start_found_is_no_growth(recording: Recording) -> None:
    recording.create(stack=1).insert(*spread(2 * GREW_LEAST), stack=3)

    grew = found(recording, {"map[int]int": GREW_LEAST}).growth
    assert grew
    assert grew.entries == GREW_LEAST
    assert found(recording, {"map[int]int": GREW_LEAST + 1}).growth is None


@pytest.mark.parametrize("how", ["deleted", "cleared", "few", "long ago"])
def test_entries_that_come_and_go_do_not_only_grow(recording: Recording, how: str) -> None:
    one = recording.create(stack=1)
    one.insert(*spread(50 if how == "few" else 500), stack=1)
    if how == "deleted":
        one.delete(*spread(200), stack=1)
    elif how == "cleared":
        one.clear(stack=1)
        one.insert(*spread(500), stack=1)
    elif how == "long ago":
        recording.create(stack=1, type_id=SESSIONS).insert(*spread(900), stack=1)

    assert found(recording).growth is None


def test_a_large_map_from_before_shows_whether_it_was_ever_filled() -> None:
    recording = Recording(Implementation.SWISS)
    recording.create(hint=8 * LEAST_TELLING, stack=1)
    replayed = recording.replay()
    known = Known(TYPES, recording.sites, recording.implementation, View.FILL, Span(0, 1), None)
    before = with_column(replayed.maps, "created_by", BEFORE)
    (kind,) = map_types(replayed, before, known)
    assert (kind.presized.maps, kind.presized.is_sure) == (1, False)

    (marked,) = map_types(replayed, with_column(before, "dead_slots", 3), known)
    assert marked.presized.maps == 0


def test_a_cache_that_was_drained_unseen_was_not_made_too_large() -> None:
    recording = Recording(Implementation.SWISS)
    with recording.out_of_sight():
        made = recording.create(hint=7 * LEAST_TELLING, stack=1)
        made.insert(*spread(7 * LEAST_TELLING))
        made.delete(*spread(7 * LEAST_TELLING))
    made.insert(1 << 40)
    made.delete(1 << 40)
    made.read()
    kind = found(recording)

    assert kind.retained_bytes > 0
    assert kind.presized.maps == 0


def test_a_type_that_the_start_was_not_sure_of_has_not_grown(recording: Recording) -> None:
    recording.attached = True
    with recording.out_of_sight():
        made = filled(recording, 2 * GREW_LEAST)
        other = filled(recording, 30)
    made.insert(1 << 40)
    census = taken(0, seen(made, live_slots=2 * GREW_LEAST, type_id=len(TYPES)), seen(other, type_id=SESSIONS))
    unsure = TYPES.slice(0, 1).to_pylist()[0] | {"type_id": len(TYPES), "name": "map[int]int or map[uint]uint"}
    types = pa.concat_tables([TYPES, pa.Table.from_pylist([unsure], TYPES.schema)])
    inputs = replace(inputs_of(recording, start=census), types=types)

    start = entries_by_type(recording.replay().maps, inputs)
    assert start == {"map[int]int": 2 * GREW_LEAST, display_type(TYPES["name"][SESSIONS].as_py()): 30}
    assert found(recording, start).growth is None
    assert entries_by_type(recording.replay().maps, recording.inputs()) is None


def with_column(table: pa.Table, name: str, value: int) -> pa.Table:
    """Return a table of one row with another value in a column."""
    number = table.column_names.index(name)
    return table.set_column(number, table.schema.field(number), pa.array([value], table.schema.field(number).type))
