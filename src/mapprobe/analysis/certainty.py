"""How certain the totals of a report are: dead maps, unknown maps, and figures that have bounds.

Pure: the tables of a reconciled replay (`balance`) in, figures out.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import MapState


@dataclass(frozen=True, slots=True)
class Apart:
    """Figures that a report gives apart from its totals, as they are not known or not of living maps.

    Attributes
    ----------
    dead
        The number of dead maps.
    uncollected_bytes
        Bytes of dead maps that no collection has freed yet.
    unknown
        The number of maps that have buckets and may be alive or dead.
    unknown_retained_bytes, unknown_allocated_bytes
        The most that unknown maps retain and have allocated; None: any number.
    bounded
        The number of living maps whose figures have bounds.
    retained_bytes, allocated_bytes
        Least and most of the totals; None: any number. Both are equal where every figure is known.
    """

    dead: int
    uncollected_bytes: int
    unknown: int
    unknown_retained_bytes: int | None
    unknown_allocated_bytes: int | None
    bounded: int
    retained_bytes: tuple[int, int | None]
    allocated_bytes: tuple[int, int | None]

    @property
    def is_known(self) -> bool:
        """True if every figure of the totals is known."""
        return self.retained_bytes[0] == self.retained_bytes[1] and self.allocated_bytes[0] == self.allocated_bytes[1]


def apart(replayed: Replayed, uncollected_bytes: int = 0, unseen: int = 0) -> Apart:
    """Return the figures of a replay that its report gives apart from the totals.

    Parameters
    ----------
    uncollected_bytes
        Bytes of dead maps that the census of the end found.
    unseen
        The number of dead maps of that census that had no event.
    """
    maps = replayed.maps
    is_unknown = pc.and_(pc.equal(maps["state"], str(MapState.UNKNOWN)), may_hold(maps))
    unknown, alive = maps.filter(is_unknown), maps.filter(pc.equal(maps["state"], str(MapState.ALIVE)))
    held = unknown_retained, unknown_allocated = tuple(
        _sum_or_none(unknown[name]) for name in ("most_retained_bytes", "most_allocated_bytes")
    )
    known = tuple(_sum_or_none(alive[name]) for name in ("most_retained_bytes", "most_allocated_bytes"))
    most = [None if a is None or b is None else a + b for a, b in zip(held, known, strict=True)]
    return Apart(
        dead=_sum(pc.equal(maps["state"], str(MapState.DEAD))) + unseen,
        uncollected_bytes=uncollected_bytes,
        unknown=len(unknown),
        unknown_retained_bytes=unknown_retained,
        unknown_allocated_bytes=unknown_allocated,
        bounded=_sum(has_bounds(alive)),
        retained_bytes=(_sum(alive["least_retained_bytes"]), most[0]),
        allocated_bytes=(_sum(alive["allocated_bytes"]), most[1]),
    )


def may_hold(maps: pa.Table) -> pa.ChunkedArray:
    """Return which maps may have buckets; a map without an upper bound may have some."""
    return pc.fill_null(pc.greater(maps["most_allocated_bytes"], 0), fill_value=True)


def has_bounds(maps: pa.Table) -> pa.ChunkedArray:
    """Return which maps have different least and most retained bytes."""
    return pc.fill_null(pc.not_equal(maps["least_retained_bytes"], maps["most_retained_bytes"]), fill_value=True)


def _sum_or_none(column: pa.ChunkedArray) -> int | None:
    """Return the sum of a column, None if one of its figures is not known."""
    return None if column.null_count else _sum(column)


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column, min_count=0).as_py())
