"""A session of `record`, which holds together probes, ring, tables and the survey of the target's memory.

The ring is drained every `DRAIN_SECONDS`. If there is a limit on what probing takes (`--max-overhead`), operations are
watched in windows, and every known map is read from memory at the start of each window. Before the first probe is
attached, and at the end, a census finds the maps that nothing touches. After the census of the end, the maps that were
seen are read from the target's memory while the probes still watch, so that a map written during its read is noticed
and read again. Then all probes are detached and the streams are sealed.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mapprobe.capture.heap_recorder import HeapSide
from mapprobe.capture.intake import Code, Intake
from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.losses import Tally
from mapprobe.capture.kernel.probe import Probe
from mapprobe.capture.kernel.ring import Events
from mapprobe.capture.options import Options
from mapprobe.capture.overhead import Meter, calibrate
from mapprobe.capture.plan import Plan, load_bias
from mapprobe.capture.session_row import first_row, wall_clock
from mapprobe.capture.snapshots import BUDGET_SECONDS, Survey
from mapprobe.capture.target_memory import MemorySide
from mapprobe.capture.windows import Windows, watches
from mapprobe.errors import FORGED, HostError, MapprobeError, TargetError
from mapprobe.go.points.heap_points import HeapPoint
from mapprobe.live.heap.objects import Heap
from mapprobe.live.pause import Pause, paused
from mapprobe.live.snapshot.entry_hashes import Rehash
from mapprobe.recording.symbols import Interner
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.units import human_bytes
from mapprobe.vocabulary import EventKind

if TYPE_CHECKING:
    from mapprobe.live.census.reader import Enumeration

DRAIN_SECONDS = 0.025
"""Time between two drains [s]: a million events a second fill a twentieth of the ring in this time; draining every
0.01 s takes one per cent more of a core."""
LOSS_SECONDS = 0.1
"""Time between two looks at losses and at the cost of probing [s]: gaps are known to a tenth of a second, and a level
that is too costly lasts no longer; a look reads one array from the kernel."""
FLUSH_SECONDS = 1.0
"""Time between two writes of events that do not fill a batch [s]: a recorder that is killed loses the events of a
second. Also how long a rush that loses events is waited out before maps are read again."""
RESYNC_SHARE = 10
"""After losses, reading maps takes one part in this many of the time: a loss during a read makes all maps due again."""
START_SECONDS = 10.0
"""Time that a command may take until its code is in memory [s]: it takes milliseconds, the rest is for a busy host."""
END_SECONDS = 10.0
"""Time that a command may take to end after SIGTERM before it is killed [s]: time for a server to finish requests."""
STEP_SECONDS = 1.0
"""Time between two status lines [s]."""


class Session:
    """One recording of one process, from the first attach to the sealed streams."""

    def __init__(self, plan: Plan, folder: Path, options: Options, tell: Callable[[str], None]) -> None:
        self._process, self._command, self._path, self._plan = plan.process, plan.command, plan.path, plan
        self._binary, self._functions, self._points = plan.binary, plan.functions, plan.programs.points
        self._folder, self._options, self._tell = folder, options, tell
        self._ended_by = ""
        self._has_lost = False
        self._resync_at = 0.0
        self._snapshot_taken = False
        self._census: Enumeration | None = None
        self._drain: Callable[[], object] = list
        self._drain_and_hold = cast(Callable[[], list[Events]], list)
        self._heap_side: HeapSide | None = None
        self._paused_ns: int | None = None
        self.at_end: Callable[[], object] | None = None
        """Called at the moment of the last read, while all probes are still attached."""
        self.at_step: Callable[[str, str], object] = lambda what, about: None
        """Called with the step that is being done, and how far it is, if known."""

    def run(self, loader: Loader) -> dict[str, object]:
        """Run the session from the first attach to the sealed recording; the loader has begun to compile the plan."""
        command, options = self._command.arguments if self._command else None, self._options
        kept = command if command is None or options.keep_arguments else command[:1]
        row = first_row(self._process, self._path, self._binary, options.probes, kept)
        row |= {"started_ns": _now_ns(), "stack_depth": options.stack_depth}
        with Writer(self._folder) as writer:
            self._writer = writer
            bias = self._plan.bias
            self._memory = MemorySide(self._process, self._binary, self._functions, writer, self._tell)
            if options.heap:
                self._heap_side = HeapSide(
                    self._process, self._binary, self._functions, writer, self._tell,
                    large_objects=options.large_objects,
                )  # fmt: skip
            self._interner = Interner(writer, self._functions)
            if not self._command:
                self.at_step("census of the start", "")
                self._take_census(bias, at_end=False)
            self._binary.let_pages_go()  # most were read to find points and maps, which is over before the ring fills
            self.at_step("compiling probes", "")
            with Probe(self._plan.programs, loader, at_once=False) as probe:
                self._set_up(probe, bias)
                self._append_session(row)
                self._tally.write_points()
                self._attach(probe, bias)
                self._announce()
                row |= self._record(probe)
            self._end_command(row)
            row |= {"ended": wall_clock(), "ended_ns": _now_ns(), "ended_by": self._ended_by}
            row |= {"events": self._intake.events, "lost": self._tally.lost, "paused_ns": self._paused_ns}
            self._tally.write_points()
            self._append_session(row | writer.contents())
        return row

    def _set_up(self, probe: Probe, bias: int) -> None:
        """Make the objects that take in the events of the probes."""
        self._probe, writer, implementation = probe, self._writer, self._binary.implementation
        text = range(self._functions.text_start, self._functions.text_end)
        code = Code(text, self._memory.types, self._process.read)
        self._intake = Intake(writer, self._interner, code, implementation, probe.stacks, bias)
        drain = _drain(probe, self._intake, self._heap_side)
        self._drain = partial(drain, False)
        self._tally = Tally(probe, self._points, writer, _now_ns())
        meter = Meter(self._process.pid, probe.programs, self._hit_ns(probe))
        self._windows = Windows(probe, meter, writer, self._options.max_overhead, self._drain, self._tell)
        self._drain_and_hold = _drain_and_hold(drain, self._windows)
        self._survey = Survey(self._process, implementation, self._intake, writer, self._drain_and_hold)
        self._survey.is_watched = watches(self._windows, self._options.probes)

    def _attach(self, probe: Probe, bias: int) -> None:
        """Attach the points of the heap and read the heap, then attach all other points: costly ones last."""
        probe.attach(number for number, point in enumerate(self._points) if isinstance(point, HeapPoint))
        if self._heap_side and not self._command:
            self._heap_side.begin(bias)
        probe.attach(number for number, point in enumerate(self._points) if point.kind is EventKind.EXIT)
        self._windows.begin()

    def _record(self, probe: Probe) -> dict[str, object]:
        """Watch until something ends the recording, read all maps that were seen, detach; return what probing cost."""
        try:
            self._start_command()
            self._watch()
            if not self._snapshot_taken:
                self._take_snapshot()
            self.at_step("taking probes out", "")
            self._tally.look()
            found = self._windows.end()
            probe.detach()
        finally:
            self._process.wake_if(probe.has_stopped_target())
        self._drain()
        self._intake.flush()
        self._note_losses()
        return found

    def _hit_ns(self, probe: Probe) -> float | None:
        """Return what a hit costs on this host; None if it can't be measured and no limit was asked for."""
        try:
            return calibrate(probe.empty_probe)
        except HostError:
            if self._options.max_overhead is not None:
                raise
            return None

    def _announce(self) -> None:
        self._tell(f"recording {self._path} ({self._process.pid}) into {self._folder}")
        if self._binary.is_newer_than_known:
            self._tell(f"{self._binary.go_version} is newer than mapprobe knows: ask 'mapprobe verify' afterwards")

    def end(self, why: str) -> None:
        """End the recording in order, for this reason unless the recording ends already."""
        self._ended_by = self._ended_by or why

    def _start_command(self) -> None:
        if not self._command:
            return
        self._command.start()
        give_up = time.monotonic() + START_SECONDS
        while not (self._command.has_started() and self._is_in_place()):
            if time.monotonic() > give_up:
                raise TargetError(f"{self._path}: has not started within {START_SECONDS:.0f} s: try again")
            self._probe.beat()
            select.select([], [], [], 0.001)
        if self._binary.is_pie:
            self._intake.bias = load_bias(self._process, self._binary)

    def _is_in_place(self) -> bool:
        return not self._binary.is_pie or not self._process.is_alive() or self._process.is_mapped()

    def _watch(self) -> None:
        """Drain until something ends the recording."""
        options = self._options
        started = time.monotonic()
        stop_at = started + options.duration if options.duration is not None else float("inf")
        flush_at = losses_at = step_at = 0.0
        with self._process.wait_descriptor() as wake:
            while not self._ended_by:
                has_ended = select.select(wake, [], [], DRAIN_SECONDS)[0] or not wake
                self._drain()
                now, has_opened = time.monotonic(), False
                if now >= step_at:
                    self.at_step(*self._how_far())
                    step_at = now + STEP_SECONDS
                if now >= losses_at or self._windows.is_dear:
                    self._note_losses()
                    losses_at = now + LOSS_SECONDS
                    if has_opened := self._windows.govern():
                        self._intake.due |= self._intake.maps
                        flush_at = now
                if now >= flush_at and self._windows.is_known:
                    self._intake.flush()
                    # soon at first, so that maps filled before are read even in a short recording
                    flush_at = now + min(FLUSH_SECONDS, now - started)
                    if self._intake.due and self._windows.is_open:
                        self._read_due()
                        took = time.monotonic() - now
                        self._resync_at = now + RESYNC_SHARE * took
                        if has_opened:
                            self._windows.looked(took)
                if self._command and self._probe.has_stopped_target():
                    self._take_snapshot()
                    self._process.wake()
                    self.end("exit")
                elif has_ended:
                    self.end("exit")
                elif now >= stop_at:
                    self.end("duration")
                elif options.max_bytes is not None and self._writer.written_bytes >= options.max_bytes:
                    self.end("size")

    def _how_far(self) -> tuple[str, str]:
        """Return the words of the status line; none for a command, which uses the terminal itself."""
        if self._command:
            return "", ""
        written = (
            f"{self._intake.events:,} events, {self._tally.lost:,} lost, {human_bytes(self._writer.written_bytes)}"
        )
        share = self._windows.cost_share
        return "recording", written + (f", probing takes {share:.1%}" if share is not None else "")

    def _note_losses(self) -> None:
        """Write the losses since the last look; once nothing is lost any more, all maps are due to be read again."""
        if self._tally.look():
            if not self._has_lost:  # a rush lasts for a while: a map that is read during the rush is soon outdated
                self._resync_at = max(self._resync_at, time.monotonic() + FLUSH_SECONDS)
            self._has_lost = True
        elif self._has_lost and time.monotonic() >= self._resync_at:  # any map may differ from what its events say
            self._has_lost = False
            self._intake.due |= self._intake.maps
        if self._heap_side:
            self._heap_side.lost = self._tally.lost_of_heap

    def _take_census(self, bias: int, *, at_end: bool) -> None:
        """Write which maps the process has, including maps that nothing touches; drain the ring during the read."""
        if self._options.census:
            self._census = self._memory.take_census(self._interner, bias, self._drain_and_hold, at_end=at_end)

    def _take_snapshot(self) -> None:
        """Read every map that was seen, while the process is held, or while the probes see what is written."""
        self._snapshot_taken = True
        if self.at_end:
            self.at_end()
        if self._process.is_alive():
            self._tell("reading the process's maps as they are now")
            if self._heap_side:
                self.at_step("reading the heap", "")
                self._heap_side.end(self._intake.bias)
        else:
            self._tell("the process has ended: what its maps held then is known within bounds only")
        self._windows.rest()
        with ExitStack() as stack:
            pause = self._hold(stack)
            self._survey.is_still = pause.is_held
            self._read_last()
        self._paused_ns = pause.took_ns
        if pause.took_ns is not None:
            self._tell(f"the process stood still for {pause.took_ns / 1e9:.3f} s while it was read")

    def _hold(self, stack: ExitStack) -> Pause:
        """Hold the process until the stack is left, if `freeze` asks for a pause and one is possible."""
        if not self._options.freeze or not self._process.is_alive():
            return Pause()
        if self._options.census:
            with suppress(MapprobeError, *FORGED):  # the census itself says why it can't be taken
                self._memory.prepare(self._intake.bias)
        try:
            return stack.enter_context(paused(self._process, wanted=True))
        except (MapprobeError, OSError) as error:
            self._tell(f"it is read while it runs on: {error}")
            return Pause()

    def _read_last(self) -> None:
        """Take the census of the end, then read every map that was seen and is alive."""
        self._census = None
        self.at_step("census of the end", "")
        self._take_census(self._intake.bias, at_end=True)
        self.at_step("reading maps", "")
        if not self._windows.is_open and self._process.is_alive() and self._windows.open_last():
            self._intake.due |= self._intake.maps
            self._read_due()
        self._survey.read_all(self._heap(), None if self._census is None else self._census.living())

    def _read_due(self) -> None:
        """Read the maps that are due, so that replay can set its model of each to what memory holds."""
        seconds = self._windows.seconds_left(BUDGET_SECONDS)
        self._survey.read_due(self._heap(), self._rehasher(), seconds)

    def _rehasher(self) -> Rehash | None:
        """Return a function that hashes keys as the process does; None: not known, or no operations to replay."""
        return self._memory.rehasher(self._intake) if self._options.probes == "ops" else None

    def _heap(self) -> Heap:
        return self._memory.heap(self._intake.bias)

    def _end_command(self, row: dict[str, object]) -> None:
        if not self._command:
            return
        if self._ended_by != "exit":
            self._tell(f"ending {self._path}")
        row["exit_status"] = self._command.end(END_SECONDS if self._ended_by != "exit" else START_SECONDS)

    def _append_session(self, row: dict[str, object]) -> None:
        self._writer.append(schema.SESSION, {name: [row[name]] for name in row})


def _drain(probe: Probe, intake: Intake, heap: HeapSide | None) -> Callable[[bool], list[Events]]:
    """Return a function that takes in the events of the ring, and returns those of maps if they are wanted.

    The function does not refer to the session, so that the session can be freed. Events that are not wanted are not
    kept: the events of a full ring take as much memory as the ring.
    """

    def drain(are_wanted: bool) -> list[Events]:
        parts = []
        for events in probe.drain():
            intake.add(events)
            if are_wanted:
                parts.append(events)
        if heap:
            heap.take(probe.drain_heap(), intake)
        return parts

    return drain


def _drain_and_hold(drain: Callable[[bool], list[Events]], windows: Windows) -> Callable[[], list[Events]]:
    """Return a function that sheds points that can't be paid any more, and drains; it refers to no session either."""

    def drain_and_hold() -> list[Events]:
        windows.hold()
        return drain(True)

    return drain_and_hold


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
