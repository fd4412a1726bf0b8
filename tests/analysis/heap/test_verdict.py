"""The verdict names every part over a tenth of the memory, the largest first, each with what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mapprobe.analysis.heap.findings import Heap, Holder
from mapprobe.analysis.heap.verdict import ROUNDING_BYTES, ROUNDING_SHARE, SHARE, UNEXPLAINED_SHARE, verdict
from mapprobe.analysis.heap.waterfall import Name, Unsure
from mapprobe.recording.sites import NOT_RECORDED, CallSite
from mapprobe.vocabulary import NO_GOAL
from support.verdicts import FIGURES, MIB, NO_COLLECTIONS, RSS, fall, judged, map_type

PARTS = {
    Name.RETAINED: Holder.MAPS,
    Name.DROPPED: Holder.COLLECTOR,
    Name.FREE: Holder.SCAVENGER,
    Name.RETURNED: Holder.RETURNED,
    Name.STACKS: Holder.STACKS,
    Name.RUNTIME: Holder.RUNTIME,
    Name.FOREIGN: Holder.FOREIGN,
    Name.FILES: Holder.FILES,
    Name.OTHER: Holder.NOBODY,
    Name.LIVE: Holder.NOBODY,
}


@pytest.mark.parametrize("part", PARTS)
def test_the_largest_part_comes_first(part: Name) -> None:
    lone = {part: 60 * MIB}
    others = {Name.RETAINED: 12 * MIB, Name.FREE: 11 * MIB, Name.FILES: 9 * MIB}

    (found,) = judged(lone)
    assert (found.holder, found.bytes, found.parts) == (PARTS[part], 60 * MIB, (part,))
    assert judged(others | lone)[0].holder is PARTS[part]


def test_every_part_over_a_tenth_is_named_and_no_other() -> None:
    found = judged({Name.RETAINED: 12 * MIB, Name.FREE: 30 * MIB, Name.OTHER: 20 * MIB, Name.STACKS: 9 * MIB})

    assert [finding.holder for finding in found] == [Holder.SCAVENGER, Holder.NOBODY, Holder.MAPS]
    assert [finding.bytes for finding in found] == [30 * MIB, 20 * MIB, 12 * MIB]


@pytest.mark.parametrize("part", PARTS)
def test_every_finding_says_what_to_do(part: Name) -> None:
    (found,) = judged({part: 60 * MIB})

    assert found.says.startswith("60.0 MiB of 100.0 MiB")
    assert found.advice


def test_where_no_part_is_large_it_is_in_use() -> None:
    sizes = {name: int(SHARE * RSS) - 1 for name in (Name.RETAINED, Name.FREE, Name.FILES)}

    assert [finding.holder for finding in judged(sizes | {Name.OTHER: 2 * MIB})] == [Holder.NOBODY]


def test_what_was_never_written_to_takes_no_memory() -> None:
    (found,) = judged({Name.OTHER: 90 * MIB, Name.UNTOUCHED: -20 * MIB})

    assert (found.holder, found.bytes) == (Holder.NOBODY, 70 * MIB)


def test_with_gogc_off_all_that_was_allocated_since_may_be_garbage() -> None:
    since = {"heap_live_bytes": 70 * MIB, "heap_marked_bytes": 0, "collections": 0, "gc_percent": -1}
    (found,) = judged({Name.OTHER: 70 * MIB}, since)

    assert (found.holder, found.bytes) == (Holder.COLLECTOR, 70 * MIB)
    assert found.says.endswith("only the next one tells how much of it is garbage; no collection has run yet")
    assert judged({Name.OTHER: 70 * MIB}, since | {"gc_percent": 100})[0].holder is Holder.NOBODY
    # maps that live are no garbage
    assert judged({Name.LIVE: 70 * MIB}, since)[0].holder is Holder.NOBODY


def test_returned_memory_that_is_still_resident_is_no_fault() -> None:
    (found,) = judged({Name.RETURNED: 95 * MIB})

    assert "MADV_FREE" in found.says
    assert found.advice[0].startswith("nothing is wrong")
    assert "GODEBUG=madvdontneed=1" in found.advice[1]


@pytest.mark.parametrize("name", [name for name in Name if name not in (Name.UNTOUCHED, Name.UNEXPLAINED)])
def test_a_part_below_zero_is_a_contradiction_and_no_verdict(name: Name) -> None:
    (found,) = judged({name: -6 * MIB, Name.UNTOUCHED: -30 * MIB} | ({} if name is Name.FREE else {Name.FREE: RSS}))

    assert (found.holder, found.bytes, found.parts) == (Holder.CONTRADICTION, 6 * MIB, (name,))
    assert f"{name} would be -6.0 MiB (-6.0 %)" in found.says


@pytest.mark.parametrize("sign", [1, -1])
def test_parts_that_do_not_add_up_are_a_contradiction(sign: int) -> None:
    (found,) = judged({Name.UNEXPLAINED: sign * 4 * MIB, Name.OTHER: 90 * MIB})

    assert found.holder is Holder.CONTRADICTION
    assert f"{sign * 4:.1f} MiB ({sign * 4:.1f} %) are unexplained" in found.says


def test_rounding_is_no_contradiction() -> None:
    parts = {Name.OTHER: int(-ROUNDING_SHARE * RSS), Name.UNEXPLAINED: int(UNEXPLAINED_SHARE * RSS)}
    assert judged(parts | {Name.FREE: RSS})[0].holder is Holder.SCAVENGER

    small = replace(fall({Name.OTHER: -ROUNDING_BYTES, Name.FREE: MIB}), rss_bytes=MIB)
    assert verdict(Heap(small, FIGURES, NO_COLLECTIONS, (1, 27)))[0].holder is Holder.SCAVENGER


SITE = CallSite("shop.(*Cache).Login", "/srv/shop/cache.go", 65, "shop")
BEFORE = CallSite("before the recording, map[int]int grown at shop.fill", "/srv/shop/fill.go", 7, "shop")


def test_a_site_that_holds_the_larger_part_is_what_to_rebuild() -> None:
    (found,) = judged({Name.RETAINED: 50 * MIB}, sites=[(SITE, 40 * MIB), (NOT_RECORDED, 10 * MIB)])

    assert "40.0 MiB of it (80 %) by shop.(*Cache).Login cache.go:65" in found.says
    assert found.advice[0].startswith("rebuild the map of shop.(*Cache).Login cache.go:65")


@pytest.mark.parametrize("nobody", [NOT_RECORDED, BEFORE])
def test_a_site_with_a_small_share_is_not_what_to_rebuild(nobody: CallSite) -> None:
    sites = [(nobody, 50 * MIB - 200_000), (SITE, 200_000)]
    (found,) = judged({Name.RETAINED: 50 * MIB}, sites=sites, types=[map_type("map[int]int", retained_bytes=50 * MIB)])

    assert "195.3 KiB of it (0.4 %) by shop.(*Cache).Login cache.go:65" in found.says
    assert "50.0 MiB of it (100 %) in 1 map of type map[int]int" in found.says
    assert found.advice[0].startswith("rebuild the map of type map[int]int")


def test_where_nobody_saw_it_filled_the_site_that_grew_it_is_named() -> None:
    grown = map_type("map[int]int", retained_bytes=50 * MIB, grown_by=[(SITE, 50 * MIB)])
    (found,) = judged({Name.RETAINED: 50 * MIB}, sites=[(NOT_RECORDED, 50 * MIB)], types=[grown])

    assert "50.0 MiB of it (100 %) grown by shop.(*Cache).Login cache.go:65" in found.says
    assert found.advice[0].startswith("rebuild the map of shop.(*Cache).Login cache.go:65")


def test_without_a_type_or_a_site_the_command_that_names_them_is() -> None:
    (found,) = judged({Name.RETAINED: 50 * MIB}, sites=[(NOT_RECORDED, 50 * MIB)])

    assert "not recorded" not in f"{found.says}{found.advice}"
    assert "mapprobe report --by map" in found.advice[0]


def test_the_goal_is_not_a_number_while_gogc_is_off() -> None:
    figures = {"goal_bytes": NO_GOAL, "gc_percent": -1}
    assert "no collection runs by itself" in judged({Name.DROPPED: 30 * MIB}, figures)[0].until


@pytest.mark.parametrize(
    ("unsure", "says"),
    [
        (Unsure(retained=None), "how much of it maps retain is not known: nobody knows how much"),
        (Unsure(more=None), "how much of it maps retain is not known: nobody knows how much"),
        (Unsure(retained=30 * MIB, more=10 * MIB), "how much of it maps retain is not known: at most 40.0 MiB"),
        (Unsure(retained=MIB), "little could be given back"),
    ],
)
def test_what_is_in_use_says_what_is_not_known_of_maps(unsure: Unsure, says: str) -> None:
    in_use = fall({Name.OTHER: 90 * MIB})
    heap = Heap(replace(in_use, maps=replace(in_use.maps, unsure=unsure)), FIGURES, NO_COLLECTIONS, (1, 27))
    (found,) = verdict(heap)

    assert found.says.endswith(says)
    assert found.advice[0].startswith("a census reads") == ("not known" in says)
