"""The parts of a process's memory over time, with marks for collections, forced returns and changed limits.

The parts have one row for each sample of the runtime's figures, and at most
`ROWS` rows. What maps held is taken from the last point of the timeline before
the sample. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mapprobe.analysis.heap.lives import Collections
from mapprobe.analysis.timeline import Timeline
from mapprobe.replay.stepping import MEASURES
from mapprobe.units import human_bytes
from mapprobe.vocabulary import NO_GOAL, NO_LIMIT, TRIGGERS, ReturnReason, Trigger

ROWS = 600
RETAINED, ALLOCATED = MEASURES.index("retained_bytes"), MEASURES.index("allocated_bytes")
FORCED_APART_NS = 200_000_000
"""Forced returns less than these nanoseconds apart count as one call."""
PARTS = ("live_bytes", "retained_bytes", "other_heap_bytes", "free_bytes", "rest_bytes")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment [ns since the start of the recording]."""

    time_ns: int
    kind: str
    says: str


def over_time(figures: pa.Table, line: Timeline, started_ns: int) -> pa.Table:
    """Return `PARTS`, ``rss_bytes``, ``goal_bytes`` and ``memory_limit_bytes`` (null: none) at each sample.

    ``rest_bytes`` is memory outside the heap, less heap that was never written to. The parts sum to ``rss_bytes``. A
    dropped map counts as a map until its last event; after that it is other heap until a collection frees it.

    Parameters
    ----------
    figures
        `tables.heap.FIGURES`.
    line
        What maps held over time.
    """
    rows = np.unique(np.linspace(0, len(figures) - 1, min(ROWS, len(figures))).astype(np.int64))
    part = figures.take(pa.array(rows))
    column = {name: np.array(part[name], np.int64) for name in part.column_names}
    at_ns = column["time_ns"] - started_ns
    point = np.searchsorted(line.at_ns, at_ns, "right") - 1
    held = np.where((point >= 0)[:, None], line.total[:, [ALLOCATED, RETAINED]][np.maximum(point, 0)], 0)
    in_use, free, rss = (column[name] for name in ("heap_in_use_bytes", "heap_free_bytes", "rss_bytes"))
    limit, goal = column["memory_limit_bytes"], np.array(part["goal_bytes"], np.uint64)
    return pa.table(
        {
            "time_ns": at_ns,
            "live_bytes": held[:, 0] - held[:, 1],
            "retained_bytes": held[:, 1],
            "other_heap_bytes": in_use - held[:, 0],
            "free_bytes": free,
            "rest_bytes": rss - in_use - free,
            "rss_bytes": rss,
            "goal_bytes": pa.array(goal.astype(np.int64), mask=goal == NO_GOAL),
            "memory_limit_bytes": pa.array(limit, mask=limit == NO_LIMIT),
        }
    )


def marks(figures: pa.Table, collections: Collections, returns: pa.Table, started_ns: int) -> list[Mark]:
    """Return collections, forced returns and changes of GOGC and of the memory limit, in order of time."""
    found = [
        Mark(int(when) - started_ns, "collection", f"collection {number}: {_why(trigger)}")
        for when, number, trigger in zip(collections.sweeps_ns, collections.number, collections.trigger, strict=True)
    ]
    found += _forced(returns, started_ns)
    when = np.array(figures["time_ns"], np.int64) - started_ns
    for name, kind in (("memory_limit_bytes", "memory limit"), ("gc_percent", "GOGC")):
        values = np.array(figures[name], np.int64)
        for row in (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist():
            was, now = (_setting(name, int(value)) for value in values[row - 1 : row + 1])
            found.append(Mark(int(when[row]), kind, f"{kind}: {was} before, {now} from here on"))
    return sorted(found, key=lambda mark: mark.time_ns)


def _setting(name: str, value: int) -> str:
    if name == "gc_percent":
        return "off" if value < 0 else str(value)
    return "none" if value == NO_LIMIT else human_bytes(value)


def _why(trigger: int) -> str:
    return TRIGGERS[Trigger(trigger)] if trigger in TRIGGERS else "it began before the recording"


def _forced(returns: pa.Table, started_ns: int) -> list[Mark]:
    is_forced = np.array(returns["reason"]) == ReturnReason.FORCED
    when = np.array(returns["time_ns"], np.int64)[is_forced]
    size = np.array(returns["bytes"], np.int64)[is_forced]
    order = np.argsort(when, kind="stable")
    when, size = when[order], size[order]
    if not len(when):
        return []
    starts = np.flatnonzero(np.append(True, np.diff(when) > FORCED_APART_NS))
    sums = np.add.reduceat(size, starts)
    return [
        Mark(int(when[start]) - started_ns, "forced return", f"debug.FreeOSMemory: {human_bytes(total)} returned")
        for start, total in zip(starts.tolist(), sums.tolist(), strict=True)
    ]
