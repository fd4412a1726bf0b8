"""A session of `record`, which holds together probes, ring, tables and the reads of the target's memory.

The ring is drained many times a second. If there is a limit on what probing takes (`--max-overhead`), operations are
watched in windows, and every known map is read from memory at the start of each window. Before the first probe is
attached, and at the end, a census finds the maps that nothing touches. After the census of the end, the maps that were
seen are read from the target's memory while the probes still watch, so that a map written during its read is noticed
and read again. Then all probes are detached and the streams are sealed.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from mapprobe.capture.heap_recorder import HeapRecorder
from mapprobe.capture.intake import Intake
from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.losses import Tally
from mapprobe.capture.kernel.meter import Meter, cpu_ns
from mapprobe.capture.kernel.probe import Probe
from mapprobe.capture.kernel.programs import Programs
from mapprobe.capture.kernel.ring import Events
from mapprobe.capture.kernel.trap import calibrate
from mapprobe.capture.options import Options
from mapprobe.capture.session_row import first_row, wall_clock
from mapprobe.capture.snapshots import BUDGET_SECONDS, SnapshotRecorder
from mapprobe.capture.target_memory import TargetMemory, calmly
from mapprobe.capture.windows import Windows, is_open, watches
from mapprobe.errors import FORGED, HostError, MapprobeError, TargetError
from mapprobe.go.points.heap_points import HeapPoint
from mapprobe.live.heap.objects import Heap
from mapprobe.live.pause import Pause, paused
from mapprobe.live.snapshot.entry_hashes import Rehash
from mapprobe.live.target import Target
from mapprobe.recording.symbols import Interner
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.units import human_bytes
from mapprobe.vocabulary import EventKind

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

    def __init__(
        self, target: Target, programs: Programs, folder: Path, options: Options, tell: Callable[[str], None]
    ) -> None:
        self._target, self._process, self._command, self._binary = target, target.process, target.command, target.binary
        self._programs, self._points = programs, programs.points
        self._folder, self._options, self._tell = folder, options, tell
        self._ended_by = ""
        self._first_look = 0.0, 0
        self._has_lost = False
        self._resync_at = self._read_again_at = 0.0
        self._snapshot_taken = False
        self._drain: Callable[[], object] = list
        self._drain_and_hold: Callable[[], Iterator[Events]] = partial(iter, ())
        self._heap_recorder: HeapRecorder | None = None
        self._paused_ns: int | None = None
        self.at_end: Callable[[], object] | None = None
        """Called at the moment of the last read, while all probes are still attached."""
        self.at_step: Callable[[str, str], object] = lambda what, about: None
        """Called with the step that is being done, and how far it is, if known."""

    def run(self, loader: Loader) -> dict[str, object]:
        """Run the session from the first attach to the sealed recording; the loader has begun to compile."""
        options = self._options
        self._first_look = time.monotonic(), cpu_ns(self._process.pid)
        row = first_row(self._target, options.probes, keeps_arguments=options.keep_arguments)
        row |= {"started_ns": _now_ns(), "stack_depth": options.stack_depth}
        with Writer(self._folder) as writer:
            self._writer = writer
            self._memory = TargetMemory(self._target, writer, self._tell)
            if options.heap:
                self._heap_recorder = HeapRecorder(
                    self._target, writer, self._tell, large_objects=options.large_objects
                )
            self._interner = Interner(writer, self._target.functions)
            self._binary.let_pages_go()  # most were read to find points
            if not self._command:
                self.at_step("census of the start", "")
                self._take_census(at_end=False)
                self._binary.let_pages_go()  # the same before the ring fills
            self.at_step("compiling probes", "")
            with Probe(self._programs, loader, at_once=False) as probe:
                self._set_up(probe)
                self._append_session(row)
                self._tally.write_points()
                self._attach(probe)
                self._announce()
                row |= self._record(probe)
            self._end_command(row)
            row |= {"ended": wall_clock(), "ended_ns": _now_ns(), "ended_by": self._ended_by}
            row |= {"events": self._intake.events, "lost": self._tally.lost, "paused_ns": self._paused_ns}
            self._tally.write_points()
            self._append_session(row | writer.contents())
        return row

    def _set_up(self, probe: Probe) -> None:
        """Make the objects that take in the events of the probes."""
        self._probe, writer = probe, self._writer
        self._intake = Intake(writer, self._interner, self._target, probe.stacks)
        drain = _drain(probe, self._intake, self._heap_recorder)
        self._drain = partial(_let_go, drain)
        self._tally = Tally(probe, self._points, writer, _now_ns())
        meter = Meter(self._process.pid, probe.programs, self._hit_ns(probe), self._cpus_used())
        self._windows = Windows(probe, meter, writer, self._options.max_overhead, self._drain, self._tell)
        self._drain_and_hold = _drain_and_hold(drain, self._windows)
        self._snapshots = SnapshotRecorder(self._target, self._intake, writer, self._drain_and_hold)
        self._snapshots.is_watched = watches(self._windows, self._options.probes)
        self._snapshots.is_open = is_open(self._windows)

    def _attach(self, probe: Probe) -> None:
        """Attach the points of the heap and read the heap, then attach all other points: costly ones last."""
        probe.attach(number for number, point in enumerate(self._points) if isinstance(point, HeapPoint))
        if self._heap_recorder and not self._command:
            self._heap_recorder.begin()
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
            probe.measure(wanted=True)
            return calibrate(probe.empty_probe)
        except HostError:
            if self._options.max_overhead is not None:
                raise
            return None

    def _cpus_used(self) -> float:
        """Return how many CPUs the process has used since the session began; a command, which waits, is to use one."""
        since, used_ns = self._first_look
        now, now_ns = time.monotonic(), cpu_ns(self._process.pid)
        return 1.0 if self._command else (now_ns - used_ns) / 1e9 / (now - since)

    def _announce(self) -> None:
        self._tell(f"recording {self._target.path} ({self._process.pid}) into {self._folder}")
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
                raise TargetError(f"{self._target.path}: has not started within {START_SECONDS:.0f} s: try again")
            self._probe.beat()
            select.select([], [], [], 0.001)
        self._target.locate()

    def _is_in_place(self) -> bool:
        return self._target.is_located or not self._process.is_alive()

    def _watch(self) -> None:
        """Drain until something ends the recording."""
        options = self._options
        started = time.monotonic()
        stop_at = started + options.duration if options.duration is not None else float("inf")
        flush_at = losses_at = step_at = 0.0
        with self._process.wait_descriptor() as wake:
            while not self._ended_by:
                has_ended = select.select(wake, [], [], self._windows.nap_seconds)[0] or not wake
                self._drain()
                now, has_opened = time.monotonic(), False
                if now >= step_at:
                    self.at_step(*self._how_far())
                    step_at = now + STEP_SECONDS
                if now >= losses_at or not self._windows.is_known or self._windows.is_spent:
                    self._note_losses()
                    losses_at = now + self._windows.look_seconds
                    if has_opened := self._windows.govern():
                        self._intake.due |= self._intake.maps
                        flush_at = now
                if now >= flush_at and self._windows.is_known:
                    self._intake.flush()
                    # soon at first, so that maps filled before are read even in a short recording
                    flush_at = now + min(FLUSH_SECONDS, now - started)
                    must_read = has_opened and options.probes == "ops"
                    if self._intake.due and self._windows.is_open and (must_read or now >= self._read_again_at):
                        self._read_due()
                        took = time.monotonic() - now
                        self._resync_at = now + RESYNC_SHARE * took
                        if has_opened and self._windows.is_open:
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
        if self._heap_recorder:
            self._heap_recorder.lost = self._tally.lost_of_heap

    def _take_census(self, *, at_end: bool) -> list[int] | None:
        """Write which maps the process has, including maps that nothing touches; drain the ring during the read.

        Returns
        -------
        The addresses of maps that live; None: no census was taken.
        """
        if not self._options.census:
            return None
        drain, is_held = partial(_let_go, self._drain_and_hold), at_end and self._options.freeze
        with calmly(wanted=self._options.max_overhead is not None and not is_held):
            taken = self._memory.take_census(self._interner, drain, at_end=at_end)
        return None if taken is None else taken.living()

    def _take_snapshot(self) -> None:
        """Read every map that was seen, while the process is held, or while the probes see what is written."""
        self._snapshot_taken = True
        if self.at_end:
            self.at_end()
        if self._process.is_alive():
            self._tell("reading the process's maps as they are now")
            if self._heap_recorder:
                self.at_step("reading the heap", "")
                self._heap_recorder.end()
        else:
            self._tell("the process has ended: what its maps held then is known within bounds only")
        self._windows.rest()
        with ExitStack() as stack:
            pause = self._hold(stack)
            self._snapshots.is_still = pause.is_held
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
                self._memory.prepare()
        try:
            return stack.enter_context(paused(self._process, wanted=True))
        except (MapprobeError, OSError) as error:
            self._tell(f"it is read while it runs on: {error}")
            return Pause()

    def _read_last(self) -> None:
        """Take the census of the end, then read every map that was seen and is alive."""
        self.at_step("census of the end", "")
        living = self._take_census(at_end=True)
        self._binary.let_pages_go()  # the census has read many of them again
        self.at_step("reading maps", "")
        if not self._windows.is_open and self._process.is_alive() and self._windows.open_last():
            self._intake.due |= self._intake.maps
            self._read_due()
        self._snapshots.read_all(self._heap(), living)

    def _read_due(self) -> None:
        """Read the maps that are due, so that replay can set its model of each to what memory holds.

        With a limit, reading takes no larger share of a CPU than probing may take of the process, but for the read at
        the start of each window of operations, without which these operations can't be replayed.
        """
        seconds, before = self._windows.seconds_left(BUDGET_SECONDS), time.thread_time()
        self._snapshots.read_due(self._heap(), self._rehasher(), seconds)
        if self._options.max_overhead:
            self._read_again_at = time.monotonic() + (time.thread_time() - before) / self._options.max_overhead

    def _rehasher(self) -> Rehash | None:
        """Return a function that hashes keys as the process does; None: not known, or no operations to replay."""
        return self._memory.rehasher(self._intake.map_types) if self._options.probes == "ops" else None

    def _heap(self) -> Heap:
        return self._memory.heap()

    def _end_command(self, row: dict[str, object]) -> None:
        if not self._command:
            return
        if self._ended_by != "exit":
            self._tell(f"ending {self._target.path}")
        row["exit_status"] = self._command.end(END_SECONDS if self._ended_by != "exit" else START_SECONDS)

    def _append_session(self, row: dict[str, object]) -> None:
        self._writer.append(schema.SESSION, {name: [row[name]] for name in row})


def _drain(probe: Probe, intake: Intake, heap: HeapRecorder | None) -> Callable[[], Iterator[Events]]:
    """Return a function that takes in the events of the ring, and yields these in parts, all of which have to be taken.

    The function does not refer to the session, so that the session can be freed. Parts are not kept: the events of a
    full ring take as much memory as the ring.
    """

    def drain() -> Iterator[Events]:
        for events in probe.drain():
            intake.add(events)
            yield events
        if heap:
            heap.take(probe.drain_heap(), intake)

    return drain


def _drain_and_hold(drain: Callable[[], Iterator[Events]], windows: Windows) -> Callable[[], Iterator[Events]]:
    """Return a function that sheds points that can't be paid any more, and drains; it refers to no session either."""

    def drain_and_hold() -> Iterator[Events]:
        windows.hold()
        yield from drain()

    return drain_and_hold


def _let_go(drain: Callable[[], Iterator[Events]]) -> None:
    """Drain, and keep nothing of what is yielded."""
    for _ in drain():
        pass


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
