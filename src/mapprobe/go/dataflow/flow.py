"""Where values stand in one function: forward data flow over its decoded instructions.

Abstract values: an argument word, a load from an offset of another value, an
address on the stack, a constant, the key's hash. At a join only values that
both paths agree on are kept. Calls preserve only the registers RSP, RBP and
R14. The result holds on every path, so a location that the flow names for the
hash at an instruction is right each time the instruction runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from iced_x86 import Decoder, FlowControl, Instruction, MemorySize, Mnemonic, OpAccess, OpKind, RegisterExt
from iced_x86 import Register as X86  # noqa: N814 - points has a Register of its own

from mapprobe.go.dataflow.semantics import INFO, enter_call, full, makes_hash, memory_operand, step
from mapprobe.go.dataflow.values import CALLERS_RBP, HASH, Argument, Load, Place, StackAddress, State, Value, join

ARGUMENTS = (X86.RAX, X86.RBX, X86.RCX, X86.RDI, X86.RSI, X86.R8, X86.R9, X86.R10, X86.R11)
"""Argument words in order. go: cmd/compile/internal/ssagen/abi.go, internal/abi/abi_amd64.go [1.17..1.27]"""
READS = {OpAccess.READ, OpAccess.READ_WRITE, OpAccess.COND_READ, OpAccess.READ_COND_WRITE}


def is_nameable(place: Place) -> bool:
    """True for places that a probe can read: general registers and stack slots, not control registers."""
    return isinstance(place, StackAddress) or RegisterExt.is_gpr64(cast(Any, place))


class Flow:
    """The flow through one function.

    Parameters
    ----------
    code, entry
        The function's bytes and address.
    on_call
        Called at each call with the instruction and the state before; returns the value of RAX after the call.
    pinned
        By address, places that hold the hash there although the paths to the address disagree on its value.
    """

    def __init__(
        self,
        code: bytes,
        entry: int,
        on_call: Callable[[Flow, Instruction, State], Value | None],
        pinned: Mapping[int, Iterable[Place]] | None = None,
    ) -> None:
        self.entry, self._on_call, self._pinned = entry, on_call, pinned or {}
        self.instructions: dict[int, Instruction] = {i.ip: i for i in Decoder(64, code, ip=entry)}
        self.successors = {addr: self._successors(addr, i, len(code)) for addr, i in self.instructions.items()}
        self.hash_definitions: set[int] = set()
        self.before: dict[int, State] = {}
        self.after: dict[int, State] = {}
        self._run()

    def _successors(self, addr: int, instruction: Instruction, length: int) -> list[int]:
        behind = addr + instruction.len
        match instruction.flow_control:
            case FlowControl.NEXT | FlowControl.CALL | FlowControl.INDIRECT_CALL:
                targets = [behind]
            case FlowControl.CONDITIONAL_BRANCH:
                targets = [behind, instruction.near_branch_target]
            case FlowControl.UNCONDITIONAL_BRANCH:
                targets = [instruction.near_branch_target]
            case _:
                targets = []
        # the jump back to the entry is the retry after the stack has grown
        return [t for t in targets if t in self.instructions and t != self.entry]

    def _run(self) -> None:
        state: State = {X86.RSP: StackAddress(0), X86.RBP: CALLERS_RBP}
        state |= {register: Argument(number) for number, register in enumerate(ARGUMENTS)}
        self.before[self.entry] = state
        work = [self.entry]
        while work:
            addr = work.pop()
            self.after[addr] = out = self._step(self.instructions[addr], dict(self.before[addr]))
            for target in self.successors[addr]:
                known = self.before.get(target)
                merged = dict(out) if known is None else join(known, out)
                merged |= dict.fromkeys(self._pinned.get(target, ()), HASH)
                if merged != known:
                    self.before[target] = merged
                    work.append(target)

    # --- questions

    def reach(self, starts: Iterable[int], without: int | None = None) -> set[int]:
        """Return the addresses that paths from `starts` reach without going through `without`."""
        seen: set[int] = set()
        work = list(starts)
        while work:
            addr = work.pop()
            if addr not in seen and addr != without:
                seen.add(addr)
                work += self.successors[addr]
        return seen

    def returns(self, addrs: Iterable[int]) -> bool:
        """True if a return is among the addresses."""
        return any(self.instructions[addr].flow_control == FlowControl.RETURN for addr in addrs)

    def is_on_cycle(self, addr: int) -> bool:
        """True if an instruction can run again in the same call."""
        return addr in self.reach(self.successors[addr])

    def is_passed_once(self, addr: int) -> bool:
        """True if each call that returns runs an instruction exactly once, with its frame set up."""
        avoids = self.returns(self.reach([self.entry], without=addr))
        return self.has_frame(addr) and not self.is_on_cycle(addr) and not avoids

    def has_frame(self, addr: int) -> bool:
        """True if RBP is the function's own frame pointer, right below the return address."""
        return self.before[addr].get(X86.RBP) == StackAddress(-8)

    def places_of(self, addr: int, value: Value) -> list[Place]:
        """Return where a value stands before an instruction: general registers first, then stack slots."""
        found = [place for place, held in self.before[addr].items() if held == value and is_nameable(place)]
        return sorted(
            found, key=lambda p: (isinstance(p, StackAddress), p.offset if isinstance(p, StackAddress) else p)
        )

    def byte_stores(self, targets: set[tuple[Value, int]]) -> list[int]:
        """Return the addresses of one-byte stores to an offset of a value."""
        found = []
        for addr, instruction in self.instructions.items():
            is_store = (
                instruction.mnemonic == Mnemonic.MOV
                and instruction.op_kind(0) == OpKind.MEMORY
                and instruction.memory_size == MemorySize.UINT8
                and addr in self.before
            )
            if is_store:
                where = memory_operand(instruction, self.before[addr])
                if isinstance(where, Load) and (where.base, where.offset) in targets:
                    found.append(addr)
        return found

    def is_live(self, start: int, place: Place) -> bool:
        """True if some path from `start` reads a place before it writes it."""
        seen: set[int] = set()
        work = [start]
        while work:
            addr = work.pop()
            if addr in seen:
                continue
            seen.add(addr)
            reads, writes = self._use(addr, place)
            if reads:
                return True
            if not writes:
                work += self.successors[addr]
        return False

    def _use(self, addr: int, place: Place) -> tuple[bool, bool]:
        instruction = self.instructions[addr]
        if isinstance(place, StackAddress):
            for k in range(instruction.op_count):
                is_it = instruction.op_kind(k) == OpKind.MEMORY
                if is_it and memory_operand(instruction, self.before.get(addr, {})) == place:
                    writes = k == 0 and instruction.mnemonic == Mnemonic.MOV
                    return not writes, writes
            return False, False
        uses = [u.access for u in INFO.info(instruction).used_registers() if full(u.register) == place]
        is_call = instruction.flow_control in (FlowControl.CALL, FlowControl.INDIRECT_CALL)
        return any(access in READS for access in uses), bool(uses) or is_call

    # --- one instruction

    def _step(self, instruction: Instruction, state: State) -> State:
        if instruction.flow_control in (FlowControl.CALL, FlowControl.INDIRECT_CALL):
            return self._call(instruction, state)
        step(instruction, state)
        if makes_hash(instruction, state):
            self.hash_definitions.add(instruction.ip)
        return state

    def _call(self, instruction: Instruction, state: State) -> State:
        result = self._on_call(self, instruction, state)
        enter_call(state)
        if result is not None:
            state[X86.RAX] = result
            if result is HASH:
                self.hash_definitions.add(instruction.ip)
        return state
