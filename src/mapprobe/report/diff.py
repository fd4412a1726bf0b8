"""What grew and shrank between two recordings, or two times of one: for a terminal, and as mapprobe.diff/1."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
from rich.table import Table
from rich.text import Text

from mapprobe.analysis.comparison import LIVE, Match, change, live_growth
from mapprobe.analysis.report import Report
from mapprobe.analysis.retention import HOLDINGS
from mapprobe.report.certainty import between, unsure_of
from mapprobe.report.table import NARROW, console_for, footnotes, when
from mapprobe.text import printable
from mapprobe.units import human_bytes

SCHEMA = "mapprobe.diff/1"
WHEN = ("before", "after")
MOST_ROWS = 10_000
"""Rows of the document by default; all other rows are added up in the document's member ``other``."""


@dataclass(frozen=True)
class Difference:
    """The difference between two reports.

    Attributes
    ----------
    before, after
        Reports of both sides by type, in the same view.
    rows
        The result of `comparison.compare`, the largest change first.
    """

    before: Report
    after: Report
    rows: pa.Table

    @cached_property
    def live(self) -> pa.Table:
        """Types whose live entries grew (`comparison.live_growth`)."""
        return live_growth(self.before.rows, self.after.rows, self.rows)


def document(difference: Difference, top: int | None = None) -> dict[str, object]:
    """Return the document mapprobe.diff/1; it has ``other`` if rows are left out."""
    rows = difference.rows
    shown, rest = rows.slice(0, top or MOST_ROWS), rows.slice(top or MOST_ROWS)
    sides = zip(("before", "after"), (difference.before, difference.after), strict=True)
    return {
        "schema": SCHEMA,
        "view": difference.after.view,
        **{name: _side_of(side) for name, side in sides},
        "rows": [_row(row) for row in shown.to_pylist()],
        "live_growth": [_live_row(row) for row in difference.live.slice(0, top or MOST_ROWS).to_pylist()],
        **({"other": {"rows": len(rest)} | _amounts(_sums(rest))} if len(rest) else {}),
    }


def _side_of(side: Report) -> dict[str, object]:
    known = {"recording": side.recording, "at_ns": side.at_ns, "totals": side.totals}
    return known | unsure_of(side.bounds, side.apart)


def write(difference: Difference, out: TextIO, top: int = 20) -> None:
    """Write the difference as text: the totals in a sentence, then the rows that grew and the rows that shrank."""
    by = change(difference.rows, "retained_bytes")
    with console_for(out) as console:
        for line in headline(difference):
            console.print(printable(line), markup=False)
        for title, rows in (("grew", difference.rows.filter(by > 0)), ("shrank", difference.rows.filter(by < 0))):
            if len(rows):
                console.print(_table(rows, title, top, narrow=console.width < NARROW))
                console.print()
        if len(difference.live):
            console.print(_live_table(difference.live, top, narrow=console.width < NARROW))
            console.print()
        for line in _notes(difference):
            console.print(line, markup=False)


def headline(difference: Difference) -> list[str]:
    """Return the sentences above the tables."""
    before, after = difference.before, difference.after
    was, now = (_total(side, "retained_bytes") for side in (before, after))
    by = change(difference.rows, "retained_bytes")
    more, less = int(by[by > 0].sum()), int(by[by < 0].sum())
    return [
        f"{_side(before)} against {_side(after)}",
        f"retained: {was} before, {now} after ({_known_change(before, after)}): {signed(more)} at "
        f"{_sites(int((by > 0).sum()))}, {signed(less)} at {_sites(int((by < 0).sum()))}. "
        f"Allocated: {_total(before, 'allocated_bytes')}, {_total(after, 'allocated_bytes')}; "
        f"entries: {before.totals['live_slots']:,}, {after.totals['live_slots']:,}.",
        "",
    ]


def _total(report: Report, name: str) -> str:
    """Return a total of bytes in words, or its bounds if it is not known."""
    ends: tuple[int, int | None] = getattr(report.apart, name)
    return between(*ends) if ends[0] != ends[1] else human_bytes(report.totals[name])


def _known_change(before: Report, after: Report) -> str:
    """Return the change of the total retained bytes in words, and whether only a part of it is known."""
    change_of = signed(after.totals["retained_bytes"] - before.totals["retained_bytes"])
    ends = (side.apart.retained_bytes for side in (before, after))
    return change_of if all(least == most for least, most in ends) else f"{change_of} of what is known"


def _side(report: Report) -> str:
    return f"{report.recording['binary']} ({report.recording['go_version']}){when(report) or ' at its end'}"


