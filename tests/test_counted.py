from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import schema
from mapprobe.censused import CENSUS, Liveness, Naming
from mapprobe.counted import counted, held, summary, with_untouched
from mapprobe.inputs import Inputs
from mapprobe.report.census import headline
from mapprobe.retention import aggregate, totals
from mapprobe.schema import Implementation, Inexact, View
from mapprobe.sites import resolve

NOW = 1_000
ROW = {
    "map_addr": 0xC000012000, "type_id": 0, "naming": Naming.ONLY, "size_known": True, "state": "alive",
    "liveness": Liveness.REFERRED_TO, "settled": True, "grown_by": 0, "live_slots": 3, "deleted_slots": 0,
    "buckets": 16, "retained_buckets": 13, "allocated_bytes": 2304 + 40, "array_addr": 0xC000100000,
    "array_bytes": 2304,
}  # fmt: skip


def inputs(implementation: Implementation = Implementation.SWISS) -> Inputs:
    """Return what a census of two types and one stack has beside its maps."""
    kinds = [("map[uint64]uint64", 136, False), ("map[string]int", 200, True)]
    rows = [
        {
            column.name: {"type_id": n, "name": name, "bucket_bytes": size, "bucket_has_pointers": points}.get(
                column.name, {pa.string(): "", pa.bool_(): False}.get(column.type, 8)
            )
            for column in schema.TYPES.columns
        }
        for n, (name, size, points) in enumerate(kinds)
    ]
    stacks = pa.table({"stack_id": [0, 1], "pcs": [[], [0x401000]]}, schema=schema.STACKS.schema)
    frame = {"pc": [0x401000], "depth": [0], "function": ["main.fill"], "file": ["main.go"], "line": [7]}
    frames = pa.table(frame | {"inlined": [False]}, schema=schema.FRAMES.schema)
    empty = {name: getattr(schema, name.upper()).schema.empty_table() for name in ("points", "gaps")}
    read = {name: getattr(schema, name.upper()).schema.empty_table() for name in ("snapshot_maps", "snapshot_buckets")}
    release = (1, 27) if implementation is Implementation.SWISS else (1, 23)
    types = pa.Table.from_pylist(rows, schema.TYPES.schema)
    common = {"probes": "census", "attached": True, "is_cut": False, "types": types, "sites": resolve(stacks, frames)}
    return Inputs(implementation=implementation, go_release=release, **common, **empty, **read)


def census(*rows: dict[str, object]) -> pa.Table:
    whole = [ROW | row for row in rows]
    bounds = [{"live_least": row["live_slots"], "live_most": row["live_slots"], "read_ns": NOW} for row in whole]
    return pa.Table.from_pylist([bound | row for bound, row in zip(bounds, whole, strict=True)], CENSUS.schema)


def test_what_a_fresh_map_would_not_take_is_retained():
    (row,) = counted(census({}), inputs(), NOW).maps.to_pylist()

    # 16 groups of 136 bytes, a table and a directory; a fresh map of 3 has one group
    assert (row["allocated_bytes"], row["needed_bytes"], row["retained_bytes"]) == (2344, 144, 2200)


def test_a_dead_map_holds_nothing():
    (row,) = counted(census({"state": "dead", "liveness": Liveness.NOT_REFERRED_TO}), inputs(), NOW).maps.to_pylist()

    assert row["state"] == "dead"
    assert {row[column.name] for column in schema.HOLDINGS} == {0}


def test_a_map_of_no_known_type_retains_nothing_that_is_known():
    full, empty = counted(census({"type_id": -1}, {"type_id": -1, "live_slots": 0}), inputs(), NOW).maps.to_pylist()

    assert (full["retained_bytes"], empty["retained_bytes"]) == (0, 2344)


@pytest.mark.parametrize(
    ("row", "why", "is_estimated"),
    [
        ({}, Inexact.BEFORE_RECORDING, False),
        ({"size_known": False}, Inexact.SIZE_NOT_KNOWN, False),
        ({"settled": False}, Inexact.NEVER_STILL, True),
    ],
)
def test_no_map_of_a_census_is_exact(row, why, is_estimated):
    (found,) = counted(census(row), inputs(), NOW).maps.to_pylist()

    assert (found["inexact"], found["estimated"]) == (why, is_estimated)


def test_growth_is_charged_to_who_grew_it_and_the_rest_to_nobody():
    found = counted(census({"grown_by": 1}), inputs(), NOW)
    charged = {(row["view"], row["stack_id"]): row["retained_bytes"] for row in found.charges.to_pylist()}

    assert charged == {(0, 1): 2200, (1, 0): 2200, (2, 0): 2200}


