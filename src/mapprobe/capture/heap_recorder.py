"""Records the heap: large objects, collections, returned memory, the runtime's figures, and resident memory.

Events come from probes on a few functions that are rarely called (`go.points.heap_points`). All else is read from
memory: the figures on a timer, the spans of the start, and what each part of the process takes at start and end
(`live.heap.residence`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mapprobe.capture.intake import Intake
from mapprobe.capture.kernel.ring import Events
from mapprobe.errors import FORGED, MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import figure_facts_for, heap_facts_for, span_facts_for
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.variables import figures_vaddrs, heap_vaddr
from mapprobe.live.heap.figures import Figures
from mapprobe.live.heap.residence import residence
from mapprobe.live.heap.spans import Layout, Spans, read_spans
from mapprobe.live.heap.states import states_of
from mapprobe.live.memory import Memory
from mapprobe.live.process import Process
from mapprobe.recording.tables.heap import ARRAYS, CYCLES, FIGURES, RESIDENCE, RETURNS, SPANS
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import BEFORE, ArrayState, CyclePhase, HeapKind, ReturnReason

FOLLOW_NS = 1_000_000_000
"""Time between two reads of arrays while some are free and not returned yet [ns]; after a collection `SAMPLE_NS`."""
FOLLOW_SHARE = 30
"""Reading the arrays takes at most one part in this many of the time: between two reads lie 30 times one read."""
SAMPLE_NS = 100_000_000
"""Time between two samples of the figures [ns]; after a collection a sample is taken at once."""
PHASES = {
    HeapKind.CYCLE_STARTED: CyclePhase.STARTED,
    HeapKind.CYCLE_MARKED: CyclePhase.MARKED,
    HeapKind.CYCLE_SWEEPS: CyclePhase.SWEEPS,
}
PHASE_OF_KIND = np.zeros(max(HeapKind) + 1, np.uint8)
PHASE_OF_KIND[list(PHASES)] = list(PHASES.values())
LOW_HALF = np.uint64(0xFFFFFFFF)
FORCE_FROM = (1, 20)
"""First release that says whether an allocation returns memory because of the memory limit."""


class HeapSide:
    """The recorder of one process's heap: it writes the tables of `recording.tables.heap`.

    Parameters
    ----------
    writer
        Writes the rows.
    tell
        Takes a line of news: what could not be read.
    large_objects
        True: an event comes when a large object is allocated or freed. False: the large objects of the start are
        looked at after each collection.

    Raises
    ------
    TargetError, BinaryError
        If this release, or this binary, does not keep the runtime's figures where mapprobe looks for them.
    """

    def __init__(
        self,
        process: Process,
        binary: GoBinary,
        functions: FunctionTable,
        writer: Writer,
        tell: Callable[[str], None],
        *,
        large_objects: bool,
    ) -> None:
        release = binary.go_release
        self._process, self._writer, self._facts = process, writer, figure_facts_for(release)
        self._has_force = release >= FORCE_FROM
        self._controller, self._statistics = figures_vaddrs(binary, functions)
        self._heap = heap_vaddr(binary, functions)
        self._heap_facts, self._span_facts = heap_facts_for(release), span_facts_for(release)
        self._is_green = self._heap_facts.inline_marks and "nogreenteagc" not in binary.experiments
        self._scavenges: dict[int, int] = {}
        self._arrays: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._look_again = False
        self._sampled_ns = self._followed_ns = self._follow_took_ns = 0
        self._tell, self._large_objects = tell, large_objects
        self.lost = 0
        """Number of events of the heap that were lost so far."""

    def begin(self, bias: int) -> None:
        """Write figures, large objects and what is resident at the start, once the heap's probes are attached."""
        began_ns = _now_ns()
        self._sample(bias, began_ns)  # if the process ends soon, these may be its only figures
        if spans := self._write_residence(bias, at_end=False):
            rows = np.flatnonzero(spans.is_large)
            if not self._large_objects:
                self._arrays |= dict.fromkeys(spans.start[rows].tolist(), int(ArrayState.HELD))
                self._sizes |= dict(zip(spans.start[rows].tolist(), spans.object_bytes[rows].tolist(), strict=True))
            self._writer.append(
                SPANS,
                {
                    "time_ns": np.full(len(rows), began_ns, np.uint64),
                    "addr": spans.start[rows],
                    "bytes": spans.end[rows] - spans.start[rows],
                    "freed": np.zeros(len(rows), np.bool_),
                    "has_pointers": spans.has_pointers[rows],
                    "goid": np.zeros(len(rows), np.uint64),
                    "stack_id": np.full(len(rows), BEFORE, np.uint32),
                },
            )

    def end(self, bias: int) -> None:
        """Write the last figures, and what is resident at the end."""
        self._sample(bias, _now_ns())
        self._follow(bias, has_collected=False, is_end=True)
        self._write_residence(bias, at_end=True)

    def _write_residence(self, bias: int, *, at_end: bool) -> Spans | None:
        """Write what each part of the process takes, and return the heap's spans; None if memory can't be read."""
        memory, layout = Memory(self._process.read_into), self._layout(bias)
        try:
            spans = read_spans(memory, layout)
            parts = residence(self._process, memory, layout, spans)
        except (MapprobeError, *FORGED) as error:
            self._tell(f"what its memory is used for at the {'end' if at_end else 'start'} is not known: {error}")
            return None
        rows = [(str(part), size, there) for part, (size, there) in parts.items()]
        names, sizes, resident = zip(*rows, strict=True)
        columns = {"part": names, "bytes": sizes, "resident_bytes": resident}
        same = {"at_end": [at_end] * len(rows), "time_ns": [_now_ns()] * len(rows)}
        self._writer.append(RESIDENCE, same | columns)
        return spans

    def _layout(self, bias: int) -> Layout:
        return Layout(self._heap + bias, self._heap_facts, self._span_facts, self._is_green)

    def take(self, parts: Iterable[Events], intake: Intake) -> None:
        """Write drained events; also write the runtime's figures, and read the arrays again, if due."""
        is_due, has_collected = _now_ns() - self._sampled_ns >= SAMPLE_NS, False
        for events in parts:
            kind = events["kind"]
            self._take_spans(events.take(np.flatnonzero(kind <= HeapKind.SPAN_FREED)), intake)
            returned = (kind == HeapKind.SCAVENGE) | (kind == HeapKind.RETURNED)
            self._take_returns(events.take(np.flatnonzero(returned)))
            cycles = events.take(np.flatnonzero(kind >= HeapKind.CYCLE_STARTED))
            self._take_cycles(cycles, intake)
            self._take_arrays(events.take(np.flatnonzero(kind == HeapKind.ARRAY_MADE)), intake)
            has_collected |= len(cycles) > 0
        if is_due or has_collected:
            self._sample(intake.bias, _now_ns())
        self._follow(intake.bias, has_collected=has_collected)

    def _take_spans(self, events: Events, intake: Intake) -> None:
        start, size, span_class = events["words"]
        self._writer.append(
            SPANS,
            {
                "time_ns": events["time_ns"],
                "addr": start,
                "bytes": size,
                "freed": events["kind"] == HeapKind.SPAN_FREED,
                "has_pointers": (span_class & np.uint64(1)) == 0,
                "goid": events["goid"],
                "stack_id": intake.stack_ids(events["stack"]),
            },
        )

    def _take_arrays(self, events: Events, intake: Intake) -> None:
        if not len(events):
            return
        addrs = events["words"][0]
        try:
            state, size = states_of(Memory(self._process.read_into), self._layout(intake.bias), addrs)
        except (MapprobeError, *FORGED):  # the process has ended
            state, size = np.full(len(addrs), ArrayState.MADE, np.uint8), np.zeros(len(addrs), np.uint64)
        self._arrays |= dict.fromkeys(addrs.tolist(), int(ArrayState.HELD))
        size = np.where(state == ArrayState.HELD, size, np.uint64(0))
        self._sizes |= dict(zip(addrs.tolist(), size.tolist(), strict=True))
        made = np.full(len(addrs), ArrayState.MADE)
        self._append_arrays(
            events["time_ns"], addrs, size, made, goid=events["goid"], stack_id=intake.stack_ids(events["stack"])
        )

    def _append_arrays(self, time_ns: Any, addr: Any, size: Any, state: Any, goid: Any, stack_id: Any) -> None:
        columns = {"time_ns": time_ns, "addr": addr, "bytes": size, "state": state, "goid": goid, "stack_id": stack_id}
        self._writer.append(ARRAYS, columns)

    def _follow(self, bias: int, *, has_collected: bool, is_end: bool = False) -> None:
        """Read the state of arrays again where it may have changed: after a collection, and while some are free."""
        now = _now_ns()
        self._look_again |= has_collected
        least_ns = max(SAMPLE_NS if has_collected else FOLLOW_NS, FOLLOW_SHARE * self._follow_took_ns)
        is_due = self._look_again and now - self._followed_ns >= least_ns
        if not self._arrays or not (is_end or is_due):
            return
        addrs = np.sort(np.array(list(self._arrays), np.uint64))
        memory = Memory(self._process.read_into)
        known = np.array([self._arrays[addr] for addr in addrs.tolist()], np.uint8)
        sizes = np.array([self._sizes[addr] for addr in addrs.tolist()], np.uint64)
        try:
            state, size = states_of(memory, self._layout(bias), addrs)
            changed = np.flatnonzero((state != known) | (size != sizes))
            again, _ = states_of(memory, self._layout(bias), addrs[changed])
        except (MapprobeError, *FORGED):  # the process has ended: the earlier states remain
            return
        torn = changed[again != state[changed]]  # the runtime was changing the span during the read
        state[torn], size[torn] = known[torn], sizes[torn]
        self._followed_ns, self._follow_took_ns = now, _now_ns() - now
        is_other = (state == ArrayState.HELD) & (sizes != 0) & (size != sizes)  # another object has this address
        state[is_other], size[is_other] = ArrayState.PAGES_FREE, 0
        rows = np.flatnonzero(state > known)
        nobody = np.zeros(len(rows), np.uint32)
        self._append_arrays(np.full(len(rows), now), addrs[rows], size[rows], state[rows], nobody, nobody)
        self._arrays |= dict(zip(addrs[rows].tolist(), state[rows].tolist(), strict=True))
        # an array never goes back to an earlier state: another object has its address by now
        is_over = is_other | (state == ArrayState.RETURNED) | (state < known)
        for addr in addrs[is_over].tolist():
            del self._arrays[addr], self._sizes[addr]
        self._look_again = bool(((state == ArrayState.FREED) | (state == ArrayState.PAGES_FREE)).any())

    def _take_cycles(self, events: Events, intake: Intake) -> None:
        phase = PHASE_OF_KIND[events["kind"]]
        value = events["words"][0]
        self._writer.append(
            CYCLES,
            {
                "time_ns": events["time_ns"],
                "phase": phase,
                "value": np.where(phase == CyclePhase.MARKED, value, value & LOW_HALF),
                "stack_id": intake.stack_ids(events["stack"]),
            },
        )

    def _take_returns(self, events: Events) -> None:
        """Write returns of memory, each with the reason of the scavenging that its thread last began."""
        if not len(events):
            return
        tid, is_return = events["tid"].astype(np.int64), events["kind"] == HeapKind.RETURNED
        reason = np.where(is_return, -1, self._reasons(events))
        order = np.lexsort((events["time_ns"], tid))
        place = np.arange(len(order))
        first = np.append(True, tid[order][1:] != tid[order][:-1])
        begun = np.maximum.accumulate(np.where((reason[order] >= 0) | first, place, 0))
        found = reason[order][begun]
        carried = [
            self._scavenges.get(int(t), int(ReturnReason.UNKNOWN)) for t in tid[order][begun][found < 0].tolist()
        ]
        found[found < 0] = carried
        last = np.append(first[1:], True)
        self._scavenges |= dict(zip(tid[order][last].tolist(), found[last].tolist(), strict=True))
        rows = order[is_return[order]]
        self._writer.append(
            RETURNS,
            {
                "time_ns": events["time_ns"][rows],
                "addr": events["words"][0][rows],
                "bytes": events["words"][1][rows],
                "reason": found[is_return[order]].astype(np.uint8),
            },
        )

    def _reasons(self, events: Events) -> npt.NDArray[np.int64]:
        """Return the reason of each scavenging.

        go: runtime/mgcscavenge.go scavenge [1.19..1.27]
        """
        wanted, stop, force = events["words"]
        is_forced = (force & np.uint64(0xFF) != 0) & self._has_force
        allocates = np.where(is_forced, ReturnReason.LIMIT, ReturnReason.ALLOCATION)
        all_of_it = np.where(wanted == np.uint64((1 << 64) - 1), ReturnReason.FORCED, ReturnReason.BACKGROUND)
        return np.where(stop != 0, allocates, all_of_it).astype(np.int64)

    def _sample(self, bias: int, time_ns: int) -> None:
        """Write the runtime's figures as they are."""
        reader = Figures(self._process.read, self._controller + bias, self._statistics + bias, self._facts)
        try:
            row = reader.read() | {"rss_bytes": self._process.resident_bytes()}
        except (MapprobeError, *FORGED):  # the process has ended, or is just starting
            return
        self._sampled_ns = time_ns
        row |= {"time_ns": time_ns, "lost": self.lost}
        self._writer.append(FIGURES, {name: [value] for name, value in row.items()})


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
