"""The BPF programs of one target: probes/points.bpf.c compiled with flags, one program for each probe point.

The kernel's own headers are not needed: probes/kernel is a stub tree just large enough for bcc.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mapprobe.capture.kernel.loader import Loader, probes_folder
from mapprobe.capture.kernel.ring import EVENT, HEAP_EVENT, layout_asserts
from mapprobe.errors import HostError
from mapprobe.go.dataflow.locations import FrameSlot, Location, Register
from mapprobe.go.facts import SPAN_START
from mapprobe.go.points.heap_points import HeapPoint
from mapprobe.go.points.probe_point import ProbePoint
from mapprobe.vocabulary import EventKind, HeapKind

HEADERS = ("/usr/include/x86_64-linux-gnu", "/usr/include")
RING_BYTES = 64 << 20
HEAP_RING_BYTES = 4 << 20
"""Bytes of the ring of the heap's events, over 50,000 events: memory is returned in pieces of 64 KiB, so a gigabyte
that is returned makes 16,000 events."""
Point = ProbePoint | HeapPoint


@dataclass(frozen=True, slots=True)
class ProbedProcess:
    """The process to probe: where to attach, and what the BPF programs must know.

    Attributes
    ----------
    executable
        Path of the executable to open: through /proc if the process runs already.
    text
        Addresses of the Go code in memory, from and to; (0, 2**64 - 1) while not known.
    goid_offset, span_class_offset
        Offsets of these fields in the runtime's structs g and mspan [bytes].
    """

    pid: int
    executable: str
    text: tuple[int, int]
    goid_offset: int
    span_class_offset: int


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs to compile for a process.

    Attributes
    ----------
    points
        The probe points; an event's `point` is the row number, which also names the program.
    stack_depth
        Frames in an event.
    ring_bytes
        Size of the ring of events, a power of two [bytes].
    is_governed
        True: points of maps send only as `Probe.admit` says.
    """

    process: ProbedProcess
    points: Sequence[Point]
    stack_depth: int
    ring_bytes: int = RING_BYTES
    is_governed: bool = False

    @property
    def names(self) -> list[str]:
        """The programs, one for each point."""
        return [f"point_{number}" for number in range(len(self.points))]

    def begin(self, loader: Loader) -> None:
        """Have a loader begin to compile the programs.

        Raises
        ------
        HostError
            If the kernel's user headers are not there.
        """
        if not Path(HEADERS[1], "linux/bpf.h").exists():
            raise HostError("the kernel's user headers are not there", "apt-get install linux-libc-dev")
        loader.compile(str(probes_folder() / "points.bpf.c"), self._flags())

    def _flags(self) -> list[str]:
        process, page = self.process, os.sysconf("SC_PAGESIZE")
        return [
            f"-I{probes_folder()}",
            *(flag for path in HEADERS for flag in ("-idirafter", path)),
            f"-DSTACK_DEPTH={self.stack_depth}",
            f"-DRING_PAGES={self.ring_bytes // page}",
            f"-DTEXT_START={process.text[0]:#x}ull",
            f"-DTEXT_END={process.text[1]:#x}ull",
            f"-DGOID_OFFSET={process.goid_offset}",
            f"-DHEAP_RING_PAGES={HEAP_RING_BYTES // page}",
            f"-DSPAN_START={SPAN_START}",
            f"-DSPAN_CLASS={process.span_class_offset}",
            f"-DIS_GOVERNED={self.is_governed:d}",
            f"-DLAYOUT_ASSERTS={layout_asserts(EVENT, 'map_event')} {layout_asserts(HEAP_EVENT, 'heap_event')}",
            f"-DPOINTS={' '.join(_point_macro(n, p) for n, p in enumerate(self.points))}",
        ]


def _point_macro(number: int, point: Point) -> str:
    if isinstance(point, HeapPoint):
        return _heap_macro(number, point)
    if point.kind is EventKind.EXIT:
        return f"EXIT_POINT({number},{point.kind:d})"
    frame = "frame_at_bp" if point.frame_is_set_up else "frame_at_entry"
    value = point.places.hint if point.kind is EventKind.CREATE else point.places.hash
    where = ",".join(_expression(w) for w in (value, point.places.map, point.places.type))
    head = f"{number},{point.kind:d},{frame},{where}"
    return f"POINT({head})" if point.places.key is None else f"KEYED_POINT({head},{_expression(point.places.key)})"


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
