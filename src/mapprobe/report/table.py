"""The retention report for a terminal, as CSV, as Parquet, and as the JSON document mapprobe.report/1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mapprobe.analysis.margins import LEAST, MOST
from mapprobe.analysis.report import BOUNDED, Other, Report, limited
from mapprobe.analysis.retention import KEYS
from mapprobe.recording.tables import schema
from mapprobe.report.certainty import between, faults_of, held_at_the_end, left_apart, noun, unsure_of
from mapprobe.report.json_rows import write_document
from mapprobe.report.sync_maps import tell_of
from mapprobe.text import as_cell, printable
from mapprobe.units import human_bytes
from mapprobe.vocabulary import PROBES

SCHEMA = "mapprobe.report/1"
SURENESS = ("source", "why", *(column.name for column in schema.BOUNDS))
"""Columns of a map's row that say where its figures come from, and how sure they are."""
BAR_WIDTH, SHORT_BAR = 12, 6
WIDTH_OF_PIPE = 100_000
NARROW, NARROWEST = 100, 60
OTHERS = {"other": "more, see --top", "not_matching": "that --function and --package leave out"}
VIEW_SAYS = {"growth": "who allocated it", "fill": "who filled it", "drain": "who emptied it"}


def document(report: Report) -> dict[str, object]:
    """Return the document mapprobe.report/1; ``at_ns``, ``bounds``, ``dead`` and ``unknown`` are there if not empty.

    The members ``other`` (beyond the top) and ``not_matching`` have the number and the sums of rows that are left out.
    """
    left_out = {rest.name: _left_out(rest) for rest in report.others}
    return {
        "schema": SCHEMA,
        "recording": report.recording,
        **({} if report.at_ns is None else {"at_ns": report.at_ns}),
        "by": report.by,
        "view": report.view,
        "totals": {name: report.totals[name] for name in schema.MEASURES},
        "rows": report.rows.select(_names(report)).to_pylist(),
        **left_out,
        **unsure_of(report.bounds, report.apart),
    }


def _names(report: Report) -> list[str]:
    """Return the columns of a row in the document."""
    more = SURENESS if report.by == "map" else [bound for bound in BOUNDED if bound in report.rows.column_names]
    return [*KEYS[report.by], *schema.MEASURES, *more]


def _left_out(rest: Other) -> dict[str, object]:
    return {"rows": rest.rows, **({"unknown": rest.unknown} if rest.unknown else {}), **rest.measures}


def write_json(report: Report, out: TextIO) -> None:
    """Write the JSON document."""
    rows, members = report.rows.select(_names(report)), document(replace(report, rows=report.rows.slice(0, 0)))
    write_document(out, members, "rows", rows)


def write_csv(report: Report, out: BinaryIO) -> None:
    """Write all rows as CSV; stacks as functions with ``;`` between them, innermost first."""
    from pyarrow import csv  # imported here: loading the module takes as long as writing a table

    csv.write_csv(_as_cells(_flat(report)), out)


def _as_cells(rows: pa.Table) -> pa.Table:
    """Return a table whose texts are cells of a CSV file (`as_cell`)."""
    for number, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            texts = [None if text is None else as_cell(text) for text in rows.column(number).to_pylist()]
            rows = rows.set_column(number, field, pa.array(texts, field.type))
    return rows


def write_parquet(report: Report, out: BinaryIO) -> None:
    """Write all rows as Parquet."""
    from pyarrow import parquet

    parquet.write_table(_whole(report), out)


def write(report: Report, out: TextIO, top: int | None = None, *more: Report) -> None:
    """Write the report as text: the totals in sentences, a table with the top rows and one row for the rest.

    Parameters
    ----------
    more
        The same report in other views: their tables follow, each with a title that says who is charged.
    """
    shown = [report if top is None else limited(report, top) for report in (report, *more)]
    with console_for(out) as console:
        for line in headline(report):
            console.print(printable(line), markup=False)
        for view in shown:
            if more:
                console.print(f"{VIEW_SAYS[view.view]} (view {view.view})", markup=False, style="bold")
            console.print(_table(view, console))
            if more:
                console.print()
        for line in footnotes(report)[1 if more else 0 :]:
            console.print(line, markup=False)


