"""How sure the totals of a report are: how many maps are dead, how many unknown, and which figures have bounds.

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
    """What is in no total as a known figure.

    Attributes
    ----------
    dead
        Maps that have died.
    uncollected_bytes
        What dead maps take that no collection has freed yet [bytes].
    unknown
        Maps with buckets of which nobody knows whether they live.
    unknown_retained_bytes, unknown_allocated_bytes
        What these retain and have at most; None: any number.
    bounded
        Maps that live, and whose figures have bounds.
    retained_bytes, allocated_bytes
        Least and most of the totals, None: any number; the same number twice where all is known.
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
    """Return what is in no total of a replay as a known figure.

    Parameters
    ----------
    uncollected_bytes
        What the census of the end found of dead maps.
    unseen
        Dead maps of that census that no event was about.
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
    """Return which maps may have buckets: of some that is not known."""
    return pc.fill_null(pc.greater(maps["most_allocated_bytes"], 0), fill_value=True)


def has_bounds(maps: pa.Table) -> pa.ChunkedArray:
    """Return which maps retain between two figures that differ."""
    return pc.fill_null(pc.not_equal(maps["least_retained_bytes"], maps["most_retained_bytes"]), fill_value=True)


def _sum_or_none(column: pa.ChunkedArray) -> int | None:
    """Return the sum of figures, None if one of them is not known."""
    return None if column.null_count else _sum(column)


def _sum(column: pa.ChunkedArray) -> int:
    return int(pc.sum(column, min_count=0).as_py())
