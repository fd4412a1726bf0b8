"""Findings about maps: those made too large, empty ones, and entries that only grow."""

from __future__ import annotations

from mapprobe.analysis.heap.findings import Holder
from mapprobe.analysis.heap.map_types import Growth, MapType, Part
from mapprobe.analysis.heap.waterfall import Name
from mapprobe.recording.sites import CallSite
from support.verdicts import MIB, judged, map_type

ADD = CallSite("main.(*firewall).add", "/srv/main.go", 31, "main")
TUPLES, SETS, TABLE = "map[main.tuple]*main.flow", "map[string]main.empty", "map[main.packet]*main.connection"


def presized(is_sure: bool, bytes_: int = 24 * MIB) -> MapType:
    part = Part(2, bytes_, 16_384, 5, is_sure)
    return map_type(TUPLES, maps=2, live_slots=5, retained_bytes=bytes_, presized=part, grown_by=[(ADD, bytes_)])


def test_maps_made_too_large_are_to_be_made_smaller() -> None:
    (found,) = judged({Name.RETAINED: 24 * MIB}, types=[presized(is_sure=True)])

    assert (found.holder, found.bytes) == (Holder.PRESIZED, 24 * MIB)
    assert f"{TUPLES}, 2 maps with 16,384 buckets, held no more than 5 entries and never grew" in found.says
    assert "24.0 MiB of it (100 %) made by main.(*firewall).add main.go:31" in found.says
    assert found.advice[0].startswith("make it without a hint, or with a smaller one")
    assert not any("rebuild" in line for line in found.advice)


def test_what_only_looks_made_too_large_is_said_to() -> None:
    (found,) = judged({Name.RETAINED: 24 * MIB}, types=[presized(is_sure=False)])

    assert "in the recording, and their buckets show no trace of more" in found.says
    assert "clear" in found.advice[1]


def empty(count: int, bytes_: int, maps: int) -> MapType:
    return map_type(SETS, maps=maps, retained_bytes=bytes_, empty=Part(count, bytes_, count, 3 * count))


def test_many_empty_maps_are_to_be_dropped_not_rebuilt() -> None:
    sites = [(ADD, 200_000)]
    (found,) = judged({Name.RETAINED: 46 * MIB}, sites=sites, types=[empty(209_761, 46 * MIB, 209_761)])

    assert (found.holder, found.bytes) == (Holder.EMPTY, 46 * MIB)
    assert f"{SETS}, 209,761 maps, all empty, 46.0 MiB" in found.says
    assert "195.3 KiB of it (0.4 %) by main.(*firewall).add main.go:31" in found.says
    assert found.advice[0].startswith("drop each map when its last entry is deleted, also from the map that holds it")
    assert ADD.function not in " ".join(found.advice)


def test_causes_of_empty_buckets_are_named_apart() -> None:
    types = [presized(is_sure=True), empty(900, 14 * MIB, 1000), map_type("map[int]int", retained_bytes=20 * MIB)]
    found = judged({Name.RETAINED: 58 * MIB}, types=types)

    assert [(row.holder, row.bytes >> 20) for row in found] == [
        (Holder.PRESIZED, 24), (Holder.MAPS, 20), (Holder.EMPTY, 14),
    ]  # fmt: skip
    assert "900 of them empty" in found[2].says
    assert "20.0 MiB of it (100 %) in 1 map of type map[int]int" in found[1].says


def test_causes_too_small_to_be_named_are_retained_like_all_else() -> None:
    types = [presized(is_sure=True, bytes_=6 * MIB), empty(900, 5 * MIB, 1000)]
    (found,) = judged({Name.RETAINED: 11 * MIB}, types=types)

    assert (found.holder, found.bytes) == (Holder.MAPS, 11 * MIB)
    assert f"6.0 MiB of it (55 %) in 2 maps of type {TUPLES}" in found.says


def growing(live_mib: int, **more: object) -> MapType:
    growth = Growth(entries=6000, inserts=6010, deletes=0, seconds=6.0)
    about = {"elem": "*main.connection", "refers": True, "live_slots": 1_500_000, "inserted_by": [(ADD, 6010)]}
    return map_type(TABLE, live_bytes=live_mib * MIB, **(about | {"growth": growth} | more))


def test_entries_that_only_grow_are_a_leak_no_rebuild_helps() -> None:
    (found,) = judged({Name.LIVE: 40 * MIB, Name.OTHER: 55 * MIB}, types=[growing(40)])

    assert (found.holder, found.bytes, found.parts) == (Holder.GROWING, 40 * MIB, (Name.LIVE, Name.OTHER))
    assert "1,500,000 in 1 map, 6,000 more than 6.0 s before (1,000 a second), none deleted" in found.says
    assert "inserted by main.(*firewall).add main.go:31" in found.says
    assert "what they refer to (*main.connection) is the rest of the heap: 55.0 MiB" in found.says
    assert found.advice[0].startswith("no rebuild gives anything back")


def test_other_heap_beyond_what_entries_may_refer_to_is_named_too() -> None:
    found = judged({Name.LIVE: 20 * MIB, Name.OTHER: 60 * MIB}, types=[growing(20, live_slots=1000)])

    assert [row.holder for row in found] == [Holder.NOBODY, Holder.GROWING]


def test_a_small_map_that_only_grows_may_hold_the_other_heap() -> None:
    (found,) = judged({Name.LIVE: 2 * MIB, Name.OTHER: 90 * MIB}, types=[growing(2)])

    assert found.holder is Holder.NOBODY
    assert found.advice[0].startswith(f"what {TABLE} refers to is part of it, and its entries only grow: 1,500,000")


def test_live_entries_that_stay_are_in_use() -> None:
    (found,) = judged({Name.LIVE: 40 * MIB}, types=[growing(40, growth=None)])

    assert found.holder is Holder.NOBODY
    assert f"40.0 MiB of it 1,500,000 entries of {TABLE}" in found.says


def test_where_nobody_saw_the_inserts_the_site_that_grew_the_map_is_named() -> None:
    grown = growing(40, inserted_by=[], grown_by=[(ADD, 1)], growth=Growth(60, 0, 0, 6.0))
    (found,) = judged({Name.LIVE: 40 * MIB}, types=[grown])

    assert "60 more than 6.0 s before (10 a second), grown by main.(*firewall).add main.go:31" in found.says


def test_buckets_that_were_never_written_to_may_be_more_than_what_is_resident() -> None:
    (found,) = judged({Name.RETAINED: 240 * MIB, Name.UNTOUCHED: -230 * MIB}, types=[presized(True, 240 * MIB)])

    assert found.says.startswith("240.0 MiB, more than the 100.0 MiB that are resident, are buckets of maps made with")
    assert "230.0 MiB of the heap were never written to" in found.says
