"""Bounds of what groups of maps retain, from the bounds of their living maps.

Pure: the tables of a reconciled replay (`balance`) in, columns of a report out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.analysis.certainty import has_bounds
from mapprobe.vocabulary import MapState

I64 = npt.NDArray[np.int64]

LEAST, MOST = "least_retained_bytes", "most_retained_bytes"


def margins(maps: pa.Table, members: tuple[I64, I64], retained: I64) -> dict[str, pa.Array]:
    """Return the least and the most that each group retains (null: any number), no columns if no map has bounds.

    Where several groups are charged for parts of one map, the whole uncertainty of the map may fall on any one group.

    Parameters
    ----------
    maps
        `schema.MAPS`.
    members
        Rows of `maps` and the group of each, ``(n,)`` twice; a map may be in several groups.
    retained
        What each group retains by the known figures [bytes], ``(groups,)``.
    """
    is_it = np.asarray(pc.and_(pc.equal(maps["state"], str(MapState.ALIVE)), has_bounds(maps)), np.bool_)
    map_id, group = members
    pairs = np.unique(np.stack([map_id, group], axis=1)[is_it[map_id]], axis=0)
    if not len(pairs):
        return {}
    figure, least, most = (
        np.asarray(pc.fill_null(maps[name], 0), np.int64)[pairs[:, 0]] for name in ("retained_bytes", LEAST, MOST)
    )
    has_no_most = np.asarray(pc.is_null(maps[MOST]), np.bool_)[pairs[:, 0]]
    less, more, open_ended = (np.zeros(len(retained), np.int64) for _ in range(3))
    np.add.at(less, pairs[:, 1], figure - least)
    np.add.at(more, pairs[:, 1], np.where(has_no_most, 0, most - figure))
    np.add.at(open_ended, pairs[:, 1], has_no_most)
    return {
        LEAST: pa.array(np.maximum(0, retained - less)),
        MOST: pa.array(retained + more, mask=open_ended > 0),
    }
