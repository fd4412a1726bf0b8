"""What this process may do: capabilities of Linux, the steps of a recording that need them, and a probe as a trial.

Nothing asks for a user ID. Each step is tried; where the kernel refuses one, the message names the capability that
lacks. kernel: include/uapi/linux/capability.h
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.probe import Probe
from mapprobe.capture.kernel.programs import Programs, Target
from mapprobe.capture.kernel.trap import loop_to_probe
from mapprobe.errors import HostError

NUMBERS = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_NICE": 23, "CAP_PERFMON": 38, "CAP_BPF": 39}
PROBING = ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE")
"""What it takes to load programs, to attach them by links, and to read the process."""
WHOLE = "CAP_SYS_ADMIN"
"""It stands for CAP_BPF and CAP_PERFMON, and is needed for uprobes that are no links and for measured run times."""
TRIAL_RING_BYTES = 1 << 16
STACK_DEPTH = 2
GOID_OFFSET, SPAN_CLASS_OFFSET = 152, 98
"""As of Go 1.23: no point of the trial reads these fields, but the source does not compile without."""


def held() -> frozenset[str]:
    """Return which capabilities of `NUMBERS` this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    word = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return frozenset(name for name, number in NUMBERS.items() if word >> number & 1)


def lacking() -> list[str]:
    """Return the capabilities that probing needs and this process has not."""
    ours = held()
    standing = {"CAP_BPF", "CAP_PERFMON"} if WHOLE in ours else set[str]()
    return [name for name in PROBING if name not in ours | standing]


@contextmanager
def naming_what_lacks() -> Iterator[None]:
    """Let an error of this host name the capabilities that lack, if any do.

    Raises
    ------
    HostError
        The same error, with another remedy.
    """
    try:
        yield
    except HostError as error:
        needed = lacking() or ([] if WHOLE in held() else [WHOLE])
        if not needed:
            raise
        what = str(error).removesuffix(f": {error.remedy}")
        raise HostError(what, f"{' and '.join(needed)} {_verb(needed)}: run it with sudo") from None


def _verb(names: list[str]) -> str:
    return "lacks" if len(names) == 1 else "lack"


def try_probe() -> str:
    """Compile, load, attach and detach one probe, in this process; return how it was attached.

    Raises
    ------
    HostError
        If one of these steps fails.
    """
    with naming_what_lacks(), loop_to_probe() as trap:
        target = Target(os.getpid(), trap.path, (0, 1), GOID_OFFSET, SPAN_CLASS_OFFSET)
        programs = Programs(target, (), STACK_DEPTH, TRIAL_RING_BYTES)
        loader = Loader()
        with loader:
            programs.begin(loader)
            with Probe(programs, loader) as probe, probe.empty_probe(trap.path, trap.offset):
                trap.run(1)
                return "by a link" if probe.has_links else "by perf_event_open"
