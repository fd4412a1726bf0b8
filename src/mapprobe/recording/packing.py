"""Packed events: columns that repeat from event to event are stored once in a batch, times as steps, numbers as halves.

The recorder and replay hold events in memory in this form, and older files have it on disk (`encoding` is the form of
files today). Many events of a map repeat its address, seed and array. These columns, `COMMON`, are stored in a
dictionary of the batch, each distinct combination once. A combination is called a header, and an event has the number
of its header::

    time_step  header                  kind  point  hash  count  goid  ...
    u32        dictionary<u16, struct> u8    u8     u64   u32    u32

A time step is the time since the previous event; for the first event of a batch it is the time itself. A step may be
negative, so it is stored in zigzag: 0, -1, 1, -2 ... as 0, 1, 2, 3 ... A column in `HALVED` has 64 bits: an event has
its low half, and the header has its high half, which is nearly always 0. Each batch can be read without the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import _core
from mapprobe.arrays import I64, U64, distinct_rows
from mapprobe.arrow import values
from mapprobe.recording.tables import schema

MOST_ROWS = 1 << 16
"""Largest number of events in a batch: the number of a header has 16 bits."""
COMMON = (
    "map_addr", "stack_offset", "type_id", "key_type", "seed", "array_addr", "old_array_addr", "flags", "log2_size",
    "directory_length", "clear_seq",
)  # fmt: skip
STEP = "time_step"
HALVED = (STEP, "count", "goid")
HALF = np.uint64(32)
"""Bits in each half of a column in `HALVED`."""
ONE = np.uint64(1)
STEP_DOC = {"doc": "time since the previous event, or of the first event in a batch; zigzag, low half", "unit": "ns"}
HEADER_DOC = {"doc": "columns that repeat from event to event, and the high halves", "unit": ""}
HIGH_DOC = {"doc": "high half of the column of this name", "unit": ""}


@cache
def packed_schema() -> pa.Schema:
    """Return the Arrow schema of packed events, with the metadata of `schema.EVENTS`."""
    events = schema.EVENTS.schema
    highs = [pa.field(high_name(name), pa.uint32(), nullable=False, metadata=HIGH_DOC) for name in HALVED]
    struct = pa.struct([*(events.field(name) for name in COMMON), *highs])
    own = [events.field(name) for name in _own()]
    packed = [
        pa.field(STEP, pa.uint32(), nullable=False, metadata=STEP_DOC),
        pa.field("header", pa.dictionary(pa.uint16(), struct), nullable=False, metadata=HEADER_DOC),
        *(field.with_type(pa.uint32()) if field.name in HALVED else field for field in own),
    ]
    return pa.schema(packed, metadata=events.metadata)


def pack(columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Pack at most `MOST_ROWS` events.

    Parameters
    ----------
    columns
        Arrays or lists, one for each column of `schema.EVENTS`, ``(events,)``.
    """
    arrays = {c.name: np.asarray(columns[c.name], c.type.to_pandas_dtype()) for c in schema.EVENTS.columns}
    own = {STEP: steps(arrays["time_ns"])} | {name: arrays[name] for name in _own()}
    first, number = distinct_rows([arrays[name] for name in COMMON] + high_halves(own))
    return join(own, {name: arrays[name][first] for name in COMMON}, first, number)


def pack_batch(events: pa.RecordBatch) -> pa.RecordBatch:
    """Pack a batch of events that has the columns of `schema.EVENTS`."""
    return pack({name: values(events.column(name)) for name in schema.EVENTS.names})


def join(
    own: Mapping[str, npt.NDArray[Any]], common: Mapping[str, npt.NDArray[Any]], first: I64, number: npt.NDArray[Any]
) -> pa.RecordBatch:
    """Return a batch of packed events made from columns of the events and of the headers.

    Parameters
    ----------
    own
        The columns with a value for each event, `STEP` instead of the time, ``(events,)``.
    common
        The columns `COMMON`, with a value for each header, ``(headers,)``.
    first, number
        First event of each header ``(headers,)`` and header of each event ``(events,)``, as `distinct_rows` gives them
        for the columns `COMMON` and the `high_halves`.
    """
    found = packed_schema()
    header = [common[name] for name in COMMON] + [own[name][first] >> HALF for name in HALVED]
    dtypes = [field.type.to_pandas_dtype() for field in found.field("header").type.value_type]
    columns = [own[STEP].astype(np.uint32), number.astype(np.uint16)]
    columns += [own[name].astype(found.field(name).type.to_pandas_dtype(), copy=False) for name in _own()]
    header = [np.ascontiguousarray(c.astype(dtype, copy=False)) for c, dtype in zip(header, dtypes, strict=True)]
    return of_buffers(columns[0], columns[1], header, columns[2:])


