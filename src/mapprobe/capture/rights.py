"""What this process may do: capabilities of Linux, the steps of a recording that need them, and a probe as a trial.

Nothing asks for a user ID. Each step is tried; where the kernel refuses one, the message names the missing
capability. kernel: include/uapi/linux/capability.h
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.probe import Probe
from mapprobe.capture.kernel.programs import ProbedProcess, Programs
from mapprobe.capture.kernel.trap import loop_to_probe
from mapprobe.errors import HostError

NUMBERS = {
    "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_NICE": 23,
    "CAP_PERFMON": 38, "CAP_BPF": 39,
}  # fmt: skip
READING = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")
"""Capabilities for reading /proc/PID/mem of a process of another user."""
PROBING = ("CAP_BPF", "CAP_PERFMON", *READING)
"""Capabilities for loading programs, attaching them by links, and reading the process."""
ADMIN = "CAP_SYS_ADMIN"
"""The capability for uprobes that are no links, and for measuring run times of programs."""
INCLUDED = {ADMIN: {"CAP_BPF", "CAP_PERFMON"}, "CAP_DAC_OVERRIDE": {"CAP_DAC_READ_SEARCH"}}
"""Capabilities that include others for what is done here."""
REFUSED = ("not permitted", "ermission denied", "super-user")
"""Words of an error that the kernel, or bcc, raises where a right is missing."""
TRIAL_RING_BYTES = 1 << 16
STACK_DEPTH = 2
GOID_OFFSET, SPAN_CLASS_OFFSET = 152, 98
"""Offsets of Go 1.23: no point of the trial reads these fields, but the source does not compile without offsets."""


def held() -> frozenset[str]:
    """Return which capabilities of `NUMBERS` this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    word = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return frozenset(name for name, number in NUMBERS.items() if word >> number & 1)


def lacking(needed: Iterable[str] = PROBING) -> list[str]:
    """Return which of some capabilities this process does not have."""
    ours = held()
    included = {name for whole in ours for name in INCLUDED.get(whole, ())}
    return [name for name in needed if name not in ours | included]


@contextmanager
def naming_what_lacks() -> Iterator[None]:
    """Let an error about a missing right name the capabilities that this process lacks, if it lacks any.

    Raises
    ------
    HostError
        The same error, with another remedy.
    """
    try:
        yield
    except HostError as error:
        needed = lacking() or lacking([ADMIN])
        if not needed or not any(word in str(error) for word in REFUSED):
            raise
        what = str(error).removesuffix(f": {error.remedy}")
        raise HostError(what, f"run it with sudo, or give it {' and '.join(needed)}") from None


def try_probe() -> str:
    """Compile, load, attach and detach one probe, in this process; return how it was attached.

    Raises
    ------
    HostError
        If one of these steps fails.
    """
    with naming_what_lacks(), loop_to_probe() as trap:
        target = ProbedProcess(os.getpid(), trap.path, (0, 1), GOID_OFFSET, SPAN_CLASS_OFFSET)
        programs = Programs(target, (), STACK_DEPTH, TRIAL_RING_BYTES)
        loader = Loader()
        with loader:
            programs.begin(loader)
            with Probe(programs, loader) as probe, probe.empty_probe(trap.path, trap.offset):
                trap.run(1)
                return "by a link" if probe.has_links else "by perf_event_open"
