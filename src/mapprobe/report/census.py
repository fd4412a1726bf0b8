"""A census as text for a terminal, and as the document mapprobe.census/1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table
from rich.text import Text

from mapprobe.analysis.census import Summary
from mapprobe.report.json_rows import addresses, in_words, write_document
from mapprobe.report.sync_maps import tell_of
from mapprobe.report.table import console_for
from mapprobe.units import human_bytes
from mapprobe.vocabulary import LIVENESS, NAMINGS, Liveness, Naming

SCHEMA = "mapprobe.census/1"
MOST_ROWS = 100_000
NOT_PROFILED = "the program has no memory profile: nothing tells who grew a map"
FIGURES = ("maps", "live_slots", "buckets", "retained_buckets", "allocated_bytes", "needed_bytes", "retained_bytes")


def document(found: Summary, recording: Mapping[str, object], top: int | None = None) -> dict[str, object]:
    """Return the document mapprobe.census/1.

    Parameters
    ----------
    recording
        The ``recording`` object of mapprobe.report/1.
    top
        The number of maps, those that retain the most; None: `MOST_ROWS`.
    """
    rows = found.maps.slice(0, top or MOST_ROWS).to_pylist()
    return _members(found, recording) | {"maps": [map_row(row) for row in rows]}


def write_json(found: Summary, recording: Mapping[str, object], out: TextIO, top: int | None = None) -> None:
    """Write the document mapprobe.census/1 and a line end."""
    rows = found.maps.slice(0, top or MOST_ROWS)
    rows = rows.rename_columns(["map" if name == "map_addr" else name for name in rows.column_names])
    forms = {"map": addresses, "naming": in_words(NAMINGS), "liveness": in_words(LIVENESS)}
    write_document(out, _members(found, recording) | {"maps": []}, "maps", rows, forms)


def _members(found: Summary, recording: Mapping[str, object]) -> dict[str, object]:
    dead, dead_bytes = found.dead
    return {
        "schema": SCHEMA,
        "recording": dict(recording),
        "census": found.about,
        "totals": found.totals(),
        "dead": {"maps": dead, "allocated_bytes": dead_bytes},
        "types": found.types.to_pylist(),
    }


def map_row(row: Mapping[str, Any]) -> dict[str, object]:
    """Return a map's row of the document, with codes as words."""
    words = {"naming": NAMINGS[Naming(row["naming"])], "liveness": LIVENESS[Liveness(row["liveness"])]}
    return {"map": hex(row["map_addr"]), **{k: v for k, v in row.items() if k != "map_addr"}, **words}


def write(found: Summary, recording: Mapping[str, object], out: TextIO, top: int) -> None:
    """Write a census as text: totals in a sentence, a table of types, the maps that retain the most, and footnotes."""
    with console_for(out) as console:
        for line in headline(found, recording):
            console.print(line, markup=False)
        console.print(_types(found.types, top))
        console.print()
        console.print(_maps(found, top))
        console.print()
        for line in footnotes(found):
            console.print(line, markup=False)


def headline(found: Summary, recording: Mapping[str, object]) -> list[str]:
    """Return the sentences above the tables."""
    sums = found.totals()
    share = 100 * sums["retained_bytes"] / sums["allocated_bytes"] if sums["allocated_bytes"] else 0.0
    return [
        f"{recording['binary']} ({recording['go_version']}, {recording['implementation']} maps), "
        f"pid {recording['pid']}, {recording['started']}",
        f"{sums['maps']:,} maps hold {human_bytes(sums['allocated_bytes'])} of buckets for {sums['live_slots']:,} "
        f"entries{_bound(found, 'live', '{:,}'.format)}; {human_bytes(sums['retained_bytes'])} of it ({share:.0f} %"
        f"{_bound(found, 'retained', human_bytes)}) would come back if they were rebuilt. "
        f"{sums['retained_buckets']:,} of {sums['buckets']:,} buckets hold nothing.",
        "",
    ]


def _bound(found: Summary, name: str, shown: Callable[[int], str]) -> str:
    """Return the least and the most of a sum in words; empty if it has no bounds."""
    least, most = found.bounds[name]
    if least == most:
        return ""
    both = f"at least {shown(least)}, at most {shown(most)}"
    return f" ({both})" if name == "live" else f", {both}"


