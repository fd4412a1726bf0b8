"""Where a goroutine's number stands in its g: read off the code that prints it, held to what the release has."""

from __future__ import annotations

from iced_x86 import FlowControl
from iced_x86 import Register as X86  # noqa: N814 - points has a Register of its own

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.dataflow.flow import Flow
from mapprobe.go.dataflow.values import Argument, Load
from mapprobe.go.pclntab import FunctionTable


def goid_offset(binary: GoBinary, functions: FunctionTable) -> int:
    """Return where the goroutine's number stands in g, by the code that prints it.

    go: runtime/traceback.go goroutineheader [1.18..1.27]

    Raises
    ------
    BinaryError
        If the code and what is known of the release disagree.
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
