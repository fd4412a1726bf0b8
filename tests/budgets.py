"""Checked budgets made by hand, for the formats that take one."""

from __future__ import annotations

from mapprobe.budget import Limit, Per, judge
from mapprobe.patterns import pattern
from mapprobe.report.budget import Checked
from mapprobe.report.table import Report
from mapprobe.retention import aggregate, estimated, totals
from mapprobe.schema import INEXACT_REASONS as REASONS
from mapprobe.schema import Inexact, View
from profiles import ABOUT, drained
from recordings import TYPES

ABSURD = 'main.F["a|b`<c>&\u202e\x00\n]'
WITHIN = Limit("everything", max_retained_bytes=1 << 40)
NOTHING = Limit("each site", max_retained_bytes=0, max_retained_share=0.25)
TOGETHER = Limit("the process", per=Per.TOTAL, max_retained_bytes=1)
NOBODY = Limit("absent", (pattern("absent"),), max_retained_bytes=0)


def checked(*limits: Limit, function: str | None = None, inexact: int = 0) -> Checked:
    """Return what becomes of limits on a recording made by hand, its functions renamed if so wanted."""
    recording = drained()
    replayed = recording.replay()
    rows = aggregate(replayed, TYPES, recording.sites, "swiss", "site", View.FILL)
    if function is not None:
        rows = rows.set_column(0, "function", [[function] * len(rows)])
    reasons = {REASONS[Inexact.EVENTS_LOST]: inexact} if inexact else {}
    report = Report(ABOUT, "site", "fill", totals(replayed), rows, reasons, {}, estimated(replayed))
    return Checked(report, [judge(limit, rows) for limit in limits])
