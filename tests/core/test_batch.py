"""Events read back from a `Batch` equal the packed ones, whole or in parts; every index in a batch is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.arrow import values
from mapprobe.model.core import COMMON, OWN, Setting, World, batch_of, row_type
from mapprobe.model.rules import rules_of
from mapprobe.recording.packing import common_columns, pack
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind, Implementation, Inexact

TYPES = {c.name: c.type.to_pandas_dtype() for c in schema.EVENTS.columns}
WORD = st.integers(0, (1 << 64) - 1)
ADDRESS = st.integers(1, 5).map(lambda n: 8 * n)
COUNT = st.one_of(st.integers(0, 5), st.integers(1, (1 << 63) - 1))
ON_STACK = 1 << 63
MOST_PEAK = (1 << 32) - 1


def new_world() -> World:
    """Return a world in which no map is replayed: each event is counted by its header alone."""
    setting = Setting(
        is_swiss=True,
        rules=rules_of(Implementation.SWISS, (1, 27)),
        types=np.zeros(1, row_type("types_in")),
        site_of=np.zeros(3, np.uint32),
        sites=1,
        prunes=np.zeros(256, np.bool_),
        sees_growths=False,
        why=(int(Inexact.GROWTH_ONLY), int(Inexact.GROWTH_ONLY)),
    )
    return World(setting)


def events(rows: list[dict[str, int]]) -> dict[str, npt.NDArray[Any]]:
    """Return columns of events; what a row doesn't say is 0."""
    columns = {name: np.array([row.get(name, 0) for row in rows], dtype) for name, dtype in TYPES.items()}
    columns["kind"][:] = EventKind.ASSIGN
    columns["seed"][:] = 7
    return columns


@given(
    rows=st.lists(st.tuples(st.one_of(WORD, st.integers(0, 1000)), COUNT, ADDRESS), max_size=40),
    split=st.integers(0, 40),
)
def test_the_last_event_of_each_map_is_the_one_that_was_packed(rows: list[tuple[int, int, int]], split: int) -> None:
    world = new_world()
    packed = pack(events([{"time_ns": time, "count": count, "map_addr": addr} for time, count, addr in rows]))
    batch = batch_of(packed)
    for end in (min(split, len(rows)), len(rows)):
        world.apply(batch, end)
    last = {addr: (time, count) for time, count, addr in rows}
    peak = {addr: max(count for _, count, of in rows if of == addr) for addr in last}
    assert world.map_count == len(last)
    for addr, (time, count) in last.items():
        m = world.find(addr)
        assert (int(world.maps["last_ns"][m]), int(world.extras["last_count"][m])) == (time, count)
        assert int(world.maps["peak"][m]) == min(peak[addr], MOST_PEAK)


@given(goids=st.lists(st.integers(1, (1 << 32) - 1), min_size=1, max_size=10, unique=True))
def test_maps_of_two_goroutines_are_two(goids: list[int]) -> None:
    world = new_world()
    rows = [{"goid": goid, "stack_offset": 64, "map_addr": 8, "depth": 64} for goid in goids]
    world.apply(batch_of(pack(events(rows))), len(rows))
    assert [world.find(ON_STACK | goid << 31 | 64) for goid in goids] == list(range(len(goids)))


@pytest.mark.parametrize("wrong", [{"stack_id": 3}, {"type_id": 1}, {"type_id": -2}], ids=str)
def test_a_batch_that_names_what_is_not_there_is_refused(wrong: dict[str, int]) -> None:
    world = new_world()
    batch = batch_of(pack(events([{"map_addr": 8}, {"map_addr": 8} | wrong])))
    with pytest.raises(IndexError):
        world.apply(batch, 2)
    assert world.map_count == 0


def test_a_batch_is_of_one_world() -> None:
    batch = batch_of(pack(events([{"map_addr": 8}])))
    new_world().apply(batch, 1)
    with pytest.raises(ValueError, match="another World"):
        new_world().apply(batch, 1)


def test_more_keys_than_the_index_has_room_for_are_found() -> None:
    world = new_world()
    rows = [{"map_addr": 8 * n, "time_ns": n} for n in range(1, 20_001)]
    world.apply(batch_of(pack(events(rows))), len(rows))
    assert [world.find(8 * n) for n in range(1, 20_001)] == list(range(20_000))
    assert world.find(8 * 20_001) == -1


@pytest.mark.parametrize(("name", "value"), [("header", 60_000), ("stack_id", 1 << 31)])
def test_what_a_batch_names_is_looked_for_again_if_it_may_have_changed(name: str, value: int) -> None:
    world = new_world()
    packed = pack(events([{"map_addr": 8, "time_ns": time} for time in range(200)]))
    number, common = common_columns(packed, COMMON)
    own = [np.array(number if column == "header" else values(packed.column(column))) for column in OWN]
    batch = _core.Batch(tuple(own), tuple(np.array(column) for column in common))
    world.apply(batch, 1)
    own[OWN.index(name)][:] = value

    with pytest.raises(IndexError, match="that is not there"):
        world.apply(batch, 200)
