"""Measure the cost of taking events from the ring to Arrow on disk, beside bcc's own callback on the same events.

The target fills a ring that nobody drains; then mapprobe and bcc each take the same number of events out of a ring,
timed by the CPU clock. Two more figures are from a recorder as users run it: its CPU time at a steady rate, and the
events that it loses at the highest rate.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from figures import Figure, told

from mapprobe.capture.intake import Code, Intake
from mapprobe.capture.kernel.compiler import load_bcc
from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.probe import OUTCOMES, Probe
from mapprobe.capture.kernel.programs import Programs, Target
from mapprobe.capture.kernel.ring import EVENT
from mapprobe.capture.recorder import Options, record
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import span_facts_for
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.map_points import find_points
from mapprobe.go.types import TypeTable
from mapprobe.go.variables import goid_offset
from mapprobe.recording.symbols import Interner
from mapprobe.recording.writer import Writer
from programs import build

RELEASE = (1, 27)
ENOUGH = 300_000
TURNS = 3
GOAL_MILLIONS, GOAL_PERCENT = 5.0, 5.0
STEADY_RATE, STEADY_SECONDS = 100_000, 8.0
HIGHEST_SECONDS = 8.0
C_TYPES = {"uint64": ctypes.c_uint64, "uint32": ctypes.c_uint32, "uint8": ctypes.c_uint8}


class Event(ctypes.Structure):
    """An event as a ctypes structure, the form in which bcc hands events out."""

    _fields_: ClassVar = [
        (name, C_TYPES[str(kind.base)] * kind.shape[0] if kind.shape else C_TYPES[str(kind)])
        for name, (kind, *_) in (EVENT.fields or {}).items()
    ]


@contextmanager
def inserting(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that inserts until it is killed."""
    with subprocess.Popen([str(build("insert", RELEASE)), *options], stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def filled(binary: GoBinary, functions: FunctionTable, pid: int) -> Iterator[Probe]:
    """Give a detached probe with enough events in its ring."""
    text = functions.text_start, functions.text_end
    span_class = span_facts_for(binary.go_release).span_class
    target = Target(pid, f"/proc/{pid}/exe", text, goid_offset(binary, functions), span_class)
    programs, loader = Programs(target, find_points(binary, functions), 8), Loader()
    programs.begin(loader)
    with Probe(programs, loader) as probe:
        while probe.outcomes()[:, OUTCOMES.index("sent")].sum() < ENOUGH:
            threading.Event().wait(0.05)
        probe.detach()
        yield probe


def taken_in(probe: Probe, binary: GoBinary, functions: FunctionTable) -> int:
    """Write the events as a recorder does, and return their number."""
    with tempfile.TemporaryDirectory() as folder, Writer(Path(folder)) as writer:
        read: Any = None  # no type is made at run time
        text = range(functions.text_start, functions.text_end)
        interner, types = Interner(writer, functions), TypeTable(binary)
        intake = Intake(writer, interner, Code(text, types, read), binary.implementation, probe.stacks)
        for events in probe.drain():
            intake.add(events)
        intake.flush()
        return intake.events


def called_back(probe: Probe) -> int:
    """Hand the events to a callback one by one, as bcc does; it takes what a row needs."""
    load_bcc()
    bcc: Any = sys.modules["bcc.libbcc"]  # loading the package again would not load this module again
    rows = []

    def take(_context: object, data: int, _size: int) -> int:
        event = Event.from_address(data)
        rows.append((event.time_ns, event.map_addr, event.hash, event.kind, event.point, event.stack, event.header[0]))
        return 0

    called = bcc._RINGBUF_CB_TYPE(take)
    bcc.lib.bpf_consume_ringbuf(bcc.lib.bpf_new_ringbuf(probe.events_descriptor, called, None))
    return len(rows)


def event_ns(take: Callable[[Probe], int], binary: GoBinary, functions: FunctionTable) -> float:
    """Return the CPU time that `take` needs for one event [ns]."""
    with inserting() as process, filled(binary, functions, process.pid) as probe:
        begin = time.process_time_ns()
        events = take(probe)
        return (time.process_time_ns() - begin) / events


def steady_percent() -> float:
    """Return the recorder's share of a core at a steady rate of events."""
    with tempfile.TemporaryDirectory() as scratch, inserting("-rate", str(STEADY_RATE)) as process:
        command = [sys.executable, "-m", "mapprobe", "record", str(process.pid), "-o", f"{scratch}/r"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
            assert recorder.stderr
            recorder.stderr.readline()
            threading.Event().wait(2.0)
            begin = cpu_seconds(recorder.pid)
            threading.Event().wait(STEADY_SECONDS)
            took = cpu_seconds(recorder.pid) - begin
            recorder.terminate()
    return 100 * took / STEADY_SECONDS


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def highest() -> tuple[int, float]:
    """Return how many events were lost while two threads inserted at full speed, and how many came each second."""
    with tempfile.TemporaryDirectory() as scratch, inserting("-threads", "2") as process:
        options = Options(duration=HIGHEST_SECONDS)
        row: Any = record(process.pid, Path(scratch) / "r", options, lambda _: None)
    return row["lost"], (row["events"] + row["lost"]) / HIGHEST_SECONDS


def figures() -> Iterator[Figure]:
    """Yield the figures."""
    with GoBinary.open(str(build("insert", RELEASE))) as binary:
        functions = FunctionTable(binary)
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(event_ns(lambda probe: taken_in(probe, binary, functions), binary, functions))
            theirs.append(event_ns(called_back, binary, functions))
    rate, bcc = 1e3 / statistics.median(ours), 1e3 / statistics.median(theirs)
    beside = f"bcc's callback {bcc:.2f}"
    yield Figure("ring to disk, one core", rate, "M events/s", GOAL_MILLIONS, more_is_better=True, peer=beside)
    yield Figure("of a core at 100,000 events a second", steady_percent(), "%", GOAL_PERCENT)
    lost, per_second = highest()
    yield Figure("lost while two threads do what they can", lost, "events", 0, peer=f"{per_second / 1e6:.2f} M/s came")
    yield Figure("an event in the ring", EVENT.itemsize + 8, "bytes")


if __name__ == "__main__":
    list(told(figures()))
