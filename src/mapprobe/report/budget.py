"""The result of a check against a budget: as text, and as the JSON document mapprobe.check/1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from mapprobe.analysis.budget import Limit, Over, Per, Verdict
from mapprobe.analysis.report import Report
from mapprobe.report.certainty import unsure_of
from mapprobe.report.table import footnotes, headline
from mapprobe.text import printable
from mapprobe.units import human_bytes

SCHEMA = "mapprobe.check/1"


@dataclass(frozen=True, slots=True)
class Checked:
    """A report by site, and the verdict on each limit that it was checked against."""

    report: Report
    verdicts: list[Verdict]

    @property
    def is_within(self) -> bool:
        """True if no call site is over any limit."""
        return not any(verdict.over for verdict in self.verdicts)

    @property
    def is_known(self) -> bool:
        """True if figures that are not known can't change any verdict."""
        return all(verdict.is_known for verdict in self.verdicts)

    @property
    def complaint(self) -> str:
        """The exceeded limits in one line."""
        over = [verdict for verdict in self.verdicts if verdict.over]
        first = over[0].over[0]
        worst = f"{place(first)} retains {human_bytes(first.retained_bytes)}"
        return f"{len(over)} of {len(self.verdicts)} limits exceeded: {over[0].limit.name}: {worst}"


def document(checked: Checked) -> dict[str, object]:
    """Return the document mapprobe.check/1."""
    return {
        "schema": SCHEMA,
        "recording": checked.report.recording,
        "view": checked.report.view,
        "within": checked.is_within,
        **unsure_of(checked.report.bounds, checked.report.apart),
        "limits": [_verdict(verdict) for verdict in checked.verdicts],
    }


def write(checked: Checked, out: TextIO) -> None:
    """Write the result as text: a line for each limit, and below it the call sites over the limit."""
    lines = headline(checked.report)
    for verdict in checked.verdicts:
        mark = "OVER" if verdict.over else "ok  " if verdict.is_known else "?   "
        lines.append(f"{mark} {verdict.limit.name} ({bounds(verdict.limit)}): {outcome(verdict)}")
        lines += [f"     {place(over)}: {amount(over)}" for over in (*verdict.over, *verdict.largest)]
        if rest := left_out(verdict):
            lines.append(f"     {rest}")
    lines += footnotes(checked.report)
    out.writelines(f"{printable(line)}\n" for line in lines)


def bounds(limit: Limit) -> str:
    """Return what a limit allows, in words."""
    said = []
    if limit.max_retained_bytes is not None:
        said.append(f"at most {human_bytes(limit.max_retained_bytes)} retained")
    if limit.max_retained_share is not None:
        least = f" from {human_bytes(limit.ignore_below_bytes)} on" if limit.ignore_below_bytes else ""
        said.append(f"at most {100 * limit.max_retained_share:g} % of allocated bytes{least}")
    return ", ".join(said)


def outcome(verdict: Verdict) -> str:
    """Return the number of call sites over a limit in words, or that it is not known."""
    if not verdict.held:
        return "no call site matches"
    if not verdict.is_known:
        return "not known: within it by the known figures, but not with all that the maps may retain"
    if verdict.limit.per is Per.TOTAL:
        return f"{verdict.held:,} call sites together {'over' if verdict.over else 'within'} it"
    return f"{verdict.over_count:,} of {verdict.held:,} call sites over it"


def place(over: Over) -> str:
    """Return the name and line of a call site over a limit."""
    return f"{over.function} {over.file}:{over.line}" if over.file else over.function


def amount(over: Over) -> str:
    """Return in words how much a call site retains."""
    of = f"of {human_bytes(over.allocated_bytes)}"
    return f"{human_bytes(over.retained_bytes)} retained {of} ({100 * over.share:.0f} %)"


def left_out(verdict: Verdict) -> str:
    """Return in words how many call sites over a limit are not named; empty if all are named."""
    count = verdict.over_count - len(verdict.over)
    return f"and {count:,} more" if count else ""


def _verdict(verdict: Verdict) -> dict[str, object]:
    limit = verdict.limit
    return {
        "name": limit.name,
        "sites": [one.text for one in limit.sites],
        "ignore": [one.text for one in limit.ignore],
        "per": str(limit.per),
        "max_retained_bytes": limit.max_retained_bytes,
        "max_retained_share": limit.max_retained_share,
        "ignore_below_bytes": limit.ignore_below_bytes,
        "held": verdict.held,
        "known": verdict.is_known,
        "over_count": verdict.over_count,
        "over": [_over(over) for over in verdict.over],
        "largest": [_over(over) for over in verdict.largest],
    }


def _over(over: Over) -> dict[str, object]:
    names = ("function", "file", "line", "retained_bytes", "allocated_bytes")
    said = {name: getattr(over, name) for name in names}
    return said | {"retained_share": over.share, "breached": list(over.breached)}
