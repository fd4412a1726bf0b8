"""The hits of probe points: how many events each point sent, how many it could not send, and when those were lost."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from mapprobe.capture.kernel.probe import OUTCOMES, Probe
from mapprobe.capture.kernel.programs import Point
from mapprobe.go.points.heap_points import HeapPoint
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer


class Tally:
    """The hits of one recording's points.

    Parameters
    ----------
    started_ns
        When the first gap can begin [ns]: nothing was lost before.
    """

    def __init__(self, probe: Probe, points: Sequence[Point], writer: Writer, started_ns: int) -> None:
        self._probe, self._points, self._writer, self._seen_ns = probe, points, writer, started_ns
        self._of_maps = sum(not isinstance(point, HeapPoint) for point in points)
        self.outcomes = probe.outcomes()
        """`Probe.outcomes` at the last look."""
        self._lost = np.zeros_like(self.outcomes[: self._of_maps, 1:, :])

    @property
    def lost(self) -> int:
        """Events of maps that were lost."""
        return int(self._lost.sum())

    @property
    def lost_of_heap(self) -> int:
        """Events of the heap that were lost."""
        return int(self.outcomes[self._of_maps :, 1:, :].sum())

    def look(self) -> bool:
        """Write a gap for each point, CPU and reason with events of maps lost since the last look; True if any were."""
        self.outcomes = self._probe.outcomes()
        lost, before, now = self.outcomes[: self._of_maps, 1:, :], self._lost, _now_ns()
        point, reason, cpu = np.nonzero(lost > before)
        self._writer.append(
            schema.GAPS,
            {
                "from_ns": np.full(len(point), self._seen_ns, np.uint64),
                "to_ns": np.full(len(point), now, np.uint64),
                "point": point.astype(np.uint8),
                "cpu": cpu.astype(np.uint16),
                "reason": [OUTCOMES[1 + r] for r in reason.tolist()],
                "lost": (lost - before)[point, reason, cpu].astype(np.uint64),
            },
        )
        self._lost, self._seen_ns = lost, now
        return len(point) > 0

    def write_points(self) -> None:
        """Write all points, each with what it sent and lost until the last look."""
        outcomes = self.outcomes.sum(axis=2)
        rows = [(p.kind, p.function, p.vaddr, p.file_offset, p.instruction, str(p.cost)) for p in self._points]
        names = ("kind", "function", "vaddr", "file_offset", "instruction", "cost")
        columns: dict[str, object] = {name: [r[i] for r in rows] for i, name in enumerate(names)}
        columns |= {
            "point": list(range(len(rows))),
            "prunes_tombstones": [not isinstance(p, HeapPoint) and p.prunes_tombstones for p in self._points],
            "hits": outcomes[:, 0],
            "lost": outcomes[:, 1:].sum(axis=1),
        }
        self._writer.append(schema.POINTS, columns)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
