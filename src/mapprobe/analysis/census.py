"""A census summed up for a reader: its sums, its types, and the maps that retain the most. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.model.holdings import ALLOCATED, RETAINED
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.sites import NOT_RECORDED, CallSite, Sites, display_type
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS
from mapprobe.replay.from_census import Held, hold, lives_of
from mapprobe.vocabulary import Liveness, Naming

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NO_TYPE = "(no type that is known)"
POWERS = np.array([1 << n for n in range(63)], np.int64)


@dataclass(frozen=True, slots=True)
class Summary:
    """A census summed up by map and by type.

    Attributes
    ----------
    about
        The row of `tables.census.CENSUS_ABOUT`.
    maps
        One row for each map that lives: ``map_addr``, ``type``, ``naming``, ``liveness``, ``settled``, ``live_least``,
        ``live_most``, ``retained_least``, ``retained_most``, ``grown_at`` and `schema.HOLDINGS`; maps that retain the
        most come first, no more than were asked for.
    types
        One row for each type name: ``type``, ``maps`` and `schema.HOLDINGS`; types that retain the most come first.
    dead
        The number of maps that nothing refers to, and the bytes that they take.
    sums
        Of all maps that live: ``maps`` and `schema.HOLDINGS`.
    bounds
        Least and most of the sums of ``live`` slots and ``retained`` bytes.
    namings
        How many maps there are of each `Naming`.
    restless, unsure
        Maps that were written at every read, and maps on stacks whose frames could not be told apart: the number of
        maps, and the bytes that they take.
    """

    about: dict[str, Any]
    maps: pa.Table
    types: pa.Table
    dead: tuple[int, int]
    sums: dict[str, int]
    bounds: dict[str, tuple[int, int]]
    namings: dict[Naming, int]
    restless: tuple[int, int]
    unsure: tuple[int, int]

    def totals(self) -> dict[str, int]:
        """Return the sums of all maps that live."""
        return self.sums


def summary(census: pa.Table, about: dict[str, Any], inputs: Inputs, top: int | None = None) -> Summary:
    """Add a census up by map and by type.

    Parameters
    ----------
    census, about
        Rows of `tables.census.CENSUS`, and the row of `tables.census.CENSUS_ABOUT`.
    top
        The number of maps that have a row of their own, the maps that retain the most; None: all.
    """
    found, lives = hold(census, inputs), lives_of(census)
    holdings, rows = found.amounts, np.flatnonzero(lives)
    names = pa.array([*map(display_type, inputs.types["name"].to_pylist()), NO_TYPE], pa.string())
    type_id = np.array(census["type_id"], np.int64) % len(names)  # -1 becomes the last name, NO_TYPE
    allocated = holdings[:, ALLOCATED]
    naming, liveness = (np.asarray(census[name])[rows] for name in ("naming", "liveness"))
    is_restless = ~np.asarray(census["settled"], np.bool_)[rows]
    sums = {column.name: int(holdings[:, n].sum()) for n, column in enumerate(schema.HOLDINGS)}
    least, most = (np.asarray(census[f"live_{end}"])[rows].sum(dtype=np.int64) for end in ("least", "most"))
    retained = (int(found.bounds[f"{end}_retained_bytes"].sum()) for end in ("least", "most"))  # dead maps have 0
    is_dead = ~lives
    counts = np.bincount(naming, minlength=len(Naming)).tolist()
    return Summary(
        about=about,
        maps=_shown(census, found, largest(rows, holdings, top), names, type_id, inputs.sites),
        types=_by_type(names, type_id[rows], holdings[rows]),
        dead=_count(is_dead, np.asarray(census["allocated_bytes"])),
        sums={"maps": len(rows)} | sums,
        bounds={"live": (int(least), int(most)), "retained": (next(retained), next(retained))},
        namings={of: counts[of] for of in Naming if counts[of]},
        restless=_count(is_restless, allocated[rows]),
        unsure=_count(liveness == Liveness.ON_STACK, allocated[rows]),
    )


def _count(is_it: Flags, allocated: npt.NDArray[Any]) -> tuple[int, int]:
    """Return the number of flagged maps, and the bytes that they take."""
    return int(np.count_nonzero(is_it)), int(allocated[is_it].sum(dtype=np.int64))


def _shown(census: pa.Table, found: Held, rows: I64, names: pa.Array, type_id: I64, sites: Sites) -> pa.Table:
    """Return the rows of `Summary.maps` for some rows of a census."""
    part = census.take(pa.array(rows))
    grown_at = pa.array([_at(sites.table[site]) for site in sites.site_of_stack.tolist()], pa.string())
    kinds = {name: CENSUS.schema.field(name).type for name in ("live_least", "live_most")}
    return pa.table(
        {
            "map_addr": part["map_addr"],
            "type": names.take(pa.array(type_id[rows])),
            **{name: part[name] for name in ("naming", "liveness", "settled")},
            **{name: part[name].cast(kind) for name, kind in kinds.items()},
            **{f"retained_{end}": found.bounds[f"{end}_retained_bytes"][rows] for end in ("least", "most")},
            "grown_at": grown_at.take(part["grown_by"]),
            **{column.name: found.amounts[rows, n] for n, column in enumerate(schema.HOLDINGS)},
        }
    )


def largest(rows: I64, holdings: I64, top: int | None) -> I64:
    """Return `top` rows (None: all): the most retained bytes first, then the most allocated bytes, then in order."""
    if top is not None and top < len(rows):
        # only rows that may be in the top are sorted: amounts with the same number of bits are kept or left together
        bits = np.searchsorted(POWERS, holdings[rows, RETAINED], "right")
        above = np.cumsum(np.bincount(bits, minlength=len(POWERS) + 1)[::-1])[::-1]
        rows = rows[bits >= np.flatnonzero(above >= top)[-1]]
    order = np.lexsort((-holdings[rows, ALLOCATED], -holdings[rows, RETAINED]))
    found: I64 = rows[order[:top]]
    return found


def _by_type(names: pa.Array, type_id: I64, holdings: I64) -> pa.Table:
    sums = {"maps": np.bincount(type_id, minlength=len(names))}
    for n, column in enumerate(schema.HOLDINGS):
        found = np.zeros(len(names), np.int64)
        np.add.at(found, type_id, holdings[:, n])
        sums[column.name] = found
    order = np.lexsort((-sums["allocated_bytes"], -sums["retained_bytes"]))
    order = order[sums["maps"][order] > 0]
    return pa.table({"type": names.take(pa.array(order))} | {name: values[order] for name, values in sums.items()})


def _at(site: CallSite) -> str | None:
    return f"{site.function} {site.file.rpartition('/')[2]}:{site.line}" if site != NOT_RECORDED else None
