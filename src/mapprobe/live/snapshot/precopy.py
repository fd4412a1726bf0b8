"""Reads a map that is written all the time in its state of one moment, as live migration copies a running machine.

The whole map is read first. Then the parts that operations have touched since, as the events of the ring say, are read
again and again. The copy is the map of one moment if for each part no event touched the part between that moment and
the read of the part. The read may come before or after the moment, so the last few parts may be read after it.

An event is sent before its operation changes anything, and the map's header is marked as being written until the
operation is done. So if a header is not marked, all operations with earlier events are done.
"""

from __future__ import annotations

import itertools
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64, U64, Flags
from mapprobe.live.snapshot.buckets import Buckets, Read, TornRead, words
from mapprobe.live.snapshot.copies import LAYOUT, Operations, Piece, copy_of
from mapprobe.live.snapshot.entry_hashes import is_live
from mapprobe.vocabulary import EventKind, Implementation

HEADER_WORDS = 6
NEVER = -1
IS_WRITTEN = {
    Implementation.CLASSIC: (1, np.uint64(4)),
    Implementation.SWISS: (4, np.uint64(0xFF0000)),
}
"""Word and bits of a header that mark a map as being written.

go: runtime/map.go hashWriting [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""
OPERATIONS = (EventKind.ASSIGN, EventKind.DELETE)
STARTS_OVER = (EventKind.CLEAR, EventKind.CREATE)
"""Events after which no part that was read before is valid."""
HEADER_SECONDS = 1.0
"""Longest wait for a header that no operation is writing [s]: an operation takes some microseconds, but on a busy host
its thread may lose the CPU during it, again and again."""
HEADER_LOOKS = 1000
"""Looks at a header, some milliseconds, after which mapprobe naps between looks: the writing thread needs a CPU."""
NAP_SECONDS = 0.0005
"""Length of a nap between two looks at a header [s]."""
READS_AT_ONCE = 1000
"""Most small reads between two looks into the ring: some milliseconds."""
MOST_TRIES = 200
LEAST_ROUNDS = 5
"""Rounds that are tried at least, even if one takes all the time, as on a very busy host; but see `LONGER`."""
LONGER = 3
"""A read is given up after this many times its time, however few rounds were tried."""
MOST_DIRTY = 50_000
"""Most parts that are read again, which takes a tenth of a second: with more, their number would grow without end."""
DRAIN_SECONDS = 0.05
"""Time between two drains of the ring during long reads [s]: the ring fills in half a second at the fastest."""
NEVER_STILL = "it never stood still: parts of it were written faster than they could be read"
AMID = "an operation on it was not finished"


class Events(Protocol):
    """Events as columns, one row an event (`capture.kernel.ring.Events`)."""

    def __len__(self) -> int:
        """Return the number of events."""
        ...

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column, ``(events,)``; of ``header`` ``(6, events)``."""
        ...

    def take(self, rows: I64) -> Events:
        """Return some events."""
        ...


class Moment(NamedTuple):
    """A map in its state at `time_ns`: after all its earlier events."""

    header: U64
    buckets: Buckets
    time_ns: int


@dataclass(frozen=True, slots=True)
class Source:
    """The source from which a map is read while it is written.

    Attributes
    ----------
    read
        Reads the process's memory (`buckets.within`).
    drain
        Takes in the events of the ring and returns them.
    """

    read: Read
    drain: Callable[[], Sequence[Events]]
    implementation: Implementation


class _Look(NamedTuple):
    """A header that no operation was writing, and parts that were read after it."""

    header: U64
    started_ns: int
    header_ns: int
    pieces: list[Piece]
    ended_ns: int


class Touches(NamedTuple):
    """Parts that operations may have changed: time, part, and hash of the key, ``(n,)`` each."""

    time_ns: I64
    part: I64
    hash: U64

    def of(self, rows: Flags) -> Touches:
        """Return some touches."""
        return Touches(self.time_ns[rows], self.part[rows], self.hash[rows])

    def and_more(self, more: Touches) -> Touches:
        """Return these touches and further ones."""
        time_ns, part, key = (np.concatenate(columns) for columns in zip(self, more, strict=True))
        return Touches(time_ns, part, key)

    def keys(self, parts: int) -> I64:
        """Return by how many distinct keys each part was touched, ``(parts,)``."""
        order = np.lexsort((self.hash, self.part))
        part, key = self.part[order], self.hash[order]
        is_first = np.r_[np.ones(min(1, len(part)), np.bool_), (part[1:] != part[:-1]) | (key[1:] != key[:-1])]
        return np.bincount(part[is_first], minlength=parts)


