"""Where variables of the runtime stand, by the code that takes their address: a stripped binary names none.

The variable is what RAX holds, from a `lea` of an address, when a known
method is called on it.
"""

from __future__ import annotations

from iced_x86 import Decoder, FlowControl, Mnemonic
from iced_x86 import Register as X86  # noqa: N814 - points has a Register of its own

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable

HEAP_USERS = (
    ("runtime.mallocinit", "runtime.(*mheap).init"),
    ("runtime.(*mcache).allocLarge", "runtime.(*mheap).alloc"),
)
"""Who calls which method of mheap_. go: runtime/malloc.go mallocinit, runtime/mcache.go allocLarge [1.18..1.27]"""


def heap_vaddr(binary: GoBinary, functions: FunctionTable) -> int:
    """Return the address of runtime.mheap_.

    Raises
    ------
    BinaryError
        If no call shows it, or two calls disagree.
    """
    found = {addr for caller, method in HEAP_USERS if (addr := receiver(binary, functions, caller, method))}
    if len(found) != 1:
        raise BinaryError(binary.path, "runtime.mheap_ is not found: please report this Go release")
    return found.pop()


def receiver(binary: GoBinary, functions: FunctionTable, caller: str, method: str) -> int | None:
    """Return the address that `caller` gives `method` as its receiver, None if it has no such call."""
    outer, inner = functions.find(caller), functions.find(method)
    if outer is None or inner is None:
        return None
    held: int | None = None
    for instruction in Decoder(64, binary.read(outer.entry, outer.end - outer.entry), ip=outer.entry):
        if instruction.mnemonic == Mnemonic.LEA and instruction.op0_register == X86.RAX:
            held = instruction.memory_displacement if instruction.memory_base == X86.RIP else None
        elif instruction.flow_control == FlowControl.CALL:
            if instruction.near_branch_target == inner.entry and held is not None:
                return held
            held = None
        elif instruction.op_count and instruction.op0_register in (X86.RAX, X86.EAX):
            held = None
    return None
