"""Corrected bytes: replace the bytes of maps in a replay's result by those of a census, and split them over the stacks.

If a classic map was read from memory during the recording, replay does not know which of its overflow buckets were
allocated with an array. A census sees the address of each overflow bucket, so its number of bytes is right. Pure.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import I64, Flags
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.from_census import replaced
from mapprobe.vocabulary import VIEWS


def with_bytes(replayed: Replayed, which: Flags, allocated: I64) -> Replayed:
    """Return the result of a replay with other bytes for some maps.

    Parameters
    ----------
    which
        The maps whose bytes are replaced, ``(maps,)``.
    allocated
        Allocated bytes of each map by the census, ``(maps,)``.
    """
    if not which.any():
        return replayed
    maps, charges = replayed.maps, replayed.charges
    retained = np.maximum(0, allocated - np.array(maps["needed_bytes"], np.int64))
    bounds = ("least_retained_bytes", "most_retained_bytes")
    found = {"allocated_bytes": allocated, "most_allocated_bytes": allocated}
    found |= dict.fromkeys(("retained_bytes", *bounds), retained)
    for name, values in found.items():
        maps = replaced(maps, name, pc.if_else(pa.array(which), pa.array(values), maps[name]))
    map_id = np.array(charges["map_id"], np.int64)
    rows = np.flatnonzero(which[map_id])
    for view in VIEWS:
        weights = np.array(charges[f"{view}_allocated_bytes"], np.int64)[rows]
        for name, total in (("allocated_bytes", allocated), ("retained_bytes", retained)):
            parts = np.asarray(charges[f"{view}_{name}"], np.int64).copy()
            parts[rows] = _in_proportion(map_id[rows], parts[rows], weights, total)
            charges = replaced(charges, f"{view}_{name}", pa.array(parts))
    return replace(replayed, maps=maps, charges=charges)


def _in_proportion(map_id: I64, parts: I64, weights: I64, total: I64) -> I64:
    """Return parts that sum to the total of their map, in the same proportions as `parts`.

    Parameters
    ----------
    map_id, parts
        The map of each part, and the parts that it has now, ``(rows,)``.
    weights
        The proportions for a map whose parts are all 0, ``(rows,)``.
    total
        The new sum for each map, ``(maps,)``.
    """
    found = parts.copy()
    for number in np.unique(map_id).tolist():
        rows = np.flatnonzero(map_id == number)
        shares = [int(part) for part in (parts[rows] if parts[rows].any() else weights[rows]).tolist()]
        whole, of = sum(shares), int(total[number])
        if not whole:
            shares, whole = [1] * len(shares), len(shares)
        floors = [share * of // whole for share in shares]
        # by largest remainder, as the core splits bytes
        rest = sorted(range(len(shares)), key=lambda n: (-(shares[n] * of % whole), n))[: of - sum(floors)]
        found[rows] = [floor + (n in rest) for n, floor in enumerate(floors)]
    return found