@contextmanager
def console_for(out: TextIO) -> Iterator[Console]:
    """Give the console to which tables are written: as wide as the terminal; in a pipe each row is one line."""
    if out.isatty():
        yield Console(file=out, highlight=False, soft_wrap=False)
        return
    held = StringIO()
    yield Console(file=held, width=WIDTH_OF_PIPE, highlight=False, soft_wrap=False)
    out.writelines(f"{line.rstrip()}\n" for line in held.getvalue().splitlines())


def headline(report: Report) -> list[str]:
    """Return the sentences above the table."""
    sums, recording, apart = report.totals, report.recording, report.apart
    share = 100 * sums["retained_bytes"] / sums["allocated_bytes"] if sums["allocated_bytes"] else 0.0
    retained = f"{human_bytes(sums['retained_bytes'])} of it ({share:.0f} %)"
    if not apart.is_known:
        retained = f"{between(*apart.retained_bytes)} of it"
    first = (
        f"{recording['binary']} ({recording['go_version']}, {recording['implementation']} maps){when(report)}: "
        f"{recording['events']:,} events, {recording['lost_events']:,} lost"
    )
    faults = faults_of(recording)
    if recording.get("process_ended"):
        return [first, *faults, held_at_the_end(apart), *left_apart(replace(apart, unknown=0)), ""]
    return [
        first,
        *faults,
        f"{sums['maps']:,} maps hold {between(*apart.allocated_bytes)} of buckets for {sums['live_slots']:,} "
        f"entries; {retained} would come back if they were rebuilt. "
        f"{sums['retained_buckets']:,} of {sums['buckets']:,} buckets hold nothing.",
        *left_apart(apart),
        "",
    ]


def when(report: Report) -> str:
    """Return the time of a report in words; empty for the end of the recording."""
    return "" if report.at_ns is None else f" after {report.at_ns / 1e9:g} s"


def footnotes(report: Report) -> list[str]:
    """Return the lines below the table: who is charged, and which figures are not exact."""
    lines = []
    if report.by in ("site", "stack"):
        lines.append(f"retained is charged to {VIEW_SAYS[report.view]} (view {report.view})")
    for reason, count in report.inexact.items():
        lines.append(f"{count:,} map{'s are' if count != 1 else ' is'} not exact: {reason}")
    censuses: Any = report.recording.get("census", {})
    if report.recording.get("process_ended"):
        lines.append("its memory was not read at its end: maps may have died before; 'record -- CMD' reads it then")
    elif report.recording["probes"] != PROBES and "end" not in censuses and report.at_ns is None:
        lines.append("no census was taken of the end: maps that were read then count as alive, others are unknown")
    if report.recording.get("references") is False:
        lines.append("references to maps were not looked for: maps that were dropped and not collected count as alive")
    if start := censuses.get("start"):
        allocated, retained = (human_bytes(start[name]) for name in ("allocated_bytes", "retained_bytes"))
        lines.append(
            f"at the start the process had {start['maps']:,} maps: {allocated} of buckets, {retained} retained"
        )
    hidden: Any = report.recording.get("sync_maps")
    lines += tell_of(hidden)
    spans: Any = report.recording.get("not_watched", [])
    if spans:
        seconds = sum(end - start for start, end in spans)
        lines.append(f"{_shed(report)} were not watched for {seconds:.1f} s, {len(spans):,} times (--max-overhead)")
    if report.apart.bounded:
        count = report.apart.bounded
        lines.append(f"{count:,} {noun(count)} could not be read at one moment: their retained bytes have bounds")
    if report.bounds:
        ranges = [f"{_range(*report.bounds[name])} {name}" for name in schema.MEASURES if name in report.bounds]
        lines.append(f"with lost events there were {', '.join(ranges)}")
    return lines


