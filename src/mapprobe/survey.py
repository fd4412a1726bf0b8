"""Read the maps that a session has seen from the process's memory, while it runs on and is still watched.

What counts is a moment between two events of a map: one that was written
while it was read is read again. A map whose header the collector has freed is
dead, and what stands there now is not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mapprobe import schema
from mapprobe.errors import MemoryReadError
from mapprobe.heap import Heap
from mapprobe.intake import Intake
from mapprobe.process import Process
from mapprobe.ring import Events
from mapprobe.schema import Implementation
from mapprobe.snapshot import MapImage, Unread, bucket_columns, map_columns, read_maps
from mapprobe.store import Writer

ROUNDS = 5
ENDED = "the process ended before its memory could be read"
WRITTEN = "it was written each time it was read"
DIED = "it died: the collector has freed it"


class Survey:
    """What is read of one process, and where it goes.

    Parameters
    ----------
    drain
        Takes in the events of the ring and returns them.
    """

    def __init__(
        self,
        process: Process,
        implementation: Implementation,
        intake: Intake,
        writer: Writer,
        drain: Callable[[], Events],
    ) -> None:
        self._process, self._implementation = process, implementation
        self._intake, self._writer, self._drain = intake, writer, drain

    def read_filled(self) -> None:
        """Read the maps that were filled before they were first seen, as they stand now."""
        due, self._intake.filled = self._intake.filled, {}
        images, unread = self._read({addr: type_id for addr, type_id in due.items() if type_id >= 0})
        self._append(images, unread, at_end=False)

    def read_all(self, heap: Heap) -> None:
        """Read every map that was seen, again where it was written meanwhile, and write what was read."""
        self._drain()
        self._intake.flush()
        due = {addr: type_id for addr, type_id in self._intake.maps.items() if type_id >= 0}
        images: list[MapImage] = []
        died: list[Unread] = []
        unread: dict[int, Unread] = {}
        why = WRITTEN
        try:
            for _ in range(ROUNDS):
                died += self._take_dead(heap, due)
                read, failed = self._read(due)
                unread = {m.addr: m for m in failed}
                died += self._take_dead(heap, due)  # one that died meanwhile may have been read as anything
                touched = self._touched_since(min((image.started_ns for image in read), default=0))
                for image in read:
                    if image.addr in due and not _was_touched(image, touched):
                        images.append(image)
                        del due[image.addr]
        except MemoryReadError as error:
            why = f"the heap can't be read ({error})"
        if not self._process.is_alive():
            why, unread = ENDED, {}
        self._append(images, [*died, *(unread.get(addr, Unread(addr, why)) for addr in due)], at_end=True)

    def _take_dead(self, heap: Heap, due: dict[int, int]) -> list[Unread]:
        """Take the dead out of `due`."""
        now = _now_ns()
        found = heap.free(due)
        for addr in found:
            del due[addr]
        return [Unread(addr, DIED, now, died=True) for addr in found]

    def _read(self, maps: dict[int, int]) -> tuple[list[MapImage], list[Unread]]:
        return read_maps(self._process.read, self._implementation, maps.items(), self._intake.map_types)

    def _append(self, images: list[MapImage], unread: list[Unread], *, at_end: bool) -> None:
        columns = map_columns(self._implementation, images, unread, self._intake.maps, at_end=at_end)
        self._writer.append(schema.SNAPSHOT_MAPS, columns)
        self._writer.append(schema.SNAPSHOT_BUCKETS, bucket_columns(images))

    def _touched_since(self, since_ns: int) -> dict[int, list[int]]:
        """Return when which maps were touched, by the events that came in meanwhile."""
        events = self._drain()
        touched: dict[int, list[int]] = {}
        for addr, when in zip(events["map_addr"].tolist(), events["time_ns"].tolist(), strict=True):
            if when >= since_ns:
                touched.setdefault(addr, []).append(when)
        return touched


def _was_touched(image: MapImage, touched: dict[int, list[int]]) -> bool:
    return any(image.started_ns <= when <= image.ended_ns for when in touched.get(image.addr, ()))


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
