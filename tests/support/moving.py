"""The memory of a process that writes one map while the map is read, and the events that a recorder gets of it."""

from __future__ import annotations

import bisect
import random
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mapprobe.capture.kernel.ring import EVENT, Events
from mapprobe.errors import MemoryReadError
from mapprobe.vocabulary import EventKind, Implementation
from support.reference import Bucket, ClassicMap, SwissMap, Table

HEADER = 0xC000000000
HEAP = 0xC000100000
BUCKET_BYTES = {Implementation.CLASSIC: 24, Implementation.SWISS: 16}
SEED = 0x1234_5678
STACK = 1
ENDS = 0.3
"""How often an operation ends between two reads, once it has begun."""


@dataclass
class Moment:
    """What the map held until an operation."""

    until_ns: int
    control: list[bytes]
    part: list[int]


@dataclass
class Moving:
    """A map of a reference model in memory, and what writes it.

    Attributes
    ----------
    pace
        How often something happens between two small reads, 0 to 1.
    keys
        Hashes of the keys that are written.
    """

    map: ClassicMap | SwissMap
    pace: float
    keys: list[int]
    random: random.Random
    clear_every: int = 0
    moments: list[Moment] = field(default_factory=list)
    _regions: dict[int, Any] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=list)
    _addrs: dict[int, int] = field(default_factory=dict)
    _top: int = HEAP
    _events: list[tuple[Any, ...]] = field(default_factory=list)
    _pending: tuple[bool, int] | None = None
    _done: int = 0

    @property
    def implementation(self) -> Implementation:
        return Implementation.CLASSIC if isinstance(self.map, ClassicMap) else Implementation.SWISS

    def read(self, addr: int, length: int) -> bytes:
        """Return memory: between any two of its buckets or words something may happen."""
        found = bytearray()
        while len(found) < length:
            if self.random.random() < (ENDS if self._pending else self.pace):
                self._go_on()
            part = self._piece(addr + len(found))[: length - len(found)]
            if not part:
                raise MemoryReadError(addr, length, "nothing is there")
            found += part
        return bytes(found)

    def _piece(self, addr: int) -> bytes:
        """Return what stands at an address, as far as it changes at once."""
        start, obj = self._region(addr)
        at, size = addr - start, BUCKET_BYTES[self.implementation]
        if isinstance(obj, list) and isinstance(obj[0], Bucket):
            return self._bucket(obj[at // size])[at % size :] if at < size * len(obj) else b""
        return self._content(obj)[at:]

    def drain(self) -> list[Events]:
        rows = np.zeros(len(self._events), EVENT)
        for n, (when, kind, hashed, header) in enumerate(self._events):
            rows[n]["time_ns"], rows[n]["kind"], rows[n]["hash"], rows[n]["map_addr"] = when, kind, hashed, HEADER
            rows[n]["header"] = np.frombuffer(header, np.uint64)
        self._events = []
        return [Events.of(rows)]

    def at(self, time_ns: int) -> Moment:
        """Return what it held after all operations whose events came before."""
        return next((m for m in self.moments if m.until_ns >= time_ns), self._moment(1 << 62))

    def settle(self) -> None:
        """End the operation that is under way."""
        if self._pending:
            self._end()

    def _go_on(self) -> None:
        """Begin an operation, or end the one that is under way."""
        if self._pending:
            self._end()
            return
        hashed = self.random.choice(self.keys)
        inserts = self.random.random() < 0.5
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        self.moments.append(self._moment(now))
        self._pending = (inserts, hashed)
        self._done += 1
        if self.clear_every and self._done % self.clear_every == 0:
            self._pending = None
            self._events.append((now, EventKind.CLEAR, 0, self._header()))
            self.map.clear(STACK)
            return
        kind = EventKind.ASSIGN if inserts else EventKind.DELETE
        self._events.append((now, kind, hashed, self._header()))

    def _end(self) -> None:
        assert self._pending
        (inserts, hashed), before = self._pending, self._layout()
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        header = self._header()
        if not inserts:
            self.map.delete((hashed, 0), STACK)
        elif isinstance(self.map, ClassicMap):
            self.map.insert((hashed, 0), STACK)
        else:
            self.map.insert((hashed, 0), STACK, prunes=True)
        self._pending = None
        if before and self._layout() != before:
            self._events.append((now, EventKind.GROW, 0, header))

    def _layout(self) -> list[int]:
        if isinstance(self.map, ClassicMap):  # the end of a growth sends nothing
            return [] if self.map.buckets is None or self.map.oldbuckets else [id(self.map.buckets)]
        return [id(table) for table in self.map.directory] or ([id(self.map.small)] if self.map.small else [])

    def _moment(self, until_ns: int) -> Moment:
        listed = self.map.listed()
        return Moment(until_ns, [bytes(b.control) for b, _ in listed], [part for _, part in listed])

    def _addr(self, obj: Any, length: int) -> int:
        if id(obj) not in self._addrs:
            self._addrs[id(obj)] = self._top
            self._starts.append(self._top)
            self._regions[self._top] = obj  # kept: no other gets its id
            self._top += -(-length // 64) * 64 + 64
        return self._addrs[id(obj)]

    def _region(self, addr: int) -> tuple[int, Any]:
        if HEADER <= addr < HEADER + 48:
            return HEADER, self.map
        n = bisect.bisect_right(self._starts, addr) - 1
        if n < 0:
            raise MemoryReadError(addr, 1, "nothing is there")
        return self._starts[n], self._regions[self._starts[n]]

    def _content(self, obj: Any) -> bytes:
        if obj is self.map:
            return self._header()
        if isinstance(obj, Bucket):
            return self._bucket(obj)
        if isinstance(obj, Table):
            groups = self._addr(obj.groups, 16 * len(obj.groups))
            packed = struct.pack("<HHHBxqQQ", obj.used, obj.capacity, obj.growth_left, obj.local_depth, obj.index,
                                 groups, len(obj.groups) - 1)  # fmt: skip
            return packed
        return struct.pack(f"<{len(obj)}Q", *(self._addr(table, 32) for table in obj))

    def _bucket(self, bucket: Bucket) -> bytes:
        if self.implementation is Implementation.SWISS:
            return bytes(bucket.control) + bytes(8)
        following = self._addr(bucket.overflow, 24) if bucket.overflow else 0
        return bytes(bucket.control) + bytes(8) + struct.pack("<Q", following)

    def _header(self) -> bytes:
        m, is_written = self.map, self._pending is not None
        if isinstance(m, ClassicMap):
            flags = 4 * is_written + 8 * m.same_size_grow
            buckets = self._addr(m.buckets, 24 * len(m.buckets)) if m.buckets else 0
            old = self._addr(m.oldbuckets, 24 * len(m.oldbuckets)) if m.oldbuckets else 0
            return struct.pack("<QBBHIQQQQ", m.count, flags, m.B, m.noverflow & 0xFFFF, SEED, buckets, old,
                               m.nevacuate, 0)  # fmt: skip
        if m.directory:
            # of a directory that is written in place Python makes no other list
            array, length = self._addr(m.directory, 8 * len(m.directory)), len(m.directory)
        else:
            array, length = (self._addr(m.small, 16) if m.small else 0), 0
        return struct.pack("<QQQQBBBBIQ", m.used, SEED, array, length, m.global_depth, 0, is_written, 0, 0, 0)


def moving(is_swiss: bool, entries: int, left: int, pace: float, keys: int, seed: int, **rest: int) -> Moving:
    """Return a map that was filled, drained, and is written with so many keys."""
    numbers = random.Random(seed)
    m: ClassicMap | SwissMap = SwissMap((1, 25), 0, 1) if is_swiss else ClassicMap((1, 23), 0, {5: 2, 6: 4, 7: 8}, 1)
    filled = [numbers.getrandbits(64) for _ in range(entries)]
    for key in filled:
        if isinstance(m, SwissMap):
            m.insert((key, 0), 1, prunes=True)
        else:
            m.insert((key, 0), 1)
    for key in filled[left:]:
        m.delete((key, 0), 1)
    written = [numbers.getrandbits(64) for _ in range(keys)] + filled[: min(left, keys)]
    return Moving(m, pace, written, numbers, **rest)
