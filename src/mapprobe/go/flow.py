"""Where values stand in one function: forward data flow over its decoded instructions.

Abstract values: an argument word, a load from an offset of another value, an
address on the stack, a constant, the key's hash. At a join only what both
paths agree on is kept. Calls keep nothing in registers but RSP, RBP and R14.
What the flow says holds on every path, so a location that it names for the
hash at an instruction is right each time that instruction runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from iced_x86 import (
    Decoder,
    FlowControl,
    Instruction,
    InstructionInfoFactory,
    MemorySize,
    MemorySizeExt,
    Mnemonic,
    OpAccess,
    OpKind,
    RegisterExt,
)
from iced_x86 import Register as X86  # noqa: N814 - we have a Register of our own

from mapprobe.go.values import (
    AES,
    CALLERS_RBP,
    HASH,
    Argument,
    Constant,
    Load,
    Place,
    Product,
    StackAddress,
    State,
    Value,
    agreed,
    depth,
    join,
    put,
)

full = RegisterExt.full_register
_info = InstructionInfoFactory()

MASK64 = (1 << 64) - 1
DEEPEST_LOAD = 3
ARGUMENTS = (X86.RAX, X86.RBX, X86.RCX, X86.RDI, X86.RSI, X86.R8, X86.R9, X86.R10, X86.R11)
"""Argument words in order. go: cmd/compile/internal/ssagen/abi.go, internal/abi/abi_amd64.go [1.17..1.27]"""
CLOBBERED = (
    X86.RAX, X86.RBX, X86.RCX, X86.RDX, X86.RSI, X86.RDI, X86.R8, X86.R9, X86.R10, X86.R11, X86.R12, X86.R13, X86.R15,
)  # fmt: skip
WRITES = {OpAccess.WRITE, OpAccess.READ_WRITE, OpAccess.COND_WRITE, OpAccess.READ_COND_WRITE}
READS = {OpAccess.READ, OpAccess.READ_WRITE, OpAccess.COND_READ, OpAccess.READ_COND_WRITE}
FALLBACK_CONSTANT = 0x1D8E4E27C47D124F
"""go: internal/runtime/maps/memhash_noaes.go m5 [1.27], runtime/hash64.go m5 [1.18..1.26]"""
LOOPS = {Mnemonic.JRCXZ, Mnemonic.JECXZ, Mnemonic.LOOP, Mnemonic.LOOPE, Mnemonic.LOOPNE}


class Flow:
    """The flow through one function.

    Parameters
    ----------
    code, entry
        Its bytes and address.
    on_call
        Asked at each call with the instruction and the state before it: what RAX holds after it.
    pinned
        Places that hold the hash at an address although the paths to it disagree on how.
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
        """Return the addresses that paths from `starts` come to, not going through `without`."""
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

    def has_frame(self, addr: int) -> bool:
        """True if RBP is the function's own frame pointer, right below the return address."""
        return self.before[addr].get(X86.RBP) == StackAddress(-8)

    def places_of(self, addr: int, value: Value) -> list[Place]:
        """Return where a value stands before an instruction: registers first."""
        found = [place for place, held in self.before[addr].items() if held == value]
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
                where = self.memory_operand(instruction, self.before[addr])
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
                if is_it and self.memory_operand(instruction, self.before.get(addr, {})) == place:
                    writes = k == 0 and instruction.mnemonic == Mnemonic.MOV
                    return not writes, writes
            return False, False
        uses = [u.access for u in _info.info(instruction).used_registers() if full(u.register) == place]
        is_call = instruction.flow_control in (FlowControl.CALL, FlowControl.INDIRECT_CALL)
        return any(access in READS for access in uses), bool(uses) or is_call

    # --- values

    def memory_operand(self, instruction: Instruction, state: State) -> StackAddress | Load | None:
        """Return what a memory operand points at: a stack slot, or an offset of a value (as the load of it)."""
        base = instruction.memory_base
        if instruction.memory_index != X86.NONE or base in (X86.NONE, X86.RIP, X86.EIP):
            return None
        value = state.get(full(base))
        offset = instruction.memory_displacement
        offset -= (offset >> 63) << 64
        if value is None:
            return None
        if isinstance(value, StackAddress):
            return StackAddress(value.offset + offset)
        return Load(value, offset)

    def operand(self, instruction: Instruction, number: int, state: State) -> Value | None:
        """Return the value of an operand before an instruction."""
        kind = instruction.op_kind(number)
        if kind == OpKind.REGISTER:
            register = instruction.op_register(number)
            return state.get(full(register)) if RegisterExt.size(register) == 8 else None
        if kind == OpKind.MEMORY:
            where = self.memory_operand(instruction, state)
            if isinstance(where, StackAddress):
                return state.get(where)
            return where if where is not None and depth(where.base) < DEEPEST_LOAD else None
        if kind in IMMEDIATES:
            return Constant(instruction.immediate(number) & MASK64)
        return None

    # --- one instruction

    def _step(self, instruction: Instruction, state: State) -> State:
        if instruction.flow_control in (FlowControl.CALL, FlowControl.INDIRECT_CALL):
            return self._call(instruction, state)
        rule = RULES.get(instruction.mnemonic)
        if rule is None or not rule(self, instruction, state):
            self._clobber(instruction, state)
        return state

    def _call(self, instruction: Instruction, state: State) -> State:
        result = self._on_call(self, instruction, state)
        stack = state.get(X86.RSP)
        for register in CLOBBERED:
            state.pop(register, None)
        if isinstance(stack, StackAddress):  # below RSP is the callee's
            for place in [p for p in state if isinstance(p, StackAddress) and p.offset < stack.offset]:
                del state[place]
        if result is not None:
            state[X86.RAX] = result
            if result is HASH:
                self.hash_definitions.add(instruction.ip)
        return state

    def _clobber(self, instruction: Instruction, state: State) -> None:
        """Forget what an instruction writes."""
        info = _info.info(instruction)
        for use in info.used_registers():
            register = full(use.register)
            if use.access in WRITES and register != X86.RSP:
                state.pop(register, None)
        if instruction.op_count and instruction.op_kind(0) == OpKind.MEMORY and info.op0_access in WRITES:
            where = self.memory_operand(instruction, state)
            self._clobber_slots(instruction, where, state)

    def _push(self, instruction: Instruction, state: State) -> bool:
        stack = state.get(X86.RSP)
        if not isinstance(stack, StackAddress):
            return False
        value = self.operand(instruction, 0, state)
        slot = state[X86.RSP] = StackAddress(stack.offset - 8)
        put(state, slot, value)
        return True

    def _pop(self, instruction: Instruction, state: State) -> bool:
        stack = state.get(X86.RSP)
        if not isinstance(stack, StackAddress):
            return False
        value = state.get(stack)
        self._clobber(instruction, state)
        put(state, full(instruction.op0_register), value)
        state[X86.RSP] = StackAddress(stack.offset + 8)
        return True

    def _add(self, instruction: Instruction, state: State) -> bool:
        stack, amount = state.get(X86.RSP), self.operand(instruction, 1, state)
        is_stack = instruction.op_kind(0) == OpKind.REGISTER and instruction.op0_register == X86.RSP
        if not (is_stack and isinstance(stack, StackAddress) and isinstance(amount, Constant)):
            return False
        change = amount.number - ((amount.number >> 63) << 64)
        state[X86.RSP] = StackAddress(stack.offset + (change if instruction.mnemonic == Mnemonic.ADD else -change))
        return True

    def _lea(self, instruction: Instruction, state: State) -> bool:
        where = self.memory_operand(instruction, state)
        self._clobber(instruction, state)
        if isinstance(where, StackAddress):
            state[full(instruction.op0_register)] = where
        return True

    def _mov(self, instruction: Instruction, state: State) -> bool:
        value = self.operand(instruction, 1, state)
        if instruction.op_kind(0) != OpKind.REGISTER:
            where = self.memory_operand(instruction, state)
            self._clobber_slots(instruction, where, state)
            is_whole = instruction.op_kind(1) == OpKind.REGISTER and RegisterExt.size(instruction.op1_register) == 8
            if isinstance(where, StackAddress) and is_whole:
                put(state, where, value)
            return True
        register = instruction.op0_register
        self._clobber(instruction, state)
        size = RegisterExt.size(register)
        if size == 4 and isinstance(value, Load) and instruction.op_kind(1) == OpKind.MEMORY:
            value = Load(value.base, value.offset, 4)
        elif size != 8 and not (size == 4 and isinstance(value, Constant)):
            value = None
        put(state, full(register), value)
        return True

    def _clobber_slots(self, instruction: Instruction, where: StackAddress | Load | None, state: State) -> None:
        """Forget the stack slots that a store overlaps."""
        if isinstance(where, StackAddress):
            end = where.offset + MemorySizeExt.size(instruction.memory_size)
            for place in [p for p in state if isinstance(p, StackAddress) and where.offset - 8 < p.offset < end]:
                del state[place]

    def _conditional_move(self, instruction: Instruction, state: State) -> bool:
        value = agreed(self.operand(instruction, 0, state), self.operand(instruction, 1, state))
        self._clobber(instruction, state)
        put(state, full(instruction.op0_register), value)
        return True

    def _multiply(self, instruction: Instruction, state: State) -> bool:
        is_mulx = instruction.mnemonic == Mnemonic.MULX
        factors = (state.get(X86.RDX if is_mulx else X86.RAX), self.operand(instruction, 2 if is_mulx else 0, state))
        high = full(instruction.op0_register) if is_mulx else X86.RDX
        low = full(instruction.op1_register) if is_mulx else X86.RAX
        last = {FALLBACK_CONSTANT ^ length for length in (4, 8)}
        is_last = any(isinstance(f, Constant) and f.number in last for f in factors)
        self._clobber(instruction, state)
        state[low] = Product(False, instruction.ip, is_last)
        state[high] = Product(True, instruction.ip, is_last)
        return True

    def _xor(self, instruction: Instruction, state: State) -> bool:
        """The two halves of a memory hash's last product, xored, are the hash; a register with itself is 0."""
        if instruction.op_kind(1) != OpKind.REGISTER or instruction.op_kind(0) != OpKind.REGISTER:
            return False
        register = instruction.op0_register
        if register == instruction.op1_register and RegisterExt.size(register) >= 4:
            state[full(register)] = Constant(0)
            return True
        one, other = self.operand(instruction, 0, state), self.operand(instruction, 1, state)
        is_hash = (
            isinstance(one, Product)
            and isinstance(other, Product)
            and one.is_last
            and (one.made_at, one.is_high) == (other.made_at, not other.is_high)
        )
        if not is_hash:
            return False
        self._clobber(instruction, state)
        self._define_hash(instruction, state)
        return True

    def _exchange(self, instruction: Instruction, state: State) -> bool:
        if instruction.op_kind(0) != OpKind.REGISTER or instruction.op_kind(1) != OpKind.REGISTER:
            return False
        one, other = self.operand(instruction, 0, state), self.operand(instruction, 1, state)
        self._clobber(instruction, state)
        put(state, full(instruction.op0_register), other)
        put(state, full(instruction.op1_register), one)
        return True

    def _aes(self, instruction: Instruction, state: State) -> bool:
        state[full(instruction.op0_register)] = AES
        return True

    def _extract(self, instruction: Instruction, state: State) -> bool:
        """A word taken out of a register that went through AES rounds is the hash (GOEXPERIMENT=simd)."""
        if instruction.op_kind(0) != OpKind.REGISTER or instruction.op_kind(1) != OpKind.REGISTER:
            return False
        is_hash = state.get(full(instruction.op1_register)) == AES
        self._clobber(instruction, state)
        if is_hash and full(instruction.op0_register) in CLOBBERED:
            self._define_hash(instruction, state)
        return True

    def _define_hash(self, instruction: Instruction, state: State) -> None:
        state[full(instruction.op0_register)] = HASH
        self.hash_definitions.add(instruction.ip)


