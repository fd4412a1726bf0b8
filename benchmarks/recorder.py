"""What memory a recorder takes beside its ring, phase by phase, and a census: each in a process of its own.

The kernel keeps a process's peak (VmHWM), and sets it back to what the process has when told to; so each step of a
recorder has its own peak. Pages of files count too, shared libraries and what was read of the binary: what a recorder
takes without them stands beside.

With names of servers (`tests/servers`) these are recorded under their load, instead of a program that only inserts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import Figure, told

from programs import RELEASES, ROOT, build

sys.path.insert(0, str(ROOT / "tests"))

SECONDS, WARM_SECONDS = 4.0, 1.0
GOAL_MB = 150.0
TAKER = """
import json, re, sys
from pathlib import Path
from mapprobe.capture.kernel.programs import HEAP_RING_BYTES, RING_BYTES
from mapprobe.cli.lean import keep_little, leave_pandas_out
RINGS = 2 * (HEAP_RING_BYTES + RING_BYTES) / 1e6  # each is mapped twice, back to back
what, pid, folder, seconds, *more = sys.argv[1:]
pid, folder, seconds, heap = int(pid), Path(folder), float(seconds), bool(more)
def now():
    found = dict(re.findall(r"(\\w+):\\s+(\\d+) kB", Path("/proc/self/status").read_text()))
    return [int(found[name]) * 1024 / 1e6 for name in ("VmHWM", "RssFile")]
phases, last, had_rings = {}, ["starting"], [False]
def step(name, _):
    if name != last[0]:
        peak, files = now()
        has_rings = files > RINGS
        peak, files = peak - RINGS * (has_rings or had_rings[0]), files - RINGS * has_rings
        had_rings[0] = has_rings
        phases[last[0]] = max(phases.get(last[0], (0, 0)), (peak, files))
        Path("/proc/self/clear_refs").write_text("5")
        last[0] = name
leave_pandas_out()
if what == "census":
    from mapprobe.api.census import census
    census(pid, folder)
else:
    keep_little()
    from mapprobe.capture.recorder import Options, record
    record(pid, folder, Options(duration=seconds, heap=heap), lambda _: None, at_step=step)
step("", "")
print(json.dumps(phases))
"""


def peaks(what: str, pid: int, *more: str) -> dict[str, tuple[float, float]]:
    """Return of each phase the peak beside the rings, and what of that were pages of files [MB]."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", TAKER, what, str(pid), f"{scratch}/r", str(SECONDS), *more]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return found


def figure(what: str, found: dict[str, tuple[float, float]]) -> Figure:
    """Return the largest peak, beside those of all phases."""
    most, files = max(found.values())
    phases = ", ".join(f"{name} {peak:.0f}" for name, (peak, _) in found.items())
    return Figure(what, most, "MB", GOAL_MB, peer=f"{files:.0f} of them pages of files; {phases}")


@contextmanager
def inserting(release: tuple[int, int]) -> Iterator[int]:
    """Give the PID of a program that inserts for ever."""
    with subprocess.Popen([str(build("insert", release)), "-threads", "2"], stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def figures() -> Iterator[Figure]:
    """Yield the figures of a busy program."""
    for release in RELEASES:
        name = f"go{release[0]}.{release[1]}"
        with inserting(release) as pid:
            yield figure(f"{name} record, beside its ring", peaks("record", pid))
            yield figure(f"{name} record --heap, beside its rings", peaks("record", pid, "heap"))
            yield figure(f"{name} census", peaks("census", pid))


def servers(names: list[str]) -> Iterator[Figure]:
    """Yield the figures of servers under load."""
    from servers.programs import SERVERS, serving

    for name in names:
        with tempfile.TemporaryDirectory() as scratch, serving(SERVERS[name], Path(scratch)) as (pid, load):
            load.over.wait(WARM_SECONDS)
            yield figure(f"{name}: record --heap, beside its rings", peaks("record", pid, "heap"))


if __name__ == "__main__":
    list(told(servers(sys.argv[1:]) if sys.argv[1:] else figures()))
