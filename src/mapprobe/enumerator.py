"""A census of a running process, kept as a recording without events.

The process is read, nothing is probed. What was found is written as
`censused.CENSUS`, with types, stacks and frames as a recorder writes them;
`counted` makes of it what a replay makes of events.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mapprobe import schema, store
from mapprobe.censused import CENSUS, CENSUS_ABOUT, PROBES, Liveness, Naming
from mapprobe.counted import Summary, summary
from mapprobe.errors import MapprobeError, MemoryReadError, RecordingError, TargetError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import heap_facts_for, span_facts_for
from mapprobe.go.globals import hash_key_vaddr, heap_vaddr
from mapprobe.go.keyhash import KeyHasher
from mapprobe.go.memhash import KEY_BYTES
from mapprobe.go.pclntab import Frame, FunctionTable
from mapprobe.go.types import MapType, TypeTable
from mapprobe.heapwalk.arrays import Counted
from mapprobe.heapwalk.census import Census, take_census
from mapprobe.heapwalk.headers import header_words
from mapprobe.heapwalk.layouts import HEADER_BYTES, layouts_of
from mapprobe.heapwalk.memory import I64, Flags, Memory
from mapprobe.heapwalk.naming import Names, name_maps
from mapprobe.heapwalk.origins import Origins, find_origins, some_stacks
from mapprobe.heapwalk.pause import Pause, paused
from mapprobe.heapwalk.references import beside_heap, referred_to
from mapprobe.heapwalk.spans import Layout, read_spans
from mapprobe.intake import frame_rows
from mapprobe.packing import distinct_rows
from mapprobe.process import Process
from mapprobe.recording import Recording
from mapprobe.schema import MapState

BEFORE_MAIN = "runtime.schedinit"
NAMED = 3
"""So many candidates of a map are named."""
Columns = dict[str, Any]


class Enumerator:
    """Takes censuses of one process; a context manager.

    Raises
    ------
    TargetError, BinaryError
        If the process or its binary is not fit for it.
    """

    def __init__(self, target: int) -> None:
        with ExitStack() as stack:
            self._process = process = stack.enter_context(Process(target))
            link, self._path = process.executable()
            try:
                self._binary = binary = stack.enter_context(GoBinary.open(link))
            except MapprobeError as error:
                who = f"process {process.pid} ({process.name()})"
                raise TargetError(f"{who}: {str(error).split(': ', 1)[-1]}") from None
            self._functions = FunctionTable(binary)
            self._types = TypeTable(binary)
            self._bias = process.load_bias(binary.lowest_vaddr) if binary.is_pie else 0
            heap, span = heap_facts_for(binary.go_release), span_facts_for(binary.go_release)
            addr = heap_vaddr(binary, self._functions) + self._bias
            is_green = heap.inline_marks and "nogreenteagc" not in binary.experiments
            self._layout = Layout(addr, heap, span, is_green)
            self._layouts = layouts_of(binary, self._types, process.read, self._bias)
            # what is loaded at its first use must not be while a process stands still
            distinct_rows([np.array([self._layouts.placed(HEADER_BYTES, True)])])
            self._stack = stack.pop_all()

    def __enter__(self) -> Enumerator:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the process and its binary."""
        self._stack.close()

    def resident_bytes(self) -> int:
        """Return how much memory the process has: about so much is read of it."""
        return self._process.resident_bytes()

    def take(
        self,
        folder: str | Path | None = None,
        *,
        freeze: bool = False,
        references: bool = True,
        force: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Recording:
        """Take one (see `headcount.census`); `progress` is told how many bytes each read gave."""
        memory = Memory(self._process.read_into, progress)
        if folder is None:
            scratch = tempfile.mkdtemp(prefix="mapprobe-census-")
            with ExitStack() as undo:
                undo.callback(shutil.rmtree, scratch)
                recording = self._take(Path(scratch), memory, freeze, references)
                undo.pop_all()
            weakref.finalize(recording, shutil.rmtree, scratch, ignore_errors=True)
            return recording
        store.create(Path(folder), force=force)
        return self._take(Path(folder), memory, freeze, references)

    def _take(self, folder: Path, memory: Memory, freeze: bool, references: bool) -> Recording:
        started, started_ns = _wall_clock(), _now_ns()
        try:
            with paused(self._process, wanted=freeze) as pause:
                words = header_words(self._binary.implementation, self._binary.go_release)
                found = take_census(memory, self._layout, self._layouts, words)
                is_referred = self._referred_to(memory, found) if references else None
        except MemoryReadError:
            raise TargetError(f"process {self._process.pid}: it has ended: nothing of it can be read") from None
        names = name_maps(memory, self._layouts, found, self._hasher())
        origins = find_origins(memory, found.spans, found.samples, found.counted.array)
        row = self._session_row() | {"started": started, "started_ns": started_ns}
        with store.Writer(folder) as writer:
            type_ids = self._write_types(writer, found.counted, names)
            self._write_stacks(writer, origins)
            writer.append(CENSUS, _census_columns(found, names, type_ids, origins, is_referred))
            took_ns = _now_ns() - started_ns
            is_profiled = self._is_profiled(some_stacks(memory, found.samples))
            about = _about_columns(found, memory, origins, pause, took_ns) | {"profiled": [is_profiled]}
            writer.append(CENSUS_ABOUT, about)
            row |= {"ended": _wall_clock(), "ended_ns": started_ns + took_ns, "ended_by": PROBES}
            writer.append(schema.SESSION, {name: [value] for name, value in row.items()})
        return Recording(folder)

    def _referred_to(self, memory: Memory, found: Census) -> Flags:
        """Return which maps are; those that seem not to be are looked for again: what refers to them may have moved."""
        addrs, spans = found.headers.addr, found.spans
        is_referred = referred_to(memory, spans, addrs, beside_heap(self._process.mappings(), spans))
        if len(missing := np.flatnonzero(~is_referred)):
            spans = read_spans(memory, self._layout)
            others = beside_heap(self._process.mappings(), spans)
            is_referred[missing] = referred_to(memory, spans, addrs[missing], others)
        return is_referred

    def _is_profiled(self, stacks: list[list[int]]) -> bool:
        """True if the memory profile is on: the runtime's start is sampled before it sees that nobody asks for it.

        go: runtime/proc.go schedinit disableMemoryProfiling [1.21..1.27]
        """
        text = range(self._functions.text_start, self._functions.text_end)
        functions = (
            {frame.function for pc in stack if pc - self._bias in text for frame in self._frames(pc)}
            for stack in stacks
        )
        return any(names and BEFORE_MAIN not in names for names in functions)

    def _frames(self, pc: int) -> list[Frame]:
        return self._functions.expand(pc - 1 - self._bias)

    def _hasher(self) -> KeyHasher | None:
        """Return what hashes keys as the process does, None if that isn't known."""
        vaddr = hash_key_vaddr(self._binary, self._functions)
        if vaddr is None:
            return None
        try:
            key = self._process.read(vaddr + self._bias, KEY_BYTES)
        except MemoryReadError:
            return None
        return KeyHasher(self._types, np.frombuffer(key, np.uint8), self._process.read)

    def _write_types(self, writer: store.Writer, counted: Counted, names: Names) -> I64:
        """Write the types that maps may be of, and return the id of each map's, -1 for none."""
        used, which = np.unique(names.candidates, return_inverse=True)
        ids, kept = list[int](), list[MapType]()
        for number in used.tolist():
            shapes = [self._layouts.shapes[shape].map_type for shape in names.tuples[number]]
            ids.append(len(kept) if shapes else -1)
            kept += [one_of(shapes)] if shapes else []
        columns = {name: [getattr(of, name) for of in kept] for name in schema.TYPES.names if name != "type_id"}
        writer.append(schema.TYPES, {"type_id": list(range(len(kept))), **columns})
        found: I64 = np.array(ids, np.int64)[which] if len(which) else np.empty(0, np.int64)
        return found

    def _write_stacks(self, writer: store.Writer, origins: Origins) -> None:
        """Write the stacks that allocated arrays, as addresses in the binary; stack 0 is nobody's."""
        stacks = [[pc - self._bias for pc in pcs] for pcs in origins.stacks]
        text = range(self._functions.text_start, self._functions.text_end)
        stacks = [[pc for pc in pcs if pc in text] for pcs in stacks]
        writer.append(schema.STACKS, {"stack_id": list(range(len(stacks) + 1)), "pcs": [[], *stacks]})
        if frames := frame_rows(self._functions, {pc for pcs in stacks for pc in pcs}):
            writer.append(schema.FRAMES, frames)

    def _session_row(self) -> Columns:
        binary = self._binary
        return {
            "pid": self._process.pid,
            "binary": self._path,
            "command": [],
            "go_version": binary.go_version,
            "build_id": binary.build_id,
            "module": binary.module,
            "implementation": str(binary.implementation),
            "probes": PROBES,
            "stack_depth": 0,
            "attached": True,
            "events": 0,
            "lost": 0,
            "host": f"{platform.system()} {platform.release()} {platform.machine()}",
            "mapprobe": importlib.metadata.version("mapprobe"),
        }


def summary_of(recording: Recording) -> Summary:
    """Return what a census comes to.

    Raises
    ------
    RecordingError
        If the recording is no census.
    """
    about = recording.table(CENSUS_ABOUT).to_pylist()
    if not about:
        raise RecordingError(str(recording.path), "no census: 'mapprobe report' shows what it holds")
    return summary(recording.table(CENSUS), about[0], recording.inputs)


def one_of(types: list[MapType]) -> MapType:
    """Return a type that stands for several candidates: what they have in common, and all their names."""
    first = types[0]
    if len(types) == 1:
        return first
    rest = f" or {len(types) - NAMED} more" if len(types) > NAMED else ""
    name = " or ".join(of.name for of in types[:NAMED]) + rest
    common = {
        field: getattr(first, field)
        if len({getattr(of, field) for of in types}) == 1
        else type(getattr(first, field))()
        for field in schema.TYPES.names
        if field not in ("type_id", "name")
    }
    # the larger its buckets, the more a fresh map would take: what is retained is at least that
    largest = max(types, key=lambda of: of.bucket_bytes)
    common |= {"bucket_bytes": largest.bucket_bytes, "bucket_has_pointers": largest.bucket_has_pointers}
    return replace(first, name=name, **common)


def _census_columns(found: Census, names: Names, type_ids: I64, origins: Origins, is_referred: Flags | None) -> Columns:
    counted = found.counted
    liveness = np.where(found.headers.is_old, Liveness.MARKED, Liveness.NEW)
    if is_referred is not None:
        liveness = np.where(is_referred, Liveness.REFERRED_TO, Liveness.NOT_REFERRED_TO)
    is_dead = liveness == Liveness.NOT_REFERRED_TO
    is_one_size = np.array([len(sizes) <= 1 for sizes in found.sets.sets], np.bool_)[counted.sizes]
    is_sure = is_one_size | np.isin(names.naming, (Naming.EXACT, Naming.ONLY))
    return {
        "map_addr": found.headers.addr,
        "type_id": type_ids.astype(np.int32),
        "naming": names.naming,
        # what one bucket takes, and a fresh map's, is the same of all sizes that fit
        "size_known": is_sure | (counted.live == 0) | (counted.buckets <= 1),
        "state": np.where(is_dead, MapState.DEAD, MapState.ALIVE).tolist(),
        "liveness": liveness.astype(np.uint8),
        "settled": found.is_settled,
        "grown_by": origins.stack.astype(np.uint32),
        "live_slots": counted.live,
        "deleted_slots": counted.dead,
        "buckets": counted.buckets,
        "retained_buckets": counted.empty,
        "allocated_bytes": counted.allocated,
        "array_addr": counted.array,
        "array_bytes": counted.array_bytes,
    }


def _about_columns(found: Census, memory: Memory, origins: Origins, pause: Pause, took_ns: int) -> Columns:
    row = {
        "spans": len(found.spans),
        "objects": found.looked_at,
        "lookalikes": found.lookalikes,
        "never_written": found.never_written,
        "never_still": found.never_still,
        "samples": int(np.count_nonzero(origins.stack)),
        "read_bytes": memory.bytes,
        "took_ns": took_ns,
        "paused_ns": pause.took_ns,
    }
    return {name: [value] for name, value in row.items()}


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def _wall_clock() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
