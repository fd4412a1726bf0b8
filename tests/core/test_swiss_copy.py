"""Swiss maps that enter the core as a whole: clones by maps.Clone, and maps that were read from memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.vocabulary import BEFORE
from support import strategies as draw
from support.reference_clones import clone_swiss
from support.side_by_side import STACKS, SwissSideBySide, key_types_of

SPREAD = 0x9E3779B97F4A7C15
CLONED_BY = 7


def lived(release: tuple[int, int], hint: int, operations: int, keys: int, seed: int = 0) -> SwissSideBySide:
    """Return a map after random inserts and deletes of so many keys, some of which are of one hash and two types."""
    chance = random.Random(seed)
    side = SwissSideBySide(release, hint)
    for _ in range(operations):
        n = chance.randrange(keys)
        key = (n // 2 * SPREAD % 2**64, 0x4A5000 * (n & 1))
        if chance.random() < 0.6:
            side.insert(key, chance.randrange(1, STACKS))
        else:
            side.delete(key, chance.randrange(1, STACKS))
    return side


LIVES = [(0, 0, 1), (0, 5, 8), (9, 0, 1), (0, 200, 100), (0, 4000, 1500), (5000, 9000, 6000)]


@pytest.mark.parametrize("release", [(1, 25), (1, 27)])
@pytest.mark.parametrize(("hint", "operations", "keys"), LIVES)
def test_a_clone_is_a_copy_slot_by_slot(release: tuple[int, int], hint: int, operations: int, keys: int) -> None:
    side = lived(release, hint, operations, keys)
    clone = SwissSideBySide(release, 0, beside=side)
    _core.clone(side.handle, side.m, clone.m, CLONED_BY)
    clone.reference = clone_swiss(side.reference, CLONED_BY)
    clone.reference.creator = 1
    for both in (side, clone):
        both.assert_equal()
        both.check()
        for n in range(300):
            both.insert((n * SPREAD % 2**64, 0), 2)
            both.delete((n * SPREAD // 3 % 2**64, 0), 3)
        both.assert_equal()
        both.check()


def test_only_a_fresh_map_can_become_a_clone() -> None:
    side = lived((1, 27), 0, 100, 50)
    with pytest.raises(ValueError, match="map 0 is not fresh"):
        _core.clone(side.handle, 0, 0, 1)


@dataclass(frozen=True)
class Reading:
    """A map's header and groups as they are read."""

    count: int
    flags: int
    log2: int
    length: int
    control: npt.NDArray[np.uint64]
    part: npt.NDArray[np.uint32]
    home: npt.NDArray[np.uint32]
    hashes: npt.NDArray[np.uint64]
    key_types: npt.NDArray[np.uint64]

    def resume(self, side: SwissSideBySide) -> bool:
        """Let the map be as this says."""
        header = (self.count, self.length == 0 and not len(self.part), False, self.flags, self.log2, 0, self.length, 0)
        columns = (self.control, self.part, self.home, self.hashes, self.key_types)
        return _core.resume(side.handle, side.m, header, *columns)


def read(side: SwissSideBySide) -> Reading:
    buckets, parts = side.buckets()
    rows = side.listed()
    live = np.array([side.live_slots(bucket) for bucket in buckets.tolist()], np.bool_).reshape(-1, 8)
    homes = np.array(list(side.reference.homes())[: len(buckets)], np.uint32)
    hashes = np.where(live, rows["hashes"], np.uint64(0))
    key_types = np.where(live, key_types_of(side.world)[buckets], np.uint64(0))
    expected = side.reference
    return Reading(
        expected.used, int(expected.tombstone_possible), expected.global_depth, len(expected.directory),
        np.ascontiguousarray(rows["control"]), parts, homes, hashes, key_types,
    )  # fmt: skip


@pytest.mark.parametrize("release", [(1, 24), (1, 27)])
@pytest.mark.parametrize(("hint", "operations", "keys"), LIVES)
def test_a_map_that_was_read_goes_on_as_it_was(release: tuple[int, int], hint: int, operations: int, keys: int) -> None:
    side = lived(release, hint, operations, keys)
    reading = read(side)
    assert reading.resume(side)
    for bucket, _ in side.reference.listed():
        was_used = [byte != 0x80 for byte in bucket.control]
        is_dead = [byte == 0xFE for byte in bucket.control]
        bucket.grown_by, bucket.last_delete = BEFORE, None
        bucket.last_insert = BEFORE if any(was_used) else None
        bucket.inserted_by = [BEFORE if used else None for used in was_used]
        bucket.deleted_by = [BEFORE if dead else None for dead in is_dead]
    side.assert_equal()
    side.check()
    for n in range(1000):
        side.insert((n * SPREAD % 2**64, 0), 2)
        side.delete((n * 5 * SPREAD % 2**64, 0), 3)
    side.assert_equal()
    side.check()


def test_a_header_with_another_count_is_believed() -> None:
    side = lived((1, 27), 0, 200, 100)
    assert replace(read(side), count=12345).resume(side)
    assert side.row["count"] == 12345


def first_group_of_table_1(reading: Reading) -> int:
    return int(np.flatnonzero(reading.part)[0])


def with_control(reading: Reading, bytes_of_group: list[int], groups: int = 1) -> Reading:
    control = reading.control.copy()
    control[:groups] = int.from_bytes(bytes_of_group, "little")
    return replace(reading, control=control)


def moved_home(reading: Reading, by: int) -> Reading:
    home = reading.home.copy()
    home[reading.part == 1] += np.uint32(by)
    return replace(reading, home=home)


