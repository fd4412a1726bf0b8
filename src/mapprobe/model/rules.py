"""How maps differ between Go releases: the rules that the core is given for the release of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapprobe.arrays import I64
from mapprobe.model.sizes import sizes_of
from mapprobe.vocabulary import Implementation


@dataclass(frozen=True, slots=True)
class Rules:
    """How Swiss maps work in a range of Go releases: from `first` up to, not including, the `first` of the next row.

    Attributes
    ----------
    prunes_tombstones
        Some insert functions remove tombstones from a full table before they grow it.
        go: internal/runtime/maps/table.go (*table).pruneTombstones [1.25..1.27]
    flags_tombstones
        The header says whether the map may have tombstones, and clear depends on it.
        go: internal/runtime/maps/map.go Map.tombstonePossible [1.25..1.27]
    update_grows_full_small_map
        Assigning to a small map of eight entries grows the map even if it has the key.
        go: internal/runtime/maps/map.go (*Map).PutSlot [1.24..1.26]
    """

    first: tuple[int, int]
    prunes_tombstones: bool
    flags_tombstones: bool
    update_grows_full_small_map: bool


RULES = (
    Rules((1, 18), False, False, False),
    Rules((1, 24), False, False, True),
    Rules((1, 25), True, True, True),
    Rules((1, 27), True, True, False),
)


def rules_of(implementation: Implementation, go_release: tuple[int, int]) -> I64:
    """Return the rules of a release as the core's ``struct rules``, ``(5,)``.

    Raises
    ------
    TargetError
        If the release is older than the first one known.
    """
    sizes = sizes_of(implementation, go_release)
    row = [rules for rules in RULES if rules.first <= go_release][-1]
    flags = (row.prunes_tombstones, row.flags_tombstones, row.update_grows_full_small_map)
    return np.array([sizes.load_factor_num, sizes.header_bytes, *flags], np.int64)
