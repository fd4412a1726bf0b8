"""The document mapprobe.heap/1 in the form in which pages and traces draw it: columns, kinds of parts, marks."""

from __future__ import annotations

from typing import Any

from mapprobe.analysis.heap.findings import Holder
from mapprobe.analysis.heap.waterfall import Name

KINDS = {
    Name.LIVE: "live",
    Name.RETAINED: "retained",
    Name.DROPPED: "dropped",
    Name.OTHER: "heap",
    Name.FREE: "free",
    Name.RETURNED: "free",
    Name.UNTOUCHED: "untouched",
    Name.FOREIGN: "foreign",
}
"""The style in which a part is drawn; parts without a style are drawn as ``rest``."""
HOLDERS = {
    Holder.MAPS: "retained",
    Holder.PRESIZED: "retained",
    Holder.EMPTY: "retained",
    Holder.GROWING: "live",
    Holder.COLLECTOR: "dropped",
    Holder.SCAVENGER: "free",
    Holder.RETURNED: "free",
    Holder.FOREIGN: "foreign",
    Holder.NOBODY: "heap",
}
OFTEN = "collection"
"""The kind of mark that may be very frequent."""


def columns(document: dict[str, Any]) -> dict[str, list[int | None]]:
    """Return the timeline column by column; None: no goal, or no limit."""
    rows = document["timeline"]
    return {name: [row[name] for row in rows] for name in rows[0]}


def fitting(marks: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return at most `most` marks in order: rare marks first of all, and evenly spread collections in the rest."""
    rare = [row for row, mark in enumerate(marks) if mark["kind"] != OFTEN][:most]
    often = [row for row, mark in enumerate(marks) if mark["kind"] == OFTEN]
    count = min(len(often), most - len(rare))
    spread = [often[n * len(often) // count] for n in range(count)]
    return [marks[row] for row in sorted(rare + spread)]
