"""What the memory of a process is used for at the end of its recording, part by part, down to the last byte.

Replay gives the maps, the runtime's figures give the heap, and the kernel says
which pages are in memory. The three are read one after the other while the
process may run: their difference is a part of its own, `unexplained`.
Pure: tables in, parts out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.heap.map_types import Known, MapType, map_types
from mapprobe.recording.sites import CallSite, Sites
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.charges import charged
from mapprobe.vocabulary import Inexact, MapState, Part, View


class Name(StrEnum):
    """The parts, in the order of the waterfall."""

    LIVE = "live entries of maps"
    RETAINED = "retained buckets of maps"
    DROPPED = "dropped maps and left arrays, not collected"
    OTHER = "other heap in use"
    STACKS = "stacks and work buffers"
    FREE = "free, not returned"
    RETURNED = "returned, still resident"
    UNTOUCHED = "never written to"
    RUNTIME = "the runtime's own"
    FOREIGN = "C, mmap and other"
    FILES = "binary and libraries"
    UNEXPLAINED = "unexplained"


REPLAY, FIGURES, PAGES = "replay", "the runtime's figures", "pages in memory"
SOURCES = {
    Name.LIVE: REPLAY,
    Name.RETAINED: REPLAY,
    Name.DROPPED: "census, and the lives of arrays",
    Name.OTHER: f"{FIGURES}, less the maps",
    Name.STACKS: "spans in memory",
    Name.FREE: f"free spans, {PAGES}",
    Name.RETURNED: PAGES,
    Name.UNTOUCHED: f"spans and {PAGES}",
    Name.RUNTIME: f"{PAGES}, {FIGURES} at most",
    Name.FOREIGN: PAGES,
    Name.FILES: PAGES,
    Name.UNEXPLAINED: "what is left",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One part; `bytes` is negative for memory that other parts count although it takes no pages.

    Attributes
    ----------
    more, less
        How much larger or smaller the part may be, because of maps that are unknown or have bounds [bytes]; None: by
        any number.
    told_by
        The source of the figure if it is not the one in `SOURCES`.
    """

    name: Name
    bytes: int
    exact: bool
    more: int | None = 0
    less: int | None = 0
    told_by: str = ""

    @property
    def source(self) -> str:
        """The source of the figure."""
        return self.told_by or SOURCES[self.name]


@dataclass(frozen=True, slots=True)
class Unsure:
    """How far the maps' figures may be wrong [bytes]; None: any number.

    Attributes
    ----------
    allocated, retained
        The most that unknown maps have allocated and retain.
    less, more
        How much less or more living maps may retain than their figure says.
    """

    allocated: int | None = 0
    retained: int | None = 0
    less: int = 0
    more: int | None = 0


