"""Findings about the collector and the scavenger: how long they keep memory, and which settings change that."""

from __future__ import annotations

import pytest

from mapprobe.analysis.heap.findings import SLACK, scavenger_goal
from mapprobe.analysis.heap.waterfall import Name
from mapprobe.vocabulary import NO_GOAL
from support.verdicts import FIGURES, MIB, judged


@pytest.mark.parametrize(
    ("figures", "until"),
    [
        ({}, "a collection runs when the heap has grown from 40.0 MiB to 60.0 MiB, or 120 s after the last one"),
        ({"gc_percent": -1}, "GOGC is off and there is no memory limit: no collection runs by itself"),
        (
            {"gc_percent": -1, "memory_limit_bytes": 80 * MIB},
            "GOGC is off: a collection runs when mapped memory, 60.0 MiB, nears the memory limit of 80.0 MiB",
        ),
    ],
)
def test_when_the_collector_runs_next(figures: dict[str, int], until: str) -> None:
    assert judged({Name.DROPPED: 30 * MIB}, figures)[0].until == until


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"heap_free_bytes": 3 * MIB}, "no more than its goal of 55.0 MiB"),
        ({"heap_free_bytes": 30 * MIB}, "it returns up to 25.0 MiB in the background, down to its goal of 55.0 MiB"),
        ({"collections": 1}, "it does nothing before the second collection"),
        ({"memory_limit_bytes": 50 * MIB}, "it returns memory above 47.5 MiB, 95 % of the memory limit"),
    ],
)
def test_until_when_the_scavenger_keeps_it(figures: dict[str, int], says: str) -> None:
    assert says in judged({Name.FREE: 30 * MIB}, figures)[0].until


def test_up_to_go_1_21_it_does_nothing_for_the_limit() -> None:
    free, limit = {Name.FREE: 30 * MIB}, {"memory_limit_bytes": 62 * MIB}
    assert "goal of 55.0 MiB" in judged(free, limit, (1, 21))[0].until
    assert "95 % of the memory limit" in judged(free, limit, (1, 22))[0].until
    advice = [judged(free, release=release)[0].advice[1] for release in ((1, 21), (1, 22))]
    assert ["95 %" in text for text in advice] == [False, True]


def test_since_go_1_21_it_waits_for_another_collection() -> None:
    over = {"heap_free_bytes": 30 * MIB}
    waits = "it returns memory that the last collection freed only after the next one, at most 120 s later"

    assert waits in judged({Name.FREE: 30 * MIB}, over, (1, 21))[0].until
    assert waits not in judged({Name.FREE: 30 * MIB}, over, (1, 19))[0].until


def test_the_scavenger_s_goal_follows_the_heap_s() -> None:
    assert scavenger_goal(FIGURES) == 50 * MIB * SLACK
    assert scavenger_goal(FIGURES | {"goal_bytes": 120 * MIB}) == 100 * MIB * SLACK
    limited = FIGURES | {"goal_bytes": NO_GOAL, "memory_limit_bytes": 30 * MIB}
    assert scavenger_goal(limited) == 25 * MIB * SLACK