IMMEDIATES = {
    OpKind.IMMEDIATE8, OpKind.IMMEDIATE16, OpKind.IMMEDIATE32, OpKind.IMMEDIATE64, OpKind.IMMEDIATE8TO16,
    OpKind.IMMEDIATE8TO32, OpKind.IMMEDIATE8TO64, OpKind.IMMEDIATE32TO64,
}  # fmt: skip
CONDITIONAL_MOVES = (
    Mnemonic.CMOVA, Mnemonic.CMOVAE, Mnemonic.CMOVB, Mnemonic.CMOVBE, Mnemonic.CMOVE, Mnemonic.CMOVG, Mnemonic.CMOVGE,
    Mnemonic.CMOVL, Mnemonic.CMOVLE, Mnemonic.CMOVNE, Mnemonic.CMOVNO, Mnemonic.CMOVNP, Mnemonic.CMOVNS,
    Mnemonic.CMOVO, Mnemonic.CMOVP, Mnemonic.CMOVS,
)  # fmt: skip
RULES: dict[int, Callable[[Flow, Instruction, State], bool]] = {
    **dict.fromkeys(CONDITIONAL_MOVES, Flow._conditional_move),
    Mnemonic.PUSH: Flow._push,
    Mnemonic.POP: Flow._pop,
    Mnemonic.ADD: Flow._add,
    Mnemonic.SUB: Flow._add,
    Mnemonic.LEA: Flow._lea,
    Mnemonic.MOV: Flow._mov,
    Mnemonic.MUL: Flow._multiply,
    Mnemonic.MULX: Flow._multiply,
    Mnemonic.XOR: Flow._xor,
    Mnemonic.XCHG: Flow._exchange,
    Mnemonic.AESENC: Flow._aes,
    Mnemonic.VAESENC: Flow._aes,
    Mnemonic.VPEXTRQ: Flow._extract,
    Mnemonic.PEXTRQ: Flow._extract,
    Mnemonic.VMOVQ: Flow._extract,
    Mnemonic.MOVQ: Flow._extract,
}
"""What instructions do to values; each says whether it applied, everything else only clobbers."""
