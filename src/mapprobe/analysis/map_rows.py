"""Figures of each map in a report: the order of the maps, and the sums of the maps that are not shown one by one.

Figures are computed column by column, as the rows of a report of a million maps take a GB. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.certainty import may_hold
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import MapState

I64 = npt.NDArray[np.int64]

HOLDINGS = [column.name for column in schema.HOLDINGS]
RETAINED, LEAST, MOST = "retained_bytes", "least_retained_bytes", "most_retained_bytes"
ANY_NUMBER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Rest:
    """Maps that are not shown one by one.

    Attributes
    ----------
    rows, unknown
        The number of these maps, and the number of those whose holdings are not known.
    measures
        Sums of `schema.MEASURES`, `LEAST` and `MOST`; None where nothing is known.
    """

    rows: int
    unknown: int
    measures: dict[str, int | None]


def map_order(replayed: Replayed) -> I64:
    """Return the rows of all maps in the order of a report (`ordered`)."""
    maps = replayed.maps
    most = _ints(maps[MOST].cast(pa.int64()).fill_null(ANY_NUMBER))
    keys = [np.arange(len(maps)), -map_column(replayed, "allocated_bytes"), -most, -map_column(replayed, RETAINED)]
    return np.lexsort(keys)


def map_column(replayed: Replayed, name: str) -> I64:
    """Return one of `schema.MEASURES` for each map, 0 where it is not known, ``(maps,)``."""
    maps = replayed.maps
    if name == "maps":
        return np.asarray(pc.equal(maps["state"], str(MapState.ALIVE))).astype(np.int64)
    return np.where(may_live(maps), 0, _ints(maps[name])) if name in HOLDINGS else _ints(maps[name])


def rest_of_maps(replayed: Replayed, rows: I64) -> Rest:
    """Return the number of the maps in `rows`, and the sums of their measures."""
    unknown = int(np.count_nonzero(np.asarray(may_live(replayed.maps))[rows]))
    measures: dict[str, int | None] = {name: int(map_column(replayed, name)[rows].sum()) for name in schema.MEASURES}
    if len(rows) and unknown == len(rows):
        measures |= dict.fromkeys(HOLDINGS)
    for name in (LEAST, MOST):
        bound = replayed.maps[name].take(pa.array(rows))
        measures[name] = None if bound.null_count else int(_ints(bound).sum())
    return Rest(len(rows), unknown, measures)


def may_live(maps: pa.Table) -> pa.Array:
    """Return which maps are unknown and may have buckets."""
    return pc.and_(pc.equal(maps["state"], str(MapState.UNKNOWN)), may_hold(maps)).combine_chunks()


def _ints(column: pa.Array | pa.ChunkedArray) -> I64:
    """Return a column of integers, 0 for null."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0)).astype(np.int64, copy=False)
