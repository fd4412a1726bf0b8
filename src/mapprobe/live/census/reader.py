"""Takes a whole census of one process: reads its memory, and probes nothing.

A recording that is a census (`api.census`) has the rows of one census and no events; every other recording has a
census of its beginning and one of its end. `capture.census` writes the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mapprobe.arrays import I64, distinct_rows
from mapprobe.errors import BinaryError, MemoryReadError, TargetError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import STATUS_BEFORE_GOID, deferred_link_for, heap_facts_for, span_facts_for, syscall_sp_for
from mapprobe.go.keyhash import KeyHasher
from mapprobe.go.memhash import KEY_BYTES
from mapprobe.go.passed_type import grown_type, local_types
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.stack_maps import StackMaps
from mapprobe.go.types import TypeTable
from mapprobe.go.variables import goid_offset, goroutines_vaddr, hash_key_vaddr, heap_vaddr, processors_vaddr
from mapprobe.live.census.candidates import Places, header_object, header_words
from mapprobe.live.census.census import Census, take_census
from mapprobe.live.census.holders import has_bitmap, held_types, keeps_type
from mapprobe.live.census.layouts import NO_TYPE, layouts_of
from mapprobe.live.census.locals import Locals, find_locals
from mapprobe.live.census.map_types import Names, name_maps, taken_in_frames
from mapprobe.live.census.ownerless import Ownerless, find_ownerless
from mapprobe.live.census.sync_maps import SyncMaps, find_sync_maps, signature_of
from mapprobe.live.heap.frames import Frames
from mapprobe.live.heap.goroutines import GoroutineLayout, processors, read_goroutines, stacks_in_use
from mapprobe.live.heap.profile import Origins, find_origins, some_stacks
from mapprobe.live.heap.references import NONE, Range, References, Search, referred_to, without
from mapprobe.live.heap.spans import Layout, Spans, read_spans
from mapprobe.live.memory import Memory
from mapprobe.live.pause import paused
from mapprobe.live.process import Process

BEFORE_MAIN = "runtime.schedinit"
LONGEST_GUESS = 1 << 10
"""Longest key that is hashed to find a map's type [bytes]: with a wrong type any word may be taken for a length."""
MOST_GUESSED = 1 << 8
"""Most dynamic types of interface keys that are looked at together: with a wrong type any word may be taken for one."""
MOST_STACKS = 1 << 14
"""Most stacks that are kept for the next census, with the map type that their code passes."""
MOST_LOCAL_CODE = 1 << 17
"""Most bytes of code that are analysed for the types of local maps: it takes a few seconds, once for a process."""
ARRAY_MAKERS = ("runtime.makeBucketArray", "internal/runtime/maps.newGroups")
"""Functions that allocate arrays of buckets and nothing else.
go: runtime/map.go makeBucketArray [1.18..1.23], internal/runtime/maps/group.go newGroups [1.24..1.27]"""
DEEPEST_MAKER = 8
"""Number of innermost frames in which `ARRAY_MAKERS` are looked for: few frames lie between them and the allocator."""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """The result of one census.

    Attributes
    ----------
    started_ns, took_ns
        Start on the clock of the events, and duration.
    paused_ns
        How long the process was stopped for the census; None: it was not.
    references
        References to the maps; None: not looked for.
    sync_maps
        The sync.Maps; None: not looked for, or the program can have none.
    is_profiled
        The program has a memory profile.
    ownerless
        Arrays that no map owns; None: not looked for.
    stacks
        The stacks of `origins`, as return addresses in the binary.
    """

    started_ns: int
    took_ns: int
    paused_ns: int | None
    read_bytes: int
    found: Census
    names: Names
    origins: Origins
    references: References | None
    sync_maps: SyncMaps | None
    is_profiled: bool
    ownerless: Ownerless | None
    stacks: list[list[int]]

    def living(self) -> list[int]:
        """Return the addresses of the live maps in the heap; maps on stacks are left out, as stacks are moved."""
        headers = self.found.headers
        lives = ~headers.places.is_local
        if self.references is not None:
            lives &= self.references.is_there
        found: list[int] = headers.addr[lives].tolist()
        return found


