"""A page about a recording: one file that needs no network, however large the recording is.

The page is `page/page.html` with styles, scripts and figures inserted. The scripts draw the figures, and insert every
text as text, never as markup. uPlot (MIT, `page/uPlot.LICENSE`) draws the charts over time. Rows for which a page has
no room are added up exactly as `other`, and the page says so.
"""

from __future__ import annotations

import base64
import html
import json
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.analysis.map_rows import Rest
from mapprobe.analysis.occupancy import SLOTS, Occupancy
from mapprobe.analysis.overview import Overview
from mapprobe.analysis.report import known_sum
from mapprobe.analysis.retention import KEYS
from mapprobe.analysis.timeline import GROUPINGS
from mapprobe.errors import MapprobeError
from mapprobe.recording.tables import schema
from mapprobe.replay.stepping import MEASURES
from mapprobe.report.heap_columns import HOLDERS, KINDS, columns, fitting

LARGEST = 2_000_000
"""Most bytes of a page."""
SCRIPTS = (
    "uPlot.iife.min.js", "base.js", "summary.js", "memory.js", "icicle.js", "table.js", "timeline.js", "maps.js",
    "heap.js", "start.js",
)  # fmt: skip
STYLES = ("uPlot.min.css", "page.css")
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
"""Characters that are escaped so that no text inside a script looks like markup."""
DRAWN = ("live_slots", "slots", "retained_bytes", "growths", "clears")
OVER_TIME = [MEASURES.index(name) for name in DRAWN]
NOT_RECORDED = "not recorded: record with --heap"
"""The default reason why a page has no memory of the process."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much a page shows at most: rows of a table, stacks, cells of a picture, letters of a name, marks."""

    rows: int = 400
    stacks: int = 400
    cells: int = 4096
    letters: int = 400
    marks: int = 400

    def half(self) -> Room:
        """Return half of this room."""
        cells, letters = max(64, self.cells // 2), max(40, self.letters // 2)
        return Room(self.rows // 2, self.stacks // 2, cells, letters, self.marks // 2)


def write(overview: Overview, out: BinaryIO, heap: dict[str, Any] | str = NOT_RECORDED) -> None:
    """Write the page, at most `LARGEST` bytes.

    Parameters
    ----------
    heap
        The document mapprobe.heap/1, or the reason why there is none.

    Raises
    ------
    MapprobeError
        If the points over time alone need more than `LARGEST` bytes.
    """
    room = Room()
    while len(page := render(overview, room, heap)) > LARGEST:
        if room == room.half():
            raise MapprobeError("page: the figures need more than 2 MB: give fewer --points")
        room = room.half()
    out.write(page)


def render(overview: Overview, room: Room, heap: dict[str, Any] | str = NOT_RECORDED) -> bytes:
    """Return the page with at most as many rows, stacks, cells, letters and marks as `room` has."""
    files = resources.files("mapprobe.report.page")
    figures = json.dumps(figures_of(overview, room, heap), separators=(",", ":"))
    for letter, escape in ESCAPES.items():
        figures = figures.replace(letter, escape)
    parts = {
        "title": html.escape(f"{overview.recording['binary']}: mapprobe"),
        "styles": "\n".join((files / name).read_text("utf-8") for name in STYLES),
        "scripts": "\n".join((files / name).read_text("utf-8") for name in SCRIPTS),
        "figures": figures,
    }
    page = (files / "page.html").read_text("utf-8")
    before, *rest = page.split("{{")
    for piece in rest:
        name, _, text = piece.partition("}}")
        before += parts[name] + text
    return before.encode()


def figures_of(overview: Overview, room: Room, heap: dict[str, Any] | str = NOT_RECORDED) -> dict[str, object]:
    """Return the figures that the scripts draw, as a JSON document."""
    line = overview.timeline
    over_time = {by: _series(overview, by, room) for by in GROUPINGS}
    return {
        "recording": {name: _short(value, room) for name, value in overview.recording.items()},
        "view": overview.view,
        "at_ns": overview.at_ns,
        "totals": overview.totals,
        "retained_bucket_bytes": overview.retained_bucket_bytes,
        "notes": {"inexact": overview.inexact, "bounds": overview.bounds, "apart": asdict(overview.apart)},
        "tables": {
            "site": {view: _table(rows, "site", room) for view, rows in overview.sites.items()},
            "map": _table(overview.maps, "map", room, overview.more_maps),
            "type": _table(overview.types, "type", room),
        },
        "stacks": {view: _tree(rows, room) for view, rows in overview.stacks.items()},
        "timeline": {"at_ns": line.at_ns.tolist(), "total": _drawn(line.total), **over_time},
        "maps": [
            {name: _short(value, room) for name, value in row.items()} | _picture(occupancy, room)
            for row, occupancy in zip(overview.top_maps.to_pylist(), overview.occupancies, strict=True)
        ],
        "heap": {"why": heap} if isinstance(heap, str) else _heap(heap, room),
    }


def _heap(document: dict[str, Any], room: Room) -> dict[str, object]:
    """Return the figures of the process's memory."""
    marks = document["marks"]
    shown = fitting(marks, room.marks)
    return {
        "at_ns": document["at_ns"],
        "rss_bytes": document["rss_bytes"],
        "findings": [_finding(found) for found in document["findings"]],
        "parts": [part | {"kind": KINDS.get(part["name"], "rest")} for part in document["parts"]],
        "sites": [{name: _short(value, room) for name, value in row.items()} for row in document["retained_by_site"]],
        "collections": len(document["collections"]),
        "returned_bytes": document["returned_bytes"],
        "arrays": document["arrays"],
        "lost": document["recording"]["lost_heap_events"],
        "timeline": columns(document),
        "marks": shown,
        "others": len(marks) - len(shown),
    }


def _finding(found: dict[str, Any]) -> dict[str, object]:
    """Return a finding: who keeps a part of the memory, until when, and what to do."""
    says = {name: _short(found[name], Room()) for name in ("holder", "says", "until")}
    advice = [_short(text, Room()) for text in found["advice"]]
    return says | {"kind": HOLDERS.get(found["holder"], "rest"), "advice": advice}


def _short(value: Any, room: Room) -> Any:
    """Return a text, without its middle if it is too long; return other values unchanged."""
    if not isinstance(value, str) or len(value) <= room.letters:
        return value
    half = room.letters // 2
    return f"{value[:half]}…{value[-half:]}"


def _table(rows: pa.Table, by: str, room: Room, more: Rest | None = None) -> dict[str, object]:
    """Return the first rows of a report, and the sums of the known figures of all other rows and of `more`."""
    names = [*KEYS[by], *(("why",) if by == "map" else ()), *schema.MEASURES]
    shown, rest = rows.slice(0, room.rows).select(names), rows.slice(room.rows)
    others, unknown = len(rest), rest["retained_bytes"].null_count
    sums = {name: [known_sum(rest[name])] if others else [] for name in schema.MEASURES}
    if more and more.rows:
        others, unknown = others + more.rows, unknown + more.unknown
        sums = {name: [*found, more.measures[name]] for name, found in sums.items()}
    return {
        "columns": names,
        "rows": [[_short(value, room) for value in row.values()] for row in shown.to_pylist()],
        "others": others,
        "unknown": unknown,
        "other": {name: _known_sum_of(found) for name, found in sums.items()},
    }


def _known_sum_of(sums: list[int | None]) -> int | None:
    """Return the sum of the known figures, None if no figure is known."""
    known = [found for found in sums if found is not None]
    return sum(known) if known or not sums else None


def _tree(rows: pa.Table, room: Room) -> dict[str, object]:
    """Return retained bytes by stack as a tree whose root is above the outermost functions.

    A node is ``[index of the name, own bytes, nodes...]``. The list of names has for each name the place in the source
    of its first frame.
    """
    holds = rows.filter(pa.array(np.asarray(rows["retained_bytes"].combine_chunks()) > 0))
    names: dict[tuple[str, str], int] = {}
    root: dict[str, Any] = {"own": 0, "nodes": {}}
    top = holds.slice(0, room.stacks).select(["stack", "retained_bytes"]).to_pylist()
    for row in top:
        node = root
        for site in reversed(row["stack"] or [{"function": "(not recorded)", "file": "", "line": 0}]):
            place = f"{site['file']}:{site['line']}" if site["file"] else ""
            node = node["nodes"].setdefault(site["function"], {"own": 0, "nodes": {}, "place": place})
        node["own"] += row["retained_bytes"]

    def listed(node: dict[str, Any]) -> list[Any]:
        found: list[Any] = []
        for function, inner in node["nodes"].items():
            key = _short(function, room), _short(inner["place"], room)
            found.append([names.setdefault(key, len(names)), inner["own"], *listed(inner)])
        return found

    nodes = listed(root)
    rest = holds.slice(room.stacks)["retained_bytes"]
    other = int(np.sum(np.asarray(rest)))
    return {"names": [list(key) for key in names], "nodes": nodes, "others": len(rest), "other": other}


def _series(overview: Overview, by: str, room: Room) -> dict[str, object]:
    """Return what each top map or site holds over time, and what all others together hold."""
    top = overview.timeline.series[by]
    return {
        "names": [_short(name, room) for name in top.names()],
        "top": [_drawn(top.amounts[:, n]) for n in range(len(top.ids))],
        "others": top.others,
        "other": _drawn(overview.timeline.other(by)),
    }


def _drawn(amounts: npt.NDArray[np.int64]) -> dict[str, list[int]]:
    return {name: amounts[:, n].tolist() for name, n in zip(DRAWN, OVER_TIME, strict=True)}


def _picture(occupancy: Occupancy, room: Room) -> dict[str, object]:
    """Return the histogram and the picture of a map's buckets; with many buckets each cell is the mean of several."""
    count = len(occupancy.live)
    each = max(1, -(-count // room.cells))
    starts = np.arange(0, count, each)
    sizes = np.diff(np.append(starts, count))

    def cells(slots: npt.NDArray[np.uint8]) -> str:
        sums = np.add.reduceat(slots.astype(np.int64), starts) if count else np.zeros(0, np.int64)
        shares = (255 * sums + SLOTS * sizes // 2) // (SLOTS * np.maximum(sizes, 1))
        return base64.b64encode(shares.astype(np.uint8).tobytes()).decode()

    is_empty = occupancy.live == 0
    return {
        "source": str(occupancy.source),
        "histogram": occupancy.histogram(),
        "never_used": int(np.count_nonzero(is_empty & (occupancy.dead == 0))),
        "buckets_a_cell": each,
        "live": cells(occupancy.live),
        "dead": cells(occupancy.dead),
    }