NO_TOUCHES = Touches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64))


def read_moment(source: Source, addr: int, bucket_bytes: int, seconds: float) -> Moment:
    """Read a map that is written during the read, in its state of one moment.

    Parameters
    ----------
    seconds
        Time for further rounds after the first read [s].

    Raises
    ------
    TornRead
        If the map was written too fast, or there is no map.
    MemoryReadError
        If the map's memory can't be read.
    """
    reading, stop_at = _Reading(source, addr, bucket_bytes), float("inf")
    for number in itertools.count():
        if moment := reading.round():
            return moment
        if number == 0:
            stop_at = time.monotonic() + seconds
        late = time.monotonic() - stop_at
        if late > LONGER * seconds or (late > 0 and number >= LEAST_ROUNDS):
            break
    raise TornRead(NEVER_STILL)


class _Reading:
    """The state of reading one map.

    A part that was read between `since` and `until` has its state at `since`, unless an event touched it in between.
    """

    def __init__(self, source: Source, addr: int, bucket_bytes: int) -> None:
        self._source, self._addr, self._bucket_bytes = source, addr, bucket_bytes
        self._waiting: list[Events] = []
        self._drained_at = 0.0
        self._begin()

    def _begin(self) -> None:
        """Begin again, with an empty copy."""
        self._copy = copy_of(self._source.implementation, self._read, self._bucket_bytes)
        self._since, self._until = np.full(1, NEVER, np.int64), np.full(1, NEVER, np.int64)
        self._is_sure, self._is_over, self._began_ns = True, False, _now_ns()
        self._times = np.empty(0, np.int64)
        self._touches = NO_TOUCHES

    def _read(self, addr: int, length: int) -> bytes | bytearray:
        """Read memory, and drain the ring if it is due."""
        found = self._source.read(addr, length)
        if time.monotonic() - self._drained_at > DRAIN_SECONDS:
            self._drain()
        return found

    def _drain(self) -> None:
        for events in self._source.drain():
            is_ours = (events["map_addr"] == np.uint64(self._addr)) & (events["time_ns"] >= np.uint64(self._began_ns))
            if is_ours.any():
                self._waiting.append(events.take(np.flatnonzero(is_ours)))
        self._drained_at = time.monotonic()

    def round(self) -> Moment | None:
        """Read the parts again that were touched; return the map if all parts have the state of one moment."""
        is_laid_out = self._since[LAYOUT] != NEVER and not self._is_dirty(LAYOUT)
        look = self._look_again() if is_laid_out else self._lay_out()
        bad = None if self._is_over or not look else self._bad(look)
        if bad is not None and look and (not len(bad) or self._read_behind(look, bad)):
            buckets = self._copy.buckets()
            if int(np.count_nonzero(is_live(self._source.implementation, buckets.control))) == int(look.header[0]):
                return Moment(look.header, buckets, look.started_ns)
            self._is_over = True  # an event was lost
        if self._is_over:
            self._begin()
        return None

    def _header(self) -> _Look:
        """Look at the header until no operation is writing it; return this look."""
        word, bits = IS_WRITTEN[self._source.implementation]
        stop_at = _now_ns() + int(HEADER_SECONDS * 1e9)
        for number in itertools.count():
            if number > HEADER_LOOKS:
                select.select([], [], [], NAP_SECONDS)
            if (started := _now_ns()) > stop_at:
                break
            header = words(self._source.read, self._addr, HEADER_WORDS)
            if not header[word] & bits:
                now = _now_ns()
                return _Look(header, started, now, [], now)
        raise TornRead(AMID)

    def _lay_out(self) -> _Look:
        """Read the layout of the map, and the parts that it did not have before."""
        look = self._header()
        added = self._copy.lay_out(look.header, was_sure=self._is_sure)
        more = np.zeros(len(added), np.int64)
        self._since, self._until = (np.r_[times[: added.start], more] for times in (self._since, self._until))
        for parts in (slice(added.start, added.stop), LAYOUT):
            self._since[parts], self._until[parts] = look.started_ns, _now_ns()
        self._touches = self._touches.of(self._touches.part < added.start)
        self._touches = self._touches.of(self._copy.held()[self._touches.part])
        self._take_events()
        touches = self._touches
        self._is_sure = not ((touches.part == LAYOUT) & (touches.time_ns >= look.started_ns)).any()
        return look

    def _look_again(self) -> _Look | None:
        """Read the touched parts again, several times if they are few; return the first look that fits, or the last."""
        dirty = np.flatnonzero(np.bincount(self._touches.part[self._is_late()], minlength=len(self._since)))
        if len(dirty) > MOST_DIRTY:
            raise TornRead(NEVER_STILL)
        looks = [self._look(dirty) for _ in range(max(1, min(MOST_TRIES, READS_AT_ONCE // (1 + len(dirty)))))]
        self._take_events()
        since, until = self._since.copy(), self._until.copy()
        for look in looks:
            self._since[dirty], self._until[dirty] = look.started_ns, look.ended_ns
            bad = self._bad(look)
            if look is looks[-1] or (bad is not None and not np.isin(dirty, bad).any()):
                break
            self._since[dirty], self._until[dirty] = since[dirty], until[dirty]
        for part, piece in zip(dirty.tolist(), look.pieces, strict=True):
            self._copy.put(part, piece)
        return look

    def _look(self, dirty: I64) -> _Look:
        look = self._header()
        return look._replace(pieces=[self._copy.fetch(part) for part in dirty.tolist()], ended_ns=_now_ns())

    def _read_behind(self, look: _Look, bad: I64) -> bool:
        """Read parts after a look that were touched before its moment; return whether the look is valid then."""
        is_after = self._touches.time_ns >= look.started_ns
        if bad[0] == LAYOUT or len(bad) > READS_AT_ONCE or np.isin(bad, self._touches.part[is_after]).any():
            return False
        pieces = [self._copy.fetch(part) for part in bad.tolist()]
        self._since[bad], self._until[bad] = look.started_ns, _now_ns()
        self._take_events()
        for part, piece in zip(bad.tolist(), pieces, strict=True):
            self._copy.put(part, piece)
        left = self._bad(look)
        return left is not None and not len(left) and not self._is_over

    def _bad(self, look: _Look) -> I64 | None:
        """Return the parts without the state of the time when a look began; None: the header has another state too."""
        at = look.started_ns
        if ((self._times >= at) & (self._times <= look.header_ns)).any():
            return None
        if not self._copy.is_laid_out(look.header):
            self._touches = self._touches.and_more(Touches(np.array([at]), np.array([LAYOUT]), np.zeros(1, np.uint64)))
            return None
        when, since, until = self._touches.time_ns, self._since[self._touches.part], self._until[self._touches.part]
        was_missed = (since < at) & (since <= when) & (when < at)
        came_between = (since >= at) & (at <= when) & (when <= until)
        return np.unique(self._touches.part[was_missed | came_between])

    def _is_dirty(self, part: int) -> bool:
        return bool((self._touches.part[self._is_late()] == part).any())

    def _is_late(self) -> Flags:
        """Return which touches came after their part was read."""
        found: Flags = self._touches.time_ns >= self._since[self._touches.part]
        return found

    def _take_events(self) -> None:
        """Note the touches of all new events; forget touches of parts that were read since."""
        self._drain()
        self._touches = self._touches.of(self._is_late())
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        kind, time_ns, key, headers = (
            np.concatenate([events[name] for events in waiting], axis=-1)
            for name in ("kind", "time_ns", "hash", "header")
        )
        self._times = time_ns.astype(np.int64)
        self._is_over |= bool(np.isin(kind, STARTS_OVER).any())
        is_operation = np.isin(kind, OPERATIONS)
        others = self._times[~is_operation]
        layout = Touches(others, np.full(len(others), LAYOUT), np.zeros(len(others), np.uint64))
        self._touches = self._touches.and_more(layout)
        if not self._is_over:
            header = words(self._source.read, self._addr, HEADER_WORDS)
            operations = Operations(key[is_operation], headers[:, is_operation], header)
            self._touch(operations, self._times[is_operation])

    def _touch(self, operations: Operations, times: I64) -> None:
        """Note the parts that operations touched; if a group may be full, later probes go on past the group."""
        full = np.zeros(len(self._since), np.bool_)
        row, part = self._copy.changed_whole(operations)
        before = self._touches.and_more(Touches(times[row], part, operations.hashes[row]))
        while True:
            row, part = self._copy.touched(operations, full)
            touches = before.and_more(Touches(times[row], part, operations.hashes[row]))
            filled = self._copy.filled(touches.keys(len(full))) & ~full
            if not filled[part].any():
                break
            full |= filled
        self._touches = touches


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
