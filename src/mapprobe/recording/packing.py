"""Packed events: what events of a map have in common stands once in a batch, times stand as steps, numbers as halves.

A recorder and a replay have events in memory like this, older files have them like this on disk (`encoding` is how
files have them otherwise). Event after event repeats its map's address, seed and array. These columns, `COMMON`, stand
in a dictionary of the batch, each combination once. Such a combination is called a header, and an event has the number
of its header::

    time_step  header                  kind  point  hash  count  goid  ...
    u32        dictionary<u16, struct> u8    u8     u64   u32    u32

A time step is the time since the event before; of the first event of a batch it is the time itself. As it may be below
zero it stands in zigzag: 0, -1, 1, -2 ... are 0, 1, 2, 3 ... Of each column in `HALVED` an event has the low half; the
high half, nearly always 0, stands in the header. Each batch can be read without the ones before it.
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
"""Most events of one batch: the number of a header has 16 bits."""
COMMON = (
    "map_addr", "stack_offset", "type_id", "key_type", "seed", "array_addr", "old_array_addr", "flags", "log2_size",
    "directory_length", "clear_seq",
)  # fmt: skip
STEP = "time_step"
HALVED = (STEP, "count", "goid")
HALF = np.uint64(32)
ONE = np.uint64(1)
STEP_DOC = {"doc": "since the event before, of the first in a batch its time; zigzag, low half", "unit": "ns"}
HEADER_DOC = {"doc": "what events of a map have in common, and high halves", "unit": ""}
HIGH_DOC = {"doc": "high half", "unit": ""}


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
    """Pack events, `MOST_ROWS` at most.

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
    """Pack events that stand as `schema.EVENTS`."""
    return pack({name: values(events.column(name)) for name in schema.EVENTS.names})


def join(
    own: Mapping[str, npt.NDArray[Any]], common: Mapping[str, npt.NDArray[Any]], first: I64, number: npt.NDArray[Any]
) -> pa.RecordBatch:
    """Return packed events.

    Parameters
    ----------
    own
        The columns that each event has for itself, `STEP` instead of its time, ``(events,)``.
    common
        The columns `COMMON` of each header, ``(headers,)``.
    first, number
        First event of each header ``(headers,)`` and header of each event ``(events,)``: `distinct_rows` of the columns
        `COMMON` and the `high_halves`.
    """
    found = packed_schema()
    header = [common[name] for name in COMMON] + [own[name][first] >> HALF for name in HALVED]
    dtypes = [field.type.to_pandas_dtype() for field in found.field("header").type.value_type]
    columns = [own[STEP].astype(np.uint32), number.astype(np.uint16)]
    columns += [own[name].astype(found.field(name).type.to_pandas_dtype(), copy=False) for name in _own()]
    header = [np.ascontiguousarray(c.astype(dtype, copy=False)) for c, dtype in zip(header, dtypes, strict=True)]
    return of_buffers(columns[0], columns[1], header, columns[2:])


def of_buffers(step: Any, number: Any, header: Sequence[Any], own: Sequence[Any]) -> pa.RecordBatch:
    """Return packed events from the memory of their columns: the fields of `header`, and `own`, all behind it."""
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
    """Return the time since the event before, of the first event its time, in zigzag, ``(events,)`` [ns]."""
    since: I64 = np.diff(time_ns, prepend=np.uint64(0)).view(np.int64)
    return (since << 1 ^ since >> 63).view(np.uint64)


def high_halves(own: Mapping[str, npt.NDArray[Any]]) -> list[U64]:
    """Return the high halves of `HALVED`, but for those that are all 0."""
    return [own[name] >> HALF for name in HALVED if own[name].max(initial=0) >> HALF]


def unpack(packed: pa.RecordBatch) -> pa.RecordBatch:
    """Return packed events as `schema.EVENTS`."""
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
    """Return one of the columns `HALVED` with both halves."""
    number, (high,) = common_columns(packed, [high_name(name)])
    low = values(packed.column(name))
    return np.frombuffer(_core.join_halves(low, high, number), np.uint64) if high.any() else low.astype(np.uint64)


def common_columns(
    packed: pa.RecordBatch, names: Sequence[str]
) -> tuple[npt.NDArray[np.uint16], list[npt.NDArray[Any]]]:
    """Return the header of each event ``(events,)``, and some columns of the headers, ``(headers,)`` each."""
    header = packed.column("header")
    fields = header.dictionary.flatten()
    places = {field.name: n for n, field in enumerate(header.dictionary.type)}
    return values(header.indices), [values(fields[places[name]]) for name in names]


def select(packed: pa.RecordBatch, is_kept: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Return the packed events of which `is_kept`, ``(events,)``, is set."""
    if is_kept.all():
        return packed
    return pack_batch(unpack(packed).filter(pa.array(is_kept)))


def _own() -> list[str]:
    """Return the columns that each event has for itself, in order."""
    return [name for name in schema.EVENTS.names if name not in COMMON and name != "time_ns"]


def high_name(name: str) -> str:
    """Return the column of the header that the high halves of a column stand in."""
    return f"{name}_high"
