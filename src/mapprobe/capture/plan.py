"""The plan of a recording: the points to probe, found in the binary, and their programs for the compiler.

Nothing here needs pyarrow: the compiler's process is at work while this process loads pyarrow.
"""

from __future__ import annotations

from dataclasses import dataclass

from mapprobe.capture.kernel.programs import Point, Programs, Target
from mapprobe.capture.options import Options
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import span_facts_for
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.heap_points import find_heap_points
from mapprobe.go.points.map_points import find_points
from mapprobe.go.points.probe_point import ProbePoint
from mapprobe.go.variables import goid_offset
from mapprobe.live.process import Command, Process
from mapprobe.vocabulary import EventKind

EVERYWHERE = (0, (1 << 64) - 1)
OPERATIONS = {EventKind.ASSIGN, EventKind.DELETE}
CREATIONS = {EventKind.CREATE, EventKind.CLONE}
GROWTHS = {EventKind.GROW, EventKind.CLEAR, EventKind.OVERFLOW}


@dataclass(frozen=True, slots=True)
class Plan:
    """One target, its probe points, and the programs to compile for them.

    Attributes
    ----------
    command
        What mapprobe has started; None: it attaches to a process.
    path
        Of the executable, as a user knows it.
    bias
        The load bias: an address in the process less the address that the binary has for it; 0 while not known.
    """

    process: Process
    command: Command | None
    path: str
    binary: GoBinary
    functions: FunctionTable
    programs: Programs
    bias: int


def make_plan(process: Process, command: Command | None, path: str, binary: GoBinary, options: Options) -> Plan:
    """Find the points to probe.

    Raises
    ------
    BinaryError
        If the binary is not as Go writes it.
    TargetError
        If the process has ended.
    """
    functions = FunctionTable(binary)
    goid = goid_offset(binary, functions)
    found = find_points(binary, functions)
    points: list[Point] = [p for p in found if is_wanted(p, options.probes, is_command=command is not None)]
    if options.heap:
        points += find_heap_points(binary, functions, large_objects=options.large_objects)
    bias, text = _text(process, command, binary, functions)
    opened = command.path if command else process.executable()[0]
    target = Target(process.pid, opened, text, goid, span_facts_for(binary.go_release).span_class)
    is_governed = options.max_overhead is not None
    programs = Programs(target, points, options.stack_depth, options.ring_bytes, is_governed)
    return Plan(process, command, path, binary, functions, programs, bias)


def is_wanted(point: ProbePoint, probes: str, *, is_command: bool) -> bool:
    """True if a point is watched in a recording of these `probes` (`Options`)."""
    if point.kind is EventKind.EXIT:
        # Only a command that mapprobe has started may be stopped: an attached process has a parent that would see it.
        return is_command
    if point.kind is EventKind.OVERFLOW:
        # Replay chains overflow buckets itself; without operations, the memory of the end shows them. A classic map
        # that is being filled makes one with every twentieth insert: probing these made such a program 80 % slower.
        return False
    left_out = {"ops": set(), "growth": OPERATIONS, "light": OPERATIONS | CREATIONS}[probes]
    return point.kind not in left_out


def load_bias(process: Process, binary: GoBinary) -> int:
    """Return the load bias: an address in the process less the address that the binary has for it."""
    return process.load_bias(binary.lowest_vaddr) if binary.is_pie else 0


def _text(
    process: Process, command: Command | None, binary: GoBinary, functions: FunctionTable
) -> tuple[int, tuple[int, int]]:
    """Return the load bias and where the Go code lies; 0 and everywhere for a PIE command that has not started."""
    if command and binary.is_pie:
        return 0, EVERYWHERE
    bias = load_bias(process, binary)
    return bias, (functions.text_start + bias, functions.text_end + bias)
