"""How events stand on disk: what a map's events have in common once a batch, times as steps, numbers by halves.

Event after event repeats its map's address, seed and array. These columns, `COMMON`, stand in a dictionary of the
batch, each combination once, and an event has its number there::

    time_step  header                  kind  point  hash  count  goid  ...
    u32        dictionary<u16, struct> u8    u8     u64   u32    u32

A time step is what came since the event before (of the first in a batch: its time), a number with a sign in zigzag:
0, -1, 1, -2 ... Of the columns `HALVED` an event has the low half; the high half, nearly always 0, stands in the
dictionary too. Each batch can be read without the ones before it.

Events of 10,000 maps by turns take 15 bytes (LZ4, while recording) or 13 (ZSTD, `mapprobe pack`) instead of 24,
those of one map 10 to 11; the rest is the hash, which nothing compresses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import schema

MOST_ROWS = 1 << 16
"""Of one batch: the number of a combination has 16 bits."""
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
MIX = np.uint64(0x9E3779B97F4A7C15)

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


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
    """Pack events, `MOST_ROWS` at the most.

    Parameters
    ----------
    columns
        Arrays or lists, one for each column of `schema.EVENTS`.
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
        The columns that each event has for itself, `STEP` instead of its time.
    common
        `COMMON` of each combination.
    first, number
        `distinct_rows` of both and the `high_halves`.
    """
    found = packed_schema()
    fields = [pa.array(common[name], schema.EVENTS.schema.field(name).type) for name in COMMON]
    fields += [pa.array((own[name][first] >> HALF).astype(np.uint32)) for name in HALVED]
    header = pa.StructArray.from_arrays(fields, fields=list(found.field("header").type.value_type))
    packed = [
        pa.array(own[STEP].astype(np.uint32)),
        pa.DictionaryArray.from_arrays(pa.array(number.astype(np.uint16)), header),
        *(pa.array(own[name].astype(found.field(name).type.to_pandas_dtype(), copy=False)) for name in _own()),
    ]
    return pa.record_batch(packed, schema=found)


def steps(time_ns: U64) -> U64:
    """Return what came since the time before, in zigzag."""
    since: I64 = np.diff(time_ns, prepend=np.uint64(0)).view(np.int64)
    return (since << 1 ^ since >> 63).view(np.uint64)


def high_halves(own: Mapping[str, npt.NDArray[Any]]) -> list[U64]:
    """Return the high halves of `HALVED`, but for those that are all 0."""
    return [own[name] >> HALF for name in HALVED if own[name].max(initial=0) >> HALF]


def unpack(packed: pa.RecordBatch) -> pa.RecordBatch:
    """Return packed events as `schema.EVENTS`."""
    number, common = common_columns(packed, COMMON)
    arrays = {name: pa.array(column[number]) for name, column in zip(COMMON, common, strict=True)}
    arrays["time_ns"] = pa.array(times(packed))
    arrays |= {name: pa.array(whole(packed, name)) if name in HALVED else packed.column(name) for name in _own()}
    return pa.record_batch([arrays[name] for name in schema.EVENTS.names], schema=schema.EVENTS.schema)


def times(packed: pa.RecordBatch) -> U64:
    """Return the time of each event [ns]."""
    zigzag = whole(packed, STEP)
    return np.cumsum(zigzag >> ONE ^ (~(zigzag & ONE) + ONE), dtype=np.uint64)


def whole(packed: pa.RecordBatch, name: str) -> U64:
    """Return one of the columns `HALVED` with both halves."""
    number, (high,) = common_columns(packed, [high_name(name)])
    low = values(packed.column(name)).astype(np.uint64)
    return low | high.astype(np.uint64)[number] << HALF if high.any() else low


def common_columns(
    packed: pa.RecordBatch, names: Sequence[str]
) -> tuple[npt.NDArray[np.uint16], list[npt.NDArray[Any]]]:
    """Return which header each event has, and some columns of the headers."""
    header = packed.column("header")
    fields = header.dictionary.flatten()
    places = {field.name: n for n, field in enumerate(header.dictionary.type)}
    return values(header.indices), [values(fields[places[name]]) for name in names]


def select(packed: pa.RecordBatch, is_kept: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Return some of the packed events."""
    if is_kept.all():
        return packed
    return pack_batch(unpack(packed).filter(pa.array(is_kept)))


def values(array: pa.Array) -> npt.NDArray[Any]:
    """Return the values of an array of numbers without nulls, in place."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def distinct_rows(columns: Sequence[npt.NDArray[Any]]) -> tuple[I64, npt.NDArray[np.int32]]:
    """Return the first row of each distinct combination, in order of appearance, and which one each row is."""
    rows = len(columns[0])
    columns = [column for column in columns if (column != column[:1]).any()]
    digest = np.zeros(rows, np.uint64)
    for column in columns:
        digest ^= column.astype(np.uint64, copy=False)
        digest *= MIX
        digest ^= digest >> np.uint64(29)
    encoded = pa.array(digest).dictionary_encode()
    number: npt.NDArray[np.int32] = values(encoded.indices)
    first = np.empty(len(encoded.dictionary), np.int64)
    first[number[::-1]] = np.arange(rows)[::-1]  # of several rows of one number the one written last stays
    if all(np.array_equal(column, column[first][number]) for column in columns):
        return first, number
    # two combinations with one digest: compare them whole
    matrix = np.stack([column.astype(np.uint64) for column in columns], axis=1)
    _, first, inverse = np.unique(matrix, axis=0, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.reshape(-1).astype(np.int32)


def _own() -> list[str]:
    """Return the columns that each event has for itself, in order."""
    return [name for name in schema.EVENTS.names if name not in COMMON and name != "time_ns"]


def high_name(name: str) -> str:
    """Return the column of the header that the high halves of a column stand in."""
    return f"{name}_high"
