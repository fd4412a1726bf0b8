"""The result of a check as Markdown: for a job summary, or a comment on a change."""

from __future__ import annotations

from typing import TextIO

from mapprobe.analysis.budget import Over
from mapprobe.report.budget import Checked, bounds, left_out, outcome, place
from mapprobe.report.table import footnotes, headline
from mapprobe.text import printable
from mapprobe.units import human_bytes

IN_CODE = str.maketrans({"`": "'", "|": "\\|", "\n": " ", "\r": " "})


def write(checked: Checked, out: TextIO) -> None:
    """Write the summary: the totals, a table of limits, and for each exceeded limit a table of call sites over it."""
    _, *sentences = headline(checked.report)
    within = "within the budget" if checked.is_known else "within the budget by the known figures"
    lines = [f"### mapprobe check: {within if checked.is_within else 'over the budget'}", "", *sentences]
    lines += ["| | limit | allows | found |", "| --- | --- | --- | --- |"]
    for verdict in checked.verdicts:
        mark = "❌" if verdict.over else "✅" if verdict.held and verdict.is_known else "⚪"
        lines.append(f"| {mark} | {_code(verdict.limit.name)} | {bounds(verdict.limit)} | {outcome(verdict)} |")
    for verdict in checked.verdicts:
        if verdict.over:
            lines += ["", f"Over {_code(verdict.limit.name)}:", ""]
            lines += ["| retained | allocated | share | call site |", "| ---: | ---: | ---: | --- |"]
            lines += [_row(over) for over in (*verdict.over, *verdict.largest)]
        if rest := left_out(verdict):
            lines += ["", rest]
    notes = footnotes(checked.report)
    lines += [*([""] if notes else []), *(f"- {note}" for note in notes)]
    out.writelines(f"{printable(line)}\n" for line in lines)


def _row(over: Over) -> str:
    sizes = f"{human_bytes(over.retained_bytes)} | {human_bytes(over.allocated_bytes)} | {100 * over.share:.0f} %"
    return f"| {sizes} | {_code(place(over))} |"


def _code(text: str) -> str:
    return f"`{printable(text.translate(IN_CODE))}`"
