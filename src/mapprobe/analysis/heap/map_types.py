"""What the maps of each type hold at the end of a recording, and whether their entries only grow. Pure.

A map that was filled before the recording has a type and a size in the census, but no call sites. So a verdict names
types first, and call sites with their share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.retention import type_names
from mapprobe.arrays import I64, Flags
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.sites import CallSite, Sites
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.balance import NOWHERE, of_start
from mapprobe.replay.charges import charged
from mapprobe.vocabulary import BEFORE, Implementation, Inexact, View

ONE_BUCKET = 8
"""Slots of the smallest map with buckets: no hint makes fewer."""
HARDLY_USED = 4
"""A map was made too large if it has at least this many slots for each entry that it ever held."""
LEAST_TELLING = 2048
"""Buckets from which on a map that was ever filled almost certainly shows traces of its entries.

A map that grows to this many buckets has at least 3.25 entries a bucket on average. By the Poisson distribution 2 % of
the buckets of a Swiss map are then full, and an entry deleted from a full bucket leaves a mark; 0.6 % of the buckets of
a classic map have an overflow bucket, which stays. At most one such map in 100,000 has no trace by chance.
"""
MANY = 10
"""Empty maps of one type from which on they are named as a habit of the program."""
GREW_LEAST = 100
"""Entries by which a type's maps must have grown: fewer may be chance."""
FEW_DELETED = 10
"""Entries only grow if there are at least this many inserts for each delete."""
LAST_PART = 4
"""Entries still grow if the last event was in the last quarter of the recording."""


