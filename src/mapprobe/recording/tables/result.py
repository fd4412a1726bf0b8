"""The result of a replay: the tables from which a report is made without another replay."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from mapprobe.recording.narrow import narrowed


@dataclass(frozen=True, slots=True)
class Replayed:
    """The tables of `schema.REPLAYED`; their columns of int64 may be narrow (`narrow`)."""

    maps: pa.Table
    charges: pa.Table
    stack_operations: pa.Table
    peaks: pa.Table
    unsettled: pa.Table

    def narrowed(self) -> Replayed:
        """Return the same tables with narrow columns."""
        return Replayed(*map(narrowed, self.tables()))

    def tables(self) -> tuple[pa.Table, ...]:
        """Return the tables in the order of `schema.REPLAYED`."""
        return self.maps, self.charges, self.stack_operations, self.peaks, self.unsettled
