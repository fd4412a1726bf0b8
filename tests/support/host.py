"""What this host lacks for the tests, and whether the lack is an error."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

BPF_SYSCALL = 321  # linux/arch/x86/entry/syscalls/syscall_64.tbl
BPF_MAP_CREATE = 0
BPF_MAP_TYPE_ARRAY = 2
BTF = Path("/sys/kernel/btf/vmlinux")
BCC = Path("/usr/lib/python3/dist-packages/bcc")
NOT_RUN = "NOT RUN"
"""What the reason of a test that is skipped for a lack of this host begins with."""


def insists() -> bool:
    """True if what can't run has to fail (MAPPROBE_INSIST=1): CI leaves no test out in silence."""
    return os.environ.get("MAPPROBE_INSIST") == "1"


def live_lack() -> str | None:
    """Return what this host lacks for recording a process, or None."""
    if os.geteuid() != 0:
        return "not root"
    if not BCC.is_dir():
        return "no bcc: python3-bpfcc is not installed"
    if not BTF.exists():
        return f"no BPF: {BTF} is missing"
    libc = ctypes.CDLL(None, use_errno=True)
    array = ctypes.create_string_buffer(struct.pack("<IIII", BPF_MAP_TYPE_ARRAY, 4, 4, 1), 128)
    fd = libc.syscall(BPF_SYSCALL, BPF_MAP_CREATE, array, len(array))
    if fd < 0:
        return f"no BPF: bpf(2): {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return None