def _sites(count: int) -> str:
    return f"{count:,} call site{'' if count == 1 else 's'}"


def signed(count: int) -> str:
    """Return a change of bytes with its sign."""
    return f"+{human_bytes(count)}" if count > 0 else human_bytes(count)


def _notes(difference: Difference) -> list[str]:
    charged, *_ = footnotes(_by_site(difference.after))
    sides = (("before", difference.before), ("after", difference.after))
    return [charged, *(f"{name}: {line}" for name, side in sides for line in footnotes(side))]


def _by_site(report: Report) -> Report:
    return replace(report, by="site", inexact={}, bounds={})


def _table(rows: pa.Table, title: str, top: int, *, narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (title, "before", "after") if narrow else (title, "before", "after", "buckets", "live"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("site, type", overflow="fold")
    for row in rows.slice(0, top).to_pylist():
        table.add_row(*_cells(row, narrow=narrow), Text(printable(_label(row))))
    rest = rows.slice(top)
    if len(rest):
        table.add_row(*_cells(_sums(rest), narrow=narrow), f"other ({len(rest):,} more, see --top)")
    return table


def _live_table(rows: pa.Table, top: int, *, narrow: bool) -> Table:
    """Return the table of types with more live entries: a rebuild gives none of their bytes back."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("live entries", "before", "after", *(() if narrow else ("bytes", "maps"))):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("type, site", overflow="fold")
    for row in rows.slice(0, top).to_pylist():
        was, now, size, maps = _live_cells(row)
        more = [] if narrow else [signed(size), f"{maps:+,}"]
        table.add_row(f"{now - was:+,}", f"{was:,}", f"{now:,}", *more, Text(printable(_live_label(row))))
    if len(rows) > top:
        sums = {f"{when}_{name}": sum(rows.slice(top)[f"{when}_{name}"].to_pylist()) for name in LIVE for when in WHEN}
        was, now, size, maps = _live_cells(sums)
        more = [] if narrow else [signed(size), f"{maps:+,}"]
        table.add_row(f"{now - was:+,}", f"{was:,}", f"{now:,}", *more, f"other ({len(rows) - top:,} more, see --top)")
    return table


def _live_cells(row: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the entries before and after, and the changes of bytes and maps."""
    size, maps = (row[f"after_{name}"] - row[f"before_{name}"] for name in ("live_bytes", "maps"))
    return row["before_live_slots"], row["after_live_slots"], size, maps


def _live_label(row: dict[str, Any]) -> str:
    where = f" {row['function']} {os.path.basename(row['file'])}:{row['line']}" if row["file"] else ""
    return f"{row['type']}{where}"


def _live_row(row: dict[str, Any]) -> dict[str, object]:
    before, after = ({name: row[f"{when}_{name}"] for name in LIVE} for when in WHEN)
    change_of = {name: after[name] - before[name] for name in LIVE}
    keys = {name: row[name] for name in ("type", "function", "file", "line")}
    return keys | {"before": before, "after": after, "change": change_of}


def _cells(row: dict[str, Any], *, narrow: bool) -> list[str]:
    was, now = row["before_retained_bytes"], row["after_retained_bytes"]
    cells = [signed(now - was), human_bytes(was), human_bytes(now)]
    more = [f"{row[f'after_{name}'] - row[f'before_{name}']:+,}" for name in ("retained_buckets", "live_slots")]
    return cells if narrow else cells + more


def _label(row: dict[str, Any]) -> str:
    place = f" {os.path.basename(row['file'])}:{row['line']}" if row["file"] else ""
    match = row["match"]
    said = {Match.APPEARED: " (appeared)", Match.GONE: " (gone)"}.get(match, "")
    if match in (Match.RENAMED, Match.RENUMBERED) and row["was"] != row["function"]:
        said = f" ({match}, was {row['was']})"
    return f"{row['function']}{place} {row['type']}{said}"


def _sums(rows: pa.Table) -> dict[str, int]:
    names = [f"{when}_{name}" for name in HOLDINGS for when in ("before", "after")]
    return {name: int(np.sum(np.asarray(rows[name]))) for name in names}


def _row(row: dict[str, Any]) -> dict[str, object]:
    keys = ("function", "file", "line", "package", "type", "match", "was")
    return {name: row[name] for name in keys} | _amounts(row)


def _amounts(row: dict[str, Any]) -> dict[str, object]:
    before, after = ({name: row[f"{when}_{name}"] for name in HOLDINGS} for when in ("before", "after"))
    return {"before": before, "after": after, "change": {name: after[name] - before[name] for name in HOLDINGS}}
