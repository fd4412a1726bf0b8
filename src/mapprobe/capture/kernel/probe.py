"""Uprobes on a target: load its BPF programs, attach them, drain their events, and detach them in any case.

bcc compiles and loads in a child process (`loader`). Here its programs and maps are used by raw system calls.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mapprobe.capture.kernel import bpf
from mapprobe.capture.kernel.bpf import Table
from mapprobe.capture.kernel.links import UPROBE_MULTI, close_all, let_go, link_uprobe, perf_uprobe, sees_every_thread
from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.programs import HEAP_RING_BYTES, Point, Programs
from mapprobe.capture.kernel.ring import HEAP_EVENT, Events, Ring
from mapprobe.errors import HostError, TargetError

OUTCOMES = ("sent", "ring full", "memory fault", "too many stacks", "withheld")
"""How a hit can end, in the order of the enum in points.bpf.c."""
SENT = 0
LOST = slice(1, 4)
"""Outcomes of hits whose events were lost. What was withheld was not to be recorded: see `Probe.admit`."""
WITHHELD = 4
NEVER_NS = (1 << 64) - 1
HEARTBEAT_NS, STOPPED, TRIED, KINDS, HITS_LEFT, SPENT_NS = range(6)
SPENT_EARLIER_NS = 10_000
"""The first hit that was withheld may be so much earlier than the kernel has noted [ns]: two CPUs may note the moment
one after the other, some 100 ns apart."""
MAPS = ("events", "heap_events", "stacks", "outcomes", "session")
"""Names of the maps of points.bpf.c."""
TRIAL, EMPTY = "tried", "nothing"
"""Names of the two programs of points.bpf.c that no point has."""


class Probe:
    """All probe points of one target, attached; a context manager.

    Nothing outlives the probe: uprobes, programs and ring live as long as file descriptors of this process, which the
    kernel closes even if the process is killed.

    Parameters
    ----------
    programs
        The programs to attach, with their points.
    loader
        A loader that has begun to compile the programs. It is closed once all programs are loaded.
    at_once
        True: attach all points. False: the caller attaches points by `attach`.

    Attributes
    ----------
    points
        The probe points.
    events_descriptor
        The file descriptor of the ring of map events.

    Raises
    ------
    HostError
        If bcc, or the kernel, does not compile, load or attach the programs.
    TargetError
        If the executable has other code at a point than was decoded there.
    """

    def __init__(self, programs: Programs, loader: Loader, *, at_once: bool = True) -> None:
        self.points, self._process = programs.points, programs.process
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as undo, loader:
            self._take_maps(loader, programs.ring_bytes, undo)
            self._links: dict[int, int] = {}
            undo.callback(self.detach)
            self._statistics = -1
            self._drained_ns = self._admitted_ns = self._noticed_ns = 0
            undo.callback(self.measure, wanted=False)
            self.beat()
            self._first_ns: npt.NDArray[np.uint64] = np.zeros(len(self.points), np.uint64)
            self._last_ns = np.full(len(self.points), NEVER_NS, np.uint64)
            self._outside: npt.NDArray[np.int64] = np.zeros(len(self.points), np.int64)
            _check_code(self._process.executable, self.points)
            self._has_links = self._try_links(loader)
            attach_type = UPROBE_MULTI if self._has_links else -1
            loaded = loader.load([EMPTY, *programs.names], attach_type)
            for descriptor in loaded:
                undo.callback(os.close, descriptor)
            self._empty, *self._programs = loaded
            self.attach(range(len(self.points)) if at_once else ())
            self._closing = undo.pop_all()

    def __enter__(self) -> Probe:
        """Return the probe itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Detach and free everything."""
        self._closing.close()

    def _take_maps(self, loader: Loader, ring_bytes: int, undo: contextlib.ExitStack) -> None:
        """Take the BPF maps over from the loader; closing `undo` closes them."""
        tables = {}
        for name, descriptor in zip(MAPS, loader.maps(MAPS), strict=True):
            undo.callback(os.close, descriptor)
            tables[name] = Table(descriptor)
        self.events_descriptor = tables["events"].descriptor
        self._ring = undo.enter_context(Ring(self.events_descriptor, ring_bytes))
        self._heap_ring = undo.enter_context(Ring(tables["heap_events"].descriptor, HEAP_RING_BYTES, HEAP_EVENT))
        self._stacks, self._outcomes, self._session = (tables[name] for name in MAPS[2:])

    def _try_links(self, loader: Loader) -> bool:
        """True if links work with this kernel and this bcc."""
        try:
            (program,) = loader.load([TRIAL], UPROBE_MULTI)
        except HostError:  # if anything but links is the cause, loading the other programs fails too, and says so
            return False
        try:
            return sees_every_thread(program, lambda: self._session_word(TRIED) != 0)
        finally:
            os.close(program)

    @property
    def has_links(self) -> bool:
        """True if probes are attached by links, not by perf_event_open."""
        return self._has_links

    @property
    def programs(self) -> list[int]:
        """File descriptors of the BPF programs, one for each point."""
        return self._programs

    def attach(self, numbers: Iterable[int]) -> int:
        """Attach points; return the moment from which all of them are attached [ns]."""
        numbers = list(numbers)
        for number in numbers:
            point, target = self.points[number], self._process
            self._links[number] = self._uprobe(
                self._programs[number], target.executable, point.file_offset, target.pid, str(point.function)
            )
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._first_ns[numbers], self._last_ns[numbers] = now, NEVER_NS
        return now

    def detach(self, numbers: Iterable[int] | None = None) -> int:
        """Detach points, all if `numbers` is None; return the moment until which all of them were attached [ns].

        Events that are already in the ring can still be drained.
        """
        links = [self._links.pop(number) for number in (list(self._links) if numbers is None else numbers)]
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if links:
            is_away = np.array([number not in self._links for number in range(len(self.points))])
            self._last_ns[is_away] = np.minimum(self._last_ns[is_away], np.uint64(now))
            close_all(links)
        return now

    def admit(self, kinds: Collection[int], hits: int) -> int:
        """Say which kinds of points may send from now on, and how many hits together, until the next call.

        If the budget of the last call is spent, and `spent_ns` hasn't said so yet, the new budget is spent at once: so
        whoever asks at the next look learns of all hits that were withheld.

        Returns
        -------
        A moment after which this holds [ns]: nothing that may not send was sent later but what was under way.
        """
        word = struct.pack("<Q", sum(1 << kind for kind in set(kinds)))
        self._session.update(HITS_LEFT, struct.pack("<q", hits))  # first: a kind that is new finds the new budget
        if self._session_word(SPENT_NS) not in (0, self._noticed_ns):
            self._session.update(HITS_LEFT, bytes(8))
            self._session.update(KINDS, word)
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for _ in range(2):  # between the two, a hit that was under way may note the end of the budget before this one
            self._session.update(SPENT_NS, bytes(8))
        self._session.update(KINDS, word)
        self._noticed_ns = 0
        self._admitted_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return self._admitted_ns

    def spent_ns(self) -> int | None:
        """Return since when hits are withheld because their budget is spent [ns]; None: it isn't."""
        spent = self._session_word(SPENT_NS)  # first: what is left only becomes less
        if not spent:
            return None
        if int.from_bytes(self._session.look_up(HITS_LEFT), "little", signed=True) > 0:
            self._session.update(SPENT_NS, bytes(8))  # a hit noted it that was under way while the budget was refilled
            return None
        self._noticed_ns = spent
        return max(spent - SPENT_EARLIER_NS, self._drained_ns, self._admitted_ns)

    def shut(self, numbers: Iterable[int], at_ns: int) -> None:
        """Leave out events of points that come after a moment, until the points are opened."""
        numbers = list(numbers)
        self._last_ns[numbers] = np.minimum(self._last_ns[numbers], np.uint64(at_ns))

    def open(self, numbers: Iterable[int], at_ns: int) -> None:
        """Take in events of points that come after a moment; what came before was drained."""
        numbers = list(numbers)
        self._first_ns[numbers], self._last_ns[numbers] = at_ns, NEVER_NS

    def _uprobe(self, program: int, path: str, offset: int, pid: int, where: str) -> int:
        try:
            return (link_uprobe if self._has_links else perf_uprobe)(program, path, offset, pid)
        except OSError as error:
            why = f"the kernel refused a uprobe on {where} ({error.strerror})"
            raise HostError(why, "see 'mapprobe doctor'") from None

    @contextlib.contextmanager
    def empty_probe(self, path: str, offset: int) -> Iterator[None]:
        """Attach a program that does nothing at an offset of a file, in this process, while in this context."""
        link = self._uprobe(self._empty, path, offset, os.getpid(), "its own code")
        try:
            yield
        finally:
            let_go(link)

    def measure(self, *, wanted: bool) -> None:
        """Start or stop the kernel's measuring of the run times of BPF programs (of all on this host).

        kernel: include/uapi/linux/bpf.h BPF_ENABLE_STATS; the measuring ends when its descriptor is closed.
        """
        if wanted and self._statistics < 0:
            try:
                self._statistics = bpf.call(bpf.ENABLE_STATS, bytes(4))
            except OSError as error:
                why = f"the kernel does not measure BPF programs ({error.strerror})"
                raise HostError(why, "record without --max-overhead") from None
        elif not wanted and self._statistics >= 0:
            os.close(self._statistics)
            self._statistics = -1

    def drain(self) -> Iterator[Events]:
        """Yield the events since the last drain, and show the BPF side that the recorder is alive.

        Events that came while points were being attached or detached are left out, and not counted as sent: one point
        saw operations that another point, attached later or detached earlier, did not see, so a map would seem to have
        lost operations.
        """
        self.beat()
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        for events in self._ring.drain():
            yield self._watched(events)
        self._drained_ns = began

    def drain_heap(self) -> Iterator[Events]:
        """Yield the events of the heap since the last drain."""
        return self._heap_ring.drain()

    def _watched(self, events: Events) -> Events:
        """Return the events that came while all points of their group were attached."""
        events, outside = events.watched(self._first_ns, self._last_ns)
        self._outside += outside
        return events

    def stacks(self, digests: Iterable[int]) -> npt.NDArray[np.uint64]:
        """Return the return addresses of stacks, innermost first, then zeros, ``(n, stack_depth)``."""
        return np.array([np.frombuffer(self._stacks.look_up(digest), np.uint64) for digest in digests], np.uint64)

    def beat(self) -> None:
        """Tell the BPF side that the recorder is alive, and can wake a process that the BPF side stops at its exit."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._session.update(HEARTBEAT_NS, struct.pack("<Q", now))

    def has_stopped_target(self) -> bool:
        """True once the BPF side has stopped the target at its exit."""
        return self._session_word(STOPPED) != 0

    def _session_word(self, word: int) -> int:
        return int.from_bytes(self._session.look_up(word), "little")

    def hits(self) -> npt.NDArray[np.int64]:
        """Count all hits of each point, and those of them that were withheld: ``(2, points)``."""
        counted = self._outcomes.first(len(self.points) * len(OUTCOMES)).astype(np.int64)
        by_outcome = counted.sum(axis=1).reshape(len(self.points), len(OUTCOMES))
        return np.stack([by_outcome.sum(axis=1), by_outcome[:, WITHHELD]])

    def outcomes(self) -> npt.NDArray[np.int64]:
        """Count the hits by outcome: ``(points, len(OUTCOMES), cpus)``; of ``sent`` only the sum over CPUs is right.

        Events that `drain` left out do not count as sent; they are subtracted from CPU 0.
        """
        counted = self._outcomes.first(len(self.points) * len(OUTCOMES))
        found = counted.astype(np.int64).reshape(len(self.points), len(OUTCOMES), -1)
        found[:, SENT, 0] -= self._outside
        return found


def _check_code(executable: str, points: Sequence[Point]) -> None:
    """Check that every point still has the code that was decoded there: a probe elsewhere would kill the target."""
    try:
        with Path(executable).open("rb") as file:
            for point in points:
                file.seek(point.file_offset)
                found = file.read(len(point.code))
                if found != point.code:
                    raise TargetError(f"{executable}: {point.function} is not what was inspected: try again")
    except OSError as error:
        raise TargetError(f"{executable}: {error.strerror}: is the process still there?") from None
