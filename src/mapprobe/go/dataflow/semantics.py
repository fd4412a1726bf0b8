"""What one x86-64 instruction does to abstract values: the rules of the data flow.

Pure: a rule changes the state it is given. After an instruction without a
rule, nothing is known of the places that it writes.
"""

from __future__ import annotations

from collections.abc import Callable

from iced_x86 import (
    Instruction,
    InstructionInfoFactory,
    MemorySizeExt,
    Mnemonic,
    OpAccess,
    OpKind,
    RegisterExt,
)
from iced_x86 import Register as X86  # noqa: N814 - points has a Register of its own

from mapprobe.go.dataflow.values import (
    AES,
    HASH,
    Constant,
    Load,
    Product,
    StackAddress,
    State,
    Value,
    agreed,
    depth,
    put,
)

full = RegisterExt.full_register
INFO = InstructionInfoFactory()

MASK64 = (1 << 64) - 1
DEEPEST_LOAD = 3
CLOBBERED = (
    X86.RAX, X86.RBX, X86.RCX, X86.RDX, X86.RSI, X86.RDI, X86.R8, X86.R9, X86.R10, X86.R11, X86.R12, X86.R13, X86.R15,
)  # fmt: skip
"""Registers that a call does not preserve. go: internal/abi/abi_amd64.go [1.17..1.27]"""
WRITES = {OpAccess.WRITE, OpAccess.READ_WRITE, OpAccess.COND_WRITE, OpAccess.READ_COND_WRITE}
FALLBACK_CONSTANT = 0x1D8E4E27C47D124F
"""go: internal/runtime/maps/runtime_hash64.go m5 [1.27], runtime/hash64.go m5 [1.18..1.26]"""
IMMEDIATES = {
    OpKind.IMMEDIATE8, OpKind.IMMEDIATE16, OpKind.IMMEDIATE32, OpKind.IMMEDIATE64, OpKind.IMMEDIATE8TO16,
    OpKind.IMMEDIATE8TO32, OpKind.IMMEDIATE8TO64, OpKind.IMMEDIATE32TO64,
}  # fmt: skip
CONDITIONAL_MOVES = (
    Mnemonic.CMOVA, Mnemonic.CMOVAE, Mnemonic.CMOVB, Mnemonic.CMOVBE, Mnemonic.CMOVE, Mnemonic.CMOVG, Mnemonic.CMOVGE,
    Mnemonic.CMOVL, Mnemonic.CMOVLE, Mnemonic.CMOVNE, Mnemonic.CMOVNO, Mnemonic.CMOVNP, Mnemonic.CMOVNS,
    Mnemonic.CMOVO, Mnemonic.CMOVP, Mnemonic.CMOVS,
)  # fmt: skip
HASH_MAKERS = {Mnemonic.XOR, Mnemonic.VPEXTRQ, Mnemonic.PEXTRQ, Mnemonic.VMOVQ, Mnemonic.MOVQ}


def step(instruction: Instruction, state: State) -> None:
    """Let an instruction that is no call act on `state`."""
    rule = RULES.get(instruction.mnemonic)
    if rule is None or not rule(instruction, state):
        clobber(instruction, state)


def makes_hash(instruction: Instruction, after: State) -> bool:
    """True if an instruction, going by the state after it, has just put the hash together."""
    return instruction.mnemonic in HASH_MAKERS and after.get(full(instruction.op0_register)) is HASH


def enter_call(state: State) -> None:
    """Forget what a call may change: registers, and the stack below RSP, which is the callee's."""
    stack = state.get(X86.RSP)
    for register in CLOBBERED:
        state.pop(register, None)
    if isinstance(stack, StackAddress):
        for place in [p for p in state if isinstance(p, StackAddress) and p.offset < stack.offset]:
            del state[place]


def memory_operand(instruction: Instruction, state: State) -> StackAddress | Load | None:
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


