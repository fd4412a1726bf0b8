"""Classic maps that enter the core as a whole: clones by maps.Clone, and maps that were read from memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.model.core import GROWING
from mapprobe.vocabulary import BEFORE, NONE
from support import strategies as draw
from support.reference_clones import clone_classic, hint_of
from support.side_by_side import ClassicSideBySide, delete_stacks, key_types_of

RELEASE = (1, 23)
SPREAD = 0x9E3779B97F4A7C15
U64, U32 = npt.NDArray[np.uint64], npt.NDArray[np.uint32]

LIVES = st.lists(st.tuples(st.sampled_from(["insert", "insert", "delete", "clear"]), draw.key_runs()), max_size=6)


@dataclass(frozen=True)
class Reading:
    """A map's header and buckets as `_core.resume` takes them."""

    count: int
    array_is_nil: bool
    is_growing: bool
    flags: int
    log2: int
    overflow_count: int
    evacuated: int
    control: U64
    part: U32
    home: U32
    hashes: U64
    key_types: U64

    def resume(self, side: ClassicSideBySide) -> bool:
        """Let the map of `side` be so."""
        header = (
            self.count, self.array_is_nil, self.is_growing, self.flags, self.log2, self.overflow_count, 0,
            self.evacuated,
        )  # fmt: skip
        return _core.resume(
            side.handle, side.m, header, self.control, self.part, self.home, self.hashes, self.key_types
        )


def read(side: ClassicSideBySide) -> Reading:
    """Return a map as its memory would be read."""
    row, chains, (buckets, part) = side.row, side.chains, side.buckets()
    firsts = (part == 0) | (part == 2)
    offset = np.where(part < 2, row["array"], chains["old_array"])
    home = (buckets - offset)[np.maximum.accumulate(np.where(firsts, np.arange(len(part)), 0))]
    rows = side.world.buckets[buckets]
    live = np.array([side.live_slots(bucket) for bucket in buckets.tolist()], bool).reshape(-1, 8)
    hashes = np.where(live, rows["hashes"], np.uint64(0))
    key_types = np.where(live, key_types_of(side.world)[buckets], np.uint64(0))
    is_growing = bool(row["state"] & GROWING)
    return Reading(
        int(row["count"]), row["array"] == NONE, is_growing, int(row["flags"]), int(row["log2"]),
        int(row["overflow_count"]), int(chains["evacuated"]) if is_growing else 0,
        rows["control"].copy(), part, home.astype(np.uint32), hashes, key_types,
    )  # fmt: skip


def lived(side: ClassicSideBySide, life: list[tuple[str, list[tuple[int, int]]]]) -> ClassicSideBySide:
    """Do to a map what `life` says."""
    for what, keys in life:
        if what == "clear":
            side.clear(7)
        for key in keys if what != "clear" else []:
            getattr(side, what)(key, 2)
    return side


def growing() -> ClassicSideBySide:
    """Return a map that grows; the last of its old buckets that wait has a chain."""
    side = ClassicSideBySide(RELEASE, 60, 208, 1)
    for n in range(105):
        side.insert((15 | n << 10 if n < 20 else n, 0), 1)
    assert (side.row["log2"], side.chains["waiting"], side.chains["old_chained"]) == (5, 14, 3)
    return side


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(draw.CLASSIC_RELEASES[1:]), draw.hints, draw.bucket_bytes, LIVES, LIVES)
def test_a_clone_equals_the_reference(
    release: tuple[int, int],
    hint: int,
    bucket_bytes: int,
    life: list[tuple[str, list[tuple[int, int]]]],
    later: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    side = lived(ClassicSideBySide(release, hint, bucket_bytes), life)
    clone = ClassicSideBySide(release, hint_of(side.reference, release), bucket_bytes, beside=side)
    assigned = clone_classic(side.reference, clone.reference, 5)
    _core.clone(side.handle, side.m, clone.m, 5)
    for key in assigned:
        clone.insert(key, 5)
    for map in (clone, side, lived(clone, later)):
        map.assert_equal()
        map.check()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(draw.CLASSIC_RELEASES), draw.hints, draw.bucket_bytes, LIVES, LIVES)
