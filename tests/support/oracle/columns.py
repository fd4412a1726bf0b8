"""Packed events in the form that the oracle's replay takes: a batch as arrays, one row an event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.arrays import I64, U64
from mapprobe.arrow import values
from mapprobe.recording.packing import HALVED, STEP, common_columns, high_name, whole

NOWHERE = -1
"""No map is known of a header."""


class Common(NamedTuple):
    """What events of a map have in common, as arrays, each combination once (`packing.COMMON`)."""

    map_addr: U64
    stack_offset: npt.NDArray[np.uint32]
    type_id: npt.NDArray[np.int32]
    key_type: U64
    seed: U64
    array_addr: U64
    old_array_addr: U64
    flags: npt.NDArray[np.uint8]
    log2_size: npt.NDArray[np.uint8]
    directory_length: npt.NDArray[np.uint32]


class Columns(NamedTuple):
    """A batch of packed events as arrays, one row an event (`packing`).

    Attributes
    ----------
    header
        Row of `common` and of `rows`.
    rows
        The map that was last seen with a header, NOWHERE: none in this batch yet.
    """

    time_ns: U64
    kind: npt.NDArray[np.uint8]
    point: npt.NDArray[np.uint8]
    hash: U64
    count: U64
    overflow_count: npt.NDArray[np.uint16]
    evacuated: npt.NDArray[np.uint32]
    goid: U64
    stack_id: npt.NDArray[np.uint32]
    depth: npt.NDArray[np.uint32]
    header: npt.NDArray[np.uint32]
    common: Common
    rows: I64

    def until(self, end: int) -> Columns:
        """Return the events before row `end`."""
        return self._replace(**{name: getattr(self, name)[:end] for name in OWN})


OWN = Columns._fields[:11]
"""The columns of `Columns` that have one row an event."""


def columns_of(events: pa.RecordBatch) -> Columns:
    """Return packed events as the oracle takes them."""
    number, (high, *common) = common_columns(events, [high_name(STEP), *Common._fields])
    time_ns = np.empty(len(number), np.uint64)
    add_steps(values(events.column(STEP)), high, number, time_ns)
    own = {"time_ns": time_ns, "header": number.astype(np.uint32)}  # no sign: nothing to count from the end
    own |= {name: whole(events, name) for name in OWN if name in HALVED}
    columns = (own[name] if name in own else values(events.column(name)) for name in OWN)
    return new_columns(columns, Common(*common))


def add_steps(
    low: npt.NDArray[np.uint32], high: npt.NDArray[np.uint32], number: npt.NDArray[np.uint16], time_ns: U64
) -> None:
    """Do what `packing.times` does, in one pass instead of eight."""
    at = np.uint64(0)
    for i in range(len(low)):
        zigzag = np.uint64(low[i]) | np.uint64(high[number[i]]) << np.uint64(32)
        at += zigzag >> np.uint64(1) ^ (~(zigzag & np.uint64(1)) + np.uint64(1))
        time_ns[i] = at


def new_columns(own: Iterable[npt.NDArray[Any]], common: Common) -> Columns:
    """Return columns that nobody writes to."""
    fields: dict[str, Any] = dict(zip(OWN, own, strict=True))
    for array in (*fields.values(), *common):
        array.flags.writeable = False
    return Columns(**fields, common=common, rows=np.full(len(common.seed), NOWHERE, np.int64))