@given(
    st.lists(
        st.fixed_dictionaries({
            "type_id": st.integers(-1, 1), "state": st.sampled_from(["alive", "dead"]), "grown_by": st.integers(0, 1),
            "live_slots": st.integers(0, 40), "settled": st.booleans(),
        }),
        max_size=12,
    ),
    st.sampled_from(list(Implementation)),
)  # fmt: skip
def test_every_view_and_grouping_sums_to_the_totals(rows, implementation):
    given_inputs = inputs(implementation)
    found = counted(census(*rows), given_inputs, NOW)
    sums = totals(found)
    names = [column.name for column in schema.HOLDINGS] + ["maps"]
    for view in View:
        for by in ("site", "stack", "type", "map"):
            table = aggregate(found, given_inputs.types, given_inputs.sites, str(implementation), by, view)
            assert {n: int(np.sum(np.array(table[n]))) for n in names} == {n: sums[n] for n in names}


def test_a_summary_leaves_out_the_dead_and_says_so():
    found = summary(census({}, {"state": "dead"}, {"type_id": 1, "grown_by": 1, "live_slots": 100}), {}, inputs())

    assert found.dead == (1, 2344)
    assert found.totals()["maps"] == 2
    assert found.maps["grown_at"].to_pylist() == [None, "main.fill main.go:7"]
    assert found.types["type"].to_pylist() == ["map[uint64]uint64", "map[string]int"]


def test_a_map_that_never_stood_still_has_bounds_in_the_first_line():
    restless = {"settled": False, "live_least": 3, "live_most": 20}
    found = summary(census({}, restless), {}, inputs())
    about = {"binary": "x", "go_version": "go1.27", "implementation": "swiss", "pid": 1, "started": "now"}

    assert found.maps["retained_most"].to_pylist() == [2200, 2200]
    assert sorted(found.maps["retained_least"].to_pylist()) == [1728, 2200]
    line = headline(found, about)[1]
    assert "for 6 entries (at least 6, at most 23); " in line
    assert "4.3 KiB of it (94 %, at least 3.8 KiB, at most 4.3 KiB) would come back" in line


SEEN = {"map_addr": 0xC000012000}
OTHER = {"map_addr": 0xC000013000, "grown_by": 1}


def test_maps_that_no_event_was_about_join_those_of_a_replay():
    replayed = counted(census(SEEN), inputs(), NOW)
    found = with_untouched(replayed, census(SEEN | {"live_slots": 9}, OTHER), inputs(), NOW)

    assert [table.schema for table in astuple(found)] == [table.schema for table in schema.REPLAYED]
    assert found.maps["map_id"].to_pylist() == [0, 1]
    assert found.maps["map_addr"].to_pylist() == [SEEN["map_addr"], OTHER["map_addr"]]
    assert found.maps["live_slots"].to_pylist() == [3, 3]
    assert found.maps["inexact"].to_pylist() == [Inexact.BEFORE_RECORDING, Inexact.UNTOUCHED]
    charged = {(row["map_id"], row["view"], row["stack_id"]) for row in found.charges.to_pylist()}
    assert charged == {(0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 1), (1, 1, 0), (1, 2, 0)}


def test_a_map_that_stands_where_a_dead_one_stood_joins_them_and_a_dead_one_does_not():
    dead = {"state": "dead", "liveness": Liveness.NOT_REFERRED_TO}
    replayed = counted(census(SEEN | dead), inputs(), NOW)

    assert len(with_untouched(replayed, census(SEEN), inputs(), NOW).maps) == 2
    assert len(with_untouched(replayed, census(SEEN | dead, OTHER | dead), inputs(), NOW).maps) == 1


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(-1, 1), st.integers(0, 1), st.integers(0, 40)), max_size=9),
    st.lists(st.tuples(st.integers(1, 6), st.integers(-1, 1), st.integers(0, 1), st.integers(0, 40)), max_size=9),
)
def test_with_untouched_maps_every_view_and_grouping_sums_to_the_totals(seen, there):
    names = ("map_addr", "type_id", "grown_by", "live_slots")
    one, two = ({row[0]: dict(zip(names, row, strict=True)) for row in rows} for rows in (seen, there))
    found = with_untouched(counted(census(*one.values()), inputs(), NOW), census(*two.values()), inputs(), NOW)
    sums = totals(found)
    assert sums["maps"] == len({*one, *two})
    assert sums[schema.PEAK.name] == sums["live_slots"]
    columns = [column.name for column in schema.HOLDINGS] + ["maps"]
    for view in View:
        for by in ("site", "stack", "type", "map"):
            table = aggregate(found, inputs().types, inputs().sites, str(Implementation.SWISS), by, view)
            assert {n: int(np.sum(np.array(table[n]))) for n in columns} == {n: sums[n] for n in columns}


def test_what_a_census_comes_to_is_the_sum_of_its_living_maps():
    found = held(census(SEEN, OTHER, OTHER | {"state": "dead"}), inputs())

    assert (found["maps"], found["live_slots"], found["allocated_bytes"]) == (2, 6, 2 * 2344)
