"""Comparing a report with a census of a stopped process: tables made by hand."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa

import mapprobe
from servers import still
from servers.still import Held

ROW = {
    "map": "0xc000010000",
    "generation": 1,
    "type": "map[int]int",
    "state": "alive",
    "exact": True,
    "retained_bytes": 100,
    "allocated_bytes": 5000,
    "live_slots": 3,
    "buckets": 9,
}


class Source:
    """What is asked of a recording."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        names = {name for row in rows for name in row} | ROW.keys()
        self._rows = [dict.fromkeys(names) | ROW | row for row in rows]

    def maps(self, frame: str) -> pa.Table:
        assert frame == "arrow"
        return pa.Table.from_pylist(self._rows)


def hold(recording: Source, census: Source) -> Held:
    return still.hold(cast(mapprobe.Recording, recording), cast(mapprobe.Recording, census))


def test_a_report_that_is_as_the_process_is_true() -> None:
    held = hold(Source({}), Source({}))

    assert (held.equal, held.different, held.wrong) == (1, 0, [])


def test_a_map_that_holds_something_else_is_different() -> None:
    held = hold(Source({"live_slots": 4}), Source({}))

    assert held.different == 1
    assert held.wrong[-1] == "0xc000010000 map[int]int, generation 1, exact: 4 live_slots, not 3"


def test_a_map_within_its_bounds_is_not_different() -> None:
    held = hold(Source({"live_slots": 2, "least_live_slots": 2, "most_live_slots": 3}), Source({}))

    assert (held.bounded, held.different) == (1, 0)


def test_a_map_outside_its_bounds_is_different() -> None:
    held = hold(Source({"live_slots": 1, "least_live_slots": 1, "most_live_slots": 2}), Source({}))

    assert held.different == 1


def test_a_map_that_only_the_report_has_is_too_much() -> None:
    held = hold(Source({}, {"map": "0xc000020000"}), Source({}))

    assert held.only_reported == 1
    assert held.wrong[0] == "maps: 2, the still process has 1"


def test_a_dead_map_and_one_without_buckets_are_no_part_of_it() -> None:
    gone = Source({}, {"map": "0xc000020000", "state": "dead"}, {"map": "0xc000030000", "allocated_bytes": 0})

    assert hold(gone, Source({})).wrong == []


def test_a_map_that_the_report_leaves_out_is_named_with_what_it_is_taken_for() -> None:
    held = hold(Source({"state": "dead"}), Source({}))

    assert held.only_counted == 1
    assert held.examples == ["only in the census: 0xc000010000 map[int]int, generation 1, exact; in the report dead"]


def test_what_is_unknown_may_take_a_thousandth_of_what_is_known() -> None:
    unknown = {"map": "0xc000020000", "state": "unknown", "allocated_bytes": 0}

    assert hold(Source({}, unknown | {"most_allocated_bytes": 5}), Source({})).wrong == []
    assert hold(Source({}, unknown | {"most_allocated_bytes": 6}), Source({})).wrong == [
        "1 maps are unknown, 6 B at most"
    ]