def operand(instruction: Instruction, number: int, state: State) -> Value | None:
    """Return the value of an operand before an instruction."""
    kind = instruction.op_kind(number)
    if kind == OpKind.REGISTER:
        register = instruction.op_register(number)
        return state.get(full(register)) if RegisterExt.size(register) == 8 else None
    if kind == OpKind.MEMORY:
        where = memory_operand(instruction, state)
        if isinstance(where, StackAddress):
            return state.get(where)
        return where if where is not None and depth(where.base) < DEEPEST_LOAD else None
    if kind in IMMEDIATES:
        return Constant(instruction.immediate(number) & MASK64)
    return None


def clobber(instruction: Instruction, state: State) -> None:
    """Forget what an instruction writes."""
    info = INFO.info(instruction)
    for use in info.used_registers():
        register = full(use.register)
        if use.access in WRITES and register != X86.RSP:
            state.pop(register, None)
    if instruction.op_count and instruction.op_kind(0) == OpKind.MEMORY and info.op0_access in WRITES:
        where = memory_operand(instruction, state)
        clobber_slots(instruction, where, state)


def push(instruction: Instruction, state: State) -> bool:
    """Put the operand on the stack."""
    stack = state.get(X86.RSP)
    if not isinstance(stack, StackAddress):
        return False
    value = operand(instruction, 0, state)
    slot = state[X86.RSP] = StackAddress(stack.offset - 8)
    put(state, slot, value)
    return True


def pop(instruction: Instruction, state: State) -> bool:
    """Take a word from the stack, into a register if the operand is one."""
    stack = state.get(X86.RSP)
    if not isinstance(stack, StackAddress):
        return False
    value = state.get(stack)
    clobber(instruction, state)
    if instruction.op_kind(0) == OpKind.REGISTER:
        put(state, full(instruction.op0_register), value)
    state[X86.RSP] = StackAddress(stack.offset + 8)
    return True


def add(instruction: Instruction, state: State) -> bool:
    """Move RSP by a constant."""
    stack, amount = state.get(X86.RSP), operand(instruction, 1, state)
    is_stack = instruction.op_kind(0) == OpKind.REGISTER and instruction.op0_register == X86.RSP
    if not (is_stack and isinstance(stack, StackAddress) and isinstance(amount, Constant)):
        return False
    change = amount.number - ((amount.number >> 63) << 64)
    state[X86.RSP] = StackAddress(stack.offset + (change if instruction.mnemonic == Mnemonic.ADD else -change))
    return True


def lea(instruction: Instruction, state: State) -> bool:
    """Hold an address on the stack or in the binary; other addresses are unknown."""
    where: Value | None = memory_operand(instruction, state)
    if instruction.is_ip_rel_memory_operand:
        where = Constant(instruction.memory_displacement)
    clobber(instruction, state)
    if isinstance(where, StackAddress | Constant):
        state[full(instruction.op0_register)] = where
    return True


def mov(instruction: Instruction, state: State) -> bool:
    """Hold what the source held, whole words and zero-extended halves."""
    value = operand(instruction, 1, state)
    if instruction.op_kind(0) != OpKind.REGISTER:
        where = memory_operand(instruction, state)
        clobber_slots(instruction, where, state)
        is_whole = instruction.op_kind(1) == OpKind.REGISTER and RegisterExt.size(instruction.op1_register) == 8
        if isinstance(where, StackAddress) and is_whole:
            put(state, where, value)
        return True
    register = instruction.op0_register
    clobber(instruction, state)
    size = RegisterExt.size(register)
    if size == 4 and isinstance(value, Load) and instruction.op_kind(1) == OpKind.MEMORY:
        value = Load(value.base, value.offset, 4)
    elif size != 8 and not (size == 4 and isinstance(value, Constant)):
        value = None
    put(state, full(register), value)
    return True


def clobber_slots(instruction: Instruction, where: StackAddress | Load | None, state: State) -> None:
    """Forget the stack slots that a store overlaps."""
    if isinstance(where, StackAddress):
        end = where.offset + MemorySizeExt.size(instruction.memory_size)
        for place in [p for p in state if isinstance(p, StackAddress) and where.offset - 8 < p.offset < end]:
            del state[place]


