"""The figures of a replay, added up by map, site, type or stack, in one of the three views.

Every view charges the same retained bytes, each to other call sites, so the
columns of each view sum to the totals exactly. An operation counts for the
call site that did it, in every view. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.analysis.certainty import may_hold
from mapprobe.analysis.map_rows import map_order, may_live
from mapprobe.analysis.margins import MOST, margins
from mapprobe.arrays import I64
from mapprobe.recording.sites import Sites, display_type
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.charges import NEVER_USED, charged, unsettled
from mapprobe.vocabulary import MapState, View

GROUPINGS = ("site", "map", "type", "stack")
OPERATIONS = [column.name for column in schema.OPERATIONS]
HOLDINGS = [column.name for column in schema.HOLDINGS]
PEAK = schema.PEAK.name
RETAINED = "retained_bytes"
ANY_NUMBER = (1 << 63) - 1
KEYS = {
    "map": ("map", "generation", "type", "implementation", "state", "exact", "created_at"),
    "site": ("function", "file", "line", "package"),
    "type": ("type",),
    "stack": ("stack",),
}
UNKNOWN_TYPE = "(type not known)"
HEX_PREFIX, HEX_DIGITS = np.frombuffer(b"0x", np.uint8), np.frombuffer(b"0123456789abcdef", np.uint8)


def aggregate(replayed: Replayed, types: pa.Table, sites: Sites, implementation: str, by: str, view: View) -> pa.Table:
    """Return one row for each map, site, type or stack.

    Parameters
    ----------
    replayed
        The result of the replay.
    types, sites
        Types and call sites of the same recording.
    by
        One of `GROUPINGS`.
    view
        Who is charged; ignored by map and by type.

    Returns
    -------
    The keys of the grouping, then `schema.MEASURES` as int64. By site also ``never_used_slots``. Where no map is known
    to be alive also ``most_retained_bytes``; where living maps have bounds ``least_retained_bytes`` as well. Sorted by
    retained bytes, the most that may be retained, and allocated bytes, largest first, then in order of appearance.

    Raises
    ------
    ValueError
        If `by` is not in `GROUPINGS`.
    """
    match by:
        case "map":
            return by_map(replayed, types, sites, implementation, map_order(replayed))
        case "type":
            table = by_type(replayed, types)
        case "site":
            table = by_site(replayed, sites, view)
        case "stack":
            table = by_stack(replayed, sites, view)
        case _:
            raise ValueError(f"by must be one of {', '.join(GROUPINGS)}, not {by!r}")
    return ordered(table)


def totals(replayed: Replayed) -> dict[str, int]:
    """Return the sum of every measure over all maps; the peak is the peak of all maps together.

    Dead and unknown maps are not counted and hold nothing here; the operations on these maps are counted.
    """
    maps = replayed.maps
    sums = {name: int(np.sum(_ints(maps, name))) for name in (*OPERATIONS, *HOLDINGS)}
    _, peaks = _peaks(replayed, "total")
    sums |= {"maps": int(np.sum(_are_alive(maps))), PEAK: pc.sum(peaks, min_count=0).as_py()}
    return {name: sums[name] for name in schema.MEASURES}


def _are_alive(maps: pa.Table) -> I64:
    return np.asarray(pc.equal(maps["state"], str(MapState.ALIVE))).astype(np.int64)


def by_map(replayed: Replayed, types: pa.Table, sites: Sites, implementation: str, rows: I64 | None = None) -> pa.Table:
    """Return one row for each generation of each map, or for the chosen rows of `schema.MAPS`."""
    maps = replayed.maps if rows is None else replayed.maps.take(pa.array(rows))
    keys = {
        "map": addresses(maps["map_addr"]),
        "generation": maps["generation"],
        "type": type_names(maps["type_id"], types),
        "implementation": pa.repeat(pa.scalar(implementation), len(maps)),
        "state": maps["state"],
        "exact": pc.equal(maps["inexact"], 0),
        "created_at": _makers(sites).take(maps["created_by"].combine_chunks()),
    }
    is_unknown = may_live(maps)
    measures: dict[str, Any] = {name: _ints(maps, name) for name in (*OPERATIONS, PEAK)}
    # what an unknown map holds is null, not 0: 0 would be a known figure
    measures |= {name: pc.if_else(is_unknown, None, maps[name].combine_chunks()) for name in HOLDINGS}
    measures |= {column.name: maps[column.name].combine_chunks() for column in schema.BOUNDS}
    table = _rows(keys, {"maps": _are_alive(maps)} | measures, *(column.name for column in schema.BOUNDS))
    reasons = pa.array([vocabulary.INEXACT_REASONS[code] for code in sorted(vocabulary.INEXACT_REASONS)])
    return _with(table, {"source": maps["source"], "why": reasons.take(pa.array(_ints(maps, "inexact")))})


def by_type(replayed: Replayed, types: pa.Table) -> pa.Table:
    """Return one row for each name of a map type."""
    unique, group = _distinct(type_names(replayed.maps["type_id"], types))
    measures = {name: _sum_by(group, _ints(replayed.maps, name), len(unique)) for name in (*OPERATIONS, *HOLDINGS)}
    ids, peaks = _peaks(replayed, "type")
    row = pc.index_in(type_names(ids, types), unique)  # null: a type without maps
    measures[PEAK] = _sum_by(_ints_of(row.drop_null()), _ints_of(peaks.filter(row.is_valid())), len(unique))
    measures["maps"] = _sum_by(group, _are_alive(replayed.maps), len(unique))
    bounded = margins(replayed.maps, (np.arange(len(group)), group), measures[RETAINED])
    return _with(_rows({"type": unique}, measures), bounded | _most_of_maps(replayed, group, len(unique)))


def by_site(replayed: Replayed, sites: Sites, view: View) -> pa.Table:
    """Return one row for each call site that did or holds something."""
    site_of = sites.site_of_stack.astype(np.int64)
    most, may_hold_some = _most_charged(replayed, site_of, len(sites.table), view)
    table = of_sites(replayed, sites, view)
    return _used(_with(table, _margins(replayed, site_of, table, view) | most), may_hold_some)


def of_sites(replayed: Replayed, sites: Sites, view: View) -> pa.Table:
    """Return one row for each call site, also for sites that did nothing, in the order of `Sites.table`."""
    count = len(sites.table)
    site_of = sites.site_of_stack.astype(np.int64)
    measures = _charged(replayed, site_of, count, view)
    measures |= _done(replayed, site_of, count)
    ids, peaks = _peaks(replayed, "site")
    measures[PEAK] = _sum_by(_ints_of(ids), _ints_of(peaks), count)
    return _rows(sites.columns, measures, NEVER_USED)


def by_stack(replayed: Replayed, sites: Sites, view: View) -> pa.Table:
    """Return one row for each call stack that did or holds something."""
    count = len(sites.stacks)
    itself = np.arange(count)
    measures = _charged(replayed, itself, count, view) | _done(replayed, itself, count)
    measures[PEAK] = _ints(replayed.stack_operations, PEAK)
    most, may_hold_some = _most_charged(replayed, itself, count, view)
    table = _rows({"stack": sites.lists}, measures, NEVER_USED)
    return _used(_with(table, _margins(replayed, itself, table, view) | most), may_hold_some)


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
    charges = charged(replayed, view)
    names, name_of_map = _distinct(type_names(replayed.maps["type_id"], types))
    pairs, pair = np.unique(
        group_of_stack[charges.stack_id] * len(names) + name_of_map[charges.map_id], return_inverse=True
    )
    groups, types_of = np.divmod(pairs, max(1, len(names)))
    keys = {"group": groups, "type": names.take(pa.array(types_of))}
    return ordered(pa.table(keys | {name: _sum_by(pair, charges.column(name), len(pairs)) for name in HOLDINGS}))


def type_names(type_ids: pa.Array | pa.ChunkedArray, types: pa.Table) -> pa.Array:
    """Return the name of each type id; -1 stands for a type that was never seen."""
    names = pa.array([*map(display_type, types["name"].to_pylist()), UNKNOWN_TYPE], pa.string())
    ids = _ints_of(type_ids)
    return names.take(pa.array(np.where(ids < 0, len(types), ids)))


def addresses(addrs: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return addresses (uint64) as text: 0xc000010000."""
    words = np.asarray(addrs).astype(np.uint64, copy=False)
    nibbles = words[:, None] >> np.arange(60, -4, -4).astype(np.uint64) & np.uint64(0xF)
    lengths = np.maximum(1, 16 - (np.cumsum(nibbles, axis=1) == 0).sum(axis=1))
    texts = np.empty((len(words), 18), np.uint8)
    texts[:, :2], texts[:, 2:] = HEX_PREFIX, HEX_DIGITS[nibbles]
    is_shown = np.arange(18) >= 18 - lengths[:, None]
    is_shown[:, :2] = True
    offsets = np.concatenate([[0], np.cumsum(lengths + 2)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(offsets), pa.py_buffer(texts[is_shown]))


def _makers(sites: Sites) -> pa.Array:
    """Return for each stack the call site that a map made by it has as its maker; null: before the recording."""
    labels = pa.array([f"{site.function} {site.file}:{site.line}" for site in sites.table], pa.string())
    site_of_stack = sites.site_of_stack.astype(np.int64)
    return labels.take(pa.array(site_of_stack, mask=np.arange(len(site_of_stack)) == vocabulary.BEFORE))


def _charged(replayed: Replayed, group_of_stack: I64, count: int, view: View) -> dict[str, I64]:
    charges = charged(replayed, view)
    group = group_of_stack[charges.stack_id]
    return {name: _sum_by(group, charges.column(name), count) for name in (*HOLDINGS, NEVER_USED)}


def _most_charged(
    replayed: Replayed, group_of_stack: I64, count: int, view: View
) -> tuple[dict[str, pa.Array], npt.NDArray[np.bool_]]:
    """Return the most that each group may be charged if no map is known to be alive, and which groups may be charged.

    A part of what the unknown maps retain at most is charged to no group: it is added to each group's most.
    """
    unknown, may_be = _unknown(replayed.maps), np.zeros(count, np.bool_)
    if not len(unknown):
        return {}, may_be
    stack_id, most = unsettled(replayed, unknown, view)
    group = group_of_stack[stack_id]
    may_be[group] = True
    if unknown[MOST].null_count:
        return {MOST: pa.nulls(count, pa.int64())}, may_be
    charged_most = _sum_by(group, most, count)
    rest = int(_ints(unknown, MOST).sum()) - int(charged_most.sum())
    return {MOST: pa.array(charged_most + max(0, rest))}, may_be


def _margins(replayed: Replayed, group_of_stack: I64, table: pa.Table, view: View) -> dict[str, pa.Array]:
    """Return the least and the most that each group is charged, if living maps have bounds."""
    charges = charged(replayed, view)
    return margins(replayed.maps, (charges.map_id, group_of_stack[charges.stack_id]), _ints(table, RETAINED))


def _most_of_maps(replayed: Replayed, group: I64, count: int) -> dict[str, pa.Array]:
    """Return the most that the maps of each group retain if no map is known to be alive."""
    if not len(_unknown(replayed.maps)):
        return {}
    most = replayed.maps[MOST].combine_chunks()
    is_any = _sum_by(group, np.asarray(most.is_null()).astype(np.int64), count) > 0
    return {MOST: pa.array(_sum_by(group, _ints_of(most), count), mask=is_any)}


def _unknown(maps: pa.Table) -> pa.Table:
    """Return the unknown maps that may have buckets; none if any map is known to be alive."""
    is_it = pc.and_(pc.equal(maps["state"], str(MapState.UNKNOWN)), may_hold(maps))
    return maps.filter(is_it) if not _are_alive(maps).any() else maps.slice(0, 0)


def _done(replayed: Replayed, group_of_stack: I64, count: int) -> dict[str, I64]:
    operations, maps = replayed.stack_operations, replayed.maps
    group = group_of_stack[_ints(operations, "stack_id")]
    done = {name: _sum_by(group, _ints(operations, name), count) for name in OPERATIONS}
    return done | {"maps": _sum_by(group_of_stack[_ints(maps, "created_by")], _are_alive(maps), count)}


def _distinct(names: pa.Array) -> tuple[pa.Array, I64]:
    """Return the distinct names in order of appearance, and the index of each name among them."""
    encoded = names.dictionary_encode()
    return encoded.dictionary, _ints_of(encoded.indices)


def _sum_by(group: I64, values: I64, count: int) -> I64:
    out = np.zeros(count, np.int64)
    np.add.at(out, group, values)
    return out


def _peaks(replayed: Replayed, group: str) -> tuple[pa.Array, pa.Array]:
    """Return the ids of one kind of group, and the peak of each id."""
    peaks = replayed.peaks.filter(pc.equal(replayed.peaks["group"], group)).combine_chunks()
    return peaks["id"].combine_chunks(), peaks[PEAK].combine_chunks()


def _ints(table: pa.Table, name: str) -> I64:
    return _ints_of(table[name])


def _ints_of(column: pa.Array | pa.ChunkedArray) -> I64:
    """Return a column of integers, 0 for null."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0)).astype(np.int64, copy=False)


def _rows(keys: Mapping[str, Any], measures: Mapping[str, Any], *more: str) -> pa.Table:
    return pa.table(dict(keys) | {name: pa.array(measures[name], pa.int64()) for name in (*schema.MEASURES, *more)})


def _with(table: pa.Table, more: Mapping[str, pa.Array]) -> pa.Table:
    for name, values in more.items():
        table = table.append_column(name, values)
    return table


def _used(table: pa.Table, is_used: npt.NDArray[np.bool_]) -> pa.Table:
    """Leave out rows whose measures are all 0, unless `is_used` keeps them."""
    is_used = is_used.copy()
    for name in schema.MEASURES:
        is_used |= _ints(table, name) != 0
    return table.filter(pa.array(is_used))


def ordered(table: pa.Table) -> pa.Table:
    """Return the rows sorted by retained bytes, then by the most that may be retained, then by allocated bytes."""
    keys = [np.arange(len(table)), -_ints(table, "allocated_bytes")]
    if MOST in table.column_names:  # null, any number, comes before every known figure
        keys.append(-_ints_of(table[MOST].combine_chunks().fill_null(ANY_NUMBER)))
    order = np.lexsort((*keys, -_ints(table, "retained_bytes")))
    return table.take(pa.array(order))