def without(reading: Reading, row: int) -> Reading:
    columns = {name: np.delete(getattr(reading, name), row, axis=0) for name in COLUMNS}
    return replace(reading, **columns)


COLUMNS = ("control", "part", "home", "hashes", "key_types")
EMPTY = [0x80] * 8

DAMAGES = {
    "a count beyond 32 bits": lambda r: replace(r, count=1 << 32),
    "a directory that is not as long as it is deep": lambda r: replace(r, length=r.length * 2),
    "a depth that is not that of the directory": lambda r: replace(r, log2=r.log2 + 1),
    "a depth that no directory has": lambda r: replace(r, log2=64 + r.log2),
    "no directory, and many groups": lambda r: replace(r, length=0),
    "no groups": lambda r: replace(r, **{name: getattr(r, name)[:0] for name in COLUMNS}),
    "no groups and no entries": lambda r: replace(r, count=0, **{name: getattr(r, name)[:0] for name in COLUMNS}),
    "a table without its last group": lambda r: without(r, len(r.part) - 1),
    "a table without its first group": lambda r: without(r, 0),
    "two tables that are one": lambda r: replace(r, part=r.part * np.uint32(0), home=r.home * np.uint32(0)),
    "a table of 256 groups": lambda r: replace(r, part=r.part // np.uint32(2), home=r.home // np.uint32(2)),
    "a home behind the directory": lambda r: moved_home(r, r.length),
    "a home that is not the next": lambda r: moved_home(r, 1),
    "homes that differ within a table": lambda r: replace(r, home=r.home + (np.arange(len(r.home)) == 5).astype("u4")),
    "a directory that is deeper than its tables": lambda r: replace(r, length=8, log2=3, home=r.home * np.uint32(2)),
    "a first home that is not 0": lambda r: replace(r, home=r.home + np.uint32(1)),
    "homes in descending order": lambda r: replace(r, home=r.home[::-1].copy()),
    "a control byte that is none": lambda r: with_control(r, [0x81, *EMPTY[1:]]),
    "a table without an empty slot": lambda r: with_control(r, [1] * 8, groups=128),
    "a table of tombstones": lambda r: with_control(r, [0xFE] * 8, groups=128),
}  # fmt: skip
"""What may be wrong with the reading of a map of several tables."""


@pytest.fixture(scope="module")
def large() -> Reading:
    """Give a reading of four tables of 128 groups."""
    side = SwissSideBySide((1, 27), 0)
    for n in range(3000):
        side.insert((n * SPREAD % 2**64, 0), 1)
    reading = read(side)
    assert reading.length == 4
    assert len(reading.part) == 4 * 128
    return reading


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_reading_is_refused_and_leaves_the_map_empty(damage: str, large: Reading) -> None:
    side = lived((1, 27), 0, 200, 100)
    assert not DAMAGES[damage](large).resume(side)
    assert (side.row["count"], side.count_buckets()) == (0, 0)
    side.reference = SwissSideBySide((1, 27), 0).reference
    assert large.resume(side)
    side.check()


controls = st.lists(st.sampled_from([0, 1, 77, 127, 0x80, 0x80, 0x80, 0xFE]), min_size=8, max_size=8)
tables = st.tuples(st.sampled_from([1, 2, 4, 128]), st.sampled_from([1, 1, 2]))
"""Groups and places in the directory of a table."""


@st.composite
def readings(draw_: st.DrawFn) -> Reading:
    """Draw a reading most of whose parts are what they should be."""
    drawn = draw_(st.lists(tables, max_size=8))
    groups, spans = [np.array(column, np.int64) for column in zip(*drawn, strict=True)] if drawn else ([], [])
    length = int(np.sum(spans))
    words = [int.from_bytes(word, "little") for word in draw_(st.lists(controls, min_size=1, max_size=8))]
    rows = int(np.sum(groups))
    starts = np.cumsum(np.append(0, spans))[: len(spans)]
    reading = Reading(
        count=draw_(st.integers(0, 2**33)),
        flags=draw_(st.integers(0, 255)),
        log2=max(length - 1, 0).bit_length(),
        length=length,
        control=np.resize(np.array(words, np.uint64), rows),
        part=np.repeat(np.arange(len(spans), dtype=np.uint32), groups),
        home=np.repeat(starts.astype(np.uint32), groups),
        hashes=np.resize(np.array(draw_(st.lists(draw.hashes(), min_size=1, max_size=24)), np.uint64), (rows, 8)),
        key_types=np.zeros((rows, 8), np.uint64),
    )
    damages = [str, *(DAMAGES[name] for name in sorted(DAMAGES))]
    damage = draw_(st.sampled_from(damages)) if rows > 5 and draw_(st.booleans()) else str
    return reading if damage is str else damage(reading)


@settings(max_examples=200)
@given(readings(), st.lists(draw.hashes(), min_size=1, max_size=24))
def test_any_reading_is_refused_or_leaves_a_valid_world(reading: Reading, hashes: list[int]) -> None:
    side = SwissSideBySide((1, 27), 9)
    done = reading.resume(side)
    assert done or side.count_buckets() == 0
    handle = side.handle
    for n in range(200):
        _core.insert(handle, 0, n * SPREAD % 2**64, 0, 1, True)
        _core.delete(handle, 0, hashes[n % len(hashes)], 0, 2)
        _core.insert(handle, 0, hashes[n % len(hashes)] ^ n << 20, 0, 1, True)
    _core.create(handle, 1, 0, 136, 0, 1)
    _core.clone(handle, 0, 1, 1)
    for m in range(2):
        _core.clear(handle, m, 3)
        _core.forget(handle, m)
    assert side.count_buckets() == 0
