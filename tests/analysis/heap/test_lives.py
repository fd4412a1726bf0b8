"""The lives of arrays and large objects, from rows made by hand, and compared with a slow account of random lives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.analysis.heap.lives import GROWTH_COLUMNS, Collections, HeapTables, collections_of, lives
from mapprobe.recording.tables.heap import ARRAYS, CYCLES, FIGURES, RETURNS, SPANS
from mapprobe.vocabulary import ArrayState, CyclePhase, ReturnReason, Trigger
from support.recordings import table_of

PAGE = 8192
BIG = 8 * PAGE
MAP, OTHER_MAP = 0xC000100000, 0xC000200000
KNOWN = {"array_addr": pa.uint64(), "map_addr": pa.uint64()}


def cycles(*sweeps_ns: int) -> list[dict[str, int]]:
    return [
        {"time_ns": when - 2 + phase, "phase": phase, "value": Trigger.HEAP}
        for when in sweeps_ns
        for phase in CyclePhase
    ]


def counted(*sweeps_ns: int, before: int = 4) -> Collections:
    """Return collections whose sweeps began then; so many had ended before."""
    last = max(sweeps_ns, default=0) + 1
    figures = [{"time_ns": 0, "collections": before}, {"time_ns": last, "collections": before + len(sweeps_ns)}]
    return collections_of(table_of(CYCLES, cycles(*sweeps_ns)), table_of(FIGURES, figures))


def lived(
    spans: list[dict[str, Any]] | None = None,
    arrays: list[dict[str, Any]] | None = None,
    returns: list[dict[str, Any]] | None = None,
    collections: Collections | None = None,
    growths: list[dict[str, int]] | None = None,
    known: dict[int, int] | None = None,
) -> list[dict[str, Any]]:
    grown = {name: [row.get(name, 0) for row in growths or []] for name in GROWTH_COLUMNS}
    found = lives(
        HeapTables(table_of(SPANS, spans or []), table_of(ARRAYS, arrays or []), table_of(RETURNS, returns or [])),
        collections or counted(),
        pa.table({name: pa.array(grown[name], kind) for name, kind in GROWTH_COLUMNS.items()}),
        np.zeros(8, np.bool_),
        pa.table(
            {
                "array_addr": pa.array(list(known or {}), pa.uint64()),
                "map_addr": pa.array(list((known or {}).values()), pa.uint64()),
            }
        ),
    )
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def made(time_ns: int, addr: int = BIG, size: int = BIG, **more: int) -> dict[str, Any]:
    return {"time_ns": time_ns, "addr": addr, "bytes": size, "state": ArrayState.MADE, "goid": 1} | more


def seen(time_ns: int, state: ArrayState, addr: int = BIG) -> dict[str, Any]:
    return {"time_ns": time_ns, "addr": addr, "bytes": 0, "state": state}


def test_collections_are_numbered_as_the_runtime_counts_them() -> None:
    found = counted(100, 200, 300)

    assert found.number.tolist() == [5, 6, 7]
    assert found.sweeps_ns.tolist() == [100, 200, 300]
    assert found.trigger.tolist() == [Trigger.HEAP] * 3


def test_a_sample_during_a_collection_does_not_shift_the_numbers() -> None:
    samples = ((0, 4), (98, 5), (100, 4), (101, 5), (250, 6))  # one was stamped before the sweep that it counted
    figures = [{"time_ns": when, "collections": n} for when, n in samples]

    assert collections_of(table_of(CYCLES, cycles(100, 200)), table_of(FIGURES, figures)).number.tolist() == [5, 6]


def test_a_collection_that_had_begun_before_has_no_start() -> None:
    rows = cycles(100)[1:]

    found = collections_of(table_of(CYCLES, rows), table_of(FIGURES, [{"time_ns": 200, "collections": 9}]))
    assert (found.number.tolist(), found.started_ns.tolist(), found.trigger.tolist()) == ([9], [0], [-1])


def test_an_array_is_freed_in_a_collection_and_returned_later() -> None:
    (row,) = lived(
        arrays=[made(10), seen(110, ArrayState.FREED), seen(150, ArrayState.PAGES_FREE)],
        returns=[{"time_ns": 160, "addr": BIG, "bytes": BIG // 2, "reason": ReturnReason.BACKGROUND}],
        collections=counted(100),
    )
    assert (row["allocated_ns"], row["freed_ns"], row["freed_in"]) == (10, 110, 5)
    assert (row["returned_ns"], row["returned_bytes"], row["own_span"]) == (160, BIG // 2, True)


def test_what_was_returned_before_an_array_was_made_was_not_its() -> None:
    (row,) = lived(
        arrays=[made(10), seen(110, ArrayState.FREED)],
        returns=[{"time_ns": 5, "addr": BIG, "bytes": BIG, "reason": ReturnReason.BACKGROUND}],
    )
    assert (row["returned_ns"], row["returned_bytes"]) == (None, 0)


def test_an_array_that_was_made_where_another_was_follows_it() -> None:
    first, second = lived(arrays=[made(10), made(200)], collections=counted(100))

    assert (first["freed_ns"], first["freed_in"], first["reused_ns"]) == (200, 5, 200)
    assert (second["freed_ns"], second["reused_ns"]) == (None, None)


def test_an_array_belongs_to_the_map_that_its_goroutine_was_growing() -> None:
    growths = [
        {"time_ns": 5, "goid": 1, "map_addr": MAP, "stack_id": 3},
        {"time_ns": 9, "goid": 2, "map_addr": OTHER_MAP, "stack_id": 4},
    ]
    (row,) = lived(arrays=[made(10)], growths=growths)
    assert (row["map_addr"], row["stack_id"]) == (MAP, 3)


def test_an_array_that_was_there_before_is_the_census_s() -> None:
    before = {"time_ns": 1, "addr": BIG, "bytes": BIG, "freed": False}
    (row,) = lived(spans=[before], arrays=[seen(120, ArrayState.FREED)], collections=counted(100), known={BIG: MAP})

    assert (row["allocated_ns"], row["freed_ns"], row["freed_in"]) == (None, 120, 5)
    assert (row["is_array"], row["map_addr"]) == (True, MAP)


def test_an_array_that_is_a_large_object_too_is_one() -> None:
    spans = [{"time_ns": 9, "addr": BIG, "bytes": BIG, "freed": False, "goid": 1, "stack_id": 2}]
    (row,) = lived(spans=spans, arrays=[made(10), seen(90, ArrayState.FREED)])

    assert (row["allocated_ns"], row["is_array"], row["stack_id"]) == (9, True, 2)
    assert row["freed_ns"] is None  # events tell, and none did


def test_a_small_array_where_a_large_object_was_is_another() -> None:
    objects = [{"time_ns": 10, "addr": BIG, "bytes": BIG, "goid": 1}, {"time_ns": 20, "addr": BIG, "freed": True}]
    rows = lived(objects, [made(30, size=704)])

    assert [(row["bytes"], row["freed_ns"], row["is_array"]) for row in rows] == [(BIG, 20, False), (704, None, True)]


def test_what_is_read_while_it_is_allocated_is_one_object() -> None:
    spans = [
        {"time_ns": 5, "addr": BIG, "bytes": BIG, "freed": False},
        {"time_ns": 6, "addr": BIG, "bytes": BIG, "freed": False, "goid": 1, "stack_id": 2},
        {"time_ns": 7, "addr": 3 * BIG, "bytes": BIG, "freed": True},
    ]
    (row,) = lived(spans=spans)
    assert (row["allocated_ns"], row["freed_ns"]) == (6, None)


def test_times_are_not_rounded() -> None:
    late = (1 << 60) + 1
    spans = [
        {"time_ns": late, "addr": BIG, "bytes": BIG, "freed": False, "goid": 1, "stack_id": 2},
        {"time_ns": late + 2, "addr": BIG, "bytes": BIG, "freed": True},
        {"time_ns": late + 4, "addr": 3 * BIG, "bytes": BIG, "freed": False, "goid": 1, "stack_id": 2},
    ]
    assert [(row["allocated_ns"], row["freed_ns"]) for row in lived(spans=spans)] == [
        (late, late + 2),
        (late + 4, None),
    ]


@given(st.lists(st.integers(0, 3), max_size=40))
def test_large_objects_end_as_their_events_say(places: list[int]) -> None:
    """Each event at a place allocates what is free there, or frees what is not."""
    open_at: dict[int, int] = {}
    expected, spans = list[tuple[int, int, int | None]](), list[dict[str, Any]]()
    for when, place in enumerate(places, start=1):
        addr, is_freed = BIG * (place + 1), place in open_at
        spans.append(
            {"time_ns": when, "addr": addr, "bytes": BIG, "freed": is_freed, "goid": 1, "stack_id": 1 - is_freed}
        )
        if is_freed:
            expected.append((addr, open_at.pop(place), when))
        else:
            open_at[place] = when
    expected += [(BIG * (place + 1), when, None) for place, when in open_at.items()]

    assert sorted((row["addr"], row["allocated_ns"], row["freed_ns"]) for row in lived(spans=spans)) == sorted(
        expected, key=lambda life: life[:2]
    )
