"""Uprobes through bcc: compile probes/points.bpf.c, attach it, drain it, detach always.

The only module that knows bcc, Debian's python3-bpfcc, which is loaded from
the system's dist-packages without exposing the rest of them. Kernel headers
are not needed: probes/kernel is a stub tree just large enough for bcc.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from mapprobe.errors import HostError, TargetError
from mapprobe.go.facts import SPAN_START
from mapprobe.go.heappoints import HeapPoint
from mapprobe.go.locations import FrameSlot, Location, Register
from mapprobe.go.points import ProbePoint
from mapprobe.links import UPROBE_MULTI, close_all, link_uprobe, sees_every_thread
from mapprobe.ring import EVENT, HEAP_EVENT, Events, Ring, layout_asserts
from mapprobe.schema import EventKind, HeapKind

DIST_PACKAGES = Path("/usr/lib/python3/dist-packages")
HEADERS = ("/usr/include/x86_64-linux-gnu", "/usr/include")
RING_BYTES = 64 << 20
HEAP_RING_BYTES = 4 << 20
"""Over 50,000 events of the heap: returns come in pieces of 64 KiB, those of a gigabyte are 16,000."""
Point = ProbePoint | HeapPoint
OUTCOMES = ("sent", "ring full", "memory fault", "too many stacks")
"""How a hit can end, in the order of the enum in points.bpf.c."""
SENT = 0
NEVER_NS = (1 << 64) - 1
UPROBE_ENTRY = 0
HEARTBEAT_NS, STOPPED, TRIED = 0, 1, 2
BPF_SYSCALL, BPF_ENABLE_STATS = 321, 32


@dataclass(frozen=True, slots=True)
class Target:
    """Where to attach and what the BPF programs must know of the process.

    Attributes
    ----------
    executable
        Path to open, through /proc where the process runs already.
    text
        Where its Go code lies in memory; (0, 2**64 - 1) while that is not known.
    goid_offset, span_class_offset
        In g and in mspan.
    """

    pid: int
    executable: str
    text: tuple[int, int]
    goid_offset: int
    span_class_offset: int


def probes_folder() -> Path:
    """Return the folder of the BPF sources: in the wheel, or at the top of a checkout."""
    inside = Path(__file__).parent / "probes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "probes"


def load_bcc() -> ModuleType:
    """Import the system's bcc.

    Raises
    ------
    HostError
        If python3-bpfcc is not installed.
    """
    if "bcc" in sys.modules:
        return sys.modules["bcc"]
    package = DIST_PACKAGES / "bcc"
    remedy = "apt-get install python3-bpfcc"
    spec = importlib.util.spec_from_file_location(
        "bcc", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None or not package.is_dir():
        raise HostError(f"bcc is not in {DIST_PACKAGES}", remedy)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        del sys.modules["bcc"]
        raise HostError(f"bcc can't be loaded ({error})", remedy) from None
    return module


class Probe:
    """All probe points of one target, attached; a context manager.

    Nothing outlives it: uprobes, programs and ring hang on file descriptors of this process, which the
    kernel closes even when it is killed.

    Parameters
    ----------
    target
        Where to attach.
    points
        What to attach; the row number is the event's `point`.
    stack_depth
        Frames in an event.
    ring_bytes
        Room for events, a power of two.
    at_once
        Attach all points; else whoever made it does.
    """

    def __init__(
        self,
        target: Target,
        points: Sequence[Point],
        stack_depth: int,
        ring_bytes: int = RING_BYTES,
        *,
        at_once: bool = True,
    ) -> None:
        self.points = points
        self._closing = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            self._bcc = load_bcc()
            self._bpf = _compile(self._bcc, target, points, stack_depth, ring_bytes)
            undo.callback(self._bpf.cleanup)
            self._ring = undo.enter_context(Ring(self._bpf[b"events"].map_fd, ring_bytes))
            heap_fd = self._bpf[b"heap_events"].map_fd
            self._heap_ring = undo.enter_context(Ring(heap_fd, HEAP_RING_BYTES, HEAP_EVENT))
            self._links: dict[int, int] = {}
            undo.callback(self.detach)
            self._statistics = -1
            undo.callback(self.measure, wanted=False)
            self.beat()
            self._target = target
            self._first_ns: npt.NDArray[np.uint64] = np.zeros(len(points), np.uint64)
            self._last_ns = np.full(len(points), NEVER_NS, np.uint64)
            self._outside: npt.NDArray[np.int64] = np.zeros(len(points), np.int64)
            _check_code(target.executable, points)
            self._has_links = self._try_links()
            self._programs = [self._load(f"point_{number}") for number in range(len(points))]
            self.attach(range(len(points)) if at_once else ())
            self._closing = undo.pop_all()

    def __enter__(self) -> Probe:
        """Return the probe itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Detach and free everything."""
        self._closing.close()

    def _load(self, name: str) -> int:
        attach_type = UPROBE_MULTI if self._has_links else -1
        return int(self._bpf.load_func(name.encode(), self._bcc.BPF.KPROBE, None, attach_type).fd)

    def _try_links(self) -> bool:
        """True if this kernel, and this bcc, attach by links."""
        try:
            program = self._bpf.load_func(b"tried", self._bcc.BPF.KPROBE, None, UPROBE_MULTI).fd
        except Exception:  # bcc raises nothing narrower
            return False
        return sees_every_thread(program, lambda: self._session_word(TRIED) != 0)

    @property
    def programs(self) -> list[int]:
        """File descriptors of the BPF programs, one for each point."""
        return self._programs

    def attach(self, numbers: Iterable[int]) -> int:
        """Put points in; from the moment that is returned [ns] all of them are there."""
        numbers = list(numbers)
        for number in numbers:
            point, target = self.points[number], self._target
            self._links[number] = self._uprobe(
                self._programs[number], target.executable, point.file_offset, target.pid, str(point.function)
            )
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self._first_ns[numbers], self._last_ns[numbers] = now, NEVER_NS
        return now

    def detach(self, numbers: Iterable[int] | None = None) -> int:
        """Take points away, all of them if none are named; until the moment that is returned [ns] all were there.

        Events already in the ring stay there to be drained.
        """
        links = [self._links.pop(number) for number in (list(self._links) if numbers is None else numbers)]
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if links:
            is_away = np.array([number not in self._links for number in range(len(self.points))])
            self._last_ns[is_away] = np.minimum(self._last_ns[is_away], np.uint64(now))
            close_all(links)
        return now

    def _uprobe(self, program: int, path: str, offset: int, pid: int, where: str) -> int:
        if self._has_links:
            try:
                return link_uprobe(program, path, offset, pid)
            except OSError as error:
                why = f"the kernel refused a uprobe on {where} ({error.strerror})"
                raise HostError(why, "see 'mapprobe doctor'") from None
        name = f"mapprobe_{pid}_{offset:x}".encode()
        link = self._bcc.lib.bpf_attach_uprobe(program, UPROBE_ENTRY, name, path.encode(), offset, pid, 0)
        if link < 0:
            raise HostError(f"the kernel refused a uprobe on {where}", "see 'mapprobe doctor'")
        return int(link)

    @contextlib.contextmanager
    def empty_probe(self, path: str, offset: int) -> Iterator[None]:
        """Have a program that does nothing at an offset of a file, in this process."""
        link = self._uprobe(self._load("nothing"), path, offset, os.getpid(), "its own code")
        try:
            yield
        finally:
            os.close(link)

    def measure(self, *, wanted: bool) -> None:
        """Let the kernel measure run times of BPF programs (of all on this host), or no more.

        kernel: include/uapi/linux/bpf.h BPF_ENABLE_STATS; it ends with the descriptor.
        """
        if wanted and self._statistics < 0:
            attributes = (ctypes.c_uint32 * 2)()
            self._statistics = ctypes.CDLL(None).syscall(BPF_SYSCALL, BPF_ENABLE_STATS, attributes, 4)
            if self._statistics < 0:
                raise HostError("the kernel does not measure BPF programs", "use Linux 5.8 or later")
        elif not wanted and self._statistics >= 0:
            os.close(self._statistics)
            self._statistics = -1

    def drain(self) -> Iterator[Events]:
        """Yield the events since the last drain, and show that we are alive.

        Those from while points came and went are left out, and not counted as sent: one point saw what another,
        attached later or detached earlier, did not, and a map would seem to have lost operations.
        """
        self.beat()
        for events in self._ring.drain():
            yield self._watched(events)

    def drain_heap(self) -> Iterator[Events]:
        """Yield the events of the heap since the last drain."""
        return self._heap_ring.drain()

    def _watched(self, events: Events) -> Events:
        """Return the events of points that were there with all others."""
        events, outside = events.watched(self._first_ns, self._last_ns)
        self._outside += outside
        return events

    def stacks(self, digests: Iterable[int]) -> npt.NDArray[np.uint64]:
        """Return the return addresses of stacks that events named, innermost first: ``(n, stack_depth)``, 0 behind."""
        table = self._bpf[b"stacks"]
        frames = [list(table[table.Key(digest)].frames) for digest in digests]
        return np.array(frames, np.uint64)

    def beat(self) -> None:
        """Tell the BPF side that somebody is there to wake a process that it stops at its exit."""
        session = self._bpf[b"session"]
        session[session.Key(HEARTBEAT_NS)] = session.Leaf(time.clock_gettime_ns(time.CLOCK_MONOTONIC))

    def has_stopped_target(self) -> bool:
        """True once the target was stopped at its exit."""
        return self._session_word(STOPPED) != 0

    def _session_word(self, word: int) -> int:
        session = self._bpf[b"session"]
        return int(session[session.Key(word)].value)

    def outcomes(self) -> npt.NDArray[np.int64]:
        """Return how many hits ended how: ``(points, len(OUTCOMES), cpus)``; of what was sent only the sum is right."""
        table = self._bpf[b"outcomes"]
        rows = [
            [list(table[table.Key(p * len(OUTCOMES) + o)]) for o in range(len(OUTCOMES))]
            for p in range(len(self.points))
        ]
        found = np.array(rows, np.int64)
        found[:, SENT, 0] -= self._outside
        return found


def _compile(bcc: ModuleType, target: Target, points: Sequence[Point], stack_depth: int, ring_bytes: int) -> Any:
    """Compile one BPF program for each point."""
    folder = probes_folder()
    if not Path(HEADERS[1], "linux/bpf.h").exists():
        raise HostError("the kernel's user headers are not there", "apt-get install linux-libc-dev")
    os.environ["BCC_KERNEL_SOURCE"] = str(folder / "kernel")
    flags = [
        f"-I{folder}",
        *(flag for path in HEADERS for flag in ("-idirafter", path)),
        f"-DSTACK_DEPTH={stack_depth}",
        f"-DRING_PAGES={ring_bytes // os.sysconf('SC_PAGESIZE')}",
        f"-DTEXT_START={target.text[0]:#x}ull",
        f"-DTEXT_END={target.text[1]:#x}ull",
        f"-DGOID_OFFSET={target.goid_offset}",
        f"-DHEAP_RING_PAGES={HEAP_RING_BYTES // os.sysconf('SC_PAGESIZE')}",
        f"-DSPAN_START={SPAN_START}",
        f"-DSPAN_CLASS={target.span_class_offset}",
        f"-DLAYOUT_ASSERTS={layout_asserts(EVENT, 'map_event')} {layout_asserts(HEAP_EVENT, 'heap_event')}",
        f"-DPOINTS={' '.join(_point_macro(n, p) for n, p in enumerate(points))}",
    ]
    with _stderr_kept() as stderr:
        try:
            return bcc.BPF(src_file=str(folder / "points.bpf.c").encode(), cflags=flags)
        except Exception as error:  # bcc raises nothing narrower
            first = stderr().strip().splitlines()[:1] or [str(error)]
            raise HostError(f"bcc can't compile the probes ({first[0]})", "see 'mapprobe doctor'") from None


@contextlib.contextmanager
def _stderr_kept():  # type: ignore[no-untyped-def]
    """Keep what clang writes to file descriptor 2 until it is asked for."""
    saved = os.dup(2)
    with tempfile.TemporaryFile("w+") as kept:
        os.dup2(kept.fileno(), 2)

        def text() -> str:
            kept.seek(0)
            return kept.read()

        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _point_macro(number: int, point: Point) -> str:
    if isinstance(point, HeapPoint):
        return _heap_macro(number, point)
    if point.kind is EventKind.EXIT:
        return f"EXIT_POINT({number},{point.kind:d})"
    frame = "frame_at_bp" if point.frame_is_set_up else "frame_at_entry"
    value = point.hint if point.kind is EventKind.CREATE else point.hash
    where = ",".join(_expression(w) for w in (value, point.map, point.type))
    head = f"{number},{point.kind:d},{frame},{where}"
    return f"POINT({head})" if point.key is None else f"KEYED_POINT({head},{_expression(point.key)})"


def _heap_macro(number: int, point: HeapPoint) -> str:
    words = [f"HEAP_{_expression(where)}" for where in point.words]
    if point.kind in (HeapKind.SPAN_ALLOCATED, HeapKind.SPAN_FREED):
        macro, count = "SPAN_POINT", 2
    elif point.kind is HeapKind.RETURNED:
        macro, count = "RETURN_POINT", 2
    else:
        macro, count = "HEAP_POINT", 3
    words += ["0"] * (count - len(words))
    return f"{macro}({number},{point.kind:d},{','.join(words)})"


def _expression(location: Location | None) -> str:
    match location:
        case Register(name):
            return f"REG({name})"
        case FrameSlot(offset):
            return f"SLOT({offset})"
        case None:
            return "NOTHING"


def _check_code(executable: str, points: Sequence[Point]) -> None:
    """Hold the bytes at every point to what was decoded there: a probe elsewhere would kill the target."""
    try:
        with Path(executable).open("rb") as file:
            for point in points:
                file.seek(point.file_offset)
                found = file.read(len(point.code))
                if found != point.code:
                    raise TargetError(f"{executable}: {point.function} is not what was inspected: try again")
    except OSError as error:
        raise TargetError(f"{executable}: {error.strerror}: is the process still there?") from None
