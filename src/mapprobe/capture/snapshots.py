"""Read the maps that a session has seen from the process's memory, while the process runs on and is still watched.

A map has to be read in its state between two of its events. A map that was written during its read is read
again; a map that is written during every read is read part by part (`live.snapshot.precopy`). A map whose header the
collector has freed is dead, and its memory is not read. Maps die only at the end of a collection: if no collection
ended during a read, all maps that were alive before the read are alive after it. So maps are read a few at a time. The
ring is drained in between, as a busy process fills the ring faster than all its maps can be read.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from mapprobe.capture.intake import Intake
from mapprobe.capture.kernel.ring import Events
from mapprobe.errors import FORGED, MapprobeError, MemoryReadError
from mapprobe.live.heap.objects import Heap
from mapprobe.live.process import Process
from mapprobe.live.snapshot.buckets import TornRead, within
from mapprobe.live.snapshot.entry_hashes import Rehash
from mapprobe.live.snapshot.precopy import AMID, Source
from mapprobe.live.snapshot.reader import (
    GONE,
    NO_MAP,
    WRITTEN_AMID,
    MapImage,
    Place,
    Unread,
    bucket_columns,
    map_columns,
    read_maps,
    read_moving,
    unread_map,
)
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import Implementation

ROUNDS = 2
"""How often a map is read whole; a map that was written each time is then read part by part."""
SLOW_SECONDS = 0.05
"""Maps whose portion takes longer to read [s] are read whole only once: part by part they are done sooner."""
UNWATCHED_ROUNDS = 5
"""How often maps are read whole while operations aren't watched: nobody sees which parts of a map are written then."""
AT_A_TIME = 256
"""Maps in a portion: a portion is read again if a collection ended during its read."""
HASHED_AT_A_TIME = 4
"""Maps in a portion whose keys are hashed, which takes longer."""
BUDGET_SECONDS = 0.5
"""Time for all maps that are due during the recording, and for one of them that is written all the time [s]."""
MOVING_SECONDS = 2.0
"""Time for one map that is written all the time, at the end [s]; the bounds of its figures are narrow long before."""
ALL_MOVING_SECONDS = 10.0
"""Time for all maps that are written all the time, at the end [s]."""
MOST_TRIES = 10
"""How often at most a map that was written during its read becomes due again."""
ENDED = "the process ended before its memory could be read"
WRITTEN = "it was written each time it was read"
DIED = "it died: the collector has freed it"


@dataclass(slots=True)
class Found:
    """The outcome of reading some maps.

    Attributes
    ----------
    due
        Address and type id of the maps that are still to be read.
    images
        Maps that were read.
    unread
        By address, maps whose last read failed, or that died.
    """

    due: dict[int, int]
    images: list[MapImage] = field(default_factory=list)
    unread: dict[int, Unread] = field(default_factory=dict)

    def take(self, read: list[MapImage], failed: list[Unread]) -> None:
        """Note maps that were read, died, or have to be read again."""
        self.images += read
        self.unread |= {m.addr: m for m in failed}
        for addr in [*(image.addr for image in read), *(m.addr for m in failed if m.died)]:
            del self.due[addr]

    def left(self, why: str) -> list[Unread]:
        """Return the maps that were not read."""
        died = [m for m in self.unread.values() if m.died]
        return [*died, *(self.unread.get(addr, Unread(addr, why)) for addr in self.due)]


