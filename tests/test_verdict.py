"""Who keeps the memory: the largest part that could be given back decides."""

from __future__ import annotations

import numpy as np
import pytest

from mapprobe.heaped import NO_GOAL, NO_LIMIT
from mapprobe.lives import Collections
from mapprobe.sites import NOT_RECORDED, CallSite
from mapprobe.verdict import SLACK, Holder, Verdict, scavenger_goal, verdict
from mapprobe.waterfall import Maps, Name, Step, Waterfall

MIB = 1 << 20
RSS = 100 * MIB
SITE = CallSite("shop.(*Cache).Login", "/srv/shop/cache.go", 65, "shop")
NO_COLLECTIONS = Collections(*(np.empty(0, np.int64) for _ in range(6)))
FIGURES = {
    "gc_percent": 100, "memory_limit_bytes": NO_LIMIT, "goal_bytes": 60 * MIB, "last_goal_bytes": 60 * MIB,
    "last_in_use_bytes": 50 * MIB, "heap_live_bytes": 40 * MIB, "heap_marked_bytes": 40 * MIB,
    "heap_in_use_bytes": 50 * MIB, "heap_free_bytes": 2 * MIB, "mapped_ready_bytes": 60 * MIB, "collections": 9,
}  # fmt: skip


def fall(parts: dict[Name, int], sites: list[tuple[CallSite, int]] | None = None) -> Waterfall:
    maps = Maps(parts.get(Name.LIVE, 0), parts.get(Name.RETAINED, 0), parts.get(Name.DROPPED, 0), 0, True, sites or [])
    steps = [Step(name, parts.get(name, 0), True) for name in Name]
    return Waterfall(0, RSS, steps, maps)


def judged(
    parts: dict[Name, int],
    figures: dict[str, int] | None = None,
    release: tuple[int, int] = (1, 27),
    sites: list[tuple[CallSite, int]] | None = None,
) -> Verdict:
    return verdict(fall(parts, sites), FIGURES | (figures or {}), NO_COLLECTIONS, release)


@pytest.mark.parametrize(
    ("part", "holder"),
    [
        (Name.RETAINED, Holder.MAPS),
        (Name.DROPPED, Holder.COLLECTOR),
        (Name.FREE, Holder.SCAVENGER),
        (Name.FOREIGN, Holder.FOREIGN),
        (Name.OTHER, Holder.NOBODY),
        (Name.LIVE, Holder.NOBODY),
        (Name.FILES, Holder.NOBODY),
    ],
)
def test_the_largest_part_decides(part: Name, holder: Holder) -> None:
    others = {Name.RETAINED: 6 * MIB, Name.DROPPED: 7 * MIB, Name.FREE: 8 * MIB, Name.FOREIGN: 9 * MIB}
    lone = {part: 60 * MIB}

    assert judged(lone).holder is holder
    if holder is not Holder.NOBODY:
        assert judged(others | lone).holder is holder
        assert judged(others | lone).bytes == 60 * MIB


@pytest.mark.parametrize("size", [0, 4 * MIB])
def test_what_is_too_small_to_matter_is_in_use(size: int) -> None:
    found = judged({Name.RETAINED: size, Name.OTHER: 90 * MIB, Name.UNTOUCHED: -20 * MIB})

    assert found.holder is Holder.NOBODY
    assert found.bytes == 70 * MIB  # what was never written to takes no memory


def test_advice_names_the_site_that_is_known() -> None:
    sites = [(NOT_RECORDED, 30 * MIB), (SITE, 20 * MIB)]
    found = judged({Name.RETAINED: 50 * MIB}, sites=sites)
    assert "20.0 MiB of them by shop.(*Cache).Login cache.go:65" in found.says
    assert found.advice[0].startswith("rebuild the map of shop.(*Cache).Login cache.go:65")

    unknown = judged({Name.RETAINED: 50 * MIB}, sites=sites[:1])
    assert "not recorded" not in f"{unknown.says}{unknown.advice}"


@pytest.mark.parametrize(
    ("figures", "until"),
    [
        ({}, "one runs as the heap grows from 40.0 MiB to 60.0 MiB, or 120 s after the last"),
        ({"gc_percent": -1}, "GOGC is off and there is no memory limit: none runs by itself"),
        (
            {"gc_percent": -1, "memory_limit_bytes": 80 * MIB},
            "GOGC is off: one runs as 60.0 MiB near the memory limit of 80.0 MiB",
        ),
    ],
)
def test_when_the_collector_runs_next(figures: dict[str, int], until: str) -> None:
    assert judged({Name.DROPPED: 30 * MIB}, figures).until == until


def test_with_gogc_off_all_that_was_allocated_since_may_be_garbage() -> None:
    since = {"heap_live_bytes": 70 * MIB, "heap_marked_bytes": 0, "collections": 0, "gc_percent": -1}
    found = judged({Name.OTHER: 70 * MIB}, since)

    assert (found.holder, found.bytes) == (Holder.COLLECTOR, 70 * MIB)
    assert found.says.endswith("only the next one tells; none has run yet")
    assert judged({Name.OTHER: 70 * MIB}, since | {"gc_percent": 100}).holder is Holder.NOBODY
    # maps that live are no garbage
    assert judged({Name.LIVE: 70 * MIB}, since).holder is Holder.NOBODY


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"heap_free_bytes": 3 * MIB}, "no more than its goal of 55.0 MiB"),
        ({"heap_free_bytes": 30 * MIB}, "it returns up to 25.0 MiB in the background, down to its goal of 55.0 MiB"),
        ({"collections": 1}, "it does nothing before the second collection"),
        ({"memory_limit_bytes": 50 * MIB}, "it returns what is above 47.5 MiB, 95 % of the memory limit"),
    ],
)
def test_until_when_the_scavenger_keeps_it(figures: dict[str, int], says: str) -> None:
    assert says in judged({Name.FREE: 30 * MIB}, figures).until


def test_up_to_go_1_21_it_does_nothing_for_the_limit() -> None:
    assert "goal of 55.0 MiB" in judged({Name.FREE: 30 * MIB}, {"memory_limit_bytes": 62 * MIB}, (1, 21)).until
    assert "95 % of the memory limit" in judged({Name.FREE: 30 * MIB}, {"memory_limit_bytes": 62 * MIB}, (1, 22)).until
    advice = [judged({Name.FREE: 30 * MIB}, release=release).advice[1] for release in ((1, 21), (1, 22))]
    assert ["95 %" in text for text in advice] == [False, True]


def test_since_go_1_21_it_waits_for_another_collection() -> None:
    over = {"heap_free_bytes": 30 * MIB}
    waits = "what the last collection freed after the next one, 120 s later at most"

    assert waits in judged({Name.FREE: 30 * MIB}, over, (1, 21)).until
    assert waits not in judged({Name.FREE: 30 * MIB}, over, (1, 19)).until


def test_the_scavenger_s_goal_follows_the_heap_s() -> None:
    assert scavenger_goal(FIGURES) == 50 * MIB * SLACK
    assert scavenger_goal(FIGURES | {"goal_bytes": 120 * MIB}) == 100 * MIB * SLACK
    limited = FIGURES | {"goal_bytes": NO_GOAL, "memory_limit_bytes": 30 * MIB}
    assert scavenger_goal(limited) == 25 * MIB * SLACK
