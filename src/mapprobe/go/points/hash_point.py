"""Where the key's hash stands in an insert or delete function, and which instructions run once per operation.

The hash is what the map type's hasher returns when it is called with the
map's seed; Go 1.27 also calls known hashers directly or inlines them, and
profile-guided optimisation inlines the hasher that it expects behind a guard.
"""

from __future__ import annotations

from collections.abc import Callable

from iced_x86 import FlowControl, Instruction, Mnemonic
from iced_x86 import Register as X86  # noqa: N814 - points has a Register of its own

from mapprobe.go.dataflow.flow import Flow
from mapprobe.go.dataflow.semantics import operand
from mapprobe.go.dataflow.values import HASH, Load, Place, State, Value

MAPS = "internal/runtime/maps."
HASHERS = {
    f"{MAPS}{name}"
    for name in (
        "memHashAES", "memHash32AES", "memHash64AES", "memHashFallback", "memHash32Fallback", "memHash64Fallback",
        "MemHash", "MemHash32", "MemHash64", "StrHash",
    )
}  # fmt: skip
"""go: internal/runtime/maps/memhash_aes_asm.go memHashAES [1.27],
internal/runtime/maps/runtime_hash64.go memHash64Fallback [1.27]"""
TYPE_HASHER = 72
"""go: internal/abi/type.go MapType.Hasher [1.21..1.23], internal/abi/map.go MapType.Hasher [1.26..1.27]"""
CLASSIC_SEED, SWISS_SEED = (0xC, 4), (8, 8)  # go: runtime/map.go hmap.hash0, internal/runtime/maps/map.go Map.seed
CLASSIC_FLAGS, SWISS_WRITING = 8, 0x22  # go: runtime/map.go hmap.flags, internal/runtime/maps/map.go Map.writing


def hash_flow(code: bytes, entry: int, type_value: Value, map_value: Value, name_at: Callable[[int], str]) -> Flow:
    """Return the flow through an insert or delete function, with the hash where it is known.

    Parameters
    ----------
    code, entry
        The function's bytes and address.
    type_value, map_value
        Which arguments the map type and the map are.
    name_at
        Name of the function that begins at an address, else empty.
    """
    on_call = hash_call(type_value, map_value, name_at)
    flow = Flow(code, entry, on_call)
    pinned = devirtualised_joins(flow, hasher_code(type_value))
    return Flow(code, entry, on_call, pinned) if pinned else flow


def hash_call(
    type_value: Value, map_value: Value, name_at: Callable[[int], str]
) -> Callable[[Flow, Instruction, State], Value | None]:
    """Return a function for `Flow` that returns the hash at a call of the hasher with the map's seed.

    The seed tells such a call from those with seed 0, which Go up to 1.21 makes on empty maps only to
    provoke the panic on unhashable keys.
    """
    seeds = {Load(map_value, *CLASSIC_SEED), Load(map_value, *SWISS_SEED)}

    def on_call(flow: Flow, call: Instruction, state: State) -> Value | None:
        if state.get(X86.RBX) not in seeds:
            return None
        if call.flow_control == FlowControl.INDIRECT_CALL:
            return HASH if operand(call, 0, state) == hasher_code(type_value) else None
        return HASH if name_at(call.near_branch_target) in HASHERS else None

    return on_call


def hasher_code(type_value: Value) -> Load:
    """Return the address of a map type's key hasher, as code loads it."""
    return Load(Load(type_value, TYPE_HASHER), 0)


def runs_once(flow: Flow, addr: int, stores: list[int]) -> bool:
    """True if each operation that got its hash or set the writing flag, and returns, passes an address once."""
    if flow.is_on_cycle(addr):
        return False
    around = flow.reach([flow.entry], without=addr)
    avoids = any(s in around and flow.returns(flow.reach(flow.successors[s], without=addr)) for s in stores)
    return not avoids and not any(
        flow.returns(flow.reach(flow.successors[h], without=addr)) for h in flow.hash_definitions
    )


def branch_behind(flow: Flow, addr: int) -> int:
    """Return the first conditional branch from an instruction on, or the last instruction if no branch follows."""
    seen: set[int] = set()
    while flow.instructions[addr].flow_control != FlowControl.CONDITIONAL_BRANCH:
        if addr in seen or not flow.successors[addr]:
            break
        seen.add(addr)
        addr = flow.successors[addr][0]
    return addr


def devirtualised_joins(flow: Flow, hasher: Load) -> dict[int, list[Place]]:
    """Return where the hash stands behind a hasher that profile-guided optimisation inlined.

    Go 1.22 and later may compare the type's hasher with a known one: the known one runs inlined, any other is called.
    The arms join again before the flag is set; a place that is live there and holds the call's result
    on the indirect arm is the hash.
    """
    joins: dict[int, list[Place]] = {}
    returns = {a for a, i in flow.instructions.items() if i.flow_control == FlowControl.RETURN}
    for addr in sorted(flow.before):
        instruction = flow.instructions[addr]
        if instruction.mnemonic != Mnemonic.CMP:
            continue
        if hasher not in (operand(instruction, k, flow.before[addr]) for k in (0, 1)):
            continue
        arms = flow.successors[branch_behind(flow, addr)]
        for join in sorted(flow.reach(arms[:1]) & flow.reach(arms[1:])):
            if any(flow.reach([arm], without=join) & returns for arm in arms):
                continue
            before = [a for a in flow.after if join in flow.successors[a]]
            held = {place for a in before for place, value in flow.after[a].items() if value == HASH}
            live = [place for place in held if flow.is_live(join, place)]
            if len(before) > 1 and live:
                joins[join] = live
            break
    return joins
