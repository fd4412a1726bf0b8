"""Measure the cost of probing for the target: one insert unprobed, under mapprobe, and under other tools.

The floor is a BPF program that does nothing, on the same instruction that
mapprobe probes. The other tools are bpftrace counting the same function by
name, and bpftrace printing the map and the caller.

All are measured in turns in one run on one program, each round by the CPU time
of its thread; medians. Other load on the machine makes CPU time grow, too, and
that of BPF programs more than that of the trap. So the ratios are upper
bounds, and mean more the less the machine is loaded.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from figures import Figure, told

from mapprobe.capture.kernel.links import UPROBE_MULTI, link_uprobe
from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.programs import Programs, Target
from mapprobe.capture.recorder import Options, record
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.map_points import find_points
from mapprobe.go.variables import goid_offset
from mapprobe.vocabulary import EventKind
from programs import RELEASES, Release, build

TURNS = 5
SECONDS = 1.5
LEAST_ROUNDS = 3
FUNCTION = "runtime.mapassign_fast64"
COUNTING = "@n = count();"
PRINTING = 'printf("%lx %lx\\n", reg("bx"), *(uint64*)reg("sp"));'
"""Prints the map, which Go passes in RBX, and the return address."""
GROWTH_TURNS = 9
GOAL_DIRECT, GOAL_FRAMES, GOAL_GROWTH_PERCENT, GOAL_HEAP_PERCENT = 1.5, 2.5, 1.0, 2.0
GOVERNED_SECONDS, MAX_OVERHEAD_PERCENT = 30, 2.0


class Rounds:
    """The figures that the program prints, collected while it runs."""

    def __init__(self, program: Path, *options: str) -> None:
        self.process = subprocess.Popen([str(program), *options], stdout=subprocess.PIPE, text=True)
        self._seen: list[float] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._seen.append(float(line))

    def median_of(self, seconds: float) -> float:
        """Return the median of the rounds in the next seconds, of at least `LEAST_ROUNDS` rounds."""
        first = len(self._seen) + 1
        threading.Event().wait(seconds)
        while len(self._seen) < first + LEAST_ROUNDS and self.process.poll() is None:
            threading.Event().wait(seconds / 10)
        return statistics.median(self._seen[first:])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def under_mapprobe(pid: int, *options: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mapprobe", "record", str(pid), "-o", f"{scratch}/r"]
        recorder = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
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
        functions = FunctionTable(binary)
        found, goid = find_points(binary, functions), goid_offset(binary, functions)
    points = [p for p in found if p.function == FUNCTION and p.kind is EventKind.ASSIGN]
    with Loader() as loader:
        Programs(Target(pid, str(program), (0, 0), goid, 0), points, 2).begin(loader)
        (nothing,) = loader.load(["nothing"], UPROBE_MULTI)
    links = [link_uprobe(nothing, str(program), point.file_offset, pid) for point in points]
    try:
        yield
    finally:
        for descriptor in [*links, nothing]:
            os.close(descriptor)


@contextmanager
def under_bpftrace(pid: int, program: Path, what: str) -> Iterator[None]:
    with tempfile.TemporaryFile() as told:
        command = ["bpftrace", "-p", str(pid), "-e", f"uprobe:{program}:{FUNCTION} {{ {what} }}"]
        tracer = subprocess.Popen(command, stdout=told, stderr=subprocess.DEVNULL)
        threading.Event().wait(2.0)
        if tracer.poll() is not None:
            raise SystemExit(f"bpftrace ended with {tracer.returncode}")
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            try:
                tracer.wait(10)
            except subprocess.TimeoutExpired:  # some bpftrace processes ignore SIGINT
                tracer.kill()
                tracer.wait()


def wait_for(readline: Callable[[], str], word: str) -> None:
    while line := readline():
        if word in line:
            return
    raise SystemExit(f"no '{word}' came")


def added(release: Release) -> dict[str, list[float]]:
    """Return for each probe the CPU time that it adds to one insert in each turn [ns]."""
    program = build("insert", release)
    rounds = Rounds(program)
    pid = rounds.process.pid
    probes = {
        "nothing": lambda: under_nothing(pid, program),
        "direct caller": lambda: under_mapprobe(pid, "--stack-depth", "2"),
        "8 frames": lambda: under_mapprobe(pid, "--stack-depth", "8"),
    }
    if shutil.which("bpftrace"):  # a Debian package of that name
        probes["bpftrace, count"] = lambda: under_bpftrace(pid, program, COUNTING)
        probes["bpftrace, print"] = lambda: under_bpftrace(pid, program, PRINTING)
    found: dict[str, list[float]] = {name: [] for name in probes}
    try:
        for _ in range(TURNS):
            for name, probe in probes.items():
                unprobed = rounds.median_of(SECONDS / 3)
                with probe():
                    probed = rounds.median_of(SECONDS)
                found[name].append(probed - unprobed)
                threading.Event().wait(0.5)
    finally:
        rounds.stop()
    return found


def heap_percent(release: Release, kind: str, *options: str) -> float:
    """Return how much more CPU time a program that only allocates takes under `record --heap` [%]."""
    program = Rounds(build("allocate", release), *([kind] if kind else []))
    return more_percent(program, "--heap", "--no-census", *options)


def growth_percent(release: Release, *options: str) -> float:
    """Return how much more CPU time the program takes while creations, growths and clears are recorded [%]."""
    return more_percent(Rounds(build("insert", release), *options), "--probes", "growth")


def more_percent(rounds: Rounds, *options: str) -> float:
    """Return how much more CPU time a round of a program takes while it is recorded [%]; end the program."""
    ratios = []
    try:
        for _ in range(GROWTH_TURNS):
            before = rounds.median_of(1.0)
            with under_mapprobe(rounds.process.pid, *options):
                during = rounds.median_of(1.0)
            ratios.append(during / statistics.mean([before, rounds.median_of(1.0)]))
    finally:
        rounds.stop()
    return 100 * (statistics.median(ratios) - 1)


def governed_percent(release: Release) -> float:
    """Return the share of the program's CPU time that a recording with `--max-overhead` took [%]."""
    rounds = Rounds(build("insert", release), "-lived")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            options = Options(duration=GOVERNED_SECONDS, max_overhead=MAX_OVERHEAD_PERCENT / 100)
            row: Any = record(rounds.process.pid, Path(scratch) / "r", options, lambda _: None)
    finally:
        rounds.stop()
    return float(100 * row["cost_ns"] / row["cpu_ns"])


