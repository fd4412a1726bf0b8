"""Events of the ring in, rows of the recording out: stacks, types and symbols get their ids as they appear.

All work per event is done in `src/core/packer.c`. Python loops run only over stacks, types, return addresses and maps
that were not seen before. Addresses of code and types leave here as the binary has them, without the load bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import _core, arrow, vocabulary
from mapprobe.arrays import U64
from mapprobe.capture.kernel.ring import Events
from mapprobe.errors import BinaryError
from mapprobe.go.types import MapType, TypeTable, read_map_type
from mapprobe.recording import packing
from mapprobe.recording.symbols import Interner
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import Implementation

BATCH_ROWS = packing.MOST_ROWS
NO_STACK = 0
"""The digest in an event without a stack: its point takes none, or the stack could not be read or kept."""
NO_TYPE = 0
"""The type address in an event whose point does not see the map's type."""


class Code(NamedTuple):
    """The code of a target, and its types.

    Attributes
    ----------
    text
        Addresses of the binary's code, as the binary has them.
    types
        The binary's map types.
    read
        Reads the process's memory: map types made at run time are not in the binary.
    """

    text: range
    types: TypeTable
    read: Callable[[int, int], bytes]


class Intake:
    """Turn drained events into rows of the recording, and remember the stacks, types and maps that were seen.

    Parameters
    ----------
    writer
        Writes the rows.
    interner
        Gives types and stacks their ids.
    code
        What the target runs.
    implementation
        The family of the maps, which says how a header is laid out.
    stacks
        Returns the return addresses of the stacks that events name by these digests, `Probe.stacks`.
    bias
        The load bias: an address in the process less the address that the binary has for it.
    """

    def __init__(
        self,
        writer: Writer,
        interner: Interner,
        code: Code,
        implementation: Implementation,
        stacks: Callable[[Iterable[int]], U64],
        bias: int = 0,
    ) -> None:
        self._writer = writer
        self._interner = interner
        self._text, self._types, self._read = code
        self._stacks = stacks
        self._packer = _core.new_packer(implementation is Implementation.CLASSIC)
        self._ids_by_digest = {NO_STACK: vocabulary.BEFORE}
        self._type_ids = {NO_TYPE: -1}
        self._numbered_stacks: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._numbered_types: npt.NDArray[np.int32] = np.zeros(0, np.int32)
        self._seen = 0
        self.map_types = interner.map_types
        self.due: dict[int, int] = {}
        """Addresses of maps that are to be read soon, with their type ids; first, maps not empty at first sight."""
        self.bias = bias
        self.events = 0

    @property
    def maps(self) -> dict[int, int]:
        """Address of every map that was seen on the heap, and its type id (-1: not known)."""
        addrs, type_ids, _, _ = self._maps_from(0)
        return dict(zip(addrs.tolist(), type_ids.tolist(), strict=True))

    def add(self, events: Events) -> None:
        """Take drained events; write each batch that is full."""
        for start in range(0, len(events), BATCH_ROWS):
            part = events.part(start, start + BATCH_ROWS)
            if _core.packed_rows(self._packer) + len(part) > BATCH_ROWS:
                self.flush()
            _core.pack_events(self._packer, part.rows)

    def flush(self) -> None:
        """Write all events that were taken and not written yet."""
        rows = _core.packed_rows(self._packer)
        if not rows:
            return
        self._number()
        step, number, header, *own = _core.take_packed(self._packer, self._numbered_stacks, self._numbered_types)
        self._writer.append_batch(schema.EVENTS, packing.of_buffers(step, number, header, own))
        self._remember_maps()
        self.events += rows

    def _number(self) -> None:
        """Find the recording's ids of the stacks and types that the packer has numbered since the last call."""
        stacks, types = _core.numbered(self._packer, len(self._numbered_stacks), len(self._numbered_types))
        if stacks:
            ids = self.stack_ids(np.frombuffer(stacks, np.uint64))
            self._numbered_stacks = np.concatenate([self._numbered_stacks, ids])
        if types:
            type_ids = [self._type_id(addr) for addr in np.frombuffer(types, np.uint64).tolist()]
            self._numbered_types = np.concatenate([self._numbered_types, np.array(type_ids, np.int32)])

    def _remember_maps(self) -> None:
        addrs, type_ids, is_filled, self._seen = self._maps_from(self._seen)
        self.due |= zip(addrs[is_filled].tolist(), type_ids[is_filled].tolist(), strict=True)

    def _maps_from(self, first: int) -> tuple[U64, npt.NDArray[np.int32], npt.NDArray[np.bool_], int]:
        """Return the maps on the heap from number `first` on, and how many maps there are."""
        addrs, types, is_filled, count = _core.seen_maps(self._packer, first)
        type_ids = self._numbered_types[np.frombuffer(types, np.uint32)]
        return np.frombuffer(addrs, np.uint64), type_ids, np.frombuffer(is_filled, np.bool_), count

    def _type_id(self, addr: int) -> int:
        if addr not in self._type_ids:
            self._type_ids[addr] = self._interner.type_id(self._map_type(addr))
        return self._type_ids[addr]

    def _map_type(self, addr: int) -> MapType:
        try:
            return self._types.map_type(addr - self.bias)
        except BinaryError:
            return read_map_type(self._types, addr, self._read, self.bias)

    def stack_ids(self, digests: U64) -> npt.NDArray[np.uint32]:
        """Return the stack id for each digest; events name their stacks by digests."""
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
        return ids.take(arrow.values(encoded.indices))
