"""What a replay needs to know of a recording beside its events."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from mapprobe.schema import Implementation
from mapprobe.sites import Sites

EVERY_OPERATION = "ops"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What replay needs to know of a recording beside its events.

    Attributes
    ----------
    types, points, gaps, snapshot_maps, snapshot_buckets
        Tables of the recording (`schema`).
    sites
        Call site of each stack.
    probes
        ``ops``, ``growth`` or ``light``.
    attached
        The process ran before the recording began.
    is_cut
        Its last events are missing.
    """

    implementation: Implementation
    go_release: tuple[int, int]
    probes: str
    attached: bool
    is_cut: bool
    types: pa.Table
    points: pa.Table
    gaps: pa.Table
    snapshot_maps: pa.Table
    snapshot_buckets: pa.Table
    sites: Sites

    @property
    def knows_entries(self) -> bool:
        """False if operations were not recorded."""
        return self.probes == EVERY_OPERATION
