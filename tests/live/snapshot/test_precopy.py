"""A map that is written all the time is read as it was at one moment: equal to a model of the map at that moment."""

from __future__ import annotations

import numpy as np
import pytest

from mapprobe.live.snapshot import precopy
from mapprobe.live.snapshot.buckets import TornRead
from mapprobe.live.snapshot.precopy import DRAIN_SECONDS, NEVER_STILL, UNFINISHED, Source, read_moment
from mapprobe.vocabulary import Implementation
from support.moving import BUCKET_BYTES, HEADER, Moving, moving

SECONDS = 20.0


def check(target: Moving, seconds: float = SECONDS) -> None:
    """Read it, and hold what was read to what it held at that moment."""
    source = Source(target.read, target.drain, target.implementation)
    found = read_moment(source, HEADER, BUCKET_BYTES[target.implementation], seconds)
    target.settle()
    held = target.at(found.time_ns)

    control = [bytes(word) for word in found.buckets.control.view(np.uint8).reshape(-1, 8)]
    assert control == held.control
    assert found.buckets.part.tolist() == held.part


@pytest.mark.parametrize("is_swiss", [False, True])
@pytest.mark.parametrize("entries", [0, 5, 8, 60, 400, 3000])
@pytest.mark.parametrize("seed", range(6))
def test_map_is_read_as_it_stood_at_one_moment(is_swiss: bool, entries: int, seed: int) -> None:
    for pace in (0.0, 0.002, 0.02):
        for left in (entries, entries // 10):
            check(moving(is_swiss, entries, left, pace, 50, seed))


@pytest.mark.parametrize("is_swiss", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_a_map_that_grows_during_the_read_is_read_when_it_has_grown(is_swiss: bool, seed: int) -> None:
    check(moving(is_swiss, 850, 850, 0.01, 20_000, seed))


@pytest.mark.parametrize("is_swiss", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_one_key_is_written_all_the_time(is_swiss: bool, seed: int) -> None:
    check(moving(is_swiss, 1500, 100, 0.1, 1, seed))


@pytest.mark.parametrize("is_swiss", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_map_that_is_cleared_during_the_read_is_read_again(is_swiss: bool, seed: int) -> None:
    check(moving(is_swiss, 200, 100, 0.01, 50, seed, clear_every=20))


@pytest.mark.parametrize("is_swiss", [False, True])
def test_map_that_is_written_faster_than_it_is_read_is_given_up(is_swiss: bool) -> None:
    with pytest.raises(TornRead, match=NEVER_STILL):
        check(moving(is_swiss, 1500, 1500, 0.6, 1000, 1), seconds=0.2)


class Clock:
    """A clock that goes on by 10 us at each look, and while somebody naps."""

    def __init__(self) -> None:
        self.now = 100.0

    def look(self) -> float:
        self.now += 0.00001
        return self.now

    def nap(self, *waiting: object) -> None:
        self.now += float(str(waiting[-1]))


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_memory_that_looks_like_a_map_being_written_for_good_is_given_up_soon(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a map that has died may: the reads of other maps, and an open window, wait for it. The ring is drained."""
    clock, drained = Clock(), list[float]()
    monkeypatch.setattr(precopy, "_now_ns", lambda: int(clock.look() * 1e9))
    monkeypatch.setattr(precopy.time, "monotonic", clock.look)
    monkeypatch.setattr(precopy.select, "select", clock.nap)

    def drain() -> list[precopy.Events]:
        drained.append(clock.now)
        return []

    source = Source(lambda _, length: b"\xff" * length, drain, Implementation.SWISS)
    with pytest.raises(TornRead, match=UNFINISHED):
        read_moment(source, HEADER, BUCKET_BYTES[Implementation.SWISS], seconds)

    assert clock.now - 100 < 0.5 * seconds + 0.01
    assert len(drained) >= 0.5 * seconds / (2 * DRAIN_SECONDS)
