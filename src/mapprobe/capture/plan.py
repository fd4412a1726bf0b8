"""The plan of a recording: the points to probe, found in the binary, and their programs for the compiler.

Nothing here needs pyarrow: the compiler's process is at work while this process loads pyarrow.
"""

from __future__ import annotations

from mapprobe.capture.kernel.programs import Point, ProbedProcess, Programs
from mapprobe.capture.options import Options
from mapprobe.go.facts import span_facts_for
from mapprobe.go.points.heap_points import find_heap_points
from mapprobe.go.points.map_points import find_points
from mapprobe.go.points.probe_point import ProbePoint
from mapprobe.go.variables import goid_offset
from mapprobe.live.target import Target
from mapprobe.vocabulary import EventKind

EVERYWHERE = (0, (1 << 64) - 1)
OPERATIONS = {EventKind.ASSIGN, EventKind.DELETE}
CREATIONS = {EventKind.CREATE, EventKind.CLONE}
GROWTHS = {EventKind.GROW, EventKind.CLEAR, EventKind.OVERFLOW}


def plan_programs(target: Target, options: Options) -> Programs:
    """Return the programs for the points to probe, which are found in the binary.

    Raises
    ------
    BinaryError
        If the binary is not as Go writes it.
    """
    binary, functions, is_command = target.binary, target.functions, target.command is not None
    goid = goid_offset(binary, functions)
    found = find_points(binary, functions)
    points: list[Point] = [p for p in found if is_wanted(p, options.probes, is_command=is_command)]
    if options.heap:
        points += find_heap_points(binary, functions, large_objects=options.large_objects)
    text = target.text.start + target.bias, target.text.stop + target.bias
    if is_command and binary.is_pie:  # where it will be loaded is not known yet
        text = EVERYWHERE
    span_class = span_facts_for(binary.go_release).span_class
    probed = ProbedProcess(target.process.pid, target.executable, text, goid, span_class)
    is_governed = options.max_overhead is not None
    return Programs(probed, points, options.stack_depth, options.ring_bytes, is_governed)


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
