"""Matching call sites of two builds: nothing is lost or counted twice."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.analysis.comparison import Match, change, compare, live_growth, site_charges
from mapprobe.analysis.retention import HOLDINGS, totals
from mapprobe.vocabulary import View
from support.drawn import recordings
from support.recordings import TYPES, Recording

MAP = "map[int]int"
KEYS = pa.schema(
    [
        ("function", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("package", pa.string()),
        ("type", pa.string()),
    ]
)
SCHEMA = pa.schema([*KEYS, *((name, pa.int64()) for name in HOLDINGS)])


def site(function: str, line: int = 1, retained: int = 1, file: str = "/a/main.go", kind: str = MAP) -> dict[str, Any]:
    about = {"function": function, "file": file, "line": line, "package": function.rpartition(".")[0], "type": kind}
    return about | dict.fromkeys(HOLDINGS, 0) | {"retained_bytes": retained}


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def compared(before: list[dict[str, Any]], after: list[dict[str, Any]], same: bool = False) -> list[tuple[Any, ...]]:
    rows = compare(table(*before), table(*after), is_same_build=same).to_pylist()
    return [
        (row["function"], row["match"], row["was"], row["before_retained_bytes"], row["after_retained_bytes"])
        for row in rows
    ]


drawn_sites = st.lists(
    st.builds(
        site,
        st.sampled_from(["main.a", "main.b", "main.a.func1", "main.a.func2", "main.a.func1.2", "x/v2.f", "x/v3.f"]),
        st.integers(1, 4),
        st.integers(0, 100),
        st.sampled_from(["/a/main.go", "/b/main.go", "/b/other.go"]),
        st.sampled_from([MAP, "map[string]bool"]),
    ),
    max_size=12,
)


@given(before=drawn_sites, after=drawn_sites, same=st.booleans())
def test_each_side_sums_to_what_it_was(before: list[dict[str, Any]], after: list[dict[str, Any]], same: bool) -> None:
    found = compare(table(*before), table(*after), is_same_build=same)
    for side, rows in (("before", before), ("after", after)):
        assert sum(found[f"{side}_retained_bytes"].to_pylist()) == sum(row["retained_bytes"] for row in rows)


@settings(max_examples=15, deadline=None)
@given(recording=recordings(), view=st.sampled_from(View), data=st.data())
def test_two_times_differ_by_their_totals(recording: Recording, view: View, data: st.DataObject) -> None:
    early, late = sorted(data.draw(st.integers(0, recording.now)) for _ in range(2))
    sides = [recording.settled(until_ns=moment) for moment in (early, late)]
    charges = [site_charges(side, TYPES, recording.sites, view) for side in sides]
    found = compare(*charges, is_same_build=True)
    before, after = (totals(side) for side in sides)
    assert {name: int(change(found, name).sum()) for name in HOLDINGS} == {
        name: after[name] - before[name] for name in HOLDINGS
    }


@given(rows=drawn_sites)
def test_a_side_held_against_itself_has_not_changed(rows: list[dict[str, Any]]) -> None:
    found = compare(table(*rows), table(*rows), is_same_build=False)
    assert set(found["match"].to_pylist()) <= {"same"}
    assert not change(found, "retained_bytes").any()


def test_a_site_on_another_line_of_another_build_is_the_same() -> None:
    assert compared([site("main.a", 7)], [site("main.a", 9, 5)]) == [("main.a", Match.SAME, "main.a", 1, 5)]


def test_a_site_in_another_file_of_another_build_is_the_same() -> None:
    assert compared([site("main.a")], [site("main.a", file="/b/x.go")]) == [("main.a", Match.SAME, "main.a", 1, 1)]


def test_lines_of_a_function_are_one_in_another_build() -> None:
    assert compared([site("main.a", 7, 1), site("main.a", 8, 2)], [site("main.a", 9, 5)]) == [
        ("main.a", Match.SAME, "main.a", 3, 5)
    ]


def test_lines_of_one_build_are_sites_of_their_own() -> None:
    found = compared([site("main.a", 7, 1), site("main.a", 8, 2)], [site("main.a", 8, 5)], same=True)
    assert found == [("main.a", Match.SAME, "main.a", 2, 5), ("main.a", Match.GONE, "main.a", 1, 0)]


def test_maps_of_another_type_are_not_the_same() -> None:
    found = compared([site("main.a")], [site("main.a", kind="map[string]bool")])
    assert {match for _, match, *_ in found} == {Match.APPEARED, Match.GONE}


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ("main.a.func1", "main.a.func2"),
        ("main.a.func1.2", "main.a.func3.1"),
        ("main.a.gowrap1", "main.a.gowrap2"),
        ("main.init.0", "main.init.1"),
        ("main.a-range1", "main.a-range2"),
        ("example.com/x.a", "example.com/x/v2.a"),
        ("example.com/x/v2/y.a", "example.com/x/v3/y.a"),
    ],
)
def test_renumbered_closures_are_matched(was: str, is_now: str) -> None:
    (found,) = compared([site(was, file="x.go")], [site(is_now, file="y.go")])
    assert found[:3] == (is_now, Match.RENUMBERED, was)


def test_closures_keep_their_order_when_they_are_renumbered() -> None:
    found = compared(
        [site("main.a.func1", 10, 1), site("main.a.func2", 20, 2)],
        [site("main.a.func3", 11, 3), site("main.a.func4", 21, 4)],
    )
    assert {(was, now) for now, _, was, *_ in found} == {
        ("main.a.func1", "main.a.func3"),
        ("main.a.func2", "main.a.func4"),
    }


def test_a_function_with_another_name_is_found_by_its_file() -> None:
    (found,) = compared([site("main.old")], [site("main.new")])
    assert found[:3] == ("main.new", Match.RENAMED, "main.old")


def test_of_several_nobody_guesses_which_was_renamed() -> None:
    found = compared([site("main.old")], [site("main.new"), site("main.other")])
    assert [match for _, match, *_ in found].count(Match.RENAMED) == 0


def test_nothing_is_renamed_within_one_build() -> None:
    found = compared([site("main.old")], [site("main.new")], same=True)
    assert {match for _, match, *_ in found} == {Match.APPEARED, Match.GONE}


def test_the_largest_change_comes_first() -> None:
    found = compared([site("main.a", 1, 10), site("main.b", 1, 0)], [site("main.a", 1, 0), site("main.b", 1, 4)])
    assert [function for function, *_ in found] == ["main.a", "main.b"]


def of_type(kind: str, live: int, retained: int = 0) -> dict[str, Any]:
    return {"type": kind, "maps": 1, "live_slots": live, "allocated_bytes": 100 * live, "retained_bytes": retained}


def test_live_growth_is_by_type_and_names_the_site_that_added_most() -> None:
    before = pa.Table.from_pylist([of_type(MAP, 10), of_type("map[string]bool", 5)])
    after = pa.Table.from_pylist([of_type(MAP, 30, 7), of_type("map[string]bool", 4), of_type("map[int]bool", 90)])
    rows = [site("main.a", 1) | {"live_slots": 25}, site("main.b", 2) | {"live_slots": 5}]
    charged = compare(table(), table(*rows), is_same_build=True)
    found = live_growth(before, after, charged).to_pylist()

    assert [(row["type"], row["function"]) for row in found] == [("map[int]bool", None), (MAP, "main.a")]
    assert (found[1]["before_live_bytes"], found[1]["after_live_bytes"]) == (1000, 2993)


def test_nothing_lives_more_than_nothing() -> None:
    nothing = pa.Table.from_pylist([], schema=pa.Table.from_pylist([of_type(MAP, 1)]).schema)

    assert len(live_growth(nothing, nothing, compare(table(), table(), is_same_build=True))) == 0
