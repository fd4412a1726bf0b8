"""The loops in C that read and add up buckets, compared with plain Python: memory may contain anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.live import memory as rules
from mapprobe.live.census.arrays import NO_BUCKET, Crowds, is_crowded
from mapprobe.live.census.classic import _Sums
from mapprobe.live.memory import PAGE_BYTES, Memory

START, PAGES = 0xC000000000, 6
TOPS = st.one_of(
    st.binary(min_size=8, max_size=8),
    st.lists(st.integers(0, 7), min_size=8, max_size=8).map(bytes),
    st.sampled_from([bytes([0x80] * 8), bytes([1, 2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), bytes([0xFE, *[3] * 7])]),
)
SIZES = st.sampled_from([16, 136, 208, 2072])
PLACES = st.integers(0, PAGES * PAGE_BYTES // 8)
ARRAYS = st.lists(st.tuples(PLACES, st.integers(1, 40), SIZES, st.booleans()), max_size=8)
ODD = st.sampled_from([0, 8, START + 4, START - 64, (1 << 47) - 8, 1 << 47, (1 << 64) - 8])
SOURCES = st.tuples(st.sampled_from([4096, 1 << 15]), st.sampled_from([0, 64, 1 << 14]))


class Image:
    """A few pages of memory, some of which are not there."""

    def __init__(self, tops: list[bytes], holes: set[int]) -> None:
        self.raw = (b"".join(tops) * (PAGES * PAGE_BYTES))[: PAGES * PAGE_BYTES]
        self._holes = holes

    def __contains__(self, addr: int) -> bool:
        page, offset = divmod(addr - START, PAGE_BYTES)
        return 0 <= page < PAGES and page not in self._holes and offset % 8 == 0

    def word(self, addr: int) -> int:
        return int.from_bytes(self.raw[addr - START :][:8], "little") if addr in self else 0

    def read_into(self, addr: int, buffer: memoryview) -> int:
        got = 0
        while got < len(buffer) and (addr + got) // 8 * 8 in self:
            end = min(len(buffer), got + PAGE_BYTES - (addr + got) % PAGE_BYTES)
            buffer[got:end] = self.raw[addr + got - START :][: end - got]
            got = end
        return got


IMAGES = st.builds(Image, st.lists(TOPS, min_size=1, max_size=40), st.sets(st.integers(0, PAGES - 1), max_size=2))


def columns(arrays: list[tuple[int, int, int, bool]], odd: list[int]) -> tuple[np.ndarray, ...]:
    addrs = [START + 8 * place for place, *_ in arrays] + odd
    rest = [(buckets, size, is_old) for _, buckets, size, is_old in arrays] + [(3, 16, False)] * len(odd)
    numbers = (np.array([row[n] for row in rest], np.int64) for n in range(2))
    return np.array(addrs, np.uint64), *numbers, np.array([row[2] for row in rest], np.bool_)


@contextmanager
def reading(image: Image, source: tuple[int, int]) -> Iterator[Memory]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "RUN_BYTES", source[0])
        patch.setattr(rules, "GAP_BYTES", source[1])
        yield Memory(image.read_into)


@given(IMAGES, ARRAYS, st.lists(ODD, max_size=3), SOURCES)
def test_groups_are_added_up_array_by_array(image, arrays, odd, source) -> None:
    addrs, groups, sizes, _ = columns(arrays, odd)
    live, dead, empty, first = (np.empty(len(addrs), np.int64) for _ in range(4))
    digest, is_legal = np.empty(len(addrs), np.uint64), np.empty(len(addrs), np.bool_)
    sums = live, dead, empty, first, digest, is_legal
    with reading(image, source) as memory:
        _core.sum_groups(memory.source, (addrs, groups, sizes), NO_BUCKET, sums)
    for n, (addr, count, size) in enumerate(zip(addrs.tolist(), groups.tolist(), sizes.tolist(), strict=True)):
        places = [addr + size * k for k in range(count)]
        words = [image.word(place).to_bytes(8, "little") for place in places]
        full = [sum(byte < 0x80 for byte in word) for word in words]
        assert (live[n], dead[n]) == (sum(full), sum(word.count(0xFE) for word in words))
        assert (empty[n], first[n]) == (full.count(0), next((k for k, of in enumerate(full) if of), NO_BUCKET))
        assert is_legal[n] == all(
            place in image and all(b < 0x80 or b in (0x80, 0xFE) for b in word) and not {0x80, 0xFE} <= set(word)
            for place, word in zip(places, words, strict=True)
        )


@given(IMAGES, ARRAYS, st.lists(ODD, max_size=3), SOURCES)
def test_buckets_are_counted_as_one_by_one(image, arrays, odd, source) -> None:
    addrs, buckets, sizes, is_old = columns(arrays, odd)
    with reading(image, source) as memory:
        found = _Sums.of(memory, (addrs, buckets, sizes), is_old)
    links = []
    for n, (addr, count, size) in enumerate(zip(addrs.tolist(), buckets.tolist(), sizes.tolist(), strict=True)):
        places = [addr + size * k for k in range(count)]
        tops = [image.word(place).to_bytes(8, "little") for place in places]
        kept = [k for k in range(count) if not (is_old[n] and 2 <= tops[k][0] <= 4)]
        live = [sum(byte >= 5 for byte in top) for top in tops]
        is_wrong = any(place not in image or place + size - 8 not in image for place in places)
        is_wrong |= any(2 <= byte <= 4 for k in kept for byte in tops[k])
        is_wrong |= any(a == 0 < b for k in kept for a, b in pairwise(tops[k]))
        first = next((k for k, of in enumerate(live) if of and not is_old[n]), NO_BUCKET)
        assert (found.live[n], found.buckets[n]) == (sum(live[k] for k in kept), len(kept))
        assert (found.empty[n], found.first[n]) == (sum(not live[k] for k in kept), first)
        assert found.is_wrong[n] == is_wrong
        links += [(n, link) for k in kept if (link := image.word(places[k] + size - 8))]
    assert sorted(zip(found.chained.tolist(), found.links.tolist(), strict=True)) == sorted(links)


@given(IMAGES, st.lists(st.one_of(PLACES.map(lambda place: START + 8 * place), ODD), max_size=8))
def test_blocks_are_zeros_where_memory_has_holes(image, addrs) -> None:
    memory = Memory(image.read_into)
    found = memory.blocks(np.array(addrs, np.uint64), 4)
    assert found.tolist() == [[image.word(addr + 8 * n) if addr % 8 == 0 else 0 for n in range(4)] for addr in addrs]


@pytest.mark.parametrize(
    ("buckets", "size"), [(0, 16), (-1, 16), (1, 0), (1, 12), (1, 4), (1, 1 << 22), (1 << 44, 16), (1 << 62, 8)]
)
def test_arrays_that_there_cannot_be_are_refused(buckets, size) -> None:
    arrays = np.array([START], np.uint64), np.array([buckets]), np.array([size])
    with pytest.raises(ValueError, match="an array has"):
        _Sums.of(Memory(lambda *_: 0), arrays, np.zeros(1, np.bool_))


def test_an_error_of_what_reads_is_passed_on() -> None:
    def read_into(addr: int, buffer: memoryview) -> int:
        raise OSError(f"{addr:#x} {len(buffer)}")

    with pytest.raises(OSError, match="0xc000000000 48"):
        Memory(read_into).words(np.array([START], np.uint64), 6)


@pytest.mark.parametrize("got", [-1, 1 << 70, 4096])
def test_a_reader_can_not_claim_more_bytes_than_were_asked_for(got) -> None:
    memory = Memory(lambda _addr, _buffer: got)
    if got == 4096:
        assert memory.words(np.array([START], np.uint64))[1].all()
    else:
        with pytest.raises(OverflowError):
            memory.words(np.array([START], np.uint64))


@given(st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=8))
def test_crowds_are_those_of_all_parts_together(parts) -> None:
    crowds, everything = Crowds(), np.array([addr for part in parts for addr in part], np.uint64)
    found = [crowds.joined_by(np.array(part, np.uint64)) for part in parts]
    assert np.concatenate([[], *found]).astype(bool).tolist() == is_crowded(everything).tolist()