@dataclass(frozen=True, slots=True)
class Maps:
    """What the maps of a process hold at the end [bytes].

    Attributes
    ----------
    live, retained
        Bytes that the entries of living maps need, and bytes that living maps retain.
    dropped
        Bytes of maps that nothing refers to.
    left
        Bytes of arrays that maps no longer use and that no collection has freed.
    is_exact
        True if every figure of the living maps is exact.
    sites
        Retained bytes by call site, the most first.
    types
        What the living maps of each type hold, the largest type first.
    unsure
        Bytes that are in none of the figures above.
    """

    live: int
    retained: int
    dropped: int
    left: int
    is_exact: bool
    sites: list[tuple[CallSite, int]]
    types: list[MapType] = field(default_factory=list)
    unsure: Unsure = Unsure()


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The parts of a process's memory; they sum to `rss_bytes` exactly.

    Attributes
    ----------
    at_ns
        When the pages were read.
    """

    at_ns: int
    rss_bytes: int
    steps: list[Step]
    maps: Maps

    def __getitem__(self, name: Name) -> int:
        """Return what a part takes [bytes]."""
        return next(step.bytes for step in self.steps if step.name is name)


def maps_of(replayed: Replayed, known: Known, dropped: pa.Table | None, lives: pa.Table) -> Maps:
    """Return what living maps hold at the end, and what unknown maps hold at most.

    Parameters
    ----------
    known
        Facts about the recording beside its maps.
    dropped
        Maps that nothing refers to, by the census at the end: ``map_addr``, ``allocated_bytes``; None: no census
        looked for references, so dropped maps count as living ones.
    lives
        `lives.lives`.
    """
    maps = replayed.maps
    here, unsettled = (maps.filter(pc.equal(maps["state"], str(state))) for state in (MapState.ALIVE, MapState.UNKNOWN))
    lost = maps.slice(0, 0) if dropped is None else dropped
    unsure = _unsure(here, unsettled)
    retained = _total(here, "retained_bytes")
    return Maps(
        live=_total(here, "allocated_bytes") - retained,
        retained=retained,
        dropped=_total(lost, "allocated_bytes"),
        left=_left(here, lost, _settled(lives, unsettled)),
        is_exact=dropped is not None and unsure == Unsure() and _are_exact(here),
        sites=_by_site(replayed, here["map_id"], known.sites, known.view),
        types=map_types(replayed, here, known),
        unsure=unsure,
    )


def _unsure(here: pa.Table, unsettled: pa.Table) -> Unsure:
    """Return how far the bounds of the maps are from their figures."""
    retained, at_most = _total(here, "retained_bytes"), _total_or_none(here, "most_retained_bytes")
    return Unsure(
        allocated=_total_or_none(unsettled, "most_allocated_bytes"),
        retained=_total_or_none(unsettled, "most_retained_bytes"),
        less=retained - _total(here, "least_retained_bytes"),
        more=None if at_most is None else at_most - retained,
    )


def _total_or_none(table: pa.Table, name: str) -> int | None:
    """Return the sum of a column, None if one of its figures is not known."""
    return None if table[name].null_count else _total(table, name)


def _are_exact(maps: pa.Table) -> bool:
    """True if the holdings of all maps are exact; untouched maps count as exact, as a census read their memory."""
    read = pc.is_in(maps["inexact"], pa.array([Inexact.EXACT, Inexact.UNTOUCHED], maps.schema.field("inexact").type))
    known = pc.fill_null(pc.equal(maps["least_retained_bytes"], maps["most_retained_bytes"]), fill_value=False)
    return bool(pc.all(pc.and_(read, known)).as_py() in (True, None))


def _total(table: pa.Table, name: str) -> int:
    return int(pc.sum(table[name], min_count=0).as_py())


def _settled(lives: pa.Table, unsettled: pa.Table) -> pa.Table:
    """Leave out the arrays of unknown maps: such a map may still use its array."""
    theirs = unsettled["map_addr"].combine_chunks()
    return lives.filter(pc.invert(pc.fill_null(pc.is_in(lives["map_addr"], theirs), fill_value=False)))


def _left(here: pa.Table, lost: pa.Table, lives: pa.Table) -> int:
    """Return the bytes of arrays that are still allocated, less the bytes that their maps have now."""
    is_open = pc.and_(pc.is_null(lives["freed_ns"]), pc.and_(lives["is_array"], pc.is_valid(lives["map_addr"])))
    held = lives.filter(is_open).group_by("map_addr").aggregate([("bytes", "sum")])
    has = dict.fromkeys(held["map_addr"].to_pylist(), 0)
    for table in (here, lost):
        met = table.filter(pc.is_in(table["map_addr"], held["map_addr"].combine_chunks()))
        for addr, size in zip(met["map_addr"].to_pylist(), met["allocated_bytes"].to_pylist(), strict=True):
            has[addr] += size
    pairs = zip(held["map_addr"].to_pylist(), held["bytes_sum"].to_pylist(), strict=True)
    return sum(max(0, size - has[addr]) for addr, size in pairs)


def _by_site(replayed: Replayed, map_ids: pa.Array, sites: Sites, view: View) -> list[tuple[CallSite, int]]:
    charges, is_asked = charged(replayed, view), np.zeros(len(replayed.maps), np.bool_)
    is_asked[np.asarray(map_ids, np.int64)] = True
    is_it = is_asked[charges.map_id]
    of_site = np.zeros(len(sites.table), np.int64)
    np.add.at(of_site, sites.site_of_stack[charges.stack_id[is_it]], charges.column("retained_bytes")[is_it])
    order = np.argsort(-of_site, kind="stable")
    return [(sites.table[n], int(of_site[n])) for n in order[of_site[order] > 0].tolist()]


def waterfall(maps: Maps, figures: dict[str, int], residence: pa.Table) -> Waterfall:
    """Return the parts of the process's memory.

    Parameters
    ----------
    figures
        The last row of `tables.heap.FIGURES`.
    residence
        The rows of `tables.heap.RESIDENCE` at the end.
    """
    rows = residence.to_pylist()
    size, there = ({Part(row["part"]): int(row[name]) for row in rows} for name in ("bytes", "resident_bytes"))
    in_use, free, rss = figures["heap_in_use_bytes"], figures["heap_free_bytes"], there[Part.PROCESS]
    untouched = sum(size[part] - there[part] for part in (Part.LARGE, Part.SMALL, Part.STACKS))
    # memory that the runtime has mapped beside its spans counts as the runtime's own, also where it was never written
    # to: this is some megabytes too much, and memory that is not Go's (foreign) the same amount too little
    mapped = figures["mapped_ready_bytes"] - in_use - free - size[Part.STACKS]
    own = min(there[Part.ANONYMOUS], max(0, mapped))
    foreign = there[Part.ANONYMOUS] + there[Part.C_HEAP] - own
    uncollected = maps.dropped + maps.left
    found = {
        Name.LIVE: (maps.live, maps.is_exact),
        Name.RETAINED: (maps.retained, maps.is_exact),
        Name.DROPPED: (uncollected, False),
        Name.OTHER: (in_use - maps.live - maps.retained - uncollected, maps.is_exact and not uncollected),
        Name.STACKS: (size[Part.STACKS], True),
        Name.FREE: (there[Part.FREE], True),
        Name.RETURNED: (there[Part.RETURNED], True),
        Name.UNTOUCHED: (-untouched, True),
        Name.RUNTIME: (own, False),
        Name.FOREIGN: (foreign, False),
        Name.FILES: (there[Part.FILES], True),
    }
    found[Name.UNEXPLAINED] = rss - sum(amount for amount, _ in found.values()), True
    bounds = _bounds(maps.unsure)
    steps = [Step(name, amount, is_exact, *bounds.get(name, (0, 0))) for name, (amount, is_exact) in found.items()]
    return Waterfall(int(rows[0]["time_ns"]), rss, steps, maps)


def last_known(maps: Maps, figures: dict[str, int]) -> Waterfall:
    """Return the parts of a process's memory by the runtime's last figures, for a process whose pages were not read.

    Parameters
    ----------
    figures
        The last row of `tables.heap.FIGURES`.
    """
    in_use, free = figures["heap_in_use_bytes"], figures["heap_free_bytes"]
    found = {
        Name.LIVE: (maps.live, REPLAY),
        Name.RETAINED: (maps.retained, REPLAY),
        Name.OTHER: (in_use - maps.live - maps.retained, f"{FIGURES}, less the maps that are known to live"),
        Name.FREE: (free, FIGURES),
        Name.RUNTIME: (figures["mapped_ready_bytes"] - in_use - free, f"{FIGURES} at most, stacks with it"),
    }
    rest = figures["rss_bytes"] - sum(amount for amount, _ in found.values())
    found[Name.UNEXPLAINED] = rest, "what is left: C, mmap, the binary, less what was never written to"
    bounds = _bounds(maps.unsure)
    steps = [Step(name, amount, False, *bounds.get(name, (0, 0)), told_by) for name, (amount, told_by) in found.items()]
    return Waterfall(figures["time_ns"], figures["rss_bytes"], steps, maps)


def _bounds(unsure: Unsure) -> dict[Name, tuple[int | None, int | None]]:
    """Return how much larger and smaller parts may be: bytes of a map are not other heap, retained bytes not live."""
    return {
        Name.LIVE: (_sum(unsure.allocated, unsure.less), unsure.more),
        Name.RETAINED: (_sum(unsure.retained, unsure.more), unsure.less),
        Name.OTHER: (0, unsure.allocated),
    }


def _sum(*amounts: int | None) -> int | None:
    """Return a sum, None if one of its figures may be any number."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
