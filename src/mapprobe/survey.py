"""Read the maps that a session has seen from the process's memory, while it runs on and is still watched.

What counts is a moment between two events of a map: one that was written
while it was read is read again. A map whose header the collector has freed is
dead, and what stands there now is not looked at. No map dies but at the end of
a collection: those that were alive before a read are so after it if none ended
meanwhile, so they are read a few at a time. The ring is drained in between: a
busy process fills it faster than all its maps are read.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

from mapprobe import schema
from mapprobe.entries import Rehash
from mapprobe.errors import MemoryReadError
from mapprobe.heap import Heap
from mapprobe.intake import Intake
from mapprobe.process import Process
from mapprobe.ring import Events
from mapprobe.schema import Implementation
from mapprobe.snapshot import MapImage, Unread, bucket_columns, map_columns, read_maps
from mapprobe.store import Writer

ROUNDS = 5
AT_A_TIME = 256
HASHED_AT_A_TIME = 4
BUDGET_SECONDS = 0.5
DUE_ROUNDS = 10
MOST_TRIES = 10
"""So often at the most a map that was written while it was read is due again."""
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
        drain: Callable[[], list[Events]],
    ) -> None:
        self._process, self._implementation = process, implementation
        self._intake, self._writer, self._drain = intake, writer, drain
        self._tries: dict[int, int] = {}

    def read_due(self, heap: Heap, rehash: Rehash | None, seconds: float = BUDGET_SECONDS) -> None:
        """Read maps that the model will want to be told of, as they stand now, with the hashes of their entries.

        After `seconds` the rest stays due, and so do those that never stood still.
        """
        stop_at = time.monotonic() + seconds
        due = {addr: type_id for addr, type_id in self._intake.due.items() if type_id >= 0}
        self._intake.due = {}
        for number, part in enumerate(portions(due, HASHED_AT_A_TIME)):
            if time.monotonic() > stop_at:
                self._intake.due |= dict(itertools.islice(due.items(), number * HASHED_AT_A_TIME, None))
                break
            self._read_due(part, heap, rehash, stop_at)

    def _read_due(self, part: dict[int, int], heap: Heap, rehash: Rehash | None, stop_at: float) -> None:
        waiting, images, unread = dict(part), list[MapImage](), dict[int, Unread]()
        for _ in range(DUE_ROUNDS):
            try:
                collections = heap.collections()
                read, failed = self._read(waiting, heap, rehash)
                touched = _touches(self._drain())
                has_ended = heap.collections() != collections
            except MemoryReadError:  # the process has ended, and so will the session
                break
            unread |= {m.addr: m for m in failed}
            if not has_ended:
                images += [image for image in read if not _was_touched(image, touched)]
                waiting = {addr: part[addr] for addr in waiting.keys() - {image.addr for image in images}}
            if not waiting or time.monotonic() > stop_at:
                break
        for image in images:
            self._tries.pop(image.addr, None)
        again = {addr for addr in waiting if self._tries.setdefault(addr, MOST_TRIES) > 0}
        for addr in again:
            self._tries[addr] -= 1
            self._intake.due[addr] = part[addr]
        left = [unread.get(addr, Unread(addr, WRITTEN)) for addr in waiting if addr not in again]
        self._append(images, left, part, at_end=False)

    def read_all(self, heap: Heap) -> None:
        """Read every map that was seen, again where it was written meanwhile, and write what was read."""
        self._drain()
        self._intake.flush()
        # events that come in from now on may show maps of other types at the same addresses
        seen = {addr: type_id for addr, type_id in sorted(self._intake.maps.items()) if type_id >= 0}
        due = dict(seen)
        images: list[MapImage] = []
        unread: dict[int, Unread] = {}
        why = WRITTEN
        try:
            for _ in range(ROUNDS):
                for part in portions(due):
                    read, failed = self._read_part(heap, part)
                    images += read
                    unread |= {m.addr: m for m in failed}
                    for addr in [*(image.addr for image in read), *(m.addr for m in failed if m.died)]:
                        del due[addr]
        except MemoryReadError as error:
            why = f"the heap can't be read ({error})"
        died = [m for m in unread.values() if m.died]
        if not self._process.is_alive():
            why, unread = ENDED, {}
        self._append(images, [*died, *(unread.get(addr, Unread(addr, why)) for addr in due)], seen, at_end=True)

    def _read_part(self, heap: Heap, part: dict[int, int]) -> tuple[list[MapImage], list[Unread]]:
        """Return the images of a few maps that are certain, and those that are dead or no maps."""
        collections, now = heap.collections(), _now_ns()
        free = heap.free(part)
        died = [Unread(addr, DIED, now, died=True) for addr in free]
        read, failed = self._read({addr: type_id for addr, type_id in part.items() if addr not in free}, heap)
        events = self._drain()
        if heap.collections() != collections:
            return [], died
        touched = _touches(events)
        return [image for image in read if not _was_touched(image, touched)], [*died, *failed]

    def _read(
        self, maps: dict[int, int], heap: Heap, rehash: Rehash | None = None
    ) -> tuple[list[MapImage], list[Unread]]:
        types = self._intake.map_types
        return read_maps(self._process.read, self._implementation, maps.items(), types, heap.room, rehash)

    def _append(self, images: list[MapImage], unread: list[Unread], type_ids: dict[int, int], *, at_end: bool) -> None:
        columns = map_columns(self._implementation, images, unread, type_ids, at_end=at_end)
        self._writer.append(schema.SNAPSHOT_MAPS, columns)
        self._writer.append(schema.SNAPSHOT_BUCKETS, bucket_columns(images))


def portions(due: dict[int, int], at_a_time: int = AT_A_TIME) -> Iterator[dict[int, int]]:
    """Yield `due`, as it is now, a few at a time."""
    rows = iter(list(due.items()))
    while part := dict(itertools.islice(rows, at_a_time)):
        yield part


def _touches(parts: list[Events]) -> dict[int, list[int]]:
    """Return when which maps were touched."""
    touched: dict[int, list[int]] = {}
    for events in parts:
        for addr, when in zip(events["map_addr"].tolist(), events["time_ns"].tolist(), strict=True):
            touched.setdefault(addr, []).append(when)
    return touched


def _was_touched(image: MapImage, touched: dict[int, list[int]]) -> bool:
    return any(image.started_ns <= when <= image.ended_ns for when in touched.get(image.addr, ()))


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
