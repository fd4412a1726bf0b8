"""What one hit costs the target: one insert unprobed, under mapprobe, and under its peers.

The floor is a BPF program that does nothing, on the very instruction that
mapprobe probes; the peer is bpftrace counting the same function by name.

All in one run, in turns, on one program; medians of its rounds. The machine
is shared, so only the ratios mean something elsewhere.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mapprobe import probe
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points import find_points
from mapprobe.schema import EventKind
from programs import RELEASES, Release, build

TURNS = 5
SECONDS = 3.0
FUNCTION = "runtime.mapassign_fast64"


class Rounds:
    """The figures that the program prints, collected while it runs."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True)
        self._seen: list[float] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._seen.append(float(line))

    def median_of(self, seconds: float) -> float:
        first = len(self._seen)
        threading.Event().wait(seconds)
        return statistics.median(self._seen[first + 1 :])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def under_mapprobe(pid: int, depth: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mapprobe", "record", str(pid), "-o", f"{scratch}/r"]
        recorder = subprocess.Popen([*command, "--stack-depth", str(depth)], stderr=subprocess.PIPE, text=True)
        assert recorder.stderr
        wait_for(recorder.stderr.readline, "recording")
        threading.Event().wait(0.5)
        try:
            yield
        finally:
            recorder.terminate()
            recorder.communicate()


@contextmanager
def under_nothing(pid: int, program: Path) -> Iterator[None]:
    with GoBinary.open(str(program)) as binary:
        found = find_points(binary, FunctionTable(binary))
    points = [p for p in found if p.function == FUNCTION and p.kind is EventKind.ASSIGN]
    bcc = probe.load_bcc()
    folder = probe.probes_folder()
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "kernel")
    headers = [flag for path in probe.HEADERS for flag in ("-idirafter", path)]
    bpf = bcc.BPF(text=b"int nothing(void *ctx) { return 0; }", cflags=[f"-I{folder}", *headers])
    number = bpf.load_func(b"nothing", bcc.BPF.KPROBE).fd
    links = [
        bcc.lib.bpf_attach_uprobe(number, 0, b"nothing", str(program).encode(), point.file_offset, pid, 0)
        for point in points
    ]
    try:
        yield
    finally:
        for link in links:
            os.close(link)
        bpf.cleanup()


@contextmanager
def under_bpftrace(pid: int, program: Path) -> Iterator[None]:
    script = f"uprobe:{program}:{FUNCTION} {{ @n = count(); }}"
    command = ["bpftrace", "-p", str(pid), "-e", script]
    tracer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert tracer.stdout
    wait_for(tracer.stdout.readline, "Attaching")
    threading.Event().wait(1.0)
    try:
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def wait_for(readline: Callable[[], str], word: str) -> None:
    while line := readline():
        if word in line:
            return
    raise SystemExit(f"no '{word}' came")


def measure(release: Release) -> dict[str, list[float]]:
    program = build("insert", release)
    rounds = Rounds(program)
    pid = rounds.process.pid
    probes = {
        "a program that does nothing": lambda: under_nothing(pid, program),
        "mapprobe, direct caller": lambda: under_mapprobe(pid, 2),
        "mapprobe, 8 frames": lambda: under_mapprobe(pid, 8),
    }
    if shutil.which("bpftrace"):  # a Debian package of that name
        probes["bpftrace, count by name"] = lambda: under_bpftrace(pid, program)
    found: dict[str, list[float]] = {name: [] for name in probes}
    try:
        for _ in range(TURNS):
            for name, probe in probes.items():
                unprobed = rounds.median_of(SECONDS / 3)
                with ExitStack() as stack:
                    stack.enter_context(probe())
                    probed = rounds.median_of(SECONDS)
                found[name].append(probed - unprobed)
                threading.Event().wait(0.5)
    finally:
        rounds.stop()
    return found


def main() -> None:
    print(f"{platform.release()}, {os.cpu_count()} CPUs; ns added to one insert, median of {TURNS} turns")
    for release in RELEASES:
        found = {name: statistics.median(values) for name, values in measure(release).items()}
        floor = next(iter(found.values()))
        for name, added in found.items():
            print(f"go{release[0]}.{release[1]}  {name:28} {added:8.0f}  {added / floor:5.1f} times nothing")


if __name__ == "__main__":
    main()
