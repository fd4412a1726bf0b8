"""What keeps a process's memory: as text for a terminal, and as the JSON document mapprobe.heap/1."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from mapprobe.analysis.heap.findings import Finding
from mapprobe.analysis.heap.lives import Collections
from mapprobe.analysis.heap.over_time import marks, over_time
from mapprobe.analysis.heap.waterfall import Name, Step, Waterfall
from mapprobe.analysis.timeline import Timeline
from mapprobe.report.sync_maps import tell_of
from mapprobe.report.table import console_for
from mapprobe.text import printable
from mapprobe.units import human_bytes
from mapprobe.vocabulary import NO_GOAL, NO_LIMIT, RETURN_REASONS, TRIGGERS, ReturnReason, Trigger

SCHEMA = "mapprobe.heap/1"
TOP_SITES = 10
SHOWN_SITES = 3


@dataclass(frozen=True, slots=True)
class HeapReport:
    """The data of a report of the heap.

    Attributes
    ----------
    recording
        The ``recording`` object of mapprobe.report/1.
    findings
        Who keeps the memory, the largest part first (`verdict.verdict`).
    started_ns
        Start of the recording [ns on the clock of the events].
    figures, samples
        The runtime's figures at the end, and `tables.heap.FIGURES`.
    lives
        `lives.lives`.
    line
        What maps held over time.
    """

    recording: dict[str, object]
    view: str
    started_ns: int
    fall: Waterfall
    findings: list[Finding]
    figures: dict[str, int]
    samples: pa.Table
    collections: Collections
    returns: pa.Table
    lives: pa.Table
    line: Timeline

    @property
    def verdict(self) -> Finding:
        """The finding for the largest part."""
        return self.findings[0]


def findings(report: HeapReport) -> list[dict[str, object]]:
    """Return the member ``findings`` of the document mapprobe.heap/1."""
    return [
        _finding(found) | {"share": found.bytes / report.fall.rss_bytes, "parts": [str(name) for name in found.parts]}
        for found in report.findings
    ]


def _finding(found: Finding) -> dict[str, object]:
    return {
        "holder": str(found.holder),
        "bytes": found.bytes,
        "says": found.says,
        "until": found.until or None,
        "advice": found.advice,
    }


def _part(step: Step) -> dict[str, object]:
    """Return one part of the document, with bounds (null: no bound) if the figure is not known."""
    least, most = bounds(step)
    found = {"name": str(step.name), "bytes": step.bytes, "exact": step.exact, "source": step.source}
    return found | ({} if least == most else {"at_least_bytes": least, "at_most_bytes": most})


def bounds(step: Step) -> tuple[int | None, int | None]:
    """Return the least and the most bytes of a part (None: no bound); both are equal if the figure is known."""
    return (
        None if step.less is None else step.bytes - step.less,
        None if step.more is None else step.bytes + step.more,
    )


def document(report: HeapReport) -> dict[str, object]:
    """Return the document mapprobe.heap/1."""
    fall = report.fall
    sites = [
        {"function": site.function, "file": site.file, "line": site.line, "package": site.package, "bytes": amount}
        for site, amount in fall.maps.sites[:TOP_SITES]
    ]
    none = {"memory_limit_bytes": NO_LIMIT, "goal_bytes": NO_GOAL, "last_goal_bytes": NO_GOAL}
    figures = {
        name: None if value == none.get(name) else value
        for name, value in report.figures.items()
        if name not in ("time_ns", "lost")
    }
    return {
        "schema": SCHEMA,
        "recording": report.recording | {"lost_heap_events": report.figures["lost"]},
        "view": report.view,
        "at_ns": fall.at_ns - report.started_ns,
        "rss_bytes": fall.rss_bytes,
        "parts": [_part(step) for step in fall.steps],
        "retained_by_site": sites,
        "verdict": _finding(report.verdict),
        "findings": findings(report),
        "figures": figures,
        "collections": _collections(report),
        "returned_bytes": _returned(report),
        "arrays": arrays(report),
        "timeline": over_time(report.samples, report.line, report.started_ns).to_pylist(),
        "marks": [
            {"time_ns": mark.time_ns, "kind": mark.kind, "says": mark.says}
            for mark in marks(report.samples, report.collections, report.returns, report.started_ns)
        ],
    }


def _collections(report: HeapReport) -> list[dict[str, object]]:
    rows = report.collections
    columns = (rows.number, rows.started_ns, rows.sweeps_ns, rows.trigger, rows.marked_bytes)
    return [
        {
            "number": number if number >= 0 else None,
            "started_ns": started - report.started_ns if started else None,
            "sweeps_ns": sweeps - report.started_ns,
            "why": TRIGGERS[Trigger(trigger)] if trigger in TRIGGERS else None,
            "marked_bytes": marked,
        }
        for number, started, sweeps, trigger, marked in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _returned(report: HeapReport) -> dict[str, int]:
    reason, size = (np.array(report.returns[name], np.int64) for name in ("reason", "bytes"))
    return {RETURN_REASONS[code]: int(size[reason == code].sum()) for code in ReturnReason if (reason == code).any()}


def arrays(report: HeapReport) -> dict[str, int]:
    """Return the numbers and bytes of bucket arrays: all that were followed, freed ones, and returned ones."""
    rows = report.lives.filter(pc.field("is_array"))
    freed = rows.filter(pc.is_valid(rows["freed_ns"]))
    returned = freed.filter(pc.is_valid(freed["returned_ns"]))

    def total(table: pa.Table, name: str) -> int:
        return int(pc.sum(table[name], min_count=0).as_py())

    return {
        "allocated": len(rows),
        "allocated_bytes": total(rows, "bytes"),
        "freed": len(freed),
        "freed_bytes": total(freed, "bytes"),
        "returned": len(returned),
        "returned_bytes": total(returned, "returned_bytes"),
    }


def write_json(report: HeapReport, out: TextIO) -> None:
    """Write the JSON document."""
    json.dump(document(report), out, indent=1)
    out.write("\n")


def write(report: HeapReport, out: TextIO) -> None:
    """Write the report as text: who keeps the memory, then the parts, then collections, returns and arrays."""
    with console_for(out) as console:
        for found in report.findings:
            console.print(printable(f"{found.holder}: {found.says}"), markup=False, style="bold")
            if found.until:
                console.print(printable(f"  until: {found.until}"), markup=False)
            for line in found.advice:
                console.print(printable(f"  do: {line}"), markup=False)
        console.print()
        console.print(_parts(report))
        console.print()
        for line in _happened(report):
            console.print(printable(line), markup=False)


def _parts(report: HeapReport) -> Table:
    fall = report.fall
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("part", no_wrap=True)
    table.add_column("from")
    for step in fall.steps:
        if not step.bytes and not step.more:
            continue
        source = f"{step.source}{_bound(step)}"
        table.add_row(human_bytes(step.bytes), f"{step.bytes / fall.rss_bytes:.1%}", str(step.name), source)
        if step.name is Name.RETAINED:
            for site, amount in fall.maps.sites[:SHOWN_SITES]:
                place = f"{site.function} {site.file.rpartition('/')[2]}:{site.line}".removesuffix(" :0")
                table.add_row("", "", Text(printable(f"  {human_bytes(amount)} {place}")), "")
    table.add_row(human_bytes(fall.rss_bytes), "100.0%", "resident memory of the process", "the system")
    return table


def _bound(step: Step) -> str:
    """Return the bounds of a part in words, or that the part is an estimate."""
    least, most = bounds(step)
    if least == most:
        return "" if step.exact else " (estimate)"
    said = []
    if least != step.bytes:
        said.append("no lower bound" if least is None else f"at least {human_bytes(least)}")
    if most != step.bytes:
        said.append("no upper bound" if most is None else f"at most {human_bytes(most)}")
    return f" ({', '.join(said)}: not known of all maps)"


def _happened(report: HeapReport) -> list[str]:
    lines = []
    numbers = report.collections.number
    last = f", the last one is number {numbers[-1]}" if len(numbers) and numbers[-1] >= 0 else ""
    lines.append(f"{len(numbers):,} collection{'' if len(numbers) == 1 else 's'}{last}")
    for why, amount in _returned(report).items():
        lines.append(f"{human_bytes(amount)} returned to the system by {why}")
    sums = arrays(report)
    if sums["allocated"]:
        freed = f"{sums['freed']:,} of them freed ({human_bytes(sums['freed_bytes'])})"
        lines.append(
            f"{sums['allocated']:,} bucket arrays followed ({human_bytes(sums['allocated_bytes'])}), {freed}, "
            f"{human_bytes(sums['returned_bytes'])} of those returned"
        )
    hidden: Any = report.recording.get("sync_maps")
    lines += tell_of(hidden)
    if report.figures["lost"]:
        lines.append(f"{report.figures['lost']:,} events of the heap were lost: lives and returns are not complete")
    return lines
