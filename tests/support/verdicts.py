"""Verdicts on a process of 100 MiB with given parts, and types of maps for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapprobe.analysis.heap.findings import Finding, Heap
from mapprobe.analysis.heap.lives import Collections
from mapprobe.analysis.heap.map_types import MapType, Part
from mapprobe.analysis.heap.verdict import verdict
from mapprobe.analysis.heap.waterfall import Maps, Name, Step, Waterfall
from mapprobe.recording.sites import CallSite
from mapprobe.vocabulary import NO_LIMIT

MIB = 1 << 20
RSS = 100 * MIB
NO_COLLECTIONS = Collections(*(np.empty(0, np.int64) for _ in range(6)))
FIGURES = {
    "gc_percent": 100, "memory_limit_bytes": NO_LIMIT, "goal_bytes": 60 * MIB, "last_goal_bytes": 60 * MIB,
    "last_in_use_bytes": 50 * MIB, "heap_live_bytes": 40 * MIB, "heap_marked_bytes": 40 * MIB,
    "heap_in_use_bytes": 50 * MIB, "heap_free_bytes": 2 * MIB, "mapped_ready_bytes": 60 * MIB, "collections": 9,
}  # fmt: skip


def map_type(name: str, **more: Any) -> MapType:
    """Return a type with one map, in which nothing is but what is given."""
    blank = {
        "elem": "", "refers": False, "maps": 1, "live_slots": 0, "live_bytes": 0, "retained_bytes": 0,
        "presized": Part(), "empty": Part(), "growth": None, "retained_by": [], "grown_by": [], "inserted_by": [],
    }  # fmt: skip
    return MapType(**(blank | {"name": name} | more))


def fall(
    parts: dict[Name, int], sites: list[tuple[CallSite, int]] | None = None, types: list[MapType] | None = None
) -> Waterfall:
    """Return a waterfall with these parts, whether they add up or not."""
    amounts = (parts.get(name, 0) for name in (Name.LIVE, Name.RETAINED, Name.DROPPED))
    maps = Maps(*amounts, 0, True, sites or [], types or [])
    return Waterfall(0, RSS, [Step(name, parts.get(name, 0), True) for name in Name], maps)


def judged(
    parts: dict[Name, int],
    figures: dict[str, int] | None = None,
    release: tuple[int, int] = (1, 27),
    sites: list[tuple[CallSite, int]] | None = None,
    types: list[MapType] | None = None,
) -> list[Finding]:
    """Return what is found of a process with these parts."""
    return verdict(Heap(fall(parts, sites, types), FIGURES | (figures or {}), NO_COLLECTIONS, release))
