"""Reading maps of a process that runs on: process, heap and ring are simulated, and do what a test says."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mapprobe.capture.kernel.ring import EVENT, Events
from mapprobe.capture.snapshots import AT_A_TIME, MOST_TRIES, Survey, portions
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import Implementation
from support.moving import BUCKET_BYTES, HEADER, Moving, moving
from support.plain_type import MAP_TYPE

INTS, STRINGS = 0, 1
ADDRESS = 0xC000010000
LARGEST_READ = 1 << 16


class Target:
    """Every map in it is empty, or has the header that a test says."""

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def read(self, _addr: int, length: int) -> bytes:
        assert length <= LARGEST_READ
        return self._header if self._header and length == len(self._header) else bytes(length)

    def is_alive(self) -> bool:
        return True


class Restless(Target):
    """Its maps are written for the first so many reads."""

    def __init__(self, reads: int) -> None:
        self._reads = reads

    def read(self, _addr: int, length: int) -> bytes:
        self._reads -= 1
        return bytes(length - 1) + bytes([max(self._reads, 0) % 251])


class Alive:
    """A process that goes on, with the memory of a map that is written."""

    def __init__(self, memory: Moving) -> None:
        self.read = memory.read

    def is_alive(self) -> bool:
        return True


class Collector:
    """A heap whose collections end, and let maps die, when a test says."""

    def __init__(self, counts: Iterable[int], dies_at: int = -1) -> None:
        self._counts, self._dies_at, self._last = iter(counts), dies_at, 0

    def collections(self) -> int:
        self._last = next(self._counts, self._last)
        return self._last

    def room(self, _addr: int) -> int:
        return 4096

    def free(self, addrs: Iterable[int]) -> set[int]:
        return set(addrs) if self._last == self._dies_at else set()


class Intake:
    def __init__(self, maps: dict[int, int]) -> None:
        self.maps, self.map_types, self.due = maps, [MAP_TYPE, MAP_TYPE], dict(maps)

    def flush(self) -> None: ...


class Written:
    def __init__(self) -> None:
        self.maps: list[dict[str, Any]] = []

    def append(self, table: schema.Table, columns: Mapping[str, Any]) -> None:
        if table is schema.SNAPSHOT_MAPS:
            names = ("map_addr", "type_id", "died", "skipped")
            self.maps += [dict(zip(names, row, strict=True)) for row in zip(*map(columns.get, names), strict=True)]


def no_events() -> list[Events]:
    return [Events.of(np.empty(0, EVENT))]


def survey(
    maps: dict[int, int],
    heap: Collector,
    drain: Callable[[Intake], list[Events]] = lambda _intake: no_events(),
    header: bytes = b"",
) -> list[dict[str, Any]]:
    """Return what is written of `maps`."""
    intake, written = Intake(maps), Written()
    made: Any = Survey
    made(Target(header), Implementation.CLASSIC, intake, written, lambda: drain(intake)).read_all(heap)
    return written.maps


@pytest.mark.parametrize(
    ("reads", "skipped"), [(0, None), (5, None), (100, None), (1 << 20, "it was written while it was read")]
)
def test_map_that_nobody_watches_is_read_when_it_stands_still(reads: int, skipped: str | None) -> None:
    intake, written = Intake({ADDRESS: INTS}), Written()
    made: Any = Survey
    survey = made(Restless(reads), Implementation.CLASSIC, intake, written, no_events)
    survey.is_watched = lambda: False
    for _ in range(MOST_TRIES + 1):
        survey.read_due(Collector([]), None)

    assert [(m["map_addr"], m["skipped"]) for m in written.maps] == [(ADDRESS, skipped)]
    assert intake.due == {}


def test_a_map_is_read_as_it_is() -> None:
    found = survey({ADDRESS: INTS}, Collector([]))

    assert found == [{"map_addr": ADDRESS, "type_id": INTS, "died": False, "skipped": None}]


def test_map_that_was_read_while_a_collection_ended_is_looked_at_again() -> None:
    (found,) = survey({ADDRESS: INTS}, Collector([2, 4, 4, 4], dies_at=4))

    assert found["died"]


def test_map_that_is_watched_is_read_whoever_writes_it() -> None:
    target = moving(is_swiss=False, entries=60, left=30, pace=0.02, keys=50, seed=1)
    kind = replace(MAP_TYPE, bucket_bytes=BUCKET_BYTES[Implementation.CLASSIC])
    intake, written = Intake({HEADER: INTS}), Written()
    intake.map_types = [kind]
    made: Any = Survey
    survey = made(Alive(target), Implementation.CLASSIC, intake, written, target.drain)
    survey.read_due(Collector([]), None)
    survey.read_all(Collector([]))

    assert [(m["map_addr"], m["skipped"]) for m in written.maps] == [(HEADER, None)] * 2


def test_a_map_being_written_when_the_process_is_stopped_is_reported() -> None:
    header = struct.pack("<QBBHIQQQQ", 0, 4, 0, 0, 0, 0, 0, 0, 0)
    intake, written = Intake({ADDRESS: INTS}), Written()
    made: Any = Survey
    survey = made(Target(header), Implementation.CLASSIC, intake, written, no_events)
    survey.is_still = True
    survey.read_all(Collector([]))

    assert [m["skipped"] for m in written.maps] == ["an operation on it was not finished"]


def test_only_maps_that_are_alive_are_read() -> None:
    intake, written = Intake({ADDRESS: INTS, ADDRESS + 48: INTS, ADDRESS + 96: INTS}), Written()
    made: Any = Survey
    survey = made(Target(), Implementation.CLASSIC, intake, written, no_events)
    survey.read_all(Collector([]), alive=[ADDRESS + 48, ADDRESS + 4800])

    assert [m["map_addr"] for m in written.maps] == [ADDRESS + 48]


@pytest.mark.parametrize("error", [ValueError, OverflowError, IndexError, MemoryError])
def test_odd_memory_costs_one_map_alone(error: type[Exception]) -> None:
    class Odd(Target):
        def read(self, addr: int, length: int) -> bytes:
            if addr == ADDRESS:
                raise error
            return bytes(length)

    intake, written = Intake({ADDRESS: INTS, ADDRESS + 48: INTS}), Written()
    made: Any = Survey
    survey = made(Odd(), Implementation.SWISS, intake, written, no_events)
    survey.read_all(Collector([]))

    assert {m["map_addr"]: m["skipped"] is None for m in written.maps} == {ADDRESS: False, ADDRESS + 48: True}


def test_map_is_not_taken_for_read_while_collections_never_stop() -> None:
    (found,) = survey({ADDRESS: INTS}, Collector(range(1000)))

    assert (found["died"], found["skipped"]) == (False, "it was written each time it was read")


def test_ring_is_drained_between_portions() -> None:
    drains: Iterator[int] = iter(range(1000))

    def drain(_intake: Intake) -> list[Events]:
        next(drains)
        return no_events()

    survey({ADDRESS + 48 * n: INTS for n in range(3 * AT_A_TIME)}, Collector([]), drain)
    assert next(drains) == 1 + 3


def test_type_of_what_was_read_is_not_that_of_a_later_map_at_its_address() -> None:
    def drain(intake: Intake) -> list[Events]:
        if drains.pop(0):
            intake.maps[ADDRESS] = STRINGS
        return no_events()

    drains = [False, True]
    (found,) = survey({ADDRESS: INTS}, Collector([]), drain)

    assert found["type_id"] == INTS


def test_what_looks_like_a_map_larger_than_its_memory_is_not_read() -> None:
    header = struct.pack("<QBBHIQQQQ", 0, 0, 30, 0, 0, ADDRESS, 0, 0, 0)
    (found,) = survey({ADDRESS: INTS}, Collector([]), header=header)

    assert found["skipped"] == "its header is no map's"


@pytest.mark.parametrize("count", [0, 1, AT_A_TIME, AT_A_TIME + 1])
def test_portions_are_all_there_is(count: int) -> None:
    due = dict.fromkeys(range(count), INTS)

    parts = list(portions(due))
    assert [addr for part in parts for addr in part] == list(due)
    assert all(len(part) <= AT_A_TIME for part in parts)


def test_map_that_was_read_while_its_operations_were_watched_no_more_is_read_again() -> None:
    intake, written, watched, drains = Intake({ADDRESS: INTS}), Written(), [True], [0]

    def drain() -> list[Events]:
        drains[0] += 1
        watched[0] = drains[0] < 2  # what the first part of the read was for
        return no_events()

    made: Any = Survey
    survey = made(Target(), Implementation.CLASSIC, intake, written, drain)
    survey.is_watched = lambda: watched[0]
    survey.read_all(Collector([]))

    assert [m["skipped"] for m in written.maps] == [None]
    assert drains == [3]
