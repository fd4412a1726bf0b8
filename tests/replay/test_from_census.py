from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.analysis.census import largest, summary
from mapprobe.analysis.retention import aggregate, totals
from mapprobe.model.holdings import ALLOCATED, HOLDINGS, RETAINED
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.sites import resolve
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS
from mapprobe.replay.from_census import counted, held
from mapprobe.report.census import headline
from mapprobe.vocabulary import VIEWS, Implementation, Inexact, Liveness, Naming, View
from support.recordings import charges_of

NOW = 1_000
ROW = {
    "map_addr": 0xC000012000, "type_id": 0, "naming": Naming.ONLY, "size_known": True, "state": "alive",
    "liveness": Liveness.REFERRED_TO, "settled": True, "grown_by": 0, "live_slots": 3, "deleted_slots": 0,
    "buckets": 16, "retained_buckets": 13, "allocated_bytes": 2304 + 40, "array_addr": 0xC000100000,
    "array_bytes": 2304, "live_least": 3, "live_most": 3, "read_ns": 0, "goid": 0, "stack_offset": 0,
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
    """Return rows of a census; a map that stood still has as many entries at least as at most."""
    still = [{f"live_{end}": row["live_slots"] for end in ("least", "most") if "live_slots" in row} for row in rows]
    return pa.Table.from_pylist([ROW | same | row for same, row in zip(still, rows, strict=True)], CENSUS.schema)


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
    ("row", "why", "source"),
    [
        ({}, Inexact.BEFORE_RECORDING, "before"),
        ({"size_known": False}, Inexact.SIZE_NOT_KNOWN, "bounded"),
        ({"settled": False}, Inexact.NEVER_STILL, "bounded"),
    ],
)
def test_no_map_of_a_census_is_exact(row, why, source):
    (found,) = counted(census(row), inputs(), NOW).maps.to_pylist()

    assert (found["inexact"], found["source"]) == (why, source)


def test_a_map_that_was_written_while_it_was_read_retains_between_two_figures():
    row = {"settled": False, "live_slots": 20, "live_least": 3, "live_most": 128}
    (found,) = counted(census(row), inputs(), NOW).maps.to_pylist()

    (most,) = counted(census({}), inputs(), NOW).maps["retained_bytes"].to_pylist()
    assert (found["least_retained_bytes"], found["most_retained_bytes"]) == (0, most)
    assert found["least_retained_bytes"] < found["retained_bytes"] < found["most_retained_bytes"]


def test_growth_is_charged_to_who_grew_it_and_the_rest_to_nobody():
    found = counted(census({"grown_by": 1}), inputs(), NOW)
    charged = [[(row["stack_id"], row["retained_bytes"]) for row in charges_of(found, view)] for view in VIEWS]

    assert charged == [[(1, 2200)], [(0, 2200)], [(0, 2200)]]


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


OTHER = {"map_addr": 0xC000013000, "grown_by": 1}


def test_what_a_census_comes_to_is_the_sum_of_its_living_maps():
    found = held(census({}, OTHER, OTHER | {"state": "dead"}), inputs())

    assert (found["maps"], found["live_slots"], found["allocated_bytes"]) == (2, 6, 2 * 2344)


@given(st.lists(st.tuples(st.integers(0, 3) | st.integers(0, 1 << 40), st.integers(0, 2)), min_size=1), st.data())
def test_the_largest_are_the_first_of_all_in_order(amounts: list[tuple[int, int]], data: st.DataObject) -> None:
    holdings = np.zeros((len(amounts), HOLDINGS), np.int64)
    holdings[:, RETAINED], holdings[:, ALLOCATED] = zip(*amounts, strict=True)
    rows = np.flatnonzero([data.draw(st.booleans()) for _ in amounts])
    top = data.draw(st.integers(0, len(amounts)))
    assert largest(rows, holdings, top).tolist() == largest(rows, holdings, None)[:top].tolist()
