"""Compare what call sites are charged at two times, or in two recordings.

A row is a call site and a map type. In one build, the line tells call sites apart. Between builds lines move, so call
sites are matched by function; closures, which the compiler numbers, may have another number. Pure.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mapprobe.analysis.retention import HOLDINGS, by_charge
from mapprobe.arrays import I64
from mapprobe.recording.sites import Sites
from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import View

NOBODY = -1
NUMBERED = re.compile(r"((?:\.(?:func|gowrap|deferwrap|init\.))|-range)\d+(?:\.\d+)*|/v\d+(?=[/.])")
"""Numbers that the compiler puts into a function's name, and the major version in a package's path."""


class Match(StrEnum):
    """How a call site was matched."""

    SAME = "same"
    RENUMBERED = "renumbered"
    RENAMED = "renamed"
    APPEARED = "appeared"
    GONE = "gone"


def site_charges(replayed: Replayed, types: pa.Table, sites: Sites, view: View) -> pa.Table:
    """Return what each call site is charged for maps of each type: the site, ``type``, and `schema.HOLDINGS`."""
    charges = by_charge(replayed, types, sites.site_of_stack.astype(np.int64), view)
    columns = {name: column.take(charges["group"].combine_chunks()) for name, column in sites.columns.items()}
    return pa.table(columns | {name: charges[name] for name in ("type", *HOLDINGS)})


def compare(before: pa.Table, after: pa.Table, *, is_same_build: bool) -> pa.Table:
    """Match the rows of two tables of `site_charges`.

    Returns
    -------
    The site and ``type`` of the second table (of the first, where the site is gone), ``match`` (`Match`), ``was`` (the
    function in the first table, null where the site appeared), and ``before_*`` and ``after_*`` for each of
    `schema.HOLDINGS`, which sum to the totals of each side. Sorted by the change of retained bytes, then of allocated
    bytes, the largest first.
    """
    key = _of_one_build if is_same_build else _of_function
    old, new = _summed(before, key), _summed(after, key)
    pairs = _matched(old, new, key, Match.SAME)
    if not is_same_build:
        pairs += _matched(old, new, _of_numbered, Match.RENUMBERED)
        pairs += _matched(old, new, _of_file, Match.RENAMED, only_one=True)
    pairs += [(row, NOBODY, Match.GONE) for row in sorted(old.left)]
    pairs += [(NOBODY, row, Match.APPEARED) for row in sorted(new.left)]
    return _sorted(_joined(old, new, pairs))


class _Row(NamedTuple):
    """The keys of a row."""

    function: str
    file: str
    line: int
    package: str
    type: str


Key = Callable[[_Row], Hashable]
Pairs = list[tuple[int, int, Match]]
"""Row of the first side, row of the second side (`NOBODY`: no row), and how the two were matched."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One side: its rows, their holdings ``(len(HOLDINGS), rows + 1)`` (the last is `NOBODY`), and unmatched rows."""

    rows: list[_Row]
    holdings: I64
    left: set[int]


def _of_one_build(row: _Row) -> Hashable:
    return row.function, row.file, row.line, row.type


def _of_function(row: _Row) -> Hashable:
    return row.function, row.type


def _of_numbered(row: _Row) -> Hashable:
    return NUMBERED.sub(r"\1", row.function), row.type


def _of_file(row: _Row) -> Hashable:
    return row.package, os.path.basename(row.file), row.type


def _summed(table: pa.Table, key: Key) -> _Side:
    """Add up the rows that share a key; file and line are those of the first row, which retains most."""
    groups: dict[Hashable, int] = {}
    rows: list[_Row] = []
    group = np.zeros(len(table), np.int64)
    for n, row in enumerate(map(_Row, *(table[name].to_pylist() for name in _Row._fields))):
        group[n] = groups.setdefault(key(row), len(rows))
        if group[n] == len(rows):
            rows.append(row)
    holdings = np.zeros((len(HOLDINGS), len(rows) + 1), np.int64)
    for column, name in enumerate(HOLDINGS):
        np.add.at(holdings[column], group, np.asarray(table[name].combine_chunks(), np.int64))
    return _Side(rows, holdings, set(range(len(rows))))


