"""Where to probe the heap: found by decoding its functions in each binary, as `points` does for maps.

Only rare events are probed: large objects, which have a span of their own, as
they are allocated; spans that are freed; memory that goes back to the system,
and why; the phases of a collection. All of them sit on instructions that the
kernel emulates and that each call passes once, behind the stack check: in
front of it a call may begin again.

go: runtime/mheap.go, runtime/mcache.go, runtime/mgc*.go [1.18..1.27]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iced_x86 import Formatter, FormatterSyntax, Instruction

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.emulation import is_emulated
from mapprobe.go.flow import Flow
from mapprobe.go.locations import Location, location
from mapprobe.go.pclntab import Function, FunctionTable
from mapprobe.go.points import Cost
from mapprobe.go.values import Argument, Named, State, Value
from mapprobe.schema import HeapKind

NEW = Named("what was allocated")
ALLOCATORS = ("runtime.(*mheap).alloc", "internal/runtime/maps.newarray")
LARGE_ALLOCATOR = "runtime.(*mcache).allocLarge"
FUNCTIONS: tuple[tuple[HeapKind, str, tuple[Value, ...]], ...] = (
    (HeapKind.SPAN_ALLOCATED, LARGE_ALLOCATOR, (NEW,)),
    (HeapKind.SPAN_FREED, "runtime.(*mheap).freeSpanLocked", (Argument(1), Argument(2))),
    (HeapKind.SCAVENGE, "runtime.(*pageAlloc).scavenge", (Argument(1), Argument(2), Argument(3))),
    (HeapKind.RETURNED, "runtime.sysUnusedOS", (Argument(0), Argument(1))),
    (HeapKind.CYCLE_STARTED, "runtime.(*gcControllerState).startCycle", (Argument(3),)),
    (HeapKind.CYCLE_MARKED, "runtime.(*gcControllerState).resetLive", (Argument(1),)),
    (HeapKind.CYCLE_SWEEPS, "runtime.gcSweep", (Argument(0),)),
)
"""What is probed of which function, and the values that are read there: a span; a span and what it was for; bytes
wanted, who can stop it and whether it is forced; address and bytes; what started it; bytes that live; how it sweeps.

go: runtime/mcache.go allocLarge, runtime/mheap.go freeSpanLocked, runtime/mgcscavenge.go scavenge,
runtime/mem_linux.go sysUnusedOS, runtime/mgcpacer.go startCycle resetLive, runtime/mgc.go gcSweep [1.19..1.27]
"""
ARRAY_MAKER = "internal/runtime/maps.(*table).reset"
"""Where a Swiss table gets its groups; up to eight entries a map has none. Where nothing is inlined it only calls who
allocates them, and isn't probed. go: internal/runtime/maps/table.go reset [1.24..1.27]"""


@dataclass(frozen=True, slots=True)
class HeapPoint:
    """One place to probe; see `points.ProbePoint`.

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


def find_heap_points(binary: GoBinary, functions: FunctionTable) -> list[HeapPoint]:
    """Return a point for each of `FUNCTIONS`, and for `ARRAY_MAKER` where it has one.

    Raises
    ------
    BinaryError
        If one of `FUNCTIONS` isn't there, or has no such instruction.
    """
    found = [_find(binary, functions, *what) for what in FUNCTIONS]
    maker = functions.find(ARRAY_MAKER)
    if maker and next(_candidates(functions, maker, (NEW,)), None):
        found.append(_find(binary, functions, HeapKind.ARRAY_MADE, ARRAY_MAKER, (NEW,)))
    return found


def _find(
    binary: GoBinary, functions: FunctionTable, kind: HeapKind, name: str, values: tuple[Value, ...]
) -> HeapPoint:
    function = functions.find(name)
    if function is not None:
        for instruction, words in _candidates(functions, function, values):
            addr, text = instruction.ip, _text(instruction)
            offset, code = binary.file_offset(addr), binary.read(addr, instruction.len)
            return HeapPoint(kind, name, addr, offset, text, code, Cost.EMULATED, words)
    why = "is not in it" if function is None else "has no instruction that can be probed"
    raise BinaryError(binary.path, f"{name} {why}: record without --heap, and report this Go release")


def _candidates(
    functions: FunctionTable, function: Function, values: tuple[Value, ...]
) -> Iterator[tuple[Instruction, tuple[Location, ...]]]:
    """Yield emulated instructions that each call passes once, and where the values stand there."""
    allocators = {allocator.entry for name in ALLOCATORS if (allocator := functions.find(name))}

    def on_call(_flow: Flow, call: Instruction, _state: State) -> Value | None:
        return NEW if call.near_branch_target in allocators else None

    flow = Flow(functions.code(function), function.entry, on_call)
    for addr in sorted(flow.before):
        places = [flow.places_of(addr, value) for value in values]
        instruction = flow.instructions[addr]
        if all(places) and is_emulated(instruction) and flow.is_passed_once(addr):
            yield instruction, tuple(location(where[0]) for where in places)


def _text(instruction: Instruction) -> str:
    shown = Formatter(FormatterSyntax.GAS)
    shown.branch_leading_zeros = False
    return shown.format(instruction)
