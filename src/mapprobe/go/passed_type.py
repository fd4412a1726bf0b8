"""Finds the map type that a call passes to the runtime as an argument, where the code tells it.

Code that knows its map's type passes the address of the descriptor, which
stands in the binary. Code that is shared by several types (generic functions,
reflect) loads the address from elsewhere: the type is then unknown.

go: runtime/map*.go mapassign* makemap [1.18..1.27]
"""

from __future__ import annotations

from collections.abc import Sequence

from iced_x86 import FlowControl

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.dataflow.flow import ARGUMENTS, Flow
from mapprobe.go.dataflow.values import Constant, StackAddress
from mapprobe.go.pclntab import Function, FunctionTable

ASSIGN, MAKERS = "runtime.mapassign", ("runtime.makemap", "runtime.makemap64")
"""Functions that allocate buckets and take the map's type first; `ASSIGN` is how the names of all that assign begin."""
USERS = "runtime.map"
"""How the names of functions begin that take a map's type first and its header second.
go: runtime/map*.go mapassign* mapaccess1 mapaccess2 mapdelete mapclear [1.18..1.27]"""
MAKERS_HEADER = 2
"""Index of the header among the arguments of `MAKERS`."""
LONGEST_CALLER = 1 << 16
"""Bytes of a calling function at most: following a longer one takes longer than the answer is worth."""
LONGEST_LOCAL = 1 << 13
"""Bytes of a function at most that is searched for the types of its local maps: there may be hundreds of them."""
DIRECT_CALL = 0xE8
CALL_BYTES = 5


def grown_type(binary: GoBinary, functions: FunctionTable, stack: Sequence[int]) -> int | None:
    """Return the address of the map type whose buckets a stack allocated, None where the code doesn't say.

    Parameters
    ----------
    stack
        Return addresses in the binary, innermost first.
    """
    growers = [n for n, pc in enumerate(stack) if _is_grower(functions.at(pc - 1))]
    # where growers call one another, the map's owner called the outermost
    if not growers or growers[-1] + 1 == len(stack):
        return None
    grower, caller = functions.at(stack[growers[-1]] - 1), stack[growers[-1] + 1]
    function = functions.at(caller - 1)
    if grower is None or function is None or function.end - function.entry > LONGEST_CALLER:
        return None
    try:
        if binary.read(caller - CALL_BYTES, 1)[0] != DIRECT_CALL:
            return None
        flow = Flow(functions.code(function), function.entry, lambda *_: None)
    except BinaryError:
        return None
    call = flow.instructions.get(caller - CALL_BYTES)
    if call is None or call.near_branch_target != grower.entry:
        return None
    passed = flow.before.get(call.ip, {}).get(ARGUMENTS[0])
    return passed.number if isinstance(passed, Constant) else None


def _is_grower(function: Function | None) -> bool:
    return function is not None and (function.name.startswith(ASSIGN) or function.name in MAKERS)


def local_types(functions: FunctionTable, pc: int) -> dict[int, int]:
    """Return the types of the maps in a function's frame, where its code tells them, as addresses in the binary.

    Parameters
    ----------
    pc
        An address in the function.

    Returns
    -------
    The types by the distance of the header from the frame's return address [bytes].
    """
    function = functions.at(pc)
    if function is None or function.end - function.entry > LONGEST_LOCAL:
        return {}
    try:
        flow = Flow(functions.code(function), function.entry, lambda *_: None)
    except BinaryError:
        return {}
    names, found, several = dict[int, str](), dict[int, int](), set[int]()
    for addr, state in flow.before.items():
        call = flow.instructions[addr]
        passed = state.get(ARGUMENTS[0])
        if call.flow_control != FlowControl.CALL or not isinstance(passed, Constant):
            continue
        target = call.near_branch_target
        if target not in names:
            callee = functions.at(target)
            names[target] = callee.name if callee else ""
        if not names[target].startswith((USERS, *MAKERS)):
            continue
        header = state.get(ARGUMENTS[MAKERS_HEADER if names[target] in MAKERS else 1])
        if isinstance(header, StackAddress) and found.setdefault(header.offset, passed.number) != passed.number:
            several.add(header.offset)
    return {offset: vaddr for offset, vaddr in found.items() if offset not in several}