def figures() -> Iterator[Figure]:
    """Yield the cost of a hit."""
    goals = {"direct caller": GOAL_DIRECT, "8 frames": GOAL_FRAMES}
    for release in RELEASES:
        name, found = f"go{release[0]}.{release[1]}", added(release)
        floor = found.pop("nothing")
        for what, turns in found.items():
            times = statistics.median(of_one / of_none for of_one, of_none in zip(turns, floor, strict=True))
            nanoseconds, least = statistics.median(turns), statistics.median(floor)
            beside = f"{nanoseconds:,.0f} ns; an empty program there {least:,.0f} ns"
            yield Figure(f"{name} insert: {what}", times, "times", goals.get(what), peer=beside)


def shares() -> Iterator[Figure]:
    """Yield the cost for a whole program if not every operation is watched."""
    for release in RELEASES:
        name = f"go{release[0]}.{release[1]}"
        more = growth_percent(release, "-lived")
        yield Figure(f"{name} growth probes, one map filled and drained", more, "% more CPU", GOAL_GROWTH_PERCENT)
        more = growth_percent(release)
        yield Figure(f"{name} growth probes, nothing but growing maps", more, "% more CPU")
        what = f"{name} cost held: --max-overhead {MAX_OVERHEAD_PERCENT:.0f}%"
        yield Figure(what, governed_percent(release), "%", MAX_OVERHEAD_PERCENT, peer="estimate of the recorder itself")


def heap() -> Iterator[Figure]:
    """Yield the cost of `record --heap` for programs that mostly allocate."""
    for release in RELEASES:
        for what, kind in (("trees of small objects", ""), ("objects of 64 KiB", "-large")):
            name = f"go{release[0]}.{release[1]} --heap, {what}"
            yield Figure(name, heap_percent(release, kind), "% more CPU", GOAL_HEAP_PERCENT)
            more = heap_percent(release, kind, "--large-objects")
            yield Figure(f"{name}, --large-objects", more, "% more CPU")


if __name__ == "__main__":
    list(told(chain(figures(), shares(), heap())))