@dataclass(frozen=True, slots=True)
class Span:
    """A recording's beginning and end [ns, on the clock of the events]."""

    started_ns: int
    ended_ns: int

    @property
    def seconds(self) -> float:
        """How long the recording took."""
        return max(1, self.ended_ns - self.started_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Part:
    """Some maps of a type: what they retain, and how many buckets and entries they have.

    Attributes
    ----------
    most_entries
        The sum over these maps of the most entries that each was seen to hold.
    is_sure
        True if all of these maps were made in the recording; else the part is concluded from their buckets.
    """

    maps: int = 0
    retained_bytes: int = 0
    buckets: int = 0
    most_entries: int = 0
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of a type's entries, which only grow.

    Attributes
    ----------
    entries
        Entries at the end less entries at the start.
    inserts, deletes
        Recorded operations; 0 where only growths were recorded.
    seconds
        Time from the start to the end.
    """

    entries: int
    inserts: int
    deletes: int
    seconds: float

    @property
    def rate(self) -> float:
        """Entries a second."""
        return self.entries / self.seconds


@dataclass(frozen=True, slots=True)
class MapType:
    """What the living maps of one type hold.

    Attributes
    ----------
    elem
        The name of the element type.
    refers
        True if entries refer to other objects: keys or elements have pointers.
    presized, empty
        Maps made with a far too large hint, and all other empty maps if there are many.
    growth
        None if the entries don't only grow.
    retained_by, grown_by, inserted_by
        Call sites by retained bytes in the view of the report, by retained bytes in view growth, and by live slots in
        view fill; largest first.
    """

    name: str
    elem: str
    refers: bool
    maps: int
    live_slots: int
    live_bytes: int
    retained_bytes: int
    presized: Part
    empty: Part
    growth: Growth | None
    retained_by: list[tuple[CallSite, int]]
    grown_by: list[tuple[CallSite, int]]
    inserted_by: list[tuple[CallSite, int]]


@dataclass(frozen=True, slots=True)
class Known:
    """Facts about a recording beside its maps.

    Attributes
    ----------
    view
        Which call sites retained bytes are charged to.
    start
        Live entries of each type at the start (`entries_by_type`); None: there was no census of the start.
    """

    types: pa.Table
    sites: Sites
    implementation: Implementation
    view: View
    span: Span
    start: Mapping[str, int] | None


def entries_by_type(maps: pa.Table, inputs: Inputs) -> dict[str, int] | None:
    """Return how many live entries the maps of each type had in the census of the start; None: there was none.

    A map counts for the type that it has at the end, as the census may not have been sure of the type.

    Parameters
    ----------
    maps
        `schema.MAPS` at the end.
    """
    if inputs.start is None:
        return None
    census, row = inputs.start.rows, of_start(maps, inputs)
    type_id, at_end = np.array(census["type_id"], np.int64), np.asarray(maps["type_id"], np.int64)
    is_named = (row != NOWHERE) & (at_end >= 0)
    type_id[row[is_named]] = at_end[is_named]
    rows = pa.table({"type": type_names(pa.array(type_id), inputs.types), "live_slots": census["live_slots"]})
    alive = rows.filter(pc.not_equal(census["state"], "dead"))
    sums = alive.group_by("type").aggregate([("live_slots", "sum")])
    return dict(zip(sums["type"].to_pylist(), sums["live_slots_sum"].to_pylist(), strict=True))


def map_types(replayed: Replayed, here: pa.Table, known: Known) -> list[MapType]:
    """Return each type of the living maps, the largest first.

    Parameters
    ----------
    here
        The rows of `schema.MAPS` of living maps.
    """
    names = type_names(here["type_id"], known.types).dictionary_encode()
    group, count = np.asarray(names.indices, np.int64), len(names.dictionary)
    maps = _Maps({name: np.asarray(here[name]) for name in here.column_names if name not in ("state",)}, group, count)
    is_presized, is_sure = _presized(maps, known.implementation)
    is_empty = (maps["live_slots"] == 0) & (maps["allocated_bytes"] > 0) & ~is_presized
    live, retained = maps.sums("live_slots"), maps.sums("retained_bytes")
    held = maps.sums("allocated_bytes") - retained
    sites = _sites_of(replayed, here["map_id"], group, known)
    about = _about(known.types)
    order = np.argsort(-(held + retained), kind="stable")
    growths, numbers = _growths(maps, names.dictionary.to_pylist(), live, known), np.bincount(group, minlength=count)
    found = []
    for n in order.tolist():
        name = names.dictionary[n].as_py()
        empty, (elem, refers) = maps.part(n, is_empty), about.get(name, ("", False))
        found.append(
            MapType(
                name=name,
                elem=elem,
                refers=refers,
                maps=int(numbers[n]),
                live_slots=int(live[n]),
                live_bytes=int(held[n]),
                retained_bytes=int(retained[n]),
                presized=maps.part(n, is_presized, is_sure),
                empty=empty if empty.maps >= MANY else Part(),
                growth=growths[n],
                retained_by=sites["retained_by"].get(n, []),
                grown_by=sites["grown_by"].get(n, []),
                inserted_by=sites["inserted_by"].get(n, []),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _Maps:
    """Columns of `schema.MAPS`, and the number of each map's type."""

    columns: dict[str, npt.NDArray[np.generic]]
    group: I64
    count: int

    def __getitem__(self, name: str) -> I64:
        return self.columns[name].astype(np.int64, copy=False)

    def sums(self, name: str) -> I64:
        """Return the sum of a column over the maps of each type."""
        out = np.zeros(self.count, np.int64)
        np.add.at(out, self.group, self[name])
        return out

    def part(self, number: int, chosen: Flags, is_sure: Flags | None = None) -> Part:
        """Return the sums over the chosen maps of one type."""
        rows = np.flatnonzero(chosen)
        rows = rows[self.group[rows] == number]
        retained, buckets, most = (
            int(self[name][rows].sum()) for name in ("retained_bytes", "buckets", "peak_live_slots")
        )
        return Part(len(rows), retained, buckets, most, is_sure is None or bool(is_sure[rows].all()))


def _presized(maps: _Maps, implementation: Implementation) -> tuple[Flags, Flags]:
    """Return which maps were made with a far too large hint, and for which maps this is sure.

    It is sure for a map that was made in the recording and never grew. It is concluded for other maps that are large
    and show no trace of entries (`LEAST_TELLING`); `clear` leaves no trace either.
    """
    slots, peak, buckets = maps["slots"], maps["peak_live_slots"], maps["buckets"]
    too_large = (slots > ONE_BUCKET) & (slots >= HARDLY_USED * np.maximum(1, peak)) & (maps["retained_bytes"] > 0)
    stayed = too_large & (maps["growths"] == 0) & (maps["clears"] == 0)
    is_sure = (maps["created_by"] != BEFORE) & (maps["inexact"] == Inexact.EXACT)
    has_chains = implementation is Implementation.CLASSIC and (buckets & (buckets - 1)) != 0
    no_trace = (buckets >= LEAST_TELLING) & (maps["dead_slots"] <= maps["deletes"]) & ~np.asarray(has_chains)
    return np.asarray(stayed & (is_sure | no_trace)), np.asarray(is_sure)


def _growths(maps: _Maps, names: list[str], live: I64, known: Known) -> list[Growth | None]:
    """Return for each type the growth of its entries, None where they don't only grow."""
    inserts, deletes, clears = (maps.sums(name) for name in ("inserts", "deletes", "clears"))
    last_ns = np.zeros(maps.count, np.int64)
    np.maximum.at(last_ns, maps.group, maps["last_ns"])
    span = known.span
    late = span.ended_ns - (span.ended_ns - span.started_ns) // LAST_PART
    if known.start is None:
        grew = inserts - deletes
    else:
        grew = live - np.array([known.start.get(name, 0) for name in names], np.int64)
    is_watched = (inserts > 0) | (deletes > 0)
    goes_on = ~is_watched | ((last_ns >= late) & (deletes * FEW_DELETED <= inserts))
    only = (grew >= GREW_LEAST) & (clears == 0) & goes_on
    return [
        Growth(int(grew[n]), int(inserts[n]), int(deletes[n]), span.seconds) if only[n] else None
        for n in range(maps.count)
    ]


def _sites_of(
    replayed: Replayed, map_ids: pa.ChunkedArray, group: I64, known: Known
) -> dict[str, dict[int, list[tuple[CallSite, int]]]]:
    """Return the call sites of each type, for each of the three lists of `MapType`."""
    type_of = np.full(len(replayed.maps), -1, np.int64)
    type_of[np.asarray(map_ids, np.int64)] = group
    asked = {
        "retained_by": (known.view, "retained_bytes"),
        "grown_by": (View.GROWTH, "retained_bytes"),
        "inserted_by": (View.FILL, "live_slots"),
    }
    found = {}
    for which, (whose, measure) in asked.items():
        charges = charged(replayed, whose)
        of = type_of[charges.map_id]
        site = known.sites.site_of_stack[charges.stack_id].astype(np.int64)
        is_it, amounts = of >= 0, charges.column(measure)
        found[which] = dict(_by_type(of[is_it], site[is_it], amounts[is_it], known.sites.table))
    return found


def _by_type(
    of: I64, site: I64, amounts: I64, table: list[CallSite]
) -> Iterator[tuple[int, list[tuple[CallSite, int]]]]:
    """Yield each type with the call sites that have an amount above 0, the largest first."""
    pairs, pair = np.unique(of * len(table) + site, return_inverse=True)
    sums = np.zeros(len(pairs), np.int64)
    np.add.at(sums, pair, amounts)
    types, sites = np.divmod(pairs, max(1, len(table)))
    for number in np.unique(types).tolist():
        rows = np.flatnonzero((types == number) & (sums > 0))
        rows = rows[np.argsort(-sums[rows], kind="stable")]
        yield number, [(table[sites[row]], int(sums[row])) for row in rows.tolist()]


def _about(types: pa.Table) -> dict[str, tuple[str, bool]]:
    """Return the element of each type by its name, and whether its entries refer to objects."""
    names = type_names(types["type_id"], types).to_pylist()
    columns = [types[name].to_pylist() for name in ("elem", "key_has_pointers", "elem_has_pointers")]
    return {name: (elem, key or has_pointers) for name, elem, key, has_pointers in zip(names, *columns, strict=True)}
