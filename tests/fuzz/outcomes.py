"""The outcome of one damaged input: fine if it is a result or one clear error, else what is wrong.

An input is what a file of the corpus holds: ``target``, ``of`` (a build or a sample) and ``edits``.
"""

from __future__ import annotations

import json
import tempfile
import traceback
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

import mapprobe
from fuzz.binary_edits import build_of
from fuzz.recording_edits import Copy
from mapprobe.errors import MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.map_points import find_points
from mapprobe.go.types import TypeTable
from mapprobe.go.variables import goid_offset, heap_vaddr
from mapprobe.recording.tables import schema

BINARIES = ("elf", "pclntab", "types", "code")
TARGETS = (*BINARIES, "recording")
GROUPINGS = ("site", "map", "type", "stack")

Input = dict[str, Any]


def outcome(given: Input) -> str:
    """Return what is wrong with what the target does, nothing if it is as promised."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "input"
        if given["target"] == "recording":
            return _outcome_of_recording(given, path)
        path.write_bytes(build_of(given["of"]).edited(given["edits"]))
        steps = {"elf": _inspect, "pclntab": _functions, "types": _types, "code": _code}
        return said(lambda: steps[given["target"]](path, given))


def said(action: Callable[[], object]) -> str:
    """Do something; return what is wrong with the way it failed, nothing if it did not or as promised."""
    try:
        action()
    except MapprobeError as error:
        return f"more than one line: {error!r}" if "\n" in str(error) or not str(error) else ""
    except (Exception, SystemExit):
        return traceback.format_exc()
    return ""


def first(*complaints: str) -> None:
    """Fail with the first complaint, if there is one."""
    for complaint in filter(None, complaints):
        raise AssertionError(complaint)


def _number(given: Input) -> int:
    """Return a number of an input, the same each time."""
    return zlib.crc32(json.dumps(given["edits"]).encode())


def _is_chosen(given: Input) -> bool:
    """True for a quarter of all inputs: probe points are only looked for in those, it takes ten times as long."""
    return _number(given) % 4 == 0


def _inspect(path: Path, given: Input) -> None:
    """Open it and read its tables."""
    if _is_chosen(given):
        json.dumps(mapprobe.inspect(str(path)))
    with GoBinary.open(path) as binary:
        functions = FunctionTable(binary)
        goid_offset(binary, functions)
        TypeTable(binary).map_types()


def _functions(path: Path, given: Input) -> None:
    """Look functions up and expand addresses, each a result or an error of its own."""
    with GoBinary.open(path) as binary:
        functions = FunctionTable(binary)
        pcs, rows = build_of(given["of"]).pcs, list[dict[str, object]]()
        spread = range(functions.text_start, functions.text_end, 1 + (functions.text_end - functions.text_start) // 30)
        for pc in (*pcs[:: len(pcs) // 60], *spread):
            first(said(lambda pc=pc: functions.at(pc)), said(lambda pc=pc: rows.extend(_frame_rows(functions, pc))))
        pa.Table.from_pylist(rows, schema=schema.FRAMES.schema)
        first(said(lambda: goid_offset(binary, functions)), said(lambda: heap_vaddr(binary, functions)))
        if _is_chosen(given):
            find_points(binary, functions)


def _frame_rows(functions: FunctionTable, pc: int) -> list[dict[str, object]]:
    return [asdict(frame) | {"pc": pc, "depth": depth} for depth, frame in enumerate(functions.expand(pc))]


def _types(path: Path, _given: Input) -> None:
    with GoBinary.open(path) as binary:
        types = TypeTable(binary)
        for addr in range(binary.types, binary.types + 4096, 8):
            first(said(lambda addr=addr: types.type_name(addr)), said(lambda addr=addr: types.map_type(addr)))
        rows = [asdict(map_type) | {"type_id": number} for number, map_type in enumerate(types.map_types())]
        pa.Table.from_pylist(rows, schema=schema.TYPES.schema)


def _code(path: Path, _given: Input) -> None:
    with GoBinary.open(path) as binary:
        functions = FunctionTable(binary)
        first(*(said(lambda step=step: step(binary, functions)) for step in (goid_offset, heap_vaddr, find_points)))


def _outcome_of_recording(given: Input, folder: Path) -> str:
    results = {table.name for table in schema.REPLAYED}
    is_kept = any(edit[1] in results for edit in given["edits"])
    copy = Copy(given["of"], folder, with_replay=is_kept)
    for edit in given["edits"]:
        copy.edit(edit)
    groupings = GROUPINGS if is_kept else [GROUPINGS[_number(given) % len(GROUPINGS)]]
    complaints = [said(lambda by=by: mapprobe.open(folder).retention(by=by)) for by in groupings]
    complaints.append(said(lambda: json.dumps(mapprobe.open(folder).verify())))
    complaints.append(said(lambda: mapprobe.open(folder).events().read_all()))
    complaints.append(said(lambda: repr(mapprobe.open(folder))))
    return said(lambda: first(*complaints))
