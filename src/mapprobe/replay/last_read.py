"""Select the events that count for the report of a recording's end: the recording ends when its last read begins.

The process runs on while its memory is read at the end, and the probes watch on, so that a map that is written during
the read is noticed. A map that was read counts as it stood when it was read. Later events of maps that were not read,
or that were made after the census of the end had begun, do not count. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import U64, Flags
from mapprobe.recording.inputs import Inputs, Taken
from mapprobe.recording.narrow import kept
from mapprobe.recording.packing import common_columns, select, times
from mapprobe.vocabulary import MapState


def before_end(events: Iterable[pa.RecordBatch], inputs: Inputs) -> Iterator[pa.RecordBatch]:
    """Yield batches of packed events without the events after the end; all events if there is no census of the end."""
    if inputs.end is None:
        yield from events
        return
    end_ns, lives, reads = np.uint64(inputs.end.started_ns), _living(inputs.end), Reads(read_at_end(inputs))
    for batch in events:
        when = times(batch)
        is_after = when > end_ns
        if is_after.any():
            addr, on_heap = places(batch)
            is_late = ~(on_heap & np.isin(addr, lives)) | reads.are_before(addr, when)
            batch = select(batch, ~(is_after & is_late))
        yield batch


def before_reads(events: Iterable[pa.RecordBatch], read: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield batches of packed events without the events that came after the memory of their map was read.

    Parameters
    ----------
    read
        Rows of `schema.SNAPSHOT_MAPS`, one a map.
    """
    reads = Reads(read)
    for batch in events:
        addr, on_heap = places(batch)
        late = on_heap & reads.are_before(addr, times(batch))
        yield select(batch, ~late) if late.any() else batch


def read_at_end(inputs: Inputs) -> pa.Table:
    """Return the rows of `schema.SNAPSHOT_MAPS` of maps that were read at the end."""
    maps = inputs.snapshot_maps
    return kept(maps, pc.and_(maps["at_end"], pc.is_null(maps["skipped"])))


class Reads:
    """When the memory of maps was read, by their address."""

    def __init__(self, read: pa.Table) -> None:
        addrs = np.array(read["map_addr"], np.uint64)
        order = np.argsort(addrs)
        self._addrs, self._read_ns = addrs[order], np.array(read["time_ns"], np.uint64)[order]

    def are_before(self, addr: U64, when: U64) -> Flags:
        """Return which events came after the map at their address was read: at `addr`, at the time `when`."""
        if not len(self._addrs):
            return np.zeros(len(addr), np.bool_)
        row = np.minimum(np.searchsorted(self._addrs, addr), len(self._addrs) - 1)
        found: Flags = (self._addrs[row] == addr) & (when >= self._read_ns[row])
        return found


def places(batch: pa.RecordBatch) -> tuple[U64, Flags]:
    """Return the address of each event's map, and which of these maps are on the heap."""
    number, (addrs, offsets) = common_columns(batch, ("map_addr", "stack_offset"))
    return addrs[number], (offsets == 0)[number]


def _living(end: Taken) -> U64:
    """Return the addresses of maps on the heap that live at the end."""
    rows = end.rows
    is_it = pc.and_(pc.not_equal(rows["state"], str(MapState.DEAD)), pc.equal(rows["stack_offset"], 0))
    return np.unique(np.array(rows["map_addr"].filter(is_it), np.uint64))
