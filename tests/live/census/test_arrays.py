from __future__ import annotations

import numpy as np

from mapprobe.go.types import MapType
from mapprobe.live.census.arrays import NO_SHAPE, NOT_IN_FRAME, Arrays, choices, expanded, portions
from mapprobe.live.census.layouts import Layouts, Shape
from mapprobe.live.heap.spans import NOWHERE
from mapprobe.model.sizes import sizes_of
from mapprobe.vocabulary import Implementation
from support.spans import spans


def layouts(implementation: Implementation, *bucket_bytes: int) -> Layouts:
    """Return the layouts of a binary whose map types have buckets of these sizes, with pointers."""
    release = (1, 27) if implementation is Implementation.SWISS else (1, 23)
    shapes = [
        Shape(n, MapType(n, f"map[{n}]", "", "", 0, 8, 8, size // 8, size, True, *[False] * 5))
        for n, size in enumerate(bucket_bytes)
    ]
    return Layouts(implementation, sizes_of(implementation, release), lambda addr, length: bytes(length), 0, shapes)


def arrays(span: int, offset: int, buckets: int) -> Arrays:
    return Arrays(*(np.array([n]) for n in (0, 0xC000000000, buckets, span, offset, NO_SHAPE, NOT_IN_FRAME)))


def test_a_size_fits_if_the_allocator_would_have_taken_that_object() -> None:
    of = layouts(Implementation.SWISS, 136, 200, 208)

    # one group of 200 or of 208 bytes takes an object of 208
    assert choices(arrays(0, 0, 1), spans(208), of)[1] == [(200, 208)]
    # eight of 200 have a header and take one of 1792, eight of 208 too
    assert choices(arrays(0, 8, 8), spans(1792), of)[1] == [(200, 208)]
    assert choices(arrays(0, 8, 16), spans(3456), of)[1] == [(200, 208)]
    assert choices(arrays(0, 0, 8), spans(1792), of)[1] == [()]
    assert choices(arrays(NOWHERE, 0, 1), spans(208), of)[1] == [()]


def test_a_classic_array_has_overflow_buckets_behind_it() -> None:
    of = layouts(Implementation.CLASSIC, 144, 208)

    # 16 buckets of 208 and one more: 3536 and a header
    assert choices(arrays(0, 8, 16), spans(4096), of)[1] == [(208,)]


def test_an_old_array_of_a_map_of_one_bucket_is_none() -> None:
    """Half of one bucket was minus half a bucket: a header amid a write, or what looks like one, ended the census."""
    assert choices(arrays(0, 0, 0), spans(208), layouts(Implementation.CLASSIC, 208))[1] == [()]


def test_buckets_of_arrays_follow_each_other() -> None:
    addrs, number, starts = expanded(np.array([100, 900], np.uint64), np.array([3, 2]), np.array([8, 16]))

    assert addrs.tolist() == [100, 108, 116, 900, 916]
    assert (number.tolist(), starts.tolist()) == ([0, 1, 2, 0, 1], [0, 3])


def test_portions_hold_every_row_once() -> None:
    rows = np.arange(7)
    parts = list(portions(rows, np.array([1 << 19, 1, 1, 1 << 20, 5, 1 << 18, 1 << 18])))

    assert np.concatenate(parts).tolist() == rows.tolist()
    assert len(parts) > 2
