"""What call sites are charged at one time held against what they were charged at another, or in another build.

Pure. A row is a call site and a map type. Of one build it is the line that tells sites apart; of different builds lines
drift, so it is the function, and what the compiler numbers (closures) may have another number.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.replay import Replayed
from mapprobe.retention import HOLDINGS, by_charge
from mapprobe.schema import View
from mapprobe.sites import Sites

I64 = npt.NDArray[np.int64]
Row = dict[str, Any]
Key = Callable[[Row], Hashable]

SITE = ("function", "file", "line", "package")
NUMBERED = re.compile(r"((?:\.(?:func|gowrap|deferwrap|init\.))|-range)\d+(?:\.\d+)*|/v\d+(?=[/.])")
"""What the compiler counts up in a function's name, and the major version in a package's path."""


class Match(StrEnum):
    """How a call site was found again."""

    SAME = "same"
    RENUMBERED = "renumbered"
    RENAMED = "renamed"
    APPEARED = "appeared"
    GONE = "gone"


def site_charges(replayed: Replayed, types: pa.Table, sites: Sites, view: View) -> pa.Table:
    """Return what each call site is charged for maps of each type: the site, ``type``, and `schema.HOLDINGS`."""
    charges = by_charge(replayed, types, sites.site_of_stack.astype(np.int64), view)
    found = [sites.table[row] for row in charges["group"].to_pylist()]
    kinds = (pa.string(), pa.string(), pa.int64(), pa.string())
    columns = {n: pa.array([getattr(site, n) for site in found], kind) for n, kind in zip(SITE, kinds, strict=True)}
    return pa.table(columns | {name: charges[name] for name in ("type", *HOLDINGS)})


def compare(before: pa.Table, after: pa.Table, *, is_same_build: bool) -> pa.Table:
    """Match the rows of two tables of `site_charges`.

    Returns
    -------
    The site and ``type`` as they are after (before, where they are gone), ``match`` (`Match`), ``was`` (the function
    before, null where it appeared), and of each of `schema.HOLDINGS` ``before_*`` and ``after_*``, which sum to the
    totals of each side. The largest change of retained bytes first, then of allocated bytes.
    """
    key = _of_one_build if is_same_build else _of_function
    old, new = (_summed(table.to_pylist(), key) for table in (before, after))
    pairs = _matched(old, new, key, Match.SAME)
    if not is_same_build:
        pairs += _matched(old, new, _of_numbered, Match.RENUMBERED)
        pairs += _matched(old, new, _of_file, Match.RENAMED, only_one=True)
    pairs += [(row, None, Match.GONE) for row in old] + [(None, row, Match.APPEARED) for row in new]
    return _sorted(pa.Table.from_pylist([_row(*pair) for pair in pairs], schema=_schema()))


def _of_one_build(row: Row) -> Hashable:
    return row["function"], row["file"], row["line"], row["type"]


def _of_function(row: Row) -> Hashable:
    return row["function"], row["type"]


def _of_numbered(row: Row) -> Hashable:
    return NUMBERED.sub(r"\1", row["function"]), row["type"]


def _of_file(row: Row) -> Hashable:
    return row["package"], os.path.basename(row["file"]), row["type"]


def _summed(rows: list[Row], key: Key) -> list[Row]:
    """Add up rows of one key; file and line are of the first, which retains most."""
    groups: dict[Hashable, Row] = {}
    for row in rows:
        kept = groups.setdefault(key(row), row)
        if kept is not row:
            for name in HOLDINGS:
                kept[name] += row[name]
    return list(groups.values())


def _matched(
    old: list[Row], new: list[Row], key: Key, match: Match, *, only_one: bool = False
) -> list[tuple[Row | None, Row | None, Match]]:
    """Take out of both lists what has the same key, in the order of the source.

    Parameters
    ----------
    only_one
        Match only where one row on each side has the key: more would be guessing.
    """
    was, is_now = _grouped(old, key), _grouped(new, key)
    pairs: list[tuple[Row | None, Row | None, Match]] = []
    taken = set()
    for common, rows in is_now.items():
        others = was.get(common, [])
        if only_one and (len(rows) != 1 or len(others) != 1):
            continue
        for before, after in zip(others, rows, strict=False):
            pairs.append((before, after, match))
            taken |= {id(before), id(after)}
    for side in (old, new):
        side[:] = [row for row in side if id(row) not in taken]
    return pairs


def _grouped(rows: list[Row], key: Key) -> dict[Hashable, list[Row]]:
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["file"], row["line"])):
        groups[key(row)].append(row)
    return groups


def _row(before: Row | None, after: Row | None, match: Match) -> Row:
    shown = after or before or {}
    found = {name: shown[name] for name in (*SITE, "type")}
    found |= {"match": str(match), "was": before["function"] if before else None}
    for name in HOLDINGS:
        found[f"before_{name}"] = before[name] if before else 0
        found[f"after_{name}"] = after[name] if after else 0
    return found


def _schema() -> pa.Schema:
    text = [(name, pa.string()) for name in ("type", "match", "was")]
    keys = [("function", pa.string()), ("file", pa.string()), ("line", pa.int64()), ("package", pa.string()), *text]
    return pa.schema([*keys, *((f"{when}_{name}", pa.int64()) for name in HOLDINGS for when in ("before", "after"))])


def change(rows: pa.Table, name: str) -> I64:
    """Return by how much a holding changed in each row."""
    after, before = (np.asarray(rows[f"{when}_{name}"].combine_chunks()) for when in ("after", "before"))
    return np.asarray(after - before, np.int64)


def _sorted(rows: pa.Table) -> pa.Table:
    sizes = [-np.abs(change(rows, name)) for name in ("allocated_bytes", "retained_bytes")]
    return rows.take(pa.array(np.lexsort(sizes)))
