"""Finds variables of the runtime by the code that takes their address, as a stripped binary names none.

A variable's address is in RAX, from a `lea`, when a known method is called on
the variable. The heap's layout changed often, and a wrong offset would let
every map seem dead: offsets are compared with the code that uses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic, OpKind, RegisterExt
from iced_x86 import Register as X86  # noqa: N814 - points has a Register of its own

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.dataflow.flow import Flow
from mapprobe.go.dataflow.semantics import memory_operand
from mapprobe.go.dataflow.values import Argument, Load
from mapprobe.go.facts import CONTROLLER_BYTES, figure_facts_for, heap_facts_for
from mapprobe.go.pclntab import FunctionTable

HEAP_USERS = (
    ("runtime.mallocinit", "runtime.(*mheap).init"),
    ("runtime.(*mcache).allocLarge", "runtime.(*mheap).alloc"),
)
"""Who calls which method of mheap_. go: runtime/malloc.go mallocinit, runtime/mcache.go allocLarge [1.18..1.27]"""

CONTROLLER_USERS = (
    ("runtime.gcinit", "runtime.(*gcControllerState).init"),
    ("runtime.gcControllerCommit", "runtime.(*gcControllerState).commit"),
)
"""Who calls which method of gcController.
go: runtime/mgc.go gcinit, runtime/mgcpacer.go gcControllerCommit [1.19..1.27]"""
STATISTICS_USERS = (("runtime.(*mheap).freeSpanLocked", "runtime.(*consistentHeapStats).acquire"),)
"""Who calls a method of memstats.heapStats, the first field. go: runtime/mheap.go freeSpanLocked [1.19..1.27]"""
RESET = "runtime.(*gcControllerState).resetLive"

GOROUTINE_ADDER = "runtime.allgadd"
"""Who appends to allgs. go: runtime/proc.go allgadd [1.18..1.27]"""

PROCESSOR_READER = "runtime.preemptall"
"""Who goes through allp, and reads no other slice. go: runtime/proc.go preemptall [1.18..1.27]"""

SWEEP_READERS = ("runtime.(*mspan).ensureSwept", "runtime.(*activeSweep).begin")
SPAN_READERS = ("runtime.findObject", "runtime.spanOf")
"""A function and its callee, which reads the heap where nothing is inlined (-gcflags=-l).
go: runtime/mgcsweep.go ensureSwept begin, runtime/mbitmap.go findObject, runtime/mheap.go spanOf [1.18..1.27]"""

HASH_FUNCTIONS = ("runtime.memhash64", "internal/runtime/maps.memHash64AES")
"""Functions whose first AES instruction on memory reads the random key. go: runtime/asm_amd64.s memhash64 [1.18..1.26],
internal/runtime/maps/memhash_nosimd_amd64.s memHash64AES [1.27]"""

MHEAP_BYTES = 1 << 20
"""Bytes: more than an mheap takes. go: runtime/mheap.go mheap [1.18..1.27]"""


def heap_vaddr(binary: GoBinary, functions: FunctionTable) -> int:
    """Return the address of runtime.mheap_.

    Raises
    ------
    BinaryError
        If no call shows the address, two calls disagree, or the code disagrees with the release's `HeapFacts`.
    """
    found = {addr for caller, method in HEAP_USERS if (addr := receiver(functions, caller, method))}
    if len(found) != 1:
        raise BinaryError(binary.path, "runtime.mheap_ is not found: please report this Go release")
    addr, facts = found.pop(), heap_facts_for(binary.go_release)
    layout, expected = heap_layout(binary, functions, addr), (facts.sweepgen, facts.arenas, facts.spans)
    if layout != expected:
        what = f"its heap has sweepgen, arenas and spans at {layout}, not {expected} as {binary.go_version} has it"
        raise BinaryError(binary.path, f"{what}: it was built by a modified Go; if not, please report it")
    return addr


def figures_vaddrs(binary: GoBinary, functions: FunctionTable) -> tuple[int, int]:
    """Return the addresses of runtime.gcController and runtime.memstats.

    Raises
    ------
    TargetError
        If the release keeps its figures elsewhere.
    BinaryError
        If no call shows them, two calls disagree, or the code disagrees with the release's `FigureFacts`.
    """
    facts, found = figure_facts_for(binary.go_release), list[int]()
    for name, users in (("gcController", CONTROLLER_USERS), ("memstats", STATISTICS_USERS)):
        addrs = {addr for caller, method in users if (addr := receiver(functions, caller, method))}
        if len(addrs) != 1:
            raise BinaryError(binary.path, f"runtime.{name} is not found: record without --heap, and report this")
        found.append(addrs.pop())
    stores, freed = marked_stores(functions), freed_figures(functions, found[0])
    # where nothing is inlined heapLive is stored by a function of its own
    are_there = facts.heap_marked in stores and stores <= {facts.heap_live, facts.heap_marked}
    if not are_there or freed != {facts.heap_in_use, facts.heap_free}:
        what = f"its collector's figures are not where {binary.go_version} has them"
        raise BinaryError(binary.path, f"{what}: it was built by a modified Go: record without --heap")
    return found[0], found[1]


def goroutines_vaddr(functions: FunctionTable) -> int | None:
    """Return the address of the slice runtime.allgs, None if no code shows it: pointer, length and room in a row."""
    seen = _addressed(functions, GOROUTINE_ADDER)
    found = [addr for addr in seen if {addr + 8, addr + 16} <= seen]
    return min(found) if found else None


def processors_vaddr(functions: FunctionTable) -> int | None:
    """Return the address of the slice runtime.allp, None if no code shows it: pointer and length in a row."""
    seen = _addressed(functions, PROCESSOR_READER)
    found = [addr for addr in seen if addr + 8 in seen]
    return found[0] if len(found) == 1 else None


def _addressed(functions: FunctionTable, name: str) -> set[int]:
    """Return the addresses of the globals that a function uses."""
    function = functions.find(name)
    instructions = Decoder(64, functions.code(function), ip=function.entry) if function else ()
    return {i.memory_displacement for i in instructions if i.is_ip_rel_memory_operand}


def marked_stores(functions: FunctionTable) -> set[int]:
    """Return the offsets in gcController at which the bytes marked live are stored after a collection.

    go: runtime/mgcpacer.go resetLive [1.19..1.27]
    """
    function = functions.find(RESET)
    if function is None:
        return set()
    flow = Flow(functions.code(function), function.entry, lambda *_: None)
    found = set()
    for addr, state in flow.before.items():
        instruction = flow.instructions[addr]
        is_store = instruction.mnemonic in (Mnemonic.MOV, Mnemonic.XCHG) and instruction.op_kind(0) == OpKind.MEMORY
        if is_store and instruction.op_kind(1) == OpKind.REGISTER:
            where = memory_operand(instruction, state)
            is_bytes = state.get(instruction.op1_register) == Argument(1)
            if is_bytes and isinstance(where, Load) and where.base == Argument(0):
                found.add(where.offset)
    return found


def freed_figures(functions: FunctionTable, controller: int) -> set[int]:
    """Return the offsets in gcController of the figures that change when a span is freed.

    go: runtime/mheap.go freeSpanLocked [1.19..1.27]
    """
    offsets = {addr - controller for addr in _addressed(functions, STATISTICS_USERS[0][0])}
    return offsets & set(range(CONTROLLER_BYTES))


def hash_key_vaddr(binary: GoBinary, functions: FunctionTable) -> int | None:
    """Return the address of the random key of all hashes, None if no code shows it."""
    for function in filter(None, map(functions.find, HASH_FUNCTIONS)):
        for instruction in Decoder(64, functions.code(function), ip=function.entry):
            if instruction.mnemonic == Mnemonic.AESENC and instruction.is_ip_rel_memory_operand:
                return int(instruction.memory_displacement)
    return None


def heap_layout(binary: GoBinary, functions: FunctionTable, addr: int) -> tuple[int | None, int | None, int | None]:
    """Return `sweepgen`, `arenas` and `spans` of `HeapFacts` as the code reads them, None where it can't be seen.

    Parameters
    ----------
    addr
        Where mheap_ stands.
    """
    heap = range(addr, addr + MHEAP_BYTES)
    swept = chain.from_iterable(loads(binary, functions, name, 4) for name in SWEEP_READERS)
    sweepgen = next((i.memory_displacement - addr for i in swept if i.memory_displacement in heap), None)
    arenas, indexed = None, []
    for load in chain.from_iterable(loads(binary, functions, name, 8) for name in SPAN_READERS):
        if arenas is None and load.is_ip_rel_memory_operand and load.memory_displacement in heap:
            arenas = load.memory_displacement - addr
        elif arenas is not None and load.memory_index:
            indexed.append(load.memory_displacement)
    # the first index finds the arena, the second the span in it
    return sweepgen, arenas, indexed[1] if len(indexed) > 1 else None


def loads(binary: GoBinary, functions: FunctionTable, name: str, length: int) -> Iterator[Instruction]:
    """Yield the instructions of a function that load `length` bytes into a register."""
    function = functions.find(name)
    if function is None:
        return
    for instruction in Decoder(64, functions.code(function), ip=function.entry):
        is_load = (
            instruction.mnemonic == Mnemonic.MOV
            and instruction.op_kind(0) == OpKind.REGISTER
            and instruction.op_kind(1) == OpKind.MEMORY
            and RegisterExt.size(instruction.op0_register) == length
        )
        if is_load:
            yield instruction


def receiver(functions: FunctionTable, caller: str, method: str) -> int | None:
    """Return the address that `caller` gives `method` as its receiver, None if it has no such call."""
    outer, inner = functions.find(caller), functions.find(method)
    if outer is None or inner is None:
        return None
    held: int | None = None
    for instruction in Decoder(64, functions.code(outer), ip=outer.entry):
        if instruction.mnemonic == Mnemonic.LEA and instruction.op0_register == X86.RAX:
            held = instruction.memory_displacement if instruction.memory_base == X86.RIP else None
        elif instruction.flow_control == FlowControl.CALL:
            if instruction.near_branch_target == inner.entry and held is not None:
                return held
            held = None
        elif instruction.op_count and instruction.op0_register in (X86.RAX, X86.EAX):
            held = None
    return None


def goid_offset(binary: GoBinary, functions: FunctionTable) -> int:
    """Return where the goroutine's number stands in g, by the code that prints it.

    go: runtime/traceback.go goroutineheader [1.18..1.27]

    Raises
    ------
    BinaryError
        If the code disagrees with the release's `Facts`.
    """
    header = functions.find("runtime.goroutineheader")
    expected = binary.facts.goid
    if header is None:
        raise BinaryError(binary.path, "runtime.goroutineheader is not found: is it a plugin?")
    flow = Flow(functions.code(header), header.entry, lambda *_: None)
    printers = {f.entry for name in ("runtime.printuint", "runtime.printint") if (f := functions.find(name))}
    loaded = None
    for addr in sorted(flow.before):
        call = flow.instructions[addr]
        if call.flow_control == FlowControl.CALL and call.near_branch_target in printers:
            printed = flow.before[addr].get(X86.RAX)
            loaded = printed.offset if isinstance(printed, Load) and printed.base == Argument(0) else None
            break
    if loaded != expected:
        what = f"goid is at offset {loaded} of g, not {expected} as {binary.go_version} has it"
        raise BinaryError(binary.path, f"{what}: it was built by a modified Go")
    return expected
