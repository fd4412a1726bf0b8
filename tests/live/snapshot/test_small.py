"""Small maps that are read many at once equal maps read one by one; maps that are not simple are left out."""

from __future__ import annotations

import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.errors import MemoryReadError
from mapprobe.live.snapshot.buckets import TornRead
from mapprobe.live.snapshot.reader import MapImage, Place, read_map
from mapprobe.live.snapshot.small import read_small
from mapprobe.vocabulary import Implementation
from support.plain_type import MAP_TYPE

CLASSIC, SWISS = Implementation
HEADERS, BUCKETS = 0x10000, 0x900000
BUCKET_BYTES = MAP_TYPE.bucket_bytes
LIVE, EMPTY = {CLASSIC: 200, SWISS: 3}, {CLASSIC: 0, SWISS: 0x80}


class Memory:
    """Headers and buckets at their addresses; what is written at its n-th read is another from then on."""

    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}
        self.written: dict[int, bytes] = {}
        self._reads = Counter[int]()

    def read(self, addr: int, length: int) -> bytes:
        self._reads[addr] += 1
        if self._reads[addr] == 2 and addr in self.written:
            self.held[addr] = self.written[addr]
        if addr not in self.held or len(self.held[addr]) < length:
            raise MemoryReadError(addr, length, "nothing there")
        return self.held[addr][:length]


def header(implementation: Implementation, count: int, bucket: int, odd: int = 0) -> bytes:
    """Return a header of a small map; `odd` is what makes it another."""
    seed = 0x1234ABCD
    if implementation is CLASSIC:
        flags, log2, overflows = (odd == 1) * 4, odd == 2, odd == 3
        return struct.pack("<QBBHIQQQQ", count, flags, log2, overflows, seed, bucket, (odd == 4) * BUCKETS, 0, 0)
    return struct.pack("<QQQQBBBBIQ", count, seed, bucket, odd == 4, 0, 0, odd == 1, 0, 0, 0)


def bucket(implementation: Implementation, live: int) -> bytes:
    control = [LIVE[implementation]] * live + [EMPTY[implementation]] * (8 - live)
    return bytes(control) + bytes(BUCKET_BYTES - 8)


MAPS = st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(0, 5)), max_size=12)


@given(implementation=st.sampled_from(Implementation), maps=MAPS)
def test_each_is_read_as_by_itself(implementation: Implementation, maps: list[tuple[int, bool, int]]) -> None:
    memory = Memory()
    for n, (live, has_bucket, odd) in enumerate(maps):
        place = BUCKETS + n * BUCKET_BYTES if has_bucket else 0
        memory.held[HEADERS + 48 * n] = header(implementation, live if odd != 5 else live + 1, place, odd)
        if has_bucket:
            memory.held[place] = bucket(implementation, live)
    addrs = [HEADERS + 48 * n for n in range(len(maps))]

    found = read_small(memory.read, implementation, addrs)

    for n, row in enumerate(found.row.tolist()):
        alone = read_alone(memory, implementation, addrs[row])
        assert found.header[n].tolist() == alone.header.tolist()
        assert [found.control[n]] * bool(found.has_bucket[n]) == alone.control.tolist()
    simple = [n for n, (live, has_bucket, odd) in enumerate(maps) if not odd and (has_bucket or not live)]
    assert set(simple) <= set(found.row.tolist())
    assert not {n for n, (_, _, odd) in enumerate(maps) if odd == 1} & set(found.row.tolist())


def read_alone(memory: Memory, implementation: Implementation, addr: int) -> MapImage:
    return read_map(Place(memory.read, implementation, lambda _: 1 << 20), addr, 0, MAP_TYPE)


@pytest.mark.parametrize("implementation", Implementation)
def test_a_map_that_is_written_during_the_read_or_missing_is_left_out(implementation: Implementation) -> None:
    memory = Memory()
    for n in range(4):
        memory.held[HEADERS + 48 * n] = header(implementation, 3, BUCKETS + n * BUCKET_BYTES)
        memory.held[BUCKETS + n * BUCKET_BYTES] = bucket(implementation, 3)
    memory.written[HEADERS] = header(implementation, 2, BUCKETS)
    del memory.held[BUCKETS + BUCKET_BYTES]
    del memory.held[HEADERS + 2 * 48]

    found = read_small(memory.read, implementation, [HEADERS + 48 * n for n in range(4)])

    assert found.row.tolist() == [3]
    with pytest.raises((TornRead, MemoryReadError)):
        read_alone(memory, implementation, HEADERS + 48)


@pytest.mark.parametrize("implementation", Implementation)
def test_of_no_maps_there_are_none(implementation: Implementation) -> None:
    found = read_small(Memory().read, implementation, [])

    assert len(found.row) == len(found.control) == 0
    assert found.header.dtype == np.uint64