def _matched(old: _Side, new: _Side, key: Key, match: Match, *, only_one: bool = False) -> Pairs:
    """Match rows of both sides that have the same key, in the order of the source, and take them off both sides.

    Parameters
    ----------
    only_one
        Match only keys that one row on each side has: with more rows a match would be a guess.
    """
    was, is_now = _grouped(old, key), _grouped(new, key)
    pairs: Pairs = []
    for common, rows in is_now.items():
        others = was.get(common, [])
        if not only_one or len(rows) == len(others) == 1:
            pairs += [(before, after, match) for before, after in zip(others, rows, strict=False)]
    old.left.difference_update(before for before, _, _ in pairs)
    new.left.difference_update(after for _, after, _ in pairs)
    return pairs


def _grouped(side: _Side, key: Key) -> dict[Hashable, list[int]]:
    groups = defaultdict(list)
    for row in sorted(side.left, key=lambda row: (side.rows[row].file, side.rows[row].line)):
        groups[key(side.rows[row])].append(row)
    return groups


def _joined(old: _Side, new: _Side, pairs: Pairs) -> pa.Table:
    shown = [old.rows[before] if after == NOBODY else new.rows[after] for before, after, _ in pairs]
    was = [None if before == NOBODY else old.rows[before].function for before, _, _ in pairs]
    columns: dict[str, pa.Array] = {
        name: pa.array([row[place] for row in shown], pa.int64() if name == "line" else pa.string())
        for place, name in enumerate(_Row._fields)
    }
    columns |= {"match": pa.array([str(match) for *_, match in pairs], pa.string()), "was": pa.array(was, pa.string())}
    for column, name in enumerate(HOLDINGS):
        for when, side, place in (("before", old, 0), ("after", new, 1)):
            rows = np.array([pair[place] for pair in pairs], np.int64)
            columns[f"{when}_{name}"] = pa.array(side.holdings[column, rows])
    return pa.table(columns)


def change(rows: pa.Table, name: str) -> I64:
    """Return the change of a holding in each row."""
    after, before = (np.asarray(rows[f"{when}_{name}"].combine_chunks()) for when in ("after", "before"))
    return np.asarray(after - before, np.int64)


LIVE = ("maps", "live_slots", "live_bytes")
"""Measures of live entries; ``live_bytes`` is allocated less retained bytes."""
LIVE_GROWTH = pa.schema(
    [("type", pa.string()), ("function", pa.string()), ("file", pa.string()), ("line", pa.int64())]
    + [(f"{when}_{name}", pa.int64()) for name in LIVE for when in ("before", "after")]
)


def live_growth(before: pa.Table, after: pa.Table, charged: pa.Table) -> pa.Table:
    """Return the map types with more live entries than before, the largest growth first: `LIVE_GROWTH`.

    Parameters
    ----------
    before, after
        Reports of both sides by type (`retention.by_type`).
    charged
        The result of `compare` for both sides. It names for each type the call site whose live entries grew most, null
        if no call site's grew.
    """
    was, is_now = _live_by_type(before), _live_by_type(after)
    sites: dict[str, tuple[int, dict[str, object]]] = {}
    for row, by in zip(charged.to_pylist(), change(charged, "live_slots").tolist(), strict=True):
        if by > sites.get(row["type"], (0, {}))[0] and row["file"]:
            sites[row["type"]] = by, row
    rows = []
    for kind, held in is_now.items():
        old = was.get(kind, dict.fromkeys(LIVE, 0))
        _, site = sites.get(kind, (0, {}))
        where = {name: site.get(name) for name in ("function", "file", "line")}
        amounts = {f"{when}_{name}": of[name] for when, of in (("before", old), ("after", held)) for name in LIVE}
        rows.append({"type": kind} | where | amounts)
    found = pa.Table.from_pylist(rows, schema=LIVE_GROWTH)
    by = change(found, "live_slots")
    order = np.argsort(-by, kind="stable")
    return found.take(pa.array(order[by[order] > 0]))


def _live_by_type(rows: pa.Table) -> dict[str, dict[str, int]]:
    columns = [rows[name].to_pylist() for name in ("type", "maps", "live_slots", "allocated_bytes", "retained_bytes")]
    return {
        kind: {"maps": maps, "live_slots": live, "live_bytes": allocated - retained}
        for kind, maps, live, allocated, retained in zip(*columns, strict=True)
    }


def _sorted(rows: pa.Table) -> pa.Table:
    sizes = [-np.abs(change(rows, name)) for name in ("allocated_bytes", "retained_bytes")]
    return rows.take(pa.array(np.lexsort(sizes)))
