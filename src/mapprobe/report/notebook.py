"""A recording as HTML for a notebook: what was recorded, what its top sites retain, who keeps the process's memory."""

from __future__ import annotations

import html
from typing import Any

from mapprobe.analysis.report import Report
from mapprobe.report.table import headline
from mapprobe.units import human_bytes

TOP = 5
NOT_REPLAYED = "not replayed yet: <code>.replay()</code> does that, and so does any call for a table"


def facts(recording: dict[str, object]) -> str:
    """Return what was recorded, as HTML."""
    words = [f"<b>{html.escape(str(recording['binary']))}</b>"]
    words += [html.escape(str(recording[name])) for name in ("go_version", "started")]
    words += [f"{html.escape(str(recording['implementation']))} maps", f"{recording['events']:,} events"]
    return f"<p>{' · '.join(words)}</p>"


def summary(recording: dict[str, object], report: Report | None) -> str:
    """Return what a notebook shows of a recording, as HTML.

    Parameters
    ----------
    report
        The report by site; None if the recording was not replayed yet.
    """
    if report is None:
        return f"{facts(recording)}<p>{NOT_REPLAYED}</p>"
    _, *answers = headline(report)
    said = "".join(f"<p>{html.escape(answer)}</p>" for answer in answers if answer)
    rows = "".join(
        f"<tr><td>{human_bytes(row['retained_bytes'])}</td><td>{row['retained_buckets']:,} of {row['buckets']:,}</td>"
        f"<td>{row['live_slots']:,}</td><td style='text-align:left'>{html.escape(row['function'])} "
        f"{html.escape(row['file'].rpartition('/')[2])}:{row['line']}</td></tr>"
        for row in report.rows.slice(0, TOP).to_pylist()
    )
    head = "<tr><th>retained</th><th>empty buckets</th><th>live</th><th style='text-align:left'>site</th></tr>"
    return f"{facts(recording)}{said}<table>{head}{rows}</table>"


def findings(found: list[dict[str, Any]]) -> str:
    """Return who keeps the memory, as HTML: the member ``findings`` of the document mapprobe.heap/1."""
    parts = []
    for row in found:
        until = f"<p>Until when: {html.escape(row['until'])}</p>" if row["until"] else ""
        advice = "".join(f"<li>{html.escape(line)}</li>" for line in row["advice"])
        parts.append(f"<p><b>{html.escape(row['holder'])}</b>: {html.escape(row['says'])}</p>{until}<ul>{advice}</ul>")
    return "".join(parts)