def of_buffers(step: Any, number: Any, header: Sequence[Any], own: Sequence[Any]) -> pa.RecordBatch:
    """Return packed events that use the memory of the given columns, without a copy.

    Parameters
    ----------
    step, number
        Time steps (uint32) and headers (uint16) of the events, ``(events,)``.
    header
        The fields of the column `header` in order, ``(headers,)`` each.
    own
        The columns after `header` in order, ``(events,)`` each.
    """
    found = packed_schema()
    kind = found.field("header").type
    fields = [_of_buffer(field.type, column) for field, column in zip(kind.value_type, header, strict=True)]
    struct = pa.StructArray.from_arrays(fields, fields=list(kind.value_type))
    packed = [
        _of_buffer(pa.uint32(), step),
        pa.DictionaryArray.from_arrays(_of_buffer(pa.uint16(), number), struct),
        *(_of_buffer(found.field(name).type, column) for name, column in zip(_own(), own, strict=True)),
    ]
    return pa.record_batch(packed, schema=found)


def _of_buffer(kind: pa.DataType, column: Any) -> pa.Array:
    memory = pa.py_buffer(column)
    return pa.Array.from_buffers(kind, memory.size * 8 // kind.bit_width, [None, memory])


def steps(time_ns: U64) -> U64:
    """Return the time step of each event (see the module) in zigzag, both halves, ``(events,)`` [ns]."""
    since: I64 = np.diff(time_ns, prepend=np.uint64(0)).view(np.int64)
    return (since << 1 ^ since >> 63).view(np.uint64)


def high_halves(own: Mapping[str, npt.NDArray[Any]]) -> list[U64]:
    """Return the high halves of the columns `HALVED`, without those that are 0 throughout."""
    return [own[name] >> HALF for name in HALVED if own[name].max(initial=0) >> HALF]


def unpack(packed: pa.RecordBatch) -> pa.RecordBatch:
    """Return packed events as a batch with the columns of `schema.EVENTS`."""
    number, common = common_columns(packed, COMMON)
    types = schema.EVENTS.schema
    spread = (_core.gather(column, number) for column in common)
    arrays = {name: _of_buffer(types.field(name).type, column) for name, column in zip(COMMON, spread, strict=True)}
    arrays["time_ns"] = pa.array(times(packed))
    arrays |= {name: pa.array(whole(packed, name)) if name in HALVED else packed.column(name) for name in _own()}
    return pa.record_batch([arrays[name] for name in schema.EVENTS.names], schema=schema.EVENTS.schema)


def times(packed: pa.RecordBatch) -> U64:
    """Return the time of each event, ``(events,)`` [ns]."""
    number, (high,) = common_columns(packed, [high_name(STEP)])
    return np.frombuffer(_core.sum_steps(values(packed.column(STEP)), high, number), np.uint64)


def whole(packed: pa.RecordBatch, name: str) -> U64:
    """Return a column of `HALVED`, both halves joined, ``(events,)``."""
    number, (high,) = common_columns(packed, [high_name(name)])
    low = values(packed.column(name))
    return np.frombuffer(_core.join_halves(low, high, number), np.uint64) if high.any() else low.astype(np.uint64)


def common_columns(
    packed: pa.RecordBatch, names: Sequence[str]
) -> tuple[npt.NDArray[np.uint16], list[npt.NDArray[Any]]]:
    """Return the number of each event's header ``(events,)``, and the named columns of the headers, ``(headers,)``."""
    header = packed.column("header")
    fields = header.dictionary.flatten()
    places = {field.name: n for n, field in enumerate(header.dictionary.type)}
    return values(header.indices), [values(fields[places[name]]) for name in names]


def select(packed: pa.RecordBatch, is_kept: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Return the packed events for which `is_kept`, ``(events,)``, is true."""
    if is_kept.all():
        return packed
    return pack_batch(unpack(packed).filter(pa.array(is_kept)))


def _own() -> list[str]:
    """Return the names of the columns that are stored for each event, in order."""
    return [name for name in schema.EVENTS.names if name not in COMMON and name != "time_ns"]


def high_name(name: str) -> str:
    """Return the name of the header's column for the high halves of the column `name`."""
    return f"{name}_high"