def conditional_move(instruction: Instruction, state: State) -> bool:
    """Hold the value that both operands agree on."""
    value = agreed(operand(instruction, 0, state), operand(instruction, 1, state))
    clobber(instruction, state)
    put(state, full(instruction.op0_register), value)
    return True


def multiply(instruction: Instruction, state: State) -> bool:
    """Hold the halves of a product, and whether it is the last one of a memory hash."""
    is_mulx = instruction.mnemonic == Mnemonic.MULX
    factors = (state.get(X86.RDX if is_mulx else X86.RAX), operand(instruction, 2 if is_mulx else 0, state))
    high = full(instruction.op0_register) if is_mulx else X86.RDX
    low = full(instruction.op1_register) if is_mulx else X86.RAX
    last = {FALLBACK_CONSTANT ^ length for length in (4, 8)}
    is_last = any(isinstance(f, Constant) and f.number in last for f in factors)
    clobber(instruction, state)
    state[low] = Product(False, instruction.ip, is_last)
    state[high] = Product(True, instruction.ip, is_last)
    return True


def xor(instruction: Instruction, state: State) -> bool:
    """The two halves of a memory hash's last product, xored, are the hash; a register with itself is 0."""
    if instruction.op_kind(1) != OpKind.REGISTER or instruction.op_kind(0) != OpKind.REGISTER:
        return False
    register = instruction.op0_register
    if register == instruction.op1_register and RegisterExt.size(register) >= 4:
        state[full(register)] = Constant(0)
        return True
    one, other = operand(instruction, 0, state), operand(instruction, 1, state)
    is_hash = (
        isinstance(one, Product)
        and isinstance(other, Product)
        and one.is_last
        and (one.made_at, one.is_high) == (other.made_at, not other.is_high)
    )
    if not is_hash:
        return False
    clobber(instruction, state)
    define_hash(instruction, state)
    return True


def exchange(instruction: Instruction, state: State) -> bool:
    """Swap the values of two operands."""
    if instruction.op_kind(0) != OpKind.REGISTER or instruction.op_kind(1) != OpKind.REGISTER:
        return False
    one, other = operand(instruction, 0, state), operand(instruction, 1, state)
    clobber(instruction, state)
    put(state, full(instruction.op0_register), other)
    put(state, full(instruction.op1_register), one)
    return True


def aes(instruction: Instruction, state: State) -> bool:
    """Hold something that went through AES rounds."""
    state[full(instruction.op0_register)] = AES
    return True


def extract(instruction: Instruction, state: State) -> bool:
    """A word taken out of a register that went through AES rounds is the hash (GOEXPERIMENT=simd)."""
    if instruction.op_kind(0) != OpKind.REGISTER or instruction.op_kind(1) != OpKind.REGISTER:
        return False
    is_hash = state.get(full(instruction.op1_register)) == AES
    clobber(instruction, state)
    if is_hash and full(instruction.op0_register) in CLOBBERED:
        define_hash(instruction, state)
    return True


def define_hash(instruction: Instruction, state: State) -> None:
    """Let the first operand be the hash."""
    state[full(instruction.op0_register)] = HASH


RULES: dict[int, Callable[[Instruction, State], bool]] = {
    **dict.fromkeys(CONDITIONAL_MOVES, conditional_move),
    Mnemonic.PUSH: push,
    Mnemonic.POP: pop,
    Mnemonic.ADD: add,
    Mnemonic.SUB: add,
    Mnemonic.LEA: lea,
    Mnemonic.MOV: mov,
    Mnemonic.MUL: multiply,
    Mnemonic.MULX: multiply,
    Mnemonic.XOR: xor,
    Mnemonic.XCHG: exchange,
    Mnemonic.AESENC: aes,
    Mnemonic.VAESENC: aes,
    Mnemonic.VPEXTRQ: extract,
    Mnemonic.PEXTRQ: extract,
    Mnemonic.VMOVQ: extract,
    Mnemonic.MOVQ: extract,
}
"""Rules by instruction; each returns whether it applied. All other instructions only clobber."""
