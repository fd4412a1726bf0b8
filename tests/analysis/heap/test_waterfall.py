"""The share of maps in a process's memory: live maps; dead maps separately, unknown maps only as bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from mapprobe.analysis.heap.lives import LIVES
from mapprobe.analysis.heap.map_types import Known, Span
from mapprobe.analysis.heap.waterfall import Maps, Name, Unsure, maps_of, waterfall
from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import MapState, View
from support.heaps import residence_of
from support.recordings import TYPES, Recording, spread

MIB = 1 << 20
NO_LIVES = pa.schema(list(LIVES.items())).empty_table()
DEAD = pa.schema([("map_addr", pa.uint64()), ("allocated_bytes", pa.int64())])


@pytest.fixture
def replayed(recording: Recording) -> Replayed:
    """Give a replay of two drained maps that live."""
    for n in range(2):
        one = recording.create(stack=1)
        one.insert(*spread(500, n), stack=1)
        one.delete(*spread(499, n), stack=1)
    return with_column(recording.replay(), "state", [str(MapState.ALIVE)] * 2)


def with_column(replayed: Replayed, name: str, values: list[Any]) -> Replayed:
    maps = replayed.maps
    if name not in maps.column_names:
        return replace(replayed, maps=maps.append_column(name, pa.array(values, pa.int64())))
    number = maps.column_names.index(name)
    field = maps.schema.field(number)
    return replace(replayed, maps=maps.set_column(number, field, pa.array(values, field.type)))


def held(recording: Recording, replayed: Replayed, dead: list[dict[str, int]] | None = None) -> Maps:
    known = Known(TYPES, recording.sites, recording.implementation, View.FILL, Span(0, recording.now), None)
    return maps_of(replayed, known, pa.Table.from_pylist(dead or [], schema=DEAD), NO_LIVES)


def test_maps_that_live_are_held(recording: Recording, replayed: Replayed) -> None:
    found, maps = held(recording, replayed), replayed.maps

    assert found.retained == sum(maps["retained_bytes"].to_pylist()) > 0
    assert found.live == sum(maps["allocated_bytes"].to_pylist()) - found.retained
    assert found.unsure == Unsure()


def test_what_dead_maps_take_the_census_says(recording: Recording, replayed: Replayed) -> None:
    first, second = replayed.maps.to_pylist()
    dead = with_column(replayed, "state", [str(MapState.DEAD), str(MapState.ALIVE)])
    found = held(recording, dead, [{"map_addr": first["map_addr"], "allocated_bytes": 4711}])

    assert (found.retained, found.dropped) == (second["retained_bytes"], 4711)


def test_unknown_maps_are_bounds_and_not_held(recording: Recording, replayed: Replayed) -> None:
    first, second = replayed.maps.to_pylist()
    unknown = with_column(replayed, "state", [str(MapState.UNKNOWN), str(MapState.ALIVE)])
    found = held(recording, unknown)

    assert found.retained == second["retained_bytes"]
    assert (found.unsure.allocated, found.unsure.retained) == (first["allocated_bytes"], first["retained_bytes"])
    assert not found.is_exact
    assert [kind.maps for kind in found.types] == [1]


@pytest.mark.parametrize("most", [1000, None])
def test_bounds_of_the_balance_are_those_of_the_parts(
    recording: Recording, replayed: Replayed, most: int | None
) -> None:
    _, second = replayed.maps.to_pylist()
    retained = second["retained_bytes"]
    unknown = with_column(replayed, "state", [str(MapState.UNKNOWN), str(MapState.ALIVE)])
    unknown = with_column(unknown, "most_allocated_bytes", [most, second["allocated_bytes"]])
    unknown = with_column(unknown, "most_retained_bytes", [most, retained + 10])
    unknown = with_column(unknown, "least_retained_bytes", [0, retained - 20])
    maps = held(recording, unknown)
    figures = {"heap_in_use_bytes": 50 * MIB, "heap_free_bytes": 0, "mapped_ready_bytes": 50 * MIB}
    steps = {step.name: step for step in waterfall(maps, figures, residence_of(0)).steps}

    more = None if most is None else most
    assert (steps[Name.RETAINED].more, steps[Name.RETAINED].less) == (None if more is None else more + 10, 20)
    assert (steps[Name.LIVE].more, steps[Name.LIVE].less) == (None if more is None else more + 20, 10)
    assert (steps[Name.OTHER].more, steps[Name.OTHER].less) == (0, more)
    assert not steps[Name.OTHER].exact
