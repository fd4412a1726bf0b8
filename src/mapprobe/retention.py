"""What a replay found, added up by map, site, type or stack, in one of the three views.

Pure. Every view charges the same retained bytes, only to others, so each of
its columns sums to the totals exactly. Operations are counted where they were
done, the same in every view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import schema
from mapprobe.replayed import Replayed
from mapprobe.schema import NOT_WATCHED, EventKind, View
from mapprobe.sites import Sites, display_type, stack_sites

I64 = npt.NDArray[np.int64]

GROUPINGS = ("site", "map", "type", "stack")
OPERATIONS = [column.name for column in schema.OPERATIONS]
HOLDINGS = [column.name for column in schema.HOLDINGS]
PEAK = schema.PEAK.name
KEYS = {
    "map": ("map", "generation", "type", "implementation", "state", "exact", "created_at"),
    "site": ("function", "file", "line", "package"),
    "type": ("type",),
    "stack": ("stack",),
}
UNKNOWN_TYPE = "(never written)"


def aggregate(replayed: Replayed, types: pa.Table, sites: Sites, implementation: str, by: str, view: View) -> pa.Table:
    """Return one row for each map, site, type or stack.

    Parameters
    ----------
    replayed
        What the replay found.
    types, sites
        Of the same recording.
    by
        One of `GROUPINGS`.
    view
        Who is charged; of no meaning by map and by type.

    Returns
    -------
    The keys of the grouping, then `schema.MEASURES` as int64; by site also ``never_used_slots``. Sorted by
    retained bytes, then allocated bytes, both falling, then as they appeared.
    """
    match by:
        case "map":
            table = by_map(replayed, types, sites, implementation)
        case "type":
            table = by_type(replayed, types)
        case "site":
            table = by_site(replayed, sites, view)
        case "stack":
            table = by_stack(replayed, sites, view)
        case _:
            raise ValueError(f"by must be one of {', '.join(GROUPINGS)}, not {by!r}")
    return _sorted(table)


def totals(replayed: Replayed) -> dict[str, int]:
    """Return the sum of every measure over all maps; the peak is that of all maps together."""
    maps = replayed.maps
    sums = {name: int(np.sum(_ints(maps, name))) for name in (*OPERATIONS, *HOLDINGS)}
    peak = _peaks(replayed, "total").get(0, 0)
    sums |= {"maps": len(maps), PEAK: peak}
    return {name: sums[name] for name in schema.MEASURES}


def bounds(
    replayed: Replayed, points: pa.Table, gaps: pa.Table, missing: int | None = 0
) -> dict[str, tuple[int, int | None]]:
    """Return of each operation that may have been lost the least and the most that was done, None: any number.

    An event that was lost may have been any operation, may have been the only one of its map, and may have let one
    that was seen be taken for what it wasn't, on a clone of its map too; besides, what the last operation on a map did
    is not known if nobody looked at it afterwards. A clone inserts as many entries as its original has, which nobody
    knows of one that lost events. A clear that was seen is one.

    Parameters
    ----------
    points, gaps
        `schema.POINTS` and `schema.GAPS`.
    missing
        Events that were recorded and are not there any more; None: nobody knows how many.
    """
    kinds = dict(zip(points["point"].to_pylist(), points["kind"].to_pylist(), strict=True))
    lost: Counter[int | None] = Counter()
    for point, count in zip(gaps["point"].to_pylist(), gaps["lost"].to_pylist(), strict=True):
        lost[kinds.get(point)] += count
    misses = lost.total() - lost[EventKind.EXIT] - lost[EventKind.OVERFLOW]
    unknown = missing is None or NOT_WATCHED in gaps["reason"].to_pylist()
    if not (unknown or missing or misses):
        return {}
    found, seen = totals(replayed), set(kinds.values())
    misses += missing or 0
    inexact = _ints(replayed.maps, "inexact") != 0
    blurred = misses + 2 * int(np.count_nonzero(inexact))
    slack: dict[str, tuple[int, int | None]] = {"maps": (misses, misses), "growths": (misses, None)}
    slack["clears"] = 0, lost[EventKind.CLEAR] + lost[None] + (missing or 0)
    if EventKind.ASSIGN in seen:
        slack |= dict.fromkeys(("inserts", "updates", "deletes"), (blurred, blurred))
    if lost[EventKind.CLONE] or pc.sum(points["hits"].filter(pc.equal(points["kind"], EventKind.CLONE))).as_py():
        slack["inserts"] = blurred + int(_ints(replayed.maps, "inserts")[inexact].sum()), None
    return {
        name: (max(0, found[name] - fewer), None if unknown or more is None else found[name] + more)
        for name, (fewer, more) in slack.items()
        if unknown or fewer or more != 0
    }


def not_watched(gaps: pa.Table, started_ns: int, ended_ns: int) -> dict[str, list[list[float]]]:
    """Return as ``not_watched`` from when to when operations were not watched [s since the start], if there is any."""
    chosen = gaps.filter(pc.equal(gaps["reason"], NOT_WATCHED))
    spans = sorted(set(zip(chosen["from_ns"].to_pylist(), chosen["to_ns"].to_pylist(), strict=True)))
    found = [[(start - started_ns) / 1e9, (min(end, ended_ns) - started_ns) / 1e9] for start, end in spans]
    return {"not_watched": found} if found else {}


def estimated(replayed: Replayed) -> dict[str, int]:
    """Return how many maps hold in this report what they held at an earlier time, and their part of the totals.

    Since then they were neither followed nor read: they may hold less, or more.
    """
    maps = replayed.maps.filter(replayed.maps["estimated"])
    sums = {name: int(np.sum(_ints(maps, name))) for name in ("allocated_bytes", "retained_bytes")}
    return {"maps": len(maps)} | sums


def by_map(replayed: Replayed, types: pa.Table, sites: Sites, implementation: str) -> pa.Table:
    """Return one row for each generation of each map."""
    maps = replayed.maps
    site_of = sites.site_of_stack
    created = [sites.table[site_of[stack]] for stack in maps["created_by"].to_pylist()]
    keys = {
        "map": [hex(addr) for addr in maps["map_addr"].to_pylist()],
        "generation": maps["generation"],
        "type": type_names(maps["type_id"].to_pylist(), types),
        "implementation": [implementation] * len(maps),
        "state": maps["state"],
        "exact": pc.equal(maps["inexact"], 0),
        "created_at": [
            f"{site.function} {site.file}:{site.line}" if stack else None
            for site, stack in zip(created, maps["created_by"].to_pylist(), strict=True)
        ],
    }
    measures = {name: maps[name] for name in (*OPERATIONS, *HOLDINGS, PEAK)}
    return _rows(keys, {"maps": np.ones(len(maps), np.int64)} | measures)


def by_type(replayed: Replayed, types: pa.Table) -> pa.Table:
    """Return one row for each map type; types of one name are one."""
    names = type_names(replayed.maps["type_id"].to_pylist(), types)
    unique, group = _distinct(names)
    measures = {name: _sum_by(group, _ints(replayed.maps, name), len(unique)) for name in (*OPERATIONS, *HOLDINGS)}
    peaks = dict.fromkeys(unique, 0)
    for type_id, peak in _peaks(replayed, "type").items():
        name = type_names([type_id], types)[0]
        peaks[name] = peaks.get(name, 0) + peak
    measures["maps"] = _sum_by(group, np.ones(len(names), np.int64), len(unique))
    measures[PEAK] = np.array([peaks[name] for name in unique], np.int64)
    return _rows({"type": unique}, measures)


def by_site(replayed: Replayed, sites: Sites, view: View) -> pa.Table:
    """Return one row for each call site that did or holds something."""
    count = len(sites.table)
    site_of = sites.site_of_stack.astype(np.int64)
    measures = _charged(replayed, site_of, count, view)
    measures |= _done(replayed, site_of, count)
    measures[PEAK] = np.zeros(count, np.int64)
    for site, peak in _peaks(replayed, "site").items():
        measures[PEAK][site] = peak
    keys = {name: [getattr(site, name) for site in sites.table] for name in KEYS["site"]}
    return _used(_rows(keys, measures, "never_used_slots"))


def by_stack(replayed: Replayed, sites: Sites, view: View) -> pa.Table:
    """Return one row for each call stack that did or holds something."""
    count = len(sites.stacks)
    itself = np.arange(count)
    measures = _charged(replayed, itself, count, view) | _done(replayed, itself, count)
    measures[PEAK] = _ints(replayed.stack_operations, PEAK)
    return _used(_rows({"stack": stack_sites(sites)}, measures, "never_used_slots"))


def by_charge(replayed: Replayed, types: pa.Table, group_of_stack: I64, view: View) -> pa.Table:
    """Return what each group of stacks is charged for maps of each type.

    Parameters
    ----------
    group_of_stack
        The group of each stack, ``(stacks,)``.

    Returns
    -------
    Columns ``group`` int64, ``type`` and `schema.HOLDINGS`; one row for each group and type name that occur
    together, sorted as by `aggregate`. Every holding sums to the totals.
    """
    charges = replayed.charges.filter(pc.equal(replayed.charges["view"], schema.VIEWS.index(view)))
    names, name_of_map = _distinct(type_names(replayed.maps["type_id"].to_pylist(), types))
    group = group_of_stack[_ints(charges, "stack_id")]
    pairs, pair = np.unique(group * len(names) + name_of_map[_ints(charges, "map_id")], return_inverse=True)
    groups, types_of = np.divmod(pairs, max(1, len(names)))
    keys = {"group": groups, "type": pa.array([names[n] for n in types_of.tolist()], pa.string())}
    return _sorted(pa.table(keys | {name: _sum_by(pair, _ints(charges, name), len(pairs)) for name in HOLDINGS}))


def type_names(type_ids: list[int], types: pa.Table) -> list[str]:
    """Return the name of each type id, -1 for a map whose type was never seen."""
    names = [*map(display_type, types["name"].to_pylist()), UNKNOWN_TYPE]
    return [names[type_id] for type_id in type_ids]


def _charged(replayed: Replayed, group_of_stack: I64, count: int, view: View) -> dict[str, I64]:
    code = schema.VIEWS.index(view)
    charges = replayed.charges.filter(pc.equal(replayed.charges["view"], code))
    group = group_of_stack[_ints(charges, "stack_id")]
    return {name: _sum_by(group, _ints(charges, name), count) for name in (*HOLDINGS, "never_used_slots")}


def _done(replayed: Replayed, group_of_stack: I64, count: int) -> dict[str, I64]:
    operations = replayed.stack_operations
    group = group_of_stack[_ints(operations, "stack_id")]
    return {name: _sum_by(group, _ints(operations, name), count) for name in ("maps", *OPERATIONS)}


def _distinct(names: list[str]) -> tuple[list[str], I64]:
    """Return each name once, in order of appearance, and of every name which it is."""
    rows: dict[str, int] = {}
    which = np.fromiter((rows.setdefault(name, len(rows)) for name in names), np.int64, len(names))
    return list(rows), which


def _sum_by(group: I64, values: I64, count: int) -> I64:
    out = np.zeros(count, np.int64)
    np.add.at(out, group, values)
    return out


def _peaks(replayed: Replayed, group: str) -> dict[int, int]:
    peaks = replayed.peaks.filter(pc.equal(replayed.peaks["group"], group))
    return dict(zip(peaks["id"].to_pylist(), peaks[PEAK].to_pylist(), strict=True))


def _ints(table: pa.Table, name: str) -> I64:
    return np.asarray(table[name].combine_chunks().cast(pa.int64()))


def _rows(keys: Mapping[str, Any], measures: dict[str, I64], *more: str) -> pa.Table:
    columns = dict(keys) | {name: pa.array(np.asarray(measures[name]), pa.int64()) for name in schema.MEASURES}
    return pa.table(columns | {name: pa.array(measures[name], pa.int64()) for name in more})


def _used(table: pa.Table) -> pa.Table:
    """Leave out rows where every measure is 0."""
    is_used = np.zeros(len(table), np.bool_)
    for name in schema.MEASURES:
        is_used |= _ints(table, name) != 0
    return table.filter(pa.array(is_used))


def _sorted(table: pa.Table) -> pa.Table:
    order = np.lexsort((np.arange(len(table)), -_ints(table, "allocated_bytes"), -_ints(table, "retained_bytes")))
    return table.take(pa.array(order))
