"""What a replay needs to know of a recording beside its events."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from mapprobe.recording.sites import Sites
from mapprobe.vocabulary import Implementation

EVERY_OPERATION = "ops"


@dataclass(frozen=True, slots=True)
class Taken:
    """One census that a recording has.

    Attributes
    ----------
    rows
        `tables.census.CENSUS`, one row a map; narrow (`narrow`).
    started_ns, ended_ns
        When its reading began and ended, on the clock of the events.
    sees_stacks
        It looked for headers on goroutines' stacks too.
    """

    rows: pa.Table
    started_ns: int
    ended_ns: int
    sees_stacks: bool = False


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
    start, end
        The censuses of its start and of its end; None where there is none.
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
    start: Taken | None = None
    end: Taken | None = None

    @property
    def knows_entries(self) -> bool:
        """False if operations were not recorded."""
        return self.probes == EVERY_OPERATION
