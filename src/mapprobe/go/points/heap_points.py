"""Where to probe the heap: found by decoding its functions in each binary, as `map_points` does for maps.

Only rare events are probed: memory that goes back to the system, and why; the
phases of a collection; arrays of buckets as they are made. Large objects, as
they are allocated and freed, are probed only on request: some programs do
little else. All points sit on instructions that the kernel emulates and that
no call passes twice, behind the stack check: in front of the check a call may
begin again.

go: runtime/mheap.go, runtime/mcache.go, runtime/mgc*.go [1.18..1.27]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iced_x86 import Formatter, FormatterSyntax, Instruction

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.dataflow.emulation import is_emulated
from mapprobe.go.dataflow.flow import Flow
from mapprobe.go.dataflow.locations import Location, location
from mapprobe.go.dataflow.values import Argument, Named, State, Value
from mapprobe.go.facts import figure_facts_for
from mapprobe.go.pclntab import Function, FunctionTable
from mapprobe.go.points.probe_point import Cost
from mapprobe.vocabulary import HeapKind

NEW = Named("what was allocated")
Watched = tuple[HeapKind, str, tuple[Value, ...]]
FUNCTIONS: tuple[Watched, ...] = (
    (HeapKind.SCAVENGE, "runtime.(*pageAlloc).scavenge", (Argument(1), Argument(2), Argument(3))),
    (HeapKind.RETURNED, "runtime.sysUnusedOS", (Argument(0), Argument(1))),
    (HeapKind.CYCLE_STARTED, "runtime.(*gcControllerState).startCycle", (Argument(3),)),
    (HeapKind.CYCLE_MARKED, "runtime.(*gcControllerState).resetLive", (Argument(1),)),
    (HeapKind.CYCLE_SWEEPS, "runtime.gcSweep", (Argument(0),)),
)
"""Kinds of events, the probed functions, and the values that are read there: bytes wanted, who can stop the scavenger
and whether it is forced; address and bytes; what started the collection; bytes that live; how the collection sweeps.

go: runtime/mgcscavenge.go scavenge, runtime/mem_linux.go sysUnusedOS, runtime/mgcpacer.go startCycle resetLive,
runtime/mgc.go gcSweep [1.19..1.27]
"""
LARGE_FUNCTIONS: tuple[Watched, ...] = (
    (HeapKind.SPAN_ALLOCATED, "runtime.(*mcache).allocLarge", (NEW,)),
    (HeapKind.SPAN_FREED, "runtime.(*mheap).freeSpanLocked", (Argument(1), Argument(2))),
)
"""Kinds, functions and values of large objects: a span; a span and its use. Spans of small objects are freed there too.

go: runtime/mcache.go allocLarge, runtime/mheap.go freeSpanLocked [1.19..1.27]
"""
ARRAY_MAKERS: tuple[Watched, ...] = (
    (HeapKind.ARRAY_MADE, "internal/runtime/maps.(*table).reset", (NEW,)),
    (HeapKind.ARRAY_MADE, "runtime.hashGrow", (NEW,)),
    (HeapKind.ARRAY_MADE, "runtime.makemap", (NEW,)),
)
"""Functions that get arrays of buckets from `ALLOCATORS`: for Swiss tables (a map of up to eight entries has none), and
for classic maps that grow or are made with a hint. If nothing is inlined, or more than usual, some have no point.

go: internal/runtime/maps/table.go reset [1.24..1.27], runtime/map.go hashGrow makemap [1.18..1.23]
"""
ALLOCATORS = (
    "runtime.(*mheap).alloc", "internal/runtime/maps.newarray", "runtime.makeBucketArray", "runtime.newarray",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeapPoint:
    """One place to probe; see `probe_point.ProbePoint`.

    Attributes
    ----------
    words
        Where the values stand that `FUNCTIONS` lists.
    """

    kind: HeapKind
    function: str
    vaddr: int
    file_offset: int
    instruction: str
    code: bytes
    cost: Cost
    words: tuple[Location, ...]


def find_heap_points(binary: GoBinary, functions: FunctionTable, *, large_objects: bool) -> list[HeapPoint]:
    """Return a point for each of `FUNCTIONS`, and for those of `ARRAY_MAKERS` that have one.

    Parameters
    ----------
    large_objects
        Also for `LARGE_FUNCTIONS`.

    Raises
    ------
    TargetError
        If the release keeps the heap's figures elsewhere.
    BinaryError
        If one of `FUNCTIONS` is missing, or has no instruction that can be probed.
    """
    figure_facts_for(binary.go_release)
    found = [_find(binary, functions, *what) for what in (*FUNCTIONS, *(LARGE_FUNCTIONS if large_objects else ()))]
    for kind, name, values in ARRAY_MAKERS:
        maker = functions.find(name)
        if maker and (here := next(_candidates(functions, maker, values), None)):
            found.append(_point(binary, kind, name, *here))
    return found


def _find(
    binary: GoBinary, functions: FunctionTable, kind: HeapKind, name: str, values: tuple[Value, ...]
) -> HeapPoint:
    function = functions.find(name)
    here = next(_candidates(functions, function, values), None) if function else None
    if here is None:
        why = "is not in it" if function is None else "has no instruction that can be probed"
        raise BinaryError(binary.path, f"{name} {why}: record without --heap, and report this Go release")
    return _point(binary, kind, name, *here)


def _point(
    binary: GoBinary, kind: HeapKind, name: str, instruction: Instruction, words: tuple[Location, ...]
) -> HeapPoint:
    addr, text = instruction.ip, _text(instruction)
    offset, code = binary.file_offset(addr), binary.read(addr, instruction.len)
    return HeapPoint(kind, name, addr, offset, text, code, Cost.EMULATED, words)


def _candidates(
    functions: FunctionTable, function: Function, values: tuple[Value, ...]
) -> Iterator[tuple[Instruction, tuple[Location, ...]]]:
    """Yield emulated instructions that each call passes once, and where the values stand there.

    The allocation need not be on every path: a map that is made without a hint gets no array.
    """
    allocators = {allocator.entry for name in ALLOCATORS if (allocator := functions.find(name))}

    def on_call(_flow: Flow, call: Instruction, _state: State) -> Value | None:
        return NEW if call.near_branch_target in allocators else None

    flow = Flow(functions.code(function), function.entry, on_call)
    for addr in sorted(flow.before):
        places = [flow.places_of(addr, value) for value in values]
        instruction = flow.instructions[addr]
        is_once = flow.has_frame(addr) and not flow.is_on_cycle(addr) if NEW in values else flow.is_passed_once(addr)
        if all(places) and is_emulated(instruction) and is_once:
            yield instruction, tuple(location(where[0]) for where in places)


def _text(instruction: Instruction) -> str:
    shown = Formatter(FormatterSyntax.GAS)
    shown.branch_leading_zeros = False
    return shown.format(instruction)
