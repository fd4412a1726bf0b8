"""Which instructions the kernel emulates under a uprobe; the others it single-steps, 20 times dearer."""

from __future__ import annotations

from iced_x86 import FlowControl, Instruction, Mnemonic, OpKind

LOOPS = {Mnemonic.JRCXZ, Mnemonic.JECXZ, Mnemonic.LOOP, Mnemonic.LOOPE, Mnemonic.LOOPNE}


def is_emulated(instruction: Instruction) -> bool:
    """True if the kernel emulates an instruction under a uprobe: jumps, direct calls, push, one-byte nop.

    kernel: arch/x86/kernel/uprobes.c branch_setup_xol_ops, push_setup_xol_ops
    """
    match instruction.flow_control:
        case FlowControl.CONDITIONAL_BRANCH:
            return instruction.mnemonic not in LOOPS
        case FlowControl.UNCONDITIONAL_BRANCH | FlowControl.CALL:
            return (
                instruction.op_count == 1 and instruction.op_kind(0) == OpKind.NEAR_BRANCH64
            )  # syscall is a CALL, too
    if instruction.mnemonic == Mnemonic.PUSH:
        return instruction.op_kind(0) == OpKind.REGISTER
    return instruction.mnemonic == Mnemonic.NOP and instruction.len == 1
