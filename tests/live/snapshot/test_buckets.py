"""Readers of maps get words that no map has: they end soon, allocate little, and raise only mapprobe's errors."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import numpy as np
import pytest

from mapprobe.errors import MemoryReadError
from mapprobe.live.snapshot.buckets import TornRead, read_buckets
from mapprobe.live.snapshot.precopy import Source, read_moment
from mapprobe.vocabulary import Implementation
from support.moving import BUCKET_BYTES, HEADER, Moving, moving

PAGES = 0x1000
LARGEST_READ = 1 << 20
MOST_READS = 200_000
OBJECT_BYTES = 1 << 20
Words = Callable[[random.Random, int], int]


def noise(numbers: random.Random, _base: int) -> int:
    return numbers.getrandbits(64)


def pointers(numbers: random.Random, base: int) -> int:
    """Lead anywhere into the same few pages: chains that have no end, tables upon each other."""
    return base + 8 * numbers.randrange(512)


def small(numbers: random.Random, base: int) -> int:
    return numbers.choice([0, 1, 2, 8, 127, 1 << 8, 3 << 16, 1 << 40, base, base + 64, (1 << 64) - 1])


class Forged:
    """Memory in which any address holds words that a test makes up, and always the same ones."""

    def __init__(self, seed: int, words: Words) -> None:
        self._seed, self._words, self.reads = seed, words, 0

    def read(self, addr: int, length: int) -> bytes:
        assert 0 < length <= LARGEST_READ
        self.reads += 1
        assert self.reads < MOST_READS
        if not 0 < addr < 1 << 47:
            raise MemoryReadError(addr, length, "nothing is there")
        numbers = random.Random(self._seed * 1_000_003 + addr)
        count = -(-min(length, PAGES) // 8)
        page = np.array([self._words(numbers, HEADER) for _ in range(count)], np.uint64).tobytes()
        return (page * -(-length // len(page)))[:length]

    def room(self, addr: int) -> int:
        return OBJECT_BYTES - addr % OBJECT_BYTES


@pytest.mark.parametrize("implementation", list(Implementation))
@pytest.mark.parametrize("words", [noise, pointers, small])
@pytest.mark.parametrize("seed", range(40))
def test_forged_words_are_no_map_or_a_small_one(implementation: Implementation, words: Words, seed: int) -> None:
    numbers, memory = random.Random(seed), Forged(seed, words)
    header = np.array([words(numbers, HEADER) for _ in range(6)], np.uint64)
    if seed % 2:  # as large as its object may be
        header[1], header[3], header[4] = (seed % 17) << 8, 1 << seed % 17, seed % 17
    try:
        found = read_buckets(memory.read, implementation, header, 144, memory.room)
    except (TornRead, MemoryReadError):
        return
    assert found.raw.nbytes <= MOST_READS * LARGEST_READ


@pytest.mark.parametrize("is_swiss", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_map_of_which_some_words_are_forged_is_torn_or_read(is_swiss: bool, seed: int) -> None:
    numbers = random.Random(seed)
    target = moving(is_swiss, 300, 200, 0.0, 10, seed)

    def read(addr: int, length: int) -> bytes:
        found = bytearray(target.read(addr, length))
        if numbers.random() < 0.05:
            at = 8 * numbers.randrange(max(1, length // 8))
            found[at : at + 8] = numbers.choice([bytes(8), b"\xff" * 8, numbers.randbytes(8)])[: length - at]
        return bytes(found[:length])

    source = Source(read, target.drain, target.implementation)
    with contextlib.suppress(TornRead, MemoryReadError):
        read_moment(source, HEADER, BUCKET_BYTES[target.implementation], 0.05)


def test_chain_that_leads_back_to_itself_has_no_end() -> None:
    target = moving(is_swiss=False, entries=300, left=300, pace=0.0, keys=1, seed=1)
    bucket = next(b for b in target.map.buckets if b.overflow)
    bucket.overflow.overflow = bucket.overflow
    with pytest.raises(TornRead, match="has no end"):
        whole(target)


def test_bucket_is_not_in_two_chains() -> None:
    target = moving(is_swiss=False, entries=300, left=300, pace=0.0, keys=1, seed=1)
    first, second = [b for b in target.map.buckets if b.overflow][:2]
    first.overflow.overflow = second.overflow
    with pytest.raises(TornRead, match="has no end"):
        whole(target)


def test_table_is_in_the_directory_once() -> None:
    target = moving(is_swiss=True, entries=4000, left=4000, pace=0.0, keys=1, seed=1)
    target.map.directory = target.map.directory[:2] * (len(target.map.directory) // 2)
    with pytest.raises(TornRead, match="names a table twice"):
        whole(target)


def whole(target: Moving) -> None:
    header = np.frombuffer(target.read(HEADER, 48), np.uint64)
    room = 1 << 20
    read_buckets(target.read, target.implementation, header, BUCKET_BYTES[target.implementation], lambda _: room)
