"""The heap of a recording made by hand, as the document mapprobe.heap/1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mapprobe.analysis.heap.findings import Heap
from mapprobe.analysis.heap.lives import LIVES, collections_of
from mapprobe.analysis.heap.verdict import verdict
from mapprobe.analysis.heap.waterfall import Maps, waterfall
from mapprobe.analysis.overview import Overview
from mapprobe.recording.sites import CallSite
from mapprobe.recording.tables.heap import CYCLES, FIGURES, RESIDENCE, RETURNS
from mapprobe.report.heap import HeapReport, document
from mapprobe.vocabulary import NO_LIMIT, CyclePhase, Part, ReturnReason, Trigger
from support.recordings import table_of

MIB = 1 << 20
RESERVED, FREE = 40 * MIB, 2 * MIB
LIVE, RETAINED, DROPPED, OTHER = 2 * MIB, 12 * MIB, MIB, 50 * MIB
IN_USE = LIVE + RETAINED + DROPPED + OTHER
OWN, FOREIGN, FILES = MIB, 3 * MIB, 2 * MIB
RSS = IN_USE - RESERVED + FREE + OWN + FOREIGN + FILES
LIMIT = 100 * MIB
PAGES = {
    Part.LARGE: (IN_USE, IN_USE - RESERVED),
    Part.FREE: (FREE, FREE),
    Part.ANONYMOUS: (OWN + FOREIGN, OWN + FOREIGN),
    Part.FILES: (FILES, FILES),
    Part.PROCESS: (RSS, RSS),
}
HALF = RETAINED // 2


def figures_of(end_ns: int, samples: int) -> pa.Table:
    """Return samples up to the end; in the middle of them GOGC is turned off, and there is a limit."""
    common = {
        "heap_in_use_bytes": IN_USE, "heap_free_bytes": FREE, "mapped_ready_bytes": IN_USE + FREE + OWN,
        "rss_bytes": RSS,
    }  # fmt: skip
    first = common | {"gc_percent": 100, "memory_limit_bytes": NO_LIMIT, "goal_bytes": 80 * MIB}
    then = common | {"gc_percent": -1, "memory_limit_bytes": LIMIT, "goal_bytes": (1 << 64) - 1}
    when = np.linspace(0, end_ns, samples).astype(int).tolist()
    return table_of(FIGURES, [{"time_ns": ns} | (first if 2 * n < samples else then) for n, ns in enumerate(when)])


def residence_of(time_ns: int, at_end: bool = True) -> pa.Table:
    """Return what each part of the memory takes."""
    common = {"at_end": at_end, "time_ns": time_ns}
    sizes = {part: PAGES.get(part, (0, 0)) for part in Part}
    rows = [{"part": str(part), "bytes": size, "resident_bytes": there} for part, (size, there) in sizes.items()]
    return table_of(RESIDENCE, [common | row for row in rows])


def heap_of(
    overview: Overview, function: str = "main.site1", collections: int = 3, samples: int = 9, dropped: int = DROPPED
) -> dict[str, Any]:
    """Return a document in which maps hold most of what could be given back, by two call sites, half of it by one."""
    end_ns = int(overview.timeline.at_ns[-1])
    cycles = [
        {"time_ns": n * end_ns // (collections + 1), "phase": phase, "value": Trigger.ASKED}
        for n in range(1, collections + 1)
        for phase in (CyclePhase.STARTED, CyclePhase.SWEEPS)
    ]
    figures = figures_of(end_ns, samples)
    found = collections_of(table_of(CYCLES, cycles), figures)
    given = {"time_ns": end_ns * 3 // 4, "bytes": 5 * MIB, "reason": ReturnReason.FORCED}
    named = [CallSite(name, "/srv/shop.go", 7, "main") for name in (function, "main.site2")]
    sites = [(named[0], HALF), (named[1], HALF - MIB)]
    maps = Maps(LIVE, RETAINED, dropped, 0, True, sites)
    fall = waterfall(maps, figures.to_pylist()[-1], residence_of(end_ns))
    report = HeapReport(
        recording=overview.recording,
        view=overview.view,
        started_ns=0,
        fall=fall,
        findings=verdict(Heap(fall, figures.to_pylist()[-1] | {"gc_percent": 100}, found, (1, 23))),
        figures=figures.to_pylist()[-1],
        samples=figures,
        collections=found,
        returns=table_of(RETURNS, [given]),
        lives=pa.schema(list(LIVES.items())).empty_table(),
        line=overview.timeline,
    )
    return document(report)
