"""Checked budgets made by hand, for the formats that take one."""

from __future__ import annotations

from dataclasses import replace

from mapprobe.budget import Limit, Per, judge
from mapprobe.patterns import pattern
from mapprobe.report.budget import Checked
from mapprobe.schema import INEXACT_REASONS as REASONS
from mapprobe.schema import Inexact
from samples import report_on

ABSURD = 'main.F["a|b`<c>&\u202e\x00\n]'
WITHIN = Limit("everything", max_retained_bytes=1 << 40)
NOTHING = Limit("each site", max_retained_bytes=0, max_retained_share=0.25)
TOGETHER = Limit("the process", per=Per.TOTAL, max_retained_bytes=1)
NOBODY = Limit("absent", (pattern("absent"),), max_retained_bytes=0)


def checked(*limits: Limit, function: str | None = None, inexact: int = 0) -> Checked:
    """Return what becomes of limits on a recording made by hand, its functions renamed if so wanted."""
    report = report_on(inexact={REASONS[Inexact.EVENTS_LOST]: inexact} if inexact else {})
    if function is not None:
        rows = report.rows.set_column(0, "function", [[function] * len(report.rows)])
        report = replace(report, rows=rows)
    return Checked(report, [judge(limit, report.rows) for limit in limits])
