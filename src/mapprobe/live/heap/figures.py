"""The runtime's own figures of its heap, as in MemStats, read from a running process without a stop.

The figures are in gcController and memstats. They are read without a lock:
each figure is right, but two figures may be some microseconds apart.

go: runtime/mgcpacer.go gcControllerState, runtime/mstats.go mstats [1.19..1.27]
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from mapprobe.go.facts import CONTROLLER_BYTES, GC_PERCENT, MEMORY_LIMIT, FigureFacts

Read = Callable[[int, int], bytes]

WORDS = (
    "goal", "last_goal", "heap_live", "heap_marked", "heap_in_use", "heap_free", "heap_released", "mapped_ready",
    "total_alloc", "total_free",
)  # fmt: skip


class Figures:
    """The figures of one process.

    Parameters
    ----------
    read
        Reads its memory.
    controller, statistics
        Addresses of gcController and memstats.
    facts
        Layout of its release.
    """

    def __init__(self, read: Read, controller: int, statistics: int, facts: FigureFacts) -> None:
        self._read, self._controller, self._statistics, self._facts = read, controller, statistics, facts

    def read(self) -> dict[str, int]:
        """Return the figures by the names of `tables.heap.FIGURES`.

        Raises
        ------
        MemoryReadError
            If they can't be read.
        """
        raw, facts = self._read(self._controller, CONTROLLER_BYTES), self._facts
        found = {f"{name}_bytes": _word(raw, getattr(facts, name), "<Q") for name in WORDS}
        found |= {
            "collections": _word(self._read(self._statistics + facts.collections, 4), 0, "<I"),
            "last_in_use_bytes": _word(self._read(self._statistics + facts.last_in_use, 8), 0, "<Q"),
            "gc_percent": _word(raw, GC_PERCENT, "<i"),
            "memory_limit_bytes": _word(raw, MEMORY_LIMIT, "<q"),
        }
        return found


def _word(raw: bytes, offset: int, form: str) -> int:
    return int(struct.unpack_from(form, raw, offset)[0])
