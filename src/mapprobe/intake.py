"""Events of the ring in, rows of the recording out: stacks, types and symbols interned as they appear.

Everything that grows with the events is vectorised, over columns in one piece;
what events of a map have in common is worked out once for each combination of
the words it comes from. Python loops run only over stacks, types and return
addresses that were not seen before. Addresses leave here as the binary has
them, without the load bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import packing, schema
from mapprobe.errors import BinaryError
from mapprobe.go.types import MapType, TypeTable, read_map_type
from mapprobe.interning import Interner
from mapprobe.ring import Events
from mapprobe.schema import EventKind, Implementation
from mapprobe.snapshot import common_header_words, header_columns, own_header_columns
from mapprobe.store import Writer

BATCH_ROWS = packing.MOST_ROWS
NO_STACK = 0
"""The digest of an event whose stack nobody asked for."""
MADE = (EventKind.CREATE, EventKind.CLONE)

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


class Intake:
    """Turn drained events into rows; keeps what it has seen.

    Parameters
    ----------
    writer
        Where the rows go.
    interner
        Where types and stacks get their ids.
    text
        Where the binary's code lies, as it says.
    types
        The binary's map types.
    implementation
        How headers are laid out.
    read
        Reads the process's memory: map types made at run time are not in the binary.
    stacks
        Returns the return addresses of stacks by the digests that events name them by, `Probe.stacks`.
    bias
        Where the binary was loaded, less where it says.
    """

    def __init__(
        self,
        writer: Writer,
        interner: Interner,
        text: range,
        types: TypeTable,
        implementation: Implementation,
        read: Callable[[int, int], bytes],
        stacks: Callable[[Iterable[int]], U64],
        bias: int = 0,
    ) -> None:
        self._writer = writer
        self._interner = interner
        self._text = text
        self._types = types
        self._implementation = implementation
        self._read = read
        self._stacks = stacks
        self._waiting: list[Events] = []
        self._waiting_rows = 0
        self._ids_by_digest = {NO_STACK: schema.BEFORE}
        self._type_ids: dict[int, int] = {}
        self.map_types = interner.map_types
        self.maps: dict[int, int] = {}
        """Address of every map that was seen on the heap, and its type id (-1: not known)."""
        self.due: dict[int, int] = {}
        """Of those, the ones to be read soon: they were not empty at first sight."""
        self.bias = bias
        self.events = 0

    def add(self, events: Events) -> None:
        """Take drained events; writes whole batches as they fill."""
        for start in range(0, len(events), BATCH_ROWS):
            part = events.part(start, start + BATCH_ROWS)
            if self._waiting_rows + len(part) > BATCH_ROWS:
                self.flush()
            self._waiting.append(part)
            self._waiting_rows += len(part)

    def flush(self) -> None:
        """Write all that was taken."""
        if not self._waiting:
            return
        events = Events.joined(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        own = self._own(events)
        # all that the common columns follow from, so that they are worked out once for each combination
        keys = [events[name] for name in ("map_addr", "type_addr", "key_type", "stack_offset")]
        keys += [*common_header_words(self._implementation, events["header"]), *packing.high_halves(own)]
        first, number = packing.distinct_rows(keys)
        common = self._common(events.take(first))
        self._writer.append_batch(schema.EVENTS, packing.join(own, common, first, number))
        self._remember_maps(events, common, first, number)
        self.events += len(events)

    def _own(self, events: Events) -> dict[str, npt.NDArray[Any]]:
        return {
            packing.STEP: packing.steps(events["time_ns"]),
            "stack_id": self.stack_ids(events["stack"]),
            **{name: events[name] for name in ("kind", "point", "hash", "goid", "tid", "depth")},
            **own_header_columns(self._implementation, events["header"]),
        }

    def _common(self, heads: Events) -> dict[str, npt.NDArray[Any]]:
        return {
            **header_columns(self._implementation, heads["header"].T),
            **{name: heads[name] for name in ("map_addr", "stack_offset", "key_type")},
            "type_id": self._intern_types(heads["type_addr"]),
        }

    def _remember_maps(
        self, events: Events, common: dict[str, npt.NDArray[Any]], first: I64, number: npt.NDArray[np.int32]
    ) -> None:
        on_heap = np.flatnonzero(common["stack_offset"] == 0)
        addrs, type_ids, known = common["map_addr"], common["type_id"], self.maps
        is_filled = ~np.isin(events["kind"][first], MADE) & (events["header"][0, first] != 0)
        met = [n for n, addr in zip(on_heap.tolist(), addrs[on_heap].tolist(), strict=True) if addr not in known]
        backwards = np.array(met[::-1], np.int64)  # of one address the first stays, as it is written last
        first_seen = dict(zip(addrs[backwards].tolist(), is_filled[backwards].tolist(), strict=True))
        known.update(dict.fromkeys(first_seen, -1))
        # the last event of an address says what type stands there at the end
        last = np.empty(len(first), np.int64)
        last[number] = np.arange(len(number))
        typed = on_heap[type_ids[on_heap] >= 0]
        typed = typed[np.argsort(last[typed])]
        known.update(zip(addrs[typed].tolist(), type_ids[typed].tolist(), strict=True))
        self.due |= {addr: known[addr] for addr, was_filled in first_seen.items() if was_filled}

    def _intern_types(self, addrs: U64) -> npt.NDArray[np.int32]:
        encoded = pa.array(addrs).dictionary_encode()
        ids = np.array([self._type_id(addr) for addr in encoded.dictionary.to_pylist()], np.int32)
        return ids.take(packing.values(encoded.indices))

    def _type_id(self, addr: int) -> int:
        if addr == 0:
            return -1
        if addr not in self._type_ids:
            self._type_ids[addr] = self._interner.type_id(self._map_type(addr))
        return self._type_ids[addr]

    def _map_type(self, addr: int) -> MapType:
        try:
            return self._types.map_type(addr - self.bias)
        except BinaryError:
            return read_map_type(self._types, addr, self._read, self.bias)

    def stack_ids(self, digests: U64) -> npt.NDArray[np.uint32]:
        """Return the stack id of each of the digests that events name stacks by."""
        encoded = pa.array(digests).dictionary_encode()
        seen: list[int] = encoded.dictionary.to_pylist()
        if new := [digest for digest in seen if digest not in self._ids_by_digest]:
            frames = self._stacks(new)
            pcs = frames - np.uint64(self.bias)
            in_text = (pcs >= self._text.start) & (pcs < self._text.stop)
            lengths = np.logical_and.accumulate(in_text, axis=1).sum(axis=1)
            stacks = [row[:length] for row, length in zip(pcs.tolist(), lengths.tolist(), strict=True)]
            self._ids_by_digest |= zip(new, self._interner.stack_ids(stacks), strict=True)
        ids = np.array([self._ids_by_digest[digest] for digest in seen], np.uint32)
        return ids.take(packing.values(encoded.indices))