class Enumerator:
    """Takes censuses of one process.

    Raises
    ------
    TargetError, BinaryError
        If its binary is not as Go writes it.
    """

    def __init__(
        self, process: Process, binary: GoBinary, functions: FunctionTable, types: TypeTable, bias: int
    ) -> None:
        self._process, self._binary, self._functions = process, binary, functions
        self._types, self._bias = types, bias
        heap, span = heap_facts_for(binary.go_release), span_facts_for(binary.go_release)
        addr = heap_vaddr(binary, functions) + bias
        is_green = heap.inline_marks and "nogreenteagc" not in binary.experiments
        self._layout = Layout(addr, heap, span, is_green)
        goroutines, release = goroutines_vaddr(functions), binary.go_release
        status = goid_offset(binary, functions) - STATUS_BEFORE_GOID
        self._goroutines = (
            None if goroutines is None else GoroutineLayout(goroutines + bias, syscall_sp_for(release), status)
        )
        allp = processors_vaddr(functions)
        self._processors = None if allp is None else allp + bias
        self._stack_maps = StackMaps(binary, functions)
        self._local_types: dict[int, dict[int, int]] = {}
        self._grown_types: dict[tuple[int, ...], int | None] = {}
        self._local_code = 0
        self._layouts = layouts_of(binary, types, process.read, bias)
        self._signature = signature_of(binary, self._layouts)

    def read(
        self, *, freeze: bool = False, references: bool = True, progress: Callable[[int], object] | None = None
    ) -> Enumeration:
        """Take a census (see `api.census.census`); `progress` is called after each read with its number of bytes.

        Raises
        ------
        TargetError
            If the process has ended, or its heap can't be read.
        """
        started_ns = _now_ns()
        try:
            descriptor = self._process.memory_descriptor()
            memory = Memory(self._process.read_into, progress, self._process.mapped_bytes(), descriptor)
            with paused(self._process, wanted=freeze) as pause:
                words = header_words(self._binary.implementation, self._binary.go_release)
                found = take_census(
                    memory,
                    self._layout,
                    self._layouts,
                    words,
                    lambda spans: self._locals(memory, spans, words),
                    lists_arrays=references,
                )
                wanted = self._signature if references else None
                memory.look_out(wanted.hasher if wanted else None)
                pointers = self._references(memory, found) if references else None
                ownerless = self._ownerless(memory, found) if references else None
        except MemoryReadError:
            raise TargetError(f"process {self._process.pid}: it has ended: nothing of it can be read") from None
        hidden = find_sync_maps(memory, self._layout, found.spans, wanted) if wanted else None
        origins = find_origins(memory, found.spans, found.listed.samples, found.counted.array)
        seen_as = self._passed(origins)
        if pointers:
            held = held_types(memory, found.spans, self._layouts, self._types, pointers.holder)
            seen_as = np.where(seen_as == NO_TYPE, held, seen_as)
        local = self._local_types_of(found.headers.places)
        seen_as = np.where(local == NO_TYPE, seen_as, local)
        names = name_maps(memory, self._layouts, found, self._hasher(), seen_as)
        is_profiled = self._is_profiled(some_stacks(memory, found.listed.samples))
        took_ns = _now_ns() - started_ns
        found.counted.allocated[:] = taken_in_frames(self._layouts, found, names)
        about = started_ns, took_ns, pause.took_ns, memory.bytes
        return Enumeration(
            *about, found, names, origins, pointers, hidden, is_profiled, ownerless, self._in_binary(origins)
        )

    def _locals(self, memory: Memory, spans: Spans, words: int) -> Locals:
        """Return the candidates for headers on goroutines' stacks."""
        goroutines = read_goroutines(memory, self._goroutines) if self._goroutines else None
        if goroutines is None:
            return Locals.not_read(words)
        header = header_object(self._binary.implementation, words)
        frames = Frames(memory, self._stack_maps, self._bias, header, deferred_link_for(self._binary.go_release))
        try:
            return find_locals(memory, spans, goroutines, frames, self._binary.implementation, words)
        except BinaryError:  # the maps in the heap are found without these tables
            return Locals.not_read(words)

    def _references(self, memory: Memory, found: Census) -> References:
        """Return the references to maps; if a map seems to have none, search again: the reference may have moved."""
        addrs = found.headers.addr
        is_there = found.headers.places.is_local  # frames have shown whether maps on stacks are alive
        own = NONE if self._processors is None else processors(memory, self._processors)
        spans, others = self._searched(memory, found.spans)
        kinds = keeps_type(spans, self._layouts), has_bitmap(spans, self._layouts)
        pointers = referred_to(memory, self._layout, addrs, Search(spans, others, *kinds, own))
        pointers.is_there[is_there] = True
        if len(missing := np.flatnonzero(~pointers.is_there)):
            spans, others = self._searched(memory, read_spans(memory, self._layout))
            kinds = np.zeros(len(spans), np.bool_), has_bitmap(spans, self._layouts)
            again = referred_to(memory, self._layout, addrs[missing], Search(spans, others, *kinds, own))
            pointers.is_there[missing] = again.is_there
        return pointers

    def _ownerless(self, memory: Memory, found: Census) -> Ownerless:
        """Return the arrays that no map owns."""
        return find_ownerless(memory, self._layout, found.listed, self._makes_arrays)

    def _makes_arrays(self, stack: list[int]) -> bool:
        """True if a stack of return addresses is that of a call that makes arrays of buckets."""
        text = range(self._functions.text_start, self._functions.text_end)
        pcs = (pc - 1 - self._bias for pc in stack[:DEEPEST_MAKER])
        return any(frame.function in ARRAY_MAKERS for pc in pcs if pc in text for frame in self._functions.expand(pc))

    def _searched(self, memory: Memory, spans: Spans) -> tuple[Spans, list[Range]]:
        """Return the memory that may have references: spans, and ranges of variables and of the used parts of stacks.

        If the used parts are not known, all stacks are searched. The fields of mheap_ before its sweepgen are left out:
        they are addresses of free pages. go: runtime/mheap.go mheap [1.18..1.27]
        """
        variables = [(start + self._bias, end + self._bias) for start, end in self._binary.roots]
        others = without(variables, (self._layout.addr, self._layout.addr + self._layout.heap.sweepgen))
        in_use = stacks_in_use(memory, self._goroutines) if self._goroutines else None
        if in_use is None:
            return spans, others
        pairs = zip(*in_use.T.tolist(), strict=True)
        return replace(spans, stacks=np.empty((0, 2), np.uint64)), others + list(pairs)

    def _is_profiled(self, stacks: list[list[int]]) -> bool:
        """True if the memory profile is on; samples of the runtime's start don't count, as they exist in any program.

        go: runtime/proc.go schedinit disableMemoryProfiling [1.21..1.27]
        """
        text = range(self._functions.text_start, self._functions.text_end)
        functions = (
            {
                frame.function
                for pc in stack
                if pc - self._bias in text
                for frame in self._functions.expand(pc - 1 - self._bias)
            }
            for stack in stacks
        )
        return any(names and BEFORE_MAIN not in names for names in functions)

    def _passed(self, origins: Origins) -> I64:
        """Return the map type that was passed by the call that grew each map, `NO_TYPE` if it isn't known."""
        types = [NO_TYPE]
        if len(self._grown_types) > MOST_STACKS:
            self._grown_types.clear()
        for pcs in map(tuple, origins.stacks):
            if pcs not in self._grown_types:
                self._grown_types[pcs] = grown_type(self._binary, self._functions, [pc - self._bias for pc in pcs])
            types.append(self._layouts.known_type(self._grown_types[pcs]))
        passed: I64 = np.array(types, np.int64)[origins.stack]
        return passed

    def _local_types_of(self, places: Places) -> I64:
        """Return the type of each map on a stack, found in the code of its function; `NO_TYPE` if it isn't known.

        At most `MOST_LOCAL_CODE` bytes of functions are analysed; maps of further functions have `NO_TYPE`.
        """
        types = np.full(places.count, NO_TYPE, np.int64)
        rows = np.flatnonzero(places.pc)
        if not len(rows):
            return types
        first, number = distinct_rows([places.pc[rows], places.offset[rows]])
        found = [
            self._local_type(*place)
            for place in zip(places.pc[rows][first].tolist(), places.offset[rows][first].tolist(), strict=True)
        ]
        types[places.header[rows]] = np.array(found, np.int64)[number]
        return types

    def _local_type(self, pc: int, offset: int) -> int:
        function = self._functions.at(pc)
        if function is None:
            return NO_TYPE
        if function.entry not in self._local_types and self._local_code < MOST_LOCAL_CODE:
            self._local_code += function.end - function.entry
            self._local_types[function.entry] = local_types(self._functions, pc)
        return self._layouts.known_type(self._local_types.get(function.entry, {}).get(offset))

    def _in_binary(self, origins: Origins) -> list[list[int]]:
        """Return the stacks that allocated arrays, as return addresses in the binary."""
        text = range(self._functions.text_start, self._functions.text_end)
        return [[pc - self._bias for pc in pcs if pc - self._bias in text] for pcs in origins.stacks]

    def _hasher(self) -> KeyHasher | None:
        """Return a hasher that hashes keys as the process does, None if the process's hash key isn't known."""
        vaddr = hash_key_vaddr(self._binary, self._functions)
        if vaddr is None:
            return None
        try:
            key = self._process.read(vaddr + self._bias, KEY_BYTES)
        except MemoryReadError:
            return None
        return KeyHasher(self._types, np.frombuffer(key, np.uint8), self._process.read, LONGEST_GUESS, MOST_GUESSED)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
