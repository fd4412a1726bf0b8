"""The options of a recording, as a command or a caller of `record` gives them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What to record.

    Attributes
    ----------
    probes
        ``ops``: every operation; ``growth``: creation, growth and clear only; ``light``: growth and clear only.
    stack_depth
        Frames of an event, 2 or more (a Swiss delete's caller is its second frame).
    duration
        Stop after this time [s]; None: at Ctrl-C or the target's end.
    max_bytes
        Stop when the recording has this size [bytes]; None: never.
    ring_bytes
        Size of the ring between the kernel and the recorder, a power of two [bytes].
    max_overhead
        Share of the process's CPU time that probing may take, 0 to 1; None: no limit.
    force
        Overwrite an existing recording.
    census
        Find all maps in memory at the start and at the end, also maps that no operation touches.
    heap
        Also follow arrays of buckets, collections, memory that is returned to the system, and the runtime's figures.
    large_objects
        With `heap`: follow every object that has a span of its own from event to event.
    freeze
        Stop the process (SIGSTOP) for the last read of its memory, and let it go on.
    keep_arguments
        Keep the arguments of the command in the recording: they may hold secrets.
    """

    probes: str = "ops"
    stack_depth: int = 8
    duration: float | None = None
    max_bytes: int | None = None
    force: bool = False
    ring_bytes: int = 64 << 20
    max_overhead: float | None = None
    census: bool = True
    heap: bool = False
    large_objects: bool = False
    freeze: bool = False
    keep_arguments: bool = False
