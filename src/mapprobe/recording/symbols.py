"""Types, stacks and frames of one recording: each is written once, when the recorder sees it for the first time.

All addresses are those of the binary, without the load bias.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.types import MapType
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer


class Interner:
    """Assigns ids to map types and stacks; the other tables name types and stacks by these ids.

    Stack 0 is empty, stands for "before the recording" and is written at once.
    """

    def __init__(self, writer: Writer, functions: FunctionTable) -> None:
        self._writer, self._functions = writer, functions
        self._type_ids: dict[MapType, int] = {}
        self._stack_ids: dict[tuple[int, ...], int] = {}
        self._pcs: set[int] = set()
        self.map_types: list[MapType] = []
        """The map types in the order of their ids."""
        writer.append(schema.STACKS, {"stack_id": [0], "pcs": [[]]})

    def type_id(self, map_type: MapType) -> int:
        """Return the id of a map type; write the type first if it is new."""
        if map_type not in self._type_ids:
            self._type_ids[map_type] = number = len(self.map_types)
            self.map_types.append(map_type)
            row = {name: [getattr(map_type, name)] for name in schema.TYPES.names if name != "type_id"}
            self._writer.append(schema.TYPES, {"type_id": [number], **row})
        return self._type_ids[map_type]

    def stack_ids(self, stacks: Iterable[Sequence[int]]) -> list[int]:
        """Return the ids of stacks, each given as its return addresses, innermost first; write new stacks first."""
        known = len(self._stack_ids)
        ids = [self._stack_ids.setdefault(tuple(stack), len(self._stack_ids) + 1) for stack in stacks]
        if new := [list(stack) for stack in itertools.islice(self._stack_ids, known, None)]:
            self._symbolise({pc for pcs in new for pc in pcs} - self._pcs)
            columns = {"stack_id": list(range(known + 1, known + 1 + len(new))), "pcs": new}
            self._writer.append(schema.STACKS, columns)
        return ids

    def _symbolise(self, pcs: set[int]) -> None:
        self._pcs |= pcs
        rows: list[tuple[Any, ...]] = []
        for pc in sorted(pcs):
            # a return address is behind the call: its line is that of the instruction before
            for depth, frame in enumerate(self._functions.expand(pc - 1)):
                rows.append((pc, depth, frame.function, frame.file, frame.line, frame.inlined))
        if rows:
            columns = zip(schema.FRAMES.names, map(list, zip(*rows, strict=True)), strict=True)
            self._writer.append(schema.FRAMES, dict(columns))
