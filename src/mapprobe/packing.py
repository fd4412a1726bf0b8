"""How events stand on disk: what a map's events have in common once a batch, times as steps, long numbers halved.

Event after event repeats its map's address, seed and array. These columns, `COMMON`, stand in a dictionary of the
batch, each combination once, and an event has its number there::

    time_step  time_step_high  header             kind  point  hash  count  count_high  ...
    u32        u32             dictionary<struct> u8    u8     u64   u32    u32

A time step is what came since the event before, modulo 2**64; the first of a batch is its time. Each batch can be
read without the ones before it. Compressed (ZSTD-1), events of 10,000 maps by turns take 16 bytes instead of 24, those
of one map 7 to 12 instead of 11 to 12; the rest is the hash, which nothing compresses.

Numbers of 64 bits that are small stand in two halves, `HALVED`: a goroutine that is 1 in 65,536 rows takes ZSTD-1 50 ns
an event to write and 25 to read in eight bytes (and a quarter of a byte on disk), 2 and 1 in halves; a count 51 and 25
against 24 and 10, a time step 60 and 23 against 46 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import schema

COMMON = (
    "map_addr", "stack_offset", "type_id", "key_type", "seed", "array_addr", "old_array_addr", "flags", "log2_size",
    "directory_length", "clear_seq",
)  # fmt: skip
TIME = "time_ns"
STEP = "time_step"
HALVED = (STEP, "count", "goid")
"""Columns whose upper half stands in a column of its own."""
HIGH = "_high"
HIGH_DOC = {"doc": "the upper 32 bits", "unit": ""}
HALF = np.uint64(32)
STEP_DOC = {"doc": "since the event before, modulo 2**64; of the first in a batch its time", "unit": "ns"}
HEADER_DOC = {"doc": "what events of a map have in common", "unit": ""}
MIX = np.uint64(0x9E3779B97F4A7C15)

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def packed_schema() -> pa.Schema:
    """Return the Arrow schema of packed events, with the metadata of `schema.EVENTS`."""
    events = schema.EVENTS.schema
    struct = pa.struct([events.field(name) for name in COMMON])
    packed = [
        *_halved(pa.field(STEP, pa.uint64(), nullable=False, metadata=STEP_DOC)),
        pa.field("header", pa.dictionary(pa.int32(), struct), nullable=False, metadata=HEADER_DOC),
        *(field for name in _own() for field in _halved(events.field(name))),
    ]
    return pa.schema(packed, metadata=events.metadata)


def _halved(field: pa.Field) -> list[pa.Field]:
    """Return the fields that stand for one."""
    if field.name not in HALVED:
        return [field]
    half = field.with_type(pa.uint32())
    return [half, half.with_name(field.name + HIGH).with_metadata(HIGH_DOC)]


def _halves(name: str, column: Any) -> list[pa.Array]:
    """Return the columns that stand for one."""
    if name not in HALVED:
        return [column]
    whole: U64 = np.asarray(column)
    return [pa.array(whole.astype(np.uint32)), pa.array((whole >> HALF).astype(np.uint32))]


def whole(packed: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    """Return a column that each event has for itself."""
    low = values(packed.column(name))
    if name not in HALVED:
        return low
    high = values(packed.column(name + HIGH))
    return low.astype(np.uint64) | (high.astype(np.uint64) << HALF) if high.any() else low.astype(np.uint64)


def pack(columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Pack events.

    Parameters
    ----------
    columns
        Arrays or lists, one for each column of `schema.EVENTS`.
    """
    arrays = {c.name: pa.array(columns[c.name], c.type) for c in schema.EVENTS.columns}
    common = [np.asarray(arrays[name]) for name in COMMON]
    first, number = _distinct_rows(common)
    fields = [arrays[name].take(pa.array(first)) for name in COMMON]
    found = packed_schema()
    header = pa.StructArray.from_arrays(fields, fields=list(found.field("header").type.value_type))
    times: U64 = np.asarray(arrays[TIME])
    packed = [
        *_halves(STEP, np.diff(times, prepend=np.uint64(0))),
        pa.DictionaryArray.from_arrays(pa.array(number, pa.int32()), header),
        *(column for name in _own() for column in _halves(name, arrays[name])),
    ]
    return pa.record_batch(packed, schema=found)


def unpack(packed: pa.RecordBatch) -> pa.RecordBatch:
    """Return packed events as `schema.EVENTS`."""
    number, common = common_columns(packed, COMMON)
    arrays = {name: pa.array(column[number]) for name, column in zip(COMMON, common, strict=True)}
    arrays[TIME] = pa.array(times(packed))
    arrays |= {name: pa.array(whole(packed, name)) for name in _own()}
    return pa.record_batch([arrays[name] for name in schema.EVENTS.names], schema=schema.EVENTS.schema)


def times(packed: pa.RecordBatch) -> U64:
    """Return the time of each event [ns]."""
    low, high = values(packed.column(STEP)), values(packed.column(STEP + HIGH))
    time_ns: U64 = np.cumsum(low, dtype=np.uint64)
    if high[1:].any():
        time_ns += np.cumsum(high, dtype=np.uint64) << HALF
    else:  # as in most batches: only the first is not a step, but a time
        time_ns += high[:1].sum(dtype=np.uint64) << HALF
    return time_ns


def common_columns(
    packed: pa.RecordBatch, names: Sequence[str]
) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[Any]]]:
    """Return which header each event has, and some columns of the headers."""
    header = packed.column("header")
    fields = header.dictionary.flatten()
    return values(header.indices), [values(fields[COMMON.index(name)]) for name in names]


def select(packed: pa.RecordBatch, is_kept: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Return some of the packed events."""
    kept = packed.filter(pa.array(is_kept))
    steps = _halves(STEP, np.diff(times(packed)[is_kept], prepend=np.uint64(0)))
    return pa.record_batch([*steps, *kept.columns[len(steps) :]], schema=packed.schema)


def values(array: pa.Array) -> npt.NDArray[Any]:
    """Return the values of an array of numbers without nulls, in place."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def _own() -> list[str]:
    """Return the columns that each event has for itself, in order."""
    return [name for name in schema.EVENTS.names if name not in COMMON and name != TIME]


def _distinct_rows(columns: list[npt.NDArray[Any]]) -> tuple[I64, npt.NDArray[np.int32]]:
    """Return the first row of each distinct combination, in order of appearance, and which one each row is."""
    digest = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        digest ^= column.astype(np.uint64, copy=False)
        digest *= MIX
        digest ^= digest >> np.uint64(29)
    encoded = pa.array(digest).dictionary_encode()
    number: npt.NDArray[np.int32] = np.asarray(encoded.indices)
    first = np.empty(len(encoded.dictionary), np.int64)
    first[number[::-1]] = np.arange(len(digest))[::-1]  # of several rows of one number the one written last stays
    if all(np.array_equal(column, column[first][number]) for column in columns):
        return first, number
    # two combinations with one digest: compare them whole
    rows = np.stack([column.astype(np.uint64) for column in columns], axis=1)
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.reshape(-1).astype(np.int32)
