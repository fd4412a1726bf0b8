"""Where to probe: found by decoding the map functions of each binary, never taken from a table.

The hash point of an insert or delete function is an instruction that runs
exactly once per operation, behind the key's hasher and the setting of the
map's writing flag, where hash, map and type stand in known places, and that
the kernel emulates under a uprobe. Points are given as file offsets with the
bytes that stand there, to be checked again before anything is attached.

go: runtime/map*.go [1.18..1.23], internal/runtime/maps/*.go [1.24..1.27]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from iced_x86 import Decoder, FlowControl, Formatter, FormatterSyntax, Instruction, Mnemonic
from iced_x86 import Register as X86  # noqa: N814 - we have a Register of our own

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.dataflow.emulation import is_emulated
from mapprobe.go.dataflow.flow import ARGUMENTS, Flow
from mapprobe.go.dataflow.locations import location
from mapprobe.go.dataflow.values import HASH, Argument, Named, OrZero, Place, State, Value
from mapprobe.go.pclntab import Function, FunctionTable
from mapprobe.go.points.hash_point import CLASSIC_FLAGS, MAPS, SWISS_WRITING, hash_flow, runs_once
from mapprobe.go.points.probe_point import Cost, Places, ProbePoint
from mapprobe.vocabulary import EventKind, Implementation

ASSIGN_FUNCTIONS = (
    "runtime.mapassign", "runtime.mapassign_fast32", "runtime.mapassign_fast32ptr", "runtime.mapassign_fast64",
    "runtime.mapassign_fast64ptr", "runtime.mapassign_faststr",
)  # fmt: skip
DELETE_FUNCTIONS = (
    "runtime.mapdelete", "runtime.mapdelete_fast32", "runtime.mapdelete_fast64", "runtime.mapdelete_faststr",
)  # fmt: skip
METHODS = {f"{MAPS}(*Map).Delete": EventKind.DELETE, f"{MAPS}(*Map).PutSlot": EventKind.ASSIGN}
"""Methods take the map first, the type second; runtime.map* the other way round."""
REFLECT_FUNCTIONS = {
    "reflect.mapassign": EventKind.ASSIGN,
    "reflect.mapassign0": EventKind.ASSIGN,
    "reflect.mapassign_faststr": EventKind.ASSIGN,
    "reflect.mapassign_faststr0": EventKind.ASSIGN,
    "reflect.mapdelete": EventKind.DELETE,
    "reflect.mapdelete_faststr": EventKind.DELETE,
}
"""Wrappers: they hash a key themselves only where profile-guided optimisation inlined the function that they call."""
ANY_KEY = {
    "runtime.mapassign", "runtime.mapdelete", "reflect.mapassign", "reflect.mapassign0", "reflect.mapdelete", *METHODS,
}  # fmt: skip
"""Functions for keys of any type: their third argument points to the key."""
PRUNE = f"{MAPS}(*table).pruneTombstones"
CLEAR_FUNCTIONS = {
    f"{MAPS}(*Map).Clear": (Argument(1), Argument(0)),
    "runtime.mapclear": (Argument(0), Argument(1)),
    "reflect.mapclear": (Argument(0), Argument(1)),
}
"""Type and map of each function that clears, or only calls one that does."""
MAKERS = ("runtime.makemap", f"{MAPS}NewMap")
SMALL_MAKERS = ("runtime.makemap_small", f"{MAPS}NewEmptyMap")
"""Functions that make maps, or only call one that does; the small ones take neither type nor hint."""
CLONERS = {f"{MAPS}(*Map).Clone": (Argument(1), Argument(0)), "runtime.mapclone2": (Argument(0), Argument(1))}
"""Type and original of each function that clones a map without hashing its keys; that of Go 1.24 inserts them."""
ALLOCATORS = ("runtime.newobject", "runtime.mallocgc")
NEW_MAP = Named("new map")
PROLOGUE_INSTRUCTIONS = 12


def find_points(binary: GoBinary, functions: FunctionTable) -> list[ProbePoint]:
    """Return every probe point of a binary; functions that the binary does not use are not in it.

    Raises
    ------
    BinaryError
        If an insert or delete function is there, but no hash point can be found in it.
    """
    finder = Finder(binary, functions)
    return [
        *finder.hash_points(),
        *finder.clear_points(),
        *finder.create_points(),
        *finder.clone_points(),
        *finder.growth_points(),
        *finder.exit_points(),
    ]


def decode(functions: FunctionTable, function: Function) -> Iterable[Instruction]:
    """Return the instructions of a function."""
    return Decoder(64, functions.code(function), ip=function.entry)


class Finder:
    """Finds the points of one binary."""

    def __init__(self, binary: GoBinary, functions: FunctionTable) -> None:
        self._binary, self._functions = binary, functions
        self._is_swiss = binary.implementation is Implementation.SWISS
        self._format = Formatter(FormatterSyntax.GAS)
        self._format.branch_leading_zeros = False
        self._prune = functions.find(PRUNE)

    def hash_points(self) -> Iterator[ProbePoint]:
        """Yield the hash point of each insert and delete function."""
        kinds = dict.fromkeys(ASSIGN_FUNCTIONS, EventKind.ASSIGN) | dict.fromkeys(DELETE_FUNCTIONS, EventKind.DELETE)
        for name, kind in (kinds | METHODS | REFLECT_FUNCTIONS).items():
            function = self._functions.find(name)
            if function is None:
                continue
            type_value, map_value = (Argument(1), Argument(0)) if name in METHODS else (Argument(0), Argument(1))
            flow = hash_flow(self._functions.code(function), function.entry, type_value, map_value, self._name_at)
            is_wrapper = name in REFLECT_FUNCTIONS or (self._is_swiss and name in DELETE_FUNCTIONS)
            if is_wrapper and not flow.hash_definitions:
                continue
            yield self._hash_point(flow, function, kind, type_value, map_value)

    def _hash_point(
        self, flow: Flow, function: Function, kind: EventKind, type_value: Value, map_value: Value
    ) -> ProbePoint:
        stores = flow.byte_stores({(map_value, CLASSIC_FLAGS), (map_value, SWISS_WRITING)})
        values = (HASH, map_value, type_value, *([Argument(2)] if function.name in ANY_KEY else []))
        for addr in sorted(flow.before):
            if not is_emulated(flow.instructions[addr]) or not flow.has_frame(addr):
                continue
            places = [flow.places_of(addr, value) for value in values]
            if all(places) and runs_once(flow, addr, stores):
                hash_place, map_place, type_place, *key = (location(places_of[0]) for places_of in places)
                seen = Places(hash=hash_place, map=map_place, type=type_place, key=key[0] if key else None)
                return self._point(kind, function, flow.instructions[addr], seen, prunes_tombstones=self._prunes(flow))
        why = (
            "no instruction behind the hasher can be probed"
            if flow.hash_definitions
            else "the hasher's call is not found"
        )
        raise BinaryError(self._binary.path, f"{function.name}: {why}: please report this Go release")

    def _prunes(self, flow: Flow) -> bool:
        if self._prune is None:
            return False
        branches = (FlowControl.CALL, FlowControl.UNCONDITIONAL_BRANCH)
        return any(
            i.flow_control in branches and i.near_branch_target == self._prune.entry for i in flow.instructions.values()
        )

    def clear_points(self) -> Iterator[ProbePoint]:
        """Yield points behind the setting of the writing flag, which only clears that do work pass.

        Profile-guided optimisation may inline Clear into mapclear and still keep it for others: then
        there are two points.
        """
        for name, (type_value, map_value) in CLEAR_FUNCTIONS.items():
            function = self._functions.find(name)
            if function is None:
                continue
            flow = self._flow(function, lambda *_: None)
            stores = flow.byte_stores({(map_value, CLASSIC_FLAGS), (map_value, SWISS_WRITING)})
            if not stores and name != self._clears_itself:
                continue
            point = self._clear_point(flow, function, stores, type_value, map_value)
            if point is None:
                raise BinaryError(self._binary.path, f"{name}: no clear point is found: please report this Go release")
            yield point

    @property
    def _clears_itself(self) -> str:
        return f"{MAPS}(*Map).Clear" if self._is_swiss else "runtime.mapclear"

    def _clear_point(
        self, flow: Flow, function: Function, stores: list[int], type_value: Value, map_value: Value
    ) -> ProbePoint | None:
        for store in sorted(stores):
            behind = flow.reach(flow.successors[store])
            if store in behind:
                continue
            before = flow.reach([flow.entry], without=store)
            for addr in sorted(behind - before):
                map_places, type_places = flow.places_of(addr, map_value), flow.places_of(addr, type_value)
                fits = (
                    map_places and type_places
                    and is_emulated(flow.instructions[addr]) and flow.has_frame(addr) and not flow.is_on_cycle(addr)
                    and not flow.returns(flow.reach(flow.successors[store], without=addr))
                )  # fmt: skip
                if fits:
                    seen = Places(map=location(map_places[0]), type=location(type_places[0]))
                    return self._point(EventKind.CLEAR, function, flow.instructions[addr], seen)
        return None

    def create_points(self) -> Iterator[ProbePoint]:
        """Yield, for each function that makes maps, a point where the new map's address is known.

        Before Go 1.22 makemap_small has no point that the kernel emulates: its maps are first seen, empty,
        when they are first written.
        """
        for name in (*SMALL_MAKERS, *MAKERS):
            function = self._functions.find(name)
            point = self._create_point(function) if function else None
            if point:
                yield point

    def _create_point(self, function: Function) -> ProbePoint | None:
        is_small = function.name in SMALL_MAKERS
        map_value: Value = NEW_MAP if is_small else Argument(2)
        flow = self._flow(function, self._allocation(map_value))
        first = min((a for a, i in flow.instructions.items() if self._is_allocation(i)), default=None)
        if first is None:  # it only calls another maker
            return None
        for addr in sorted(flow.before):
            places = flow.places_of(addr, map_value)
            types = [] if is_small else flow.places_of(addr, Argument(0))
            hints = [] if is_small else hint_places(flow, addr)
            fits = (
                places and (is_small or (types and hints))
                and is_emulated(flow.instructions[addr]) and flow.is_passed_once(addr)
                and first not in flow.reach([addr])
            )  # fmt: skip
            if fits:
                type_place, hint_place = (location(found[0]) if found else None for found in (types, hints))
                seen = Places(map=location(places[0]), type=type_place, hint=hint_place)
                return self._point(EventKind.CREATE, function, flow.instructions[addr], seen)
        return None

    def clone_points(self) -> Iterator[ProbePoint]:
        """Yield a point where a clone has been made and not yet been filled, and its original is still known.

        Go 1.24 clones by inserts, and has no such point.
        """
        for name, (type_value, original) in CLONERS.items():
            function = self._functions.find(name)
            point = self._clone_point(function, type_value, original) if function else None
            if point and name.startswith(MAPS) == self._is_swiss:
                yield point

    def _clone_point(self, function: Function, type_value: Value, original: Value) -> ProbePoint | None:
        makers = (*ALLOCATORS, *MAKERS)
        calls = (i for i in decode(self._functions, function) if i.flow_control == FlowControl.CALL)
        made = next((i.ip for i in calls if self._name_at(i.near_branch_target).startswith(makers)), None)
        flow = self._flow(function, lambda _flow, call, _state: NEW_MAP if call.ip == made else None)
        for addr in sorted(flow.before):
            places = [flow.places_of(addr, value) for value in (NEW_MAP, type_value, original)]
            if all(places) and is_emulated(flow.instructions[addr]) and flow.is_passed_once(addr):
                map_place, type_place, original_place = (location(where[0]) for where in places)
                seen = Places(map=map_place, type=type_place, hash=original_place)
                return self._point(EventKind.CLONE, function, flow.instructions[addr], seen)
        return None

    def _is_allocation(self, instruction: Instruction) -> bool:
        is_call = instruction.flow_control == FlowControl.CALL
        return is_call and self._name_at(instruction.near_branch_target).startswith(ALLOCATORS)

    def _allocation(self, map_value: Value) -> Callable[[Flow, Instruction, State], Value | None]:
        return lambda _flow, call, _state: map_value if self._is_allocation(call) else None

    def growth_points(self) -> Iterator[ProbePoint]:
        """Yield the points of growth and of overflow buckets: the push behind a function's stack check.

        Go up to 1.20 pushes nothing: the point is then the first emulated instruction that each call passes once.
        Each `rehash` of a Swiss table ends in one `grow` or one `split`, which nothing else calls; where `grow` or
        `split` was inlined into `rehash`, the point of `rehash` stands for both.
        """
        grow, overflow = EventKind.GROW, EventKind.OVERFLOW
        # kind, map and type by argument word
        found = {
            "runtime.hashGrow": (grow, 1, 0),
            "runtime.(*hmap).newoverflow": (overflow, 0, 1),
            f"{MAPS}(*Map).growToTable": (grow, 0, 1),
        }
        grows = (f"{MAPS}(*table).grow", f"{MAPS}(*table).split")
        rehash = f"{MAPS}(*table).rehash"
        is_inlined = self._functions.find(rehash) and not all(map(self._functions.find, grows))
        found |= dict.fromkeys((rehash,) if is_inlined else grows, (grow, 2, 1))
        for name, (kind, map_word, type_word) in found.items():
            function = self._functions.find(name)
            if function and (point := self._growth_point(kind, function, map_word, type_word)):
                yield point

    def _growth_point(self, kind: EventKind, function: Function, map_word: int, type_word: int) -> ProbePoint | None:
        if push := self._prologue_push(function):
            seen = Places(map=location(ARGUMENTS[map_word]), type=location(ARGUMENTS[type_word]))
            return self._point(kind, function, push, seen, frame_is_set_up=False)
        flow = self._flow(function, lambda *_: None)
        for addr in sorted(flow.before):
            here = flow.instructions[addr]
            maps, types = (flow.places_of(addr, Argument(word)) for word in (map_word, type_word))
            if maps and types and is_emulated(here) and flow.is_passed_once(addr):
                return self._point(kind, function, here, Places(map=location(maps[0]), type=location(types[0])))
        return None

    def _prologue_push(self, function: Function) -> Instruction | None:
        """Return the `push rbp` that runs once per call; a function's first instruction may run again."""
        for number, instruction in enumerate(decode(self._functions, function)):
            if instruction.mnemonic == Mnemonic.PUSH and instruction.op0_register == X86.RBP:
                return instruction if number else None
            if number == PROLOGUE_INSTRUCTIONS:
                return None
        return None

    def exit_points(self) -> Iterator[ProbePoint]:
        """Yield the first instruction of each function that ends the process: passed once, without stack check.

        runtime.exit must be the one that enters the kernel; a wrapper of the same name could check the
        stack first. Under the race detector C ends the process. go: runtime/race.go racefini [1.19..1.27]
        """
        for name, ends in (("runtime.exit", Mnemonic.SYSCALL), ("runtime.racefini", Mnemonic.CALL)):
            function = self._functions.find(name)
            instructions = list(decode(self._functions, function)) if function else []
            if function and any(i.mnemonic == ends for i in instructions) and not checks_stack(instructions):
                yield self._point(EventKind.EXIT, function, instructions[0], Places(), frame_is_set_up=False)

    def _flow(self, function: Function, on_call: Callable[[Flow, Instruction, State], Value | None]) -> Flow:
        return Flow(self._functions.code(function), function.entry, on_call)

    def _name_at(self, addr: int) -> str:
        function = self._functions.at(addr)
        return function.name if function and function.entry == addr else ""

    def _point(
        self,
        kind: EventKind,
        function: Function,
        instruction: Instruction,
        places: Places,
        *,
        frame_is_set_up: bool = True,
        prunes_tombstones: bool = False,
    ) -> ProbePoint:
        addr = instruction.ip
        return ProbePoint(
            kind=kind,
            function=function.name,
            vaddr=addr,
            file_offset=self._binary.file_offset(addr),
            instruction=self._format.format(instruction),
            code=self._binary.read(addr, instruction.len),
            cost=Cost.EMULATED if is_emulated(instruction) else Cost.STEPPED,
            frame_is_set_up=frame_is_set_up,
            places=places,
            prunes_tombstones=prunes_tombstones,
        )


def checks_stack(instructions: Iterable[Instruction]) -> bool:
    """True if a function begins with the stack check, which compares a bound and may run the function again."""
    first = next(iter(instructions))
    return first.mnemonic in (Mnemonic.CMP, Mnemonic.LEA)


def hint_places(flow: Flow, addr: int) -> list[Place]:
    """Return where the size hint stands: classic makemap takes 0 for an absurd hint."""
    return flow.places_of(addr, Argument(1)) or flow.places_of(addr, OrZero(Argument(1)))
