"""The oracle's replay: the Python model and ledger are fed a recording as the core is, one Python step for each row."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.arrays import I64
from mapprobe.recording.inputs import Inputs
from mapprobe.vocabulary import Implementation
from support.oracle import ledger as rules
from support.oracle.charges import COLUMNS, HOLDINGS, VIEWS, charge_maps, new_rows, new_sheet
from support.oracle.closing import judge, mark_lost
from support.oracle.columns import Columns, columns_of
from support.oracle.context import context_of
from support.oracle.ledger import new_ledger, roomier
from support.oracle.model.state import State, enlarged, new_state
from support.oracle.operations import apply
from support.oracle.resync import Reading, Readings, resync


class OracleReplay:
    """A replay in plain Python: slow, and read as it stands."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.is_swiss = inputs.implementation is Implementation.SWISS
        self.state = new_state(inputs.implementation, inputs.go_release)
        stacks = len(inputs.sites.site_of_stack)
        self.ledger = new_ledger(stacks, len(inputs.sites.table), len(inputs.types))
        buckets = inputs.snapshot_buckets if inputs.knows_entries else inputs.snapshot_buckets.slice(0, 0)
        self._readings = Readings(inputs.snapshot_maps, buckets, self.is_swiss)
        self.context = context_of(inputs)

    @property
    def map_count(self) -> int:
        """How many generations of maps were seen."""
        return int(self.ledger.tops[rules.MAPS])

    def replay(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Apply all events, and what is known beside them."""
        with np.errstate(over="ignore"):
            for batch in batches:
                self._feed(batch)
            for reading in self._readings.rest():
                self._resync(reading)
            mark_lost(self.ledger, self._inputs.gaps, self._inputs.points, None)
            at_end = self._inputs.snapshot_maps.filter(self._inputs.snapshot_maps["at_end"])
            judge(self.state, self.ledger, self.context, at_end, self._more_room)

    def _feed(self, batch: pa.RecordBatch) -> None:
        columns, row = columns_of(batch), 0
        for end, reading in self._readings.due(batch):
            row = self._apply(columns, row, end)
            self._resync(reading)
        self._apply(columns, row, len(columns.kind))

    def _apply(self, columns: Columns, row: int, end: int) -> int:
        part = columns.until(end)
        while row < end:
            row = apply(self.state, self.ledger, self.context, part, row)
            if row < end:
                self._more_room()
        return row

    def _resync(self, reading: Reading) -> None:
        resync(self.state, self.ledger, self.context, self._readings.headers, reading, self._more_room)

    def _more_room(self) -> State:
        if rules.is_full(self.ledger):
            self.ledger = roomier(self.ledger)
        else:
            self.state = enlarged(self.state)
        return self.state

    def charge(self, skip: npt.NDArray[np.bool_]) -> tuple[I64, list[tuple[int, ...]]]:
        """Return `schema.HOLDINGS` of maps ``(maps, HOLDINGS)``, and rows: map, view, stack, amounts."""
        stacks = len(self.ledger.stacks)
        sheet, room = new_sheet(stacks), new_rows(VIEWS * stacks * max(1, len(skip)))
        holdings = np.zeros((len(skip), HOLDINGS), np.int64)
        _, written = charge_maps(self.state, sheet, self.is_swiss, skip, 0, holdings, room)
        columns = [room.map_id, room.view_code, room.stack, *(room.amounts[n] for n in range(COLUMNS))]
        return holdings, list(zip(*(column[:written].tolist() for column in columns), strict=True))
