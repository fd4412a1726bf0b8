"""The retention report for a terminal, as CSV, as Parquet, and as the JSON document mapprobe.report/1."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import BinaryIO, TextIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mapprobe import schema
from mapprobe.retention import KEYS

SCHEMA = "mapprobe.report/1"
BAR_WIDTH = 12
WIDTH_OF_PIPE = 160
NARROW = 100
ROUNDS_TO_NEXT = 1023.95
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
VIEW_SAYS = {"growth": "who allocated it", "fill": "who filled it", "drain": "who emptied it"}


@dataclass(frozen=True, slots=True)
class Report:
    """What a report shows.

    Attributes
    ----------
    recording
        The ``recording`` object of the JSON document.
    rows
        Keys of the grouping and measures, the most retained bytes first.
    inexact
        How many maps are not exact, by reason.
    bounds
        Least and most of each operation that may have been lost (`retention.bounds`).
    estimated
        Maps that hold here what they held earlier, and how much of the totals that is (`retention.estimated`).
    """

    recording: dict[str, object]
    by: str
    view: str
    totals: dict[str, int]
    rows: pa.Table
    inexact: dict[str, int]
    bounds: dict[str, tuple[int, int | None]]
    estimated: dict[str, int]


def human_bytes(count: int) -> str:
    """Return a number of bytes with a binary unit: 1.5 MiB."""
    size = float(count)
    for unit in UNITS:
        if abs(size) < ROUNDS_TO_NEXT or unit == UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def document(report: Report) -> dict[str, object]:
    """Return the document mapprobe.report/1; with ``bounds`` and ``estimated`` where there are any."""
    names = [*KEYS[report.by], *schema.MEASURES]
    unsure: dict[str, object] = {}
    if report.bounds:
        unsure["bounds"] = {name: list(ends) for name, ends in report.bounds.items()}
    if report.estimated["maps"]:
        unsure["estimated"] = report.estimated
    return {
        "schema": SCHEMA,
        "recording": report.recording,
        "by": report.by,
        "view": report.view,
        "totals": {name: report.totals[name] for name in schema.MEASURES},
        "rows": report.rows.select(names).to_pylist(),
        **unsure,
    }


def write_json(report: Report, out: TextIO) -> None:
    """Write the JSON document."""
    json.dump(document(report), out, indent=1)
    out.write("\n")


def write_csv(report: Report, out: BinaryIO) -> None:
    """Write all rows as CSV; stacks as functions with ``;`` between them, innermost first."""
    pyarrow.csv.write_csv(_flat(report), out)


def write_parquet(report: Report, out: BinaryIO) -> None:
    """Write all rows as Parquet."""
    pyarrow.parquet.write_table(report.rows, out)


def write(report: Report, out: TextIO, top: int | None = None) -> None:
    """Write the report for a reader: what it comes to in a sentence, then the rows, the rest as one."""
    console = console_for(out)
    for line in headline(report):
        console.print(line, markup=False)
    console.print(_table(report, top, narrow=console.width < NARROW))
    for line in footnotes(report):
        console.print(line, markup=False)


def console_for(out: TextIO) -> Console:
    """Return what tables are written to: as wide as the terminal, or as a pipe is taken to be."""
    return Console(file=out, width=None if out.isatty() else WIDTH_OF_PIPE, highlight=False, soft_wrap=False)


def headline(report: Report) -> list[str]:
    """Return the sentences above the table."""
    sums, recording = report.totals, report.recording
    share = 100 * sums["retained_bytes"] / sums["allocated_bytes"] if sums["allocated_bytes"] else 0.0
    return [
        f"{recording['binary']} ({recording['go_version']}, {recording['implementation']} maps): "
        f"{recording['events']:,} events, {recording['lost_events']:,} lost",
        f"{sums['maps']:,} maps hold {human_bytes(sums['allocated_bytes'])} of buckets for {sums['live_slots']:,} "
        f"entries; {human_bytes(sums['retained_bytes'])} of it ({share:.0f} %) would come back if they were rebuilt. "
        f"{sums['retained_buckets']:,} of {sums['buckets']:,} buckets hold nothing.",
        "",
    ]


def footnotes(report: Report) -> list[str]:
    """Return what must be said below the table: what is charged, and what is not exact."""
    lines = []
    if report.by in ("site", "stack"):
        lines.append(f"retained is charged to {VIEW_SAYS[report.view]} (view {report.view})")
    for reason, count in report.inexact.items():
        lines.append(f"{count:,} map{'s are' if count != 1 else ' is'} not exact: {reason}")
    if report.estimated["maps"]:
        retained, allocated = (human_bytes(report.estimated[name]) for name in ("retained_bytes", "allocated_bytes"))
        lines.append(
            f"{retained} of what is retained ({allocated} of buckets) is an estimate: {report.estimated['maps']:,} "
            "of them as they were last known; their memory was not read at the end"
        )
    if report.bounds:
        ranges = [f"{_range(*report.bounds[name])} {name}" for name in schema.MEASURES if name in report.bounds]
        lines.append(f"with what was lost there were {', '.join(ranges)}")
    return lines


def _range(least: int, most: int | None) -> str:
    return f"at least {least:,}" if most is None else f"{least:,} to {most:,}"


def _table(report: Report, top: int | None, *, narrow: bool) -> Table:
    rows = report.rows.to_pylist()
    shown, rest = (rows, []) if top is None else (rows[:top], rows[top:])
    most = max((row["retained_bytes"] for row in rows), default=0)
    table = Table(box=None, pad_edge=False, header_style="bold")
    measures = ["retained", "empty buckets", "live", "inserts", "deletes"]
    table.add_column("retained", justify="right", no_wrap=True)
    if not narrow:
        table.add_column("", no_wrap=True)
        measures += ["growths"]
    for name in measures[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(report.by, overflow="fold")
    for row in shown:
        table.add_row(*_cells(row, most, narrow=narrow), Text(_label(report.by, row)))
    if rest:
        other = {name: sum(row[name] for row in rest) for name in schema.MEASURES}
        table.add_row(*_cells(other, most, narrow=narrow), f"other ({len(rest)} more, see --top)")
    return table


def _cells(row: dict[str, int], most: int, *, narrow: bool) -> list[str]:
    cells = [human_bytes(row["retained_bytes"])]
    if not narrow:
        cells.append("█" * round(BAR_WIDTH * min(1, row["retained_bytes"] / most)) if most else "")
    cells += [f"{row['retained_buckets']:,}/{row['buckets']:,}"]
    cells += [f"{row[name]:,}" for name in ("live_slots", "inserts", "deletes")]
    return cells if narrow else [*cells, f"{row['growths']:,}"]


def _label(by: str, row: dict[str, object]) -> str:
    match by:
        case "site":
            return _site(row)
        case "map":
            mark = "" if row["exact"] else " (not exact)"
            state = "" if row["state"] == "alive" else f" {row['state']}"
            return f"{row['map']}#{row['generation']} {row['type']}{state}{mark}"
        case "type":
            return str(row["type"])
        case _:
            stack = row["stack"]
            assert isinstance(stack, list)
            return " < ".join(str(site["function"]) for site in stack) or "(not recorded)"


def _site(site: dict[str, object]) -> str:
    if not site["file"]:
        return str(site["function"])
    return f"{site['function']} {os.path.basename(str(site['file']))}:{site['line']}"


def _flat(report: Report) -> pa.Table:
    if report.by != "stack":
        return report.rows
    joined = [";".join(site["function"] for site in stack) for stack in report.rows["stack"].to_pylist()]
    return report.rows.set_column(0, "stack", pa.array(joined, pa.string()))
