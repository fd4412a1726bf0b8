"""Packing and unpacking of events in numpy: the reference for the core (`core/packer.c`, `core/codec.c`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.arrays import I64, U64
from mapprobe.arrow import values
from mapprobe.capture.kernel.ring import BUSY, DISCARD, EVENT
from mapprobe.live.snapshot.reader import common_header_words, header_columns, own_header_columns
from mapprobe.recording.packing import COMMON, HALVED, STEP, common_columns, high_name, packed_schema
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind, Implementation

HALF, ONE = np.uint64(32), np.uint64(1)
MIX = np.uint64(0x9E3779B97F4A7C15)
MADE = (EventKind.CREATE, EventKind.CLONE)
NO_STACK, NO_TYPE = 0, 0
"""Digest and address of an event that has none."""


def pack(columns: Mapping[str, Any]) -> pa.RecordBatch:
    """Pack events, `MOST_ROWS` at most.

    Parameters
    ----------
    columns
        Arrays or lists, one for each column of `schema.EVENTS`.
    """
    arrays = {c.name: np.asarray(columns[c.name], c.type.to_pandas_dtype()) for c in schema.EVENTS.columns}
    own = {STEP: steps(arrays["time_ns"])} | {name: arrays[name] for name in _own()}
    first, number = distinct_rows([arrays[name] for name in COMMON] + high_halves(own))
    return join(own, {name: arrays[name][first] for name in COMMON}, first, number)


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


def complete_events(records: U64) -> tuple[npt.NDArray[np.void], int]:
    """Return the events that are fully written from the head of `records`, and how many records were used up."""
    lengths = records[:, 0].astype(np.uint32)
    busy = np.flatnonzero(lengths & BUSY)
    used = int(busy[0]) if len(busy) else len(records)
    rows = np.ascontiguousarray(records[:used, 1:]).view(EVENT).reshape(-1)
    return rows[lengths[:used] & DISCARD == 0], used


class Taken:
    """What came of the events of a ring: packed batches, and the maps that were seen."""

    def __init__(self, implementation: Implementation) -> None:
        self._implementation = implementation
        self.batches: list[pa.RecordBatch] = []
        self.stacks, self.types = [NO_STACK], [NO_TYPE]
        """Digests and addresses in order of appearance."""
        self.maps: dict[int, int] = {}
        self.due: dict[int, int] = {}

    def take(self, rows: npt.NDArray[np.void]) -> None:
        """Pack one batch of events; the id of a stack is its place in `stacks`, of a type that in `types` less 1."""
        own = {
            STEP: steps(rows["time_ns"]),
            "stack_id": ids(self.stacks, rows["stack"]).astype(np.uint32),
            **{name: rows[name] for name in ("kind", "point", "hash", "goid", "tid", "depth")},
            **own_header_columns(self._implementation, rows["header"].T),
        }
        keys = [rows[name] for name in ("map_addr", "type_addr", "key_type", "stack_offset")]
        keys += [*common_header_words(self._implementation, rows["header"].T), *high_halves(own)]
        first, number = distinct_rows(keys)
        heads = rows[first]
        common = {
            **header_columns(self._implementation, heads["header"]),
            **{name: heads[name] for name in ("map_addr", "stack_offset", "key_type")},
            "type_id": (ids(self.types, heads["type_addr"]) - 1).astype(np.int32),
        }
        self.batches.append(join(own, common, first, number))
        self._remember_maps(rows, common["type_id"][number])

    def _remember_maps(self, rows: npt.NDArray[np.void], type_ids: npt.NDArray[np.int32]) -> None:
        first_seen: dict[int, bool] = {}
        for row, type_id in zip(rows, type_ids.tolist(), strict=True):
            addr = int(row["map_addr"])
            if row["stack_offset"]:
                continue
            if addr not in self.maps:
                first_seen[addr] = row["kind"] not in MADE and bool(row["header"][0])
            self.maps[addr] = type_id if type_id >= 0 else self.maps.get(addr, -1)
        self.due |= {addr: self.maps[addr] for addr, is_filled in first_seen.items() if is_filled}


def ids(known: list[int], words: U64) -> I64:
    """Return the places of words in a list, to which those that are new are appended."""
    known += [word for word in dict.fromkeys(words.tolist()) if word not in known]
    places = {word: n for n, word in enumerate(known)}
    return np.array([places[word] for word in words.tolist()], np.int64)
