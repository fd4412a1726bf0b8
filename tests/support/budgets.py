"""Checked budgets made by hand, for the formats that take one."""

from __future__ import annotations

from dataclasses import replace

from mapprobe.analysis.budget import Limit, Per, beyond_known, judge
from mapprobe.analysis.selection import pattern
from mapprobe.report.budget import Checked
from mapprobe.vocabulary import INEXACT_REASONS as REASONS
from mapprobe.vocabulary import Inexact
from support.samples import report_on

ABSURD = 'main.F["a|b`<c>&\u202e\x00\n]'
WITHIN = Limit("everything", max_retained_bytes=1 << 40)
NOTHING = Limit("each site", max_retained_bytes=0, max_retained_share=0.25)
TOGETHER = Limit("the process", per=Per.TOTAL, max_retained_bytes=1)
ONE_MIB = Limit("one MiB", per=Per.TOTAL, max_retained_bytes=1 << 20)
NOBODY = Limit("absent", (pattern("absent"),), max_retained_bytes=0)


def checked(*limits: Limit, function: str | None = None, inexact: int = 0, unknown: int | None = 0) -> Checked:
    """Return what becomes of limits on a recording made by hand, its functions renamed if so wanted.

    Parameters
    ----------
    unknown
        What a map retains at most of which nobody knows whether it lives; 0: there is none.
    """
    report = report_on(inexact={REASONS[Inexact.EVENTS_LOST]: inexact} if inexact else {})
    if function is not None:
        rows = report.rows.set_column(0, "function", [[function] * len(report.rows)])
        report = replace(report, rows=rows)
    if unknown != 0:
        known = report.totals["retained_bytes"]
        bounds = known, None if unknown is None else known + unknown
        unsure = {"unknown": 1, "unknown_retained_bytes": unknown, "unknown_allocated_bytes": unknown}
        report = replace(report, apart=replace(report.apart, retained_bytes=bounds, **unsure))
    beyond = beyond_known(report.apart, report.rows)
    return Checked(report, [judge(limit, report.rows, beyond) for limit in limits])
