"""Events of the ring in, rows of the recording out: stacks, types and symbols interned as they appear.

Everything that grows with the events is vectorised; Python loops run only
over stacks, types and return addresses that were not seen before. Addresses
leave here as the binary has them, without the load bias.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import schema
from mapprobe.errors import BinaryError
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.types import MapType, TypeTable, read_map_type
from mapprobe.ring import Events
from mapprobe.schema import EventKind, Implementation
from mapprobe.snapshot import header_columns
from mapprobe.store import Writer

BATCH_ROWS = 1 << 16
"""Twice as many take a byte an event less where there are many maps, and the ring waits twice as long for them."""
MADE = (EventKind.CREATE, EventKind.CLONE)
MIX = np.uint64(0x9E3779B97F4A7C15)

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


class Intake:
    """Turn drained events into rows; keeps what it has seen.

    Parameters
    ----------
    writer
        Where the rows go.
    functions, types
        What the binary says.
    implementation
        How headers are laid out.
    read
        Reads the process's memory: map types made at run time are not in the binary.
    """

    def __init__(
        self,
        writer: Writer,
        functions: FunctionTable,
        types: TypeTable,
        implementation: Implementation,
        read: Callable[[int, int], bytes],
    ) -> None:
        self._writer = writer
        self._functions = functions
        self._types = types
        self._implementation = implementation
        self._read = read
        self._waiting: list[Events] = []
        self._waiting_rows = 0
        self._stack_ids: dict[bytes, int] = {}
        self._type_ids: dict[int, int] = {}
        self._pcs: set[int] = set()
        self.map_types: list[MapType] = []
        self.maps: dict[int, int] = {}
        """Address of every map that was seen on the heap, and its type id (-1: not known)."""
        self.due: dict[int, int] = {}
        """Of those, the ones to be read soon: they were not empty at first sight."""
        self.bias = 0
        self.events = 0
        writer.append(schema.STACKS, {"stack_id": [0], "pcs": [[]]})

    def add(self, events: Events) -> None:
        """Take drained events (`ring.event_dtype`); writes whole batches as they fill."""
        if len(events):
            self._waiting.append(events)
            self._waiting_rows += len(events)
        if self._waiting_rows >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write all that was taken."""
        if not self._waiting:
            return
        events = np.concatenate(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        type_ids = self._intern_types(events["type_addr"])
        self._writer.append(
            schema.EVENTS,
            {
                **{name: events[name] for name in ("time_ns", "kind", "point", "map_addr", "stack_offset")},
                **{name: events[name] for name in ("hash", "key_type", "goid", "tid")},
                "type_id": type_ids,
                "stack_id": self._intern_stacks(events["frames"]),
                **header_columns(self._implementation, events["header"]),
            },
        )
        self._remember_maps(events, type_ids)
        self.events += len(events)

    def _remember_maps(self, events: Events, type_ids: npt.NDArray[np.int32]) -> None:
        on_heap = np.flatnonzero(events["stack_offset"] == 0)
        addrs, first, last, _ = distinct(events["map_addr"][on_heap])
        first, last = on_heap[first], on_heap[last]
        is_filled = ~np.isin(events["kind"][first], MADE) & (events["header"][first, 0] != 0)
        # the last event of an address says what type stands there at the end
        rows = zip(addrs.tolist(), type_ids[last].tolist(), is_filled.tolist(), strict=True)
        for addr, type_id, was_filled in rows:
            if addr not in self.maps and was_filled:
                self.due[addr] = type_id
            if type_id >= 0 or addr not in self.maps:
                self.maps[addr] = type_id

    def _intern_types(self, addrs: U64) -> npt.NDArray[np.int32]:
        unique, _, _, group = distinct(addrs)
        ids = [self._type_id(addr) for addr in unique.tolist()]
        return np.array(ids, np.int32)[group]

    def _type_id(self, addr: int) -> int:
        if addr == 0:
            return -1
        if addr not in self._type_ids:
            found = self._map_type(addr)
            number = len(self.map_types)
            self._type_ids[addr] = number
            self.map_types.append(found)
            row = {name: [getattr(found, name)] for name in schema.TYPES.names if name != "type_id"}
            self._writer.append(schema.TYPES, {"type_id": [number], **row})
        return self._type_ids[addr]

    def _map_type(self, addr: int) -> MapType:
        try:
            return self._types.map_type(addr - self.bias)
        except BinaryError:
            return read_map_type(self._types, addr, self._read, self.bias)

    def _intern_stacks(self, frames: U64) -> npt.NDArray[np.uint32]:
        """Return the stack id of each row of `frames` ``(n, depth)``, zeros behind the last one."""
        digest = np.zeros(len(frames), np.uint64)
        for column in frames.T:
            digest ^= column
            digest *= MIX
            digest ^= digest >> np.uint64(29)
        _, first, _, group = distinct(digest)
        if not np.array_equal(frames, frames[first][group]):  # two stacks with one digest: compare them whole
            _, first, group = np.unique(frames, axis=0, return_index=True, return_inverse=True)
        pcs = frames[first] - np.uint64(self.bias)
        in_text = (pcs >= self._functions.text_start) & (pcs < self._functions.text_end)
        pcs[~np.logical_and.accumulate(in_text, axis=1)] = 0
        ids: npt.NDArray[np.uint32] = self._stack_id_rows(pcs)[group.reshape(-1)]
        return ids

    def _stack_id_rows(self, rows: U64) -> npt.NDArray[np.uint32]:
        ids = np.empty(len(rows), np.uint32)
        new: dict[str, list[object]] = {"stack_id": [], "pcs": []}
        for index, row in enumerate(rows):
            key = row.tobytes()
            if key not in self._stack_ids:
                self._stack_ids[key] = len(self._stack_ids) + 1
                new["stack_id"].append(self._stack_ids[key])
                new["pcs"].append([pc for pc in row.tolist() if pc])
            ids[index] = self._stack_ids[key]
        if new["stack_id"]:
            self._symbolise({pc for pcs in new["pcs"] for pc in pcs})  # type: ignore[attr-defined]
            self._writer.append(schema.STACKS, dict(new))
        return ids

    def _symbolise(self, pcs: set[int]) -> None:
        rows: list[tuple[int, int, str, str, int, bool]] = []
        for pc in sorted(pcs - self._pcs):
            # a return address belongs to the call before it
            for depth, frame in enumerate(self._functions.expand(pc - 1)):
                rows.append((pc, depth, frame.function, frame.file, frame.line, frame.inlined))
        self._pcs |= pcs
        if rows:
            columns = dict(zip(schema.FRAMES.names, map(list, zip(*rows, strict=True)), strict=True))
            self._writer.append(schema.FRAMES, columns)


def distinct(values: U64) -> tuple[U64, I64, I64, I64]:
    """Return the distinct values in order of appearance, first and last row of each, and which one each row is.

    By hashing: numpy.unique sorts, ten times dearer where a few values come again and again.
    """
    encoded = pa.array(values).dictionary_encode()
    group = np.asarray(encoded.indices).astype(np.int64)
    unique: U64 = np.asarray(encoded.dictionary)
    rows = np.arange(len(values))
    first, last = np.empty(len(unique), np.int64), np.empty(len(unique), np.int64)
    first[group[::-1]] = rows[::-1]  # of several rows of one group the one written last stays
    last[group] = rows
    return unique, first, last, group
