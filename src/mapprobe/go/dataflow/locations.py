"""Where a value stands when a probe fires, as BPF code names it: in a register, or at a distance from RBP."""

from __future__ import annotations

from dataclasses import dataclass

from iced_x86 import Register as X86  # noqa: N814 - we have a Register of our own

from mapprobe.go.dataflow.values import Place, StackAddress

PT_REGS: dict[int, str] = {
    X86.RAX: "ax", X86.RBX: "bx", X86.RCX: "cx", X86.RDX: "dx", X86.RSI: "si", X86.RDI: "di", X86.RBP: "bp",
    X86.RSP: "sp", X86.R8: "r8", X86.R9: "r9", X86.R10: "r10", X86.R11: "r11", X86.R12: "r12", X86.R13: "r13",
    X86.R14: "r14", X86.R15: "r15",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Register:
    """A value stands in a register, named as in the kernel's pt_regs."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class FrameSlot:
    """A value stands at [RBP + offset]."""

    offset: int

    def __str__(self) -> str:
        return f"[rbp{self.offset:+#x}]"


Location = Register | FrameSlot


def location(place: Place) -> Location:
    """Return a place as BPF code can name it: with a frame, RBP is 8 below the return address."""
    if isinstance(place, StackAddress):
        return FrameSlot(place.offset + 8)
    return Register(PT_REGS[place])