class Survey:
    """Reader of one process's maps: reads them during the recording and at its end, and writes what was read.

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
        self.is_watched: Callable[[], bool] = lambda: True
        """Tells whether every operation sends an event at present: only then can a map be read part by part."""
        self.is_still = False
        """True if the process is held: a map that was being written stays half written."""

    def read_due(self, heap: Heap, rehash: Rehash | None, seconds: float = BUDGET_SECONDS) -> None:
        """Read the maps that are due, with the hashes of their entries, so that replay can set its model to them.

        After `seconds` the maps that were not read stay due; so do maps that were written each time they were read.
        """
        stop_at = time.monotonic() + seconds
        due = {addr: type_id for addr, type_id in self._intake.due.items() if type_id >= 0}
        self._intake.due = {}
        for number, part in enumerate(portions(due, HASHED_AT_A_TIME)):
            if time.monotonic() > stop_at:
                self._intake.due |= dict(itertools.islice(due.items(), number * HASHED_AT_A_TIME, None))
                break
            self._read_due(part, heap, rehash, seconds)

    def _read_due(self, part: dict[int, int], heap: Heap, rehash: Rehash | None, seconds: float) -> None:
        found = Found(dict(part))
        try:
            self._read_found(found, heap, rehash, HASHED_AT_A_TIME, (seconds, seconds))
        except (MapprobeError, *FORGED):  # the process has ended, and so will the session; or its heap can't be read
            pass
        for image in found.images:
            self._tries.pop(image.addr, None)
        again = {addr for addr in found.due if self._tries.setdefault(addr, MOST_TRIES) > 0}
        for addr in again:
            self._tries[addr] -= 1
            self._intake.due[addr] = found.due.pop(addr)
        # which maps have died, the read of the end tells
        found.unread = {addr: m for addr, m in found.unread.items() if not m.died}
        self._append(found.images, found.left(WRITTEN), part, at_end=False)

    def read_all(self, heap: Heap, alive: Collection[int] | None = None) -> None:
        """Read every map that was seen, again if it was written during its read, and write the outcome.

        Parameters
        ----------
        alive
            Addresses of the only maps to read: if a program makes maps all the time, most maps that were seen have
            died. None: read all.
        """
        self._drain()
        self._intake.flush()
        # events that come in from now on may show maps of other types at the same addresses
        seen = {addr: type_id for addr, type_id in sorted(self._intake.maps.items()) if type_id >= 0}
        if alive is not None:
            wanted = frozenset(alive)
            seen = {addr: type_id for addr, type_id in seen.items() if addr in wanted}
        found, why = Found(dict(seen)), AMID if self.is_still else WRITTEN
        try:
            self._read_found(found, heap, None, AT_A_TIME, (MOVING_SECONDS, ALL_MOVING_SECONDS))
        except (MapprobeError, *FORGED) as error:
            why = f"the heap can't be read ({error})"
        if self.is_still:
            found.unread = {
                addr: replace(m, why=AMID) if m.why == WRITTEN_AMID else m for addr, m in found.unread.items()
            }
        if not self._process.is_alive():
            why = ENDED
            found.unread = {addr: m for addr, m in found.unread.items() if m.died}
        self._append(found.images, found.left(why), seen, at_end=True)

    def _read_found(
        self, found: Found, heap: Heap, rehash: Rehash | None, at_a_time: int, seconds: tuple[float, float]
    ) -> None:
        """Read maps whole; then read maps that are written all the time part by part, if operations are watched."""
        self._read_rounds(found, heap, rehash, at_a_time)
        if self.is_still or not self.is_watched():
            return
        self._read_moving(found, heap, rehash, seconds)
        if not self.is_watched():  # watching has become too costly
            self._read_rounds(found, heap, rehash, at_a_time)

    def _read_rounds(self, found: Found, heap: Heap, rehash: Rehash | None, at_a_time: int) -> None:
        """Read maps whole, and maps that were written during their read again."""
        slow: set[int] = set()
        for number in range(UNWATCHED_ROUNDS):
            if number >= ROUNDS and self.is_watched():
                return
            left_out = slow if self.is_watched() else ()
            due = {addr: type_id for addr, type_id in found.due.items() if addr not in left_out}
            for part in portions(due, at_a_time):
                started = time.monotonic()
                found.take(*self._read_part(heap, part, rehash))
                if time.monotonic() - started > SLOW_SECONDS:
                    slow |= part.keys()

    def _read_moving(self, found: Found, heap: Heap, rehash: Rehash | None, seconds: tuple[float, float]) -> None:
        """Read maps that are written all the time, each in its state of one moment; `seconds`: for one, and for all."""
        stop_at = time.monotonic() + seconds[1]
        source = Source(within(self._process.read, heap.room), self._drain, self._implementation)
        for addr, type_id in list(found.due.items()):
            if time.monotonic() > stop_at or not self.is_watched():
                break
            collections = heap.collections()
            try:
                image = read_moving(source, addr, type_id, self._intake.map_types[type_id], seconds[0], rehash)
            except TornRead as torn:
                found.take([], [unread_map(self._process.read, addr, str(torn))])
                continue
            except MemoryReadError:
                found.take([], [unread_map(self._process.read, addr, GONE)])
                continue
            except FORGED:
                found.take([], [unread_map(self._process.read, addr, NO_MAP)])
                continue
            self._take_moving(found, image, heap, collections)

    def _take_moving(self, found: Found, image: MapImage, heap: Heap, collections: int) -> None:
        """Note a map that was read part by part, or that it has died; note nothing if the image is not certain.

        Collections may have ended while a large map was read, and freed keys that were deleted meanwhile: hashes of
        entries are certain only if none ended. If operations are not watched any more, the map may have been written
        unseen.
        """
        before = heap.collections()
        has_died = image.addr in heap.free([image.addr])
        if (
            not self.is_watched()
            or heap.collections() != before
            or (image.hashes is not None and before != collections)
        ):
            return
        found.take(*([], [Unread(image.addr, DIED, _now_ns(), died=True)]) if has_died else ([image], []))

    def _read_part(
        self, heap: Heap, part: dict[int, int], rehash: Rehash | None
    ) -> tuple[list[MapImage], list[Unread]]:
        """Return the images of a few maps that are certain, and the maps that are dead or could not be read."""
        collections, now, was_watched = heap.collections(), _now_ns(), self.is_watched()
        free = heap.free(part)
        died = [Unread(addr, DIED, now, died=True) for addr in free]
        read, failed = self._read({addr: type_id for addr, type_id in part.items() if addr not in free}, heap, rehash)
        events = self._drain()
        if heap.collections() != collections or self.is_watched() != was_watched:
            return [], died
        touched = _touches(events)
        return [image for image in read if not _was_touched(image, touched)], [*died, *failed]

    def _read(
        self, maps: dict[int, int], heap: Heap, rehash: Rehash | None = None
    ) -> tuple[list[MapImage], list[Unread]]:
        types = self._intake.map_types
        return read_maps(Place(self._process.read, self._implementation, heap.room), maps.items(), types, rehash)

    def _append(self, images: list[MapImage], unread: list[Unread], type_ids: dict[int, int], *, at_end: bool) -> None:
        columns = map_columns(self._implementation, images, unread, type_ids, at_end=at_end)
        self._writer.append(schema.SNAPSHOT_MAPS, columns)
        self._writer.append(schema.SNAPSHOT_BUCKETS, bucket_columns(images))


def portions(due: dict[int, int], at_a_time: int = AT_A_TIME) -> Iterator[dict[int, int]]:
    """Yield the rows of `due`, as they are at the first call, a few at a time."""
    rows = iter(list(due.items()))
    while part := dict(itertools.islice(rows, at_a_time)):
        yield part


def _touches(parts: list[Events]) -> dict[int, list[int]]:
    """Return the times of the events of each map, by the map's address."""
    touched: dict[int, list[int]] = {}
    for events in parts:
        for addr, when in zip(events["map_addr"].tolist(), events["time_ns"].tolist(), strict=True):
            touched.setdefault(addr, []).append(when)
    return touched


def _was_touched(image: MapImage, touched: dict[int, list[int]]) -> bool:
    return any(image.started_ns <= when <= image.ended_ns for when in touched.get(image.addr, ()))


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