def footnotes(found: Summary) -> list[str]:
    """Return the lines below the tables: how sure types and figures are, what is left out, what the census took."""
    about, lines = found.about, list[str]()
    lines.append("types: " + ", ".join(f"{count:,} {NAMINGS[how]}" for how, count in found.namings.items()))
    maps, size = found.restless
    if maps:
        lines.append(
            f"{maps:,} maps ({human_bytes(size)}) were written at every read: their entries are those of the headers, "
            "their empty buckets those of a read during writes"
        )
    maps, size = found.unsure
    if maps:
        what = "are on stacks of running goroutines, whose frames could not be told apart: they may be left over there"
        lines.append(f"{maps:,} maps ({human_bytes(size)}) {what}")
    if found.dead[0]:
        held = human_bytes(found.dead[1])
        lines.append(f"not in the totals: {found.dead[0]:,} maps ({held}) that nothing refers to, not collected yet")
    if about["ownerless"]:
        held = human_bytes(about["ownerless_bytes"])
        what = "that no map owns: growing maps left them behind, not collected yet, or their map was not found"
        lines.append(f"not in the totals: {about['ownerless']:,} arrays of buckets ({held}) {what}")
    if about["never_written"]:
        what = "without buckets: made and never written to, or other memory that looks like such a map"
        lines.append(f"not in the totals: {about['never_written']:,} maps {what}")
    if about["never_still"]:
        lines.append(f"not in the totals: {about['never_still']:,} objects that changed at each read, and may be maps")
    lines += tell_of(about["sync_maps"])
    if not about["profiled"]:
        lines.append(NOT_PROFILED)
    lines.append(f"{human_bytes(about['read_bytes'])} read in {about['took_ns'] / 1e9:.2f} s{_pause(about)}")
    return lines


def changes(before: Summary, now: Summary, out: TextIO, top: int) -> None:
    """Write the types that hold more or less than in the census before."""
    old = {row["type"]: row for row in before.types.to_pylist()}
    new = {row["type"]: row for row in now.types.to_pylist()}
    nothing = dict.fromkeys(FIGURES, 0)
    rows = []
    for name in {**old, **new}:
        was, is_now = old.get(name, nothing), new.get(name, nothing)
        change = {figure: is_now[figure] - was[figure] for figure in FIGURES}
        if any(change.values()):
            rows.append((change, is_now, name))
    rows.sort(key=lambda row: (-abs(row[0]["retained_bytes"]), -abs(row[0]["allocated_bytes"]), row[2]))
    with console_for(out) as console:
        if not rows:
            console.print("nothing has changed")
            return
        table = _table("retained", "change", "allocated", "change", "maps", "change", "live", "change")
        table.add_column("type", overflow="fold")
        for change, is_now, name in rows[:top]:
            cells = []
            for figure in ("retained_bytes", "allocated_bytes", "maps", "live_slots"):
                is_bytes = figure.endswith("_bytes")
                cells += [human_bytes(is_now[figure]) if is_bytes else f"{is_now[figure]:,}"]
                cells += [
                    f"{'+' if change[figure] > 0 else ''}"
                    f"{human_bytes(change[figure]) if is_bytes else format(change[figure], ',')}"
                ]
            table.add_row(*cells, Text(name))
        console.print(table)
        if len(rows) > top:
            console.print(f"and {len(rows) - top:,} more types")


def _pause(about: Mapping[str, Any]) -> str:
    return f"; the process stood still for {about['paused_ns'] / 1e9:.3f} s" if about["paused_ns"] is not None else ""


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _types(types: pa.Table, top: int) -> Table:
    table = _table("retained", "allocated", "maps", "empty buckets", "live")
    table.add_column("type", overflow="fold")
    for row in types.slice(0, top).to_pylist():
        table.add_row(*_figures(row), Text(row["type"]))
    if len(rest := types.slice(top)):
        sums = {name: pc.sum(rest[name]).as_py() for name in FIGURES}
        table.add_row(*_figures(sums), f"other ({len(rest):,} types)", style="dim")
    return table


def _figures(row: Mapping[str, int]) -> tuple[str, ...]:
    return (
        human_bytes(row["retained_bytes"]),
        human_bytes(row["allocated_bytes"]),
        f"{row['maps']:,}",
        f"{row['retained_buckets']:,}/{row['buckets']:,}",
        f"{row['live_slots']:,}",
    )


def _maps(found: Summary, top: int) -> Table:
    table = _table("retained", "allocated", "empty buckets", "live")
    table.add_column("map", no_wrap=True)
    table.add_column("type", overflow="fold")
    table.add_column("grown at", overflow="fold")
    for row in found.maps.slice(0, top).to_pylist():
        retained, allocated, _, empty, live = _figures(row | {"maps": 1})
        marks = [] if row["naming"] == Naming.EXACT else [NAMINGS[Naming(row["naming"])]]
        marks += ["local variable"] if row["liveness"] in (Liveness.USED_ON_STACK, Liveness.ON_STACK) else []
        marks += [] if row["settled"] else ["never still"]
        label = Text(row["type"]) + Text(f" ({', '.join(marks)})" if marks else "", style="dim")
        table.add_row(retained, allocated, empty, live, hex(row["map_addr"]), label, Text(row["grown_at"] or "-"))
    return table