def _shed(report: Report) -> str:
    """The operations that a recording stops to watch first."""
    return {"growth": "creations", "light": "growths"}.get(str(report.recording["probes"]), "operations")


def _range(least: int, most: int | None) -> str:
    return f"at least {least:,}" if most is None else f"{least:,} to {most:,}"


def _table(report: Report, console: Console) -> Table:
    rows = report.rows.to_pylist()
    most = max((row["retained_bytes"] or 0 for row in rows), default=0)
    layout = _Layout(console.width, most, "█" if console.encoding.startswith("utf") else "#")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in layout.columns:
        table.add_column(name, justify="right" if name else "left", no_wrap=True, style=None if name else "red")
    table.add_column(report.by, overflow="fold")
    for row in rows:
        table.add_row(*layout.cells(row), Text(printable(_label(report.by, row))))
    for rest in report.others:
        if rest.rows:
            label = f"other ({rest.rows:,} {OTHERS[rest.name]}{_unknown_of(rest)})"
            table.add_row(*layout.cells(rest.measures), label, style="dim")
    return table


def _unknown_of(rest: Other) -> str:
    return f", {rest.unknown:,} unknown" if rest.unknown else ""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns that fit the width of the console."""

    width: int
    most: int
    block: str

    @property
    def columns(self) -> list[str]:
        if self.width < NARROWEST:
            return ["retained", ""]
        columns = ["retained", "", "empty buckets", "live"]
        return columns if self.width < NARROW else [*columns, "inserts", "deletes", "growths"]

    def cells(self, row: dict[str, Any]) -> list[str]:
        known = row["retained_bytes"]
        if known is None or (not row["allocated_bytes"] and row.get(MOST, known) != known):
            return self._unknown(row)
        share = min(1, row["retained_bytes"] / self.most) if self.most else 0
        found = {
            "retained": between(*_retained(row)),
            "": self.block * round((BAR_WIDTH if self.width >= NARROW else SHORT_BAR) * share),
            "empty buckets": f"{row['retained_buckets']:,}/{row['buckets']:,}",
            "live": f"{row['live_slots']:,}",
        }
        found |= {name: f"{row[name]:,}" for name in ("inserts", "deletes", "growths")}
        return [found[name] for name in self.columns]

    def _unknown(self, row: dict[str, Any]) -> list[str]:
        """Return the cells of an unknown map."""
        most = row.get(MOST)
        found = {"retained": "unknown" if most is None else f"at most {human_bytes(most)}", "": ""}
        found |= dict.fromkeys(("empty buckets", "live"), "unknown")
        found |= {name: f"{row[name]:,}" for name in ("inserts", "deletes", "growths")}
        return [found[name] for name in self.columns]


def _retained(row: dict[str, Any]) -> tuple[int, int | None]:
    """Return the least and the most bytes that a row retains."""
    known = row["retained_bytes"]
    return row.get(LEAST, known), row.get(MOST, known)


def _label(by: str, row: dict[str, object]) -> str:
    match by:
        case "site":
            return _site(row)
        case "map":
            mark = "" if row["exact"] else f" (not exact: {row['why']})"
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
    rows = _whole(report)
    if report.by != "stack":
        return rows
    stacks = rows["stack"].combine_chunks()
    functions = pc.struct_field(stacks.flatten(), "function")
    ends = np.cumsum(np.concatenate([[0], np.asarray(stacks.value_lengths())]))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), functions), ";")
    return rows.set_column(0, "stack", joined)


def _whole(report: Report) -> pa.Table:
    """Return the rows, and one row for each of `others`: its first key has the name, its other keys are null."""
    rows = report.rows
    for rest in report.others:
        name = f"({rest.name}: {rest.rows} rows{_unknown_of(rest)})"
        first = [{"function": name, "file": "", "line": 0, "package": ""}] if report.by == "stack" else name
        row = {rows.column_names[0]: first} | rest.measures
        rows = pa.concat_tables([rows, pa.Table.from_pylist([row], schema=rows.schema)])
    return rows
