from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.heapwalk.classic import Tally, _add, at_least

TOPS = st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=8)


@given(TOPS, st.sampled_from([1, 2, 5]))
def test_tophashes_are_compared_eight_at_a_time(tops: list[bytes], least: int) -> None:
    found = at_least(np.frombuffer(b"".join(tops), np.uint64), least).view(np.uint8)

    assert found.tolist() == [0x80 * (byte >= least) for byte in b"".join(tops)]


@given(st.lists(st.lists(st.integers(0, 7), min_size=8, max_size=8).map(bytes), min_size=1, max_size=8))
def test_buckets_are_counted_as_one_by_one(tops: list[bytes]) -> None:
    tally = Tally.of(1)
    _add(tally, np.zeros(len(tops), np.int64), np.frombuffer(b"".join(tops), np.uint64))
    live = [sum(byte >= 5 for byte in top) for top in tops]
    wrong = [any(2 <= byte <= 4 for byte in top) or any(a == 0 < b for a, b in itertools.pairwise(top)) for top in tops]

    assert (tally.live[0], tally.buckets[0], tally.empty[0]) == (sum(live), len(tops), live.count(0))
    assert tally.is_wrong[0] == any(wrong)
