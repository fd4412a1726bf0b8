"""Who is charged for what each map holds, in any view: the one reading of `schema.MAPS` and `schema.CHARGES`.

Most maps are charged to one stack in every view: their row in `schema.MAPS` names the stack, and they have no row in
`schema.CHARGES`. Stack 0 is charged for operations that nobody saw. If a census knows more, the map's row in
`schema.MAPS` names a stack that stands for stack 0: `growth_origin` in view growth, `origin` in the other views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import I64
from mapprobe.recording.narrow import gathered
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import BEFORE, MapState, View

Rows = npt.NDArray[np.void]

NEVER_USED = "never_used_slots"
HOLDINGS = tuple(column.name for column in schema.HOLDINGS)
ONCE = {column.name for column in schema.CHARGED_ONCE}
ROW = np.dtype([(column.name, column.type.to_pandas_dtype()) for column in schema.CHARGED])
"""A row of `schema.CHARGES` as the core writes it."""


@dataclass(frozen=True, slots=True)
class Charged:
    """What maps charge to stacks in one view; one row a map and stack, the maps of one stack first.

    Attributes
    ----------
    map_id, stack_id
        ``(rows,)``. A stack may have two rows for one map: for its own operations, and for stack 0, if it stands for
        stack 0 in that map.
    """

    view: View
    map_id: I64
    stack_id: I64
    _of_one: I64
    _replayed: Replayed

    def column(self, name: str) -> I64:
        """Return one of `schema.HOLDINGS`, or `NEVER_USED`, ``(rows,)``."""
        of_one = _ints(self._replayed.maps[name])[self._of_one]
        return np.concatenate([of_one, amount(lambda of: _ints(self._replayed.charges[of]), self.view, name)])


def charged(replayed: Replayed, view: View) -> Charged:
    """Return what living maps charge to stacks in a view."""
    maps, charges = replayed.maps, replayed.charges
    # the row of a map in state unknown has figures of 0
    holds = pc.or_(pc.greater(maps["buckets"], 0), pc.not_equal(maps["state"], str(MapState.UNKNOWN)))
    is_one = pc.and_(pc.is_valid(maps["charged_to"]), holds)
    of_one = np.flatnonzero(np.asarray(is_one, np.bool_))
    charged_to = _ints(pc.fill_null(maps["charged_to"], BEFORE))[of_one]
    map_id = np.concatenate([of_one, _ints(charges["map_id"])])
    stack_id = np.concatenate([charged_to, _ints(charges["stack_id"])])
    origin = _ints(maps["growth_origin" if view == View.GROWTH else "origin"])
    stack_id = np.where(stack_id == BEFORE, origin[map_id], stack_id) if len(map_id) else stack_id
    return Charged(view, map_id, stack_id, of_one, replayed)


def unsettled(replayed: Replayed, unknown: pa.Table, view: View) -> tuple[I64, I64]:
    """Return stacks, and the retained bytes that they are charged at most for maps in state unknown.

    Parameters
    ----------
    unknown
        The rows of these maps in `schema.MAPS`.
    """
    is_one = pc.is_valid(unknown["charged_to"])
    of_one = unknown.filter(is_one)
    rows = replayed.unsettled.filter(pc.is_in(replayed.unsettled["map_id"], unknown["map_id"].combine_chunks()))
    origin = _ints(replayed.maps["growth_origin" if view == View.GROWTH else "origin"])
    map_id = np.concatenate([_ints(of_one["map_id"]), _ints(rows["map_id"])])
    stack_id = np.concatenate([_ints(of_one["charged_to"]), _ints(rows["stack_id"])])
    stack_id = np.where(stack_id == BEFORE, origin[map_id], stack_id) if len(map_id) else stack_id
    most = _ints(pc.fill_null(of_one["most_retained_bytes"], 0))
    return stack_id, np.concatenate([most, _ints(rows[f"{view}_retained_bytes"])])


def amount(column_of: Callable[[str], I64], view: View, name: str) -> I64:
    """Return one of `schema.HOLDINGS`, or `NEVER_USED`, in a view, ``(rows,)``.

    Parameters
    ----------
    column_of
        Returns a column of `schema.CHARGES` by its name, ``(rows,)``.
    """
    if name == "slots":
        return amount(column_of, view, "live_slots") + amount(column_of, view, "dead_slots") + column_of(NEVER_USED)
    if name == "virgin_slots":
        return column_of(NEVER_USED)
    return column_of(name if name in ONCE else f"{view}_{name}")


def charge_table(rows: Iterable[Rows]) -> pa.Table:
    """Make `schema.CHARGES` from rows that the core wrote, with narrow columns (`recording.narrow`)."""
    return gathered(map(_batch_of, rows), schema.CHARGES.schema)


def _batch_of(rows: Rows) -> pa.RecordBatch:
    arrays = [pa.array(rows[c.name].copy(), c.type) for c in schema.CHARGED]
    return pa.RecordBatch.from_arrays(arrays, schema=schema.CHARGES.schema)


def _ints(column: pa.ChunkedArray) -> I64:
    return np.asarray(column).astype(np.int64, copy=False)