def test_a_map_that_was_read_is_carried_on(
    release: tuple[int, int],
    hint: int,
    bucket_bytes: int,
    unseen: list[tuple[str, list[tuple[int, int]]]],
    seen: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    side = lived(ClassicSideBySide(release, hint, bucket_bytes, 1), unseen)
    resumed = ClassicSideBySide(release, 0, bucket_bytes, 1, beside=side)
    assert read(side).resume(resumed)
    resumed.check()
    resumed.reference = side.reference
    for what, keys in seen:
        for key in keys:
            if what == "delete":
                assert (_core.delete(side.handle, side.m, *key, 3) is None) == (
                    _core.delete(side.handle, resumed.m, *key, 3) is None
                )
            else:
                done = [_core.insert(side.handle, m, *key, 3, False) for m in (side.m, resumed.m)]
                assert done[0] == done[1]
    resumed.check()
    assert resumed.listed()["control"].tolist() == side.listed()["control"].tolist()
    assert resumed.buckets()[1].tolist() == side.buckets()[1].tolist()
    assert resumed.allocated_bytes() >= side.allocated_bytes()  # old chains that were preallocated count as the heap's


def test_who_filled_what_was_read_is_not_known() -> None:
    side = ClassicSideBySide(RELEASE, 0)
    for n in range(4):
        side.insert((n, 0), 4)
    side.delete((1, 0), 5)
    resumed = ClassicSideBySide(RELEASE, 0, beside=side)
    assert read(side).resume(resumed)
    (bucket,) = resumed.listed()
    assert bucket["insert_stacks"].tolist() == [BEFORE] * 4 + [NONE] * 4
    assert delete_stacks(bucket)[1] == BEFORE
    assert delete_stacks(bucket)[4:] == [NONE] * 4
    assert [bucket[name] for name in ("grown_by", "last_insert", "last_delete")] == [BEFORE, BEFORE, NONE]


def test_what_a_map_held_before_it_was_read_is_given_back() -> None:
    side = growing()
    resumed = ClassicSideBySide(RELEASE, 1000, beside=side)
    reading = read(side)
    assert reading.resume(resumed)
    top = side.handle.bucket_top
    for _ in range(5):
        assert reading.resume(resumed)
    assert side.handle.bucket_top == top


def test_a_header_may_count_other_entries_than_there_are() -> None:
    side = growing()
    resumed = ClassicSideBySide(RELEASE, 0, beside=side)
    for change in (-1, 1):
        reading = read(side)
        assert replace(reading, count=reading.count + change).resume(resumed)
        assert resumed.row["count"] == reading.count + change


def without_first(reading: Reading) -> Reading:
    """Leave out the first row of all columns."""
    rows = ("control", "part", "home", "hashes", "key_types")
    return replace(reading, **{row: getattr(reading, row)[1:].copy() for row in rows})


def with_item(name: str, where: Callable[[Reading], int], value: int) -> Callable[[Reading], Reading]:
    """Return what puts a value into a column."""

    def spoil(reading: Reading) -> Reading:
        column = getattr(reading, name).copy()
        column[where(reading)] = value
        return replace(reading, **{name: column})

    return spoil


def first_of(part: int) -> Callable[[Reading], int]:
    return lambda reading: int(np.flatnonzero(reading.part == part)[0])


def last_of(part: int) -> Callable[[Reading], int]:
    return lambda reading: int(np.flatnonzero(reading.part == part)[-1])


def place_of_waiting(reading: Reading) -> int:
    """Return the row of the main bucket that the first waiting one leads to."""
    home = reading.home[first_of(2)(reading)]
    return int(np.flatnonzero((reading.part == 0) & (reading.home == home))[0])


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda r: replace(r, log2=r.log2 + 1), id="too long an array"),
        pytest.param(lambda r: replace(r, log2=r.log2 - 1), id="too short an array"),
        pytest.param(lambda r: replace(r, log2=0), id="one bucket"),
        pytest.param(lambda r: replace(r, log2=31), id="the longest array"),
        pytest.param(lambda r: replace(r, log2=32), id="no such array"),
        pytest.param(lambda r: replace(r, log2=255), id="no such log2"),
        pytest.param(lambda r: replace(r, count=8 * len(r.part) + 1), id="more entries than slots"),
        pytest.param(lambda r: replace(r, count=2**64 - 1), id="count beyond 32 bits"),
        pytest.param(lambda r: replace(r, is_growing=False), id="old buckets of a map that does not grow"),
        pytest.param(lambda r: replace(r, evacuated=1 << (r.log2 - 1)), id="mark behind the old array"),
        pytest.param(lambda r: replace(r, evacuated=2**32 - 1), id="mark far behind the old array"),
        pytest.param(lambda r: replace(r, evacuated=int(r.home[last_of(2)(r)]) + 1), id="mark behind what waits"),
        pytest.param(without_first, id="a row is missing"),
        pytest.param(with_item("part", lambda r: 0, 1), id="a chain before its main bucket"),
        pytest.param(with_item("part", lambda r: 0, 2), id="an old bucket before the main ones"),
        pytest.param(with_item("part", lambda r: 3, 4), id="no such part"),
        pytest.param(with_item("part", lambda r: 3, 2**32 - 1), id="no such part by far"),
        pytest.param(with_item("part", last_of(0), 3), id="an old chain among main buckets"),
        pytest.param(with_item("part", first_of(3), 1), id="a main chain among old buckets"),
        pytest.param(with_item("home", lambda r: 0, 1), id="main buckets begin with another"),
        pytest.param(with_item("home", last_of(0), 0), id="a main bucket twice"),
        pytest.param(with_item("home", last_of(0), 2**32 - 1), id="a main bucket that is none"),
        pytest.param(with_item("home", last_of(2), 0), id="an old bucket out of order"),
        pytest.param(with_item("home", last_of(2), 2**32 - 1), id="an old bucket that is none"),
        pytest.param(with_item("home", first_of(3), 2**32 - 1), id="a chain of another bucket"),
        pytest.param(with_item("control", first_of(2), 4), id="a waiting bucket that was evacuated"),
        pytest.param(with_item("control", first_of(0), 2 << 40), id="a main bucket that was evacuated"),
        pytest.param(with_item("control", place_of_waiting, 9), id="an entry in the place of one that waits"),
    ],
)
def test_what_does_not_fit_together_is_refused(spoil: Callable[[Reading], Reading]) -> None:
    side = growing()
    reading = read(side)
    held = ClassicSideBySide(RELEASE, 300, beside=side)
    assert reading.resume(held)
    top = side.handle.bucket_top
    assert not spoil(reading).resume(held)
    assert (held.row["count"], held.row["log2"], held.row["array"], held.row["state"] & GROWING) == (0, 0, NONE, 0)
    assert held.count_buckets() == 0
    assert reading.resume(held)
    assert side.handle.bucket_top == top
    held.check()


@pytest.mark.parametrize("spoiled", [{"count": 1}, {"log2": 3}, {"is_growing": True}, {"is_growing": True, "flags": 8}])
def test_a_map_without_buckets_has_nothing(spoiled: dict[str, int]) -> None:
    side = ClassicSideBySide(RELEASE, 0)
    reading = read(side)
    assert reading.resume(side)
    assert not replace(reading, **spoiled).resume(side)
