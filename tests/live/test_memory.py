from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.live import memory as rules
from mapprobe.live.memory import PAGE_BYTES, Memory

START = 0xC000000000
PAGES = 24


def reader(pages: set[int]):
    """Return what reads a memory of which these pages are there: each word is its address."""

    def read_into(addr: int, buffer: memoryview) -> int:
        got = 0
        while got < len(buffer) and (addr + got - START) // PAGE_BYTES in pages:
            end = min(len(buffer), got + PAGE_BYTES - (addr + got) % PAGE_BYTES)
            buffer[got:end] = np.arange(addr + got, addr + end, 8, np.uint64).tobytes()
            got = end
        return got

    return read_into


@given(
    st.sets(st.integers(0, PAGES - 1)),
    st.lists(st.integers(0, PAGES * PAGE_BYTES // 8 - 1), max_size=60),
    st.sampled_from([1, 3, 100, 512]),
    st.sampled_from([1 << 15, 1 << 23]),
    st.sampled_from([8, 1 << 14]),
)
def test_words_after_a_hole_are_read_correctly(pages, places, count, run_bytes, gap_bytes):
    addrs = np.array([START + 8 * place for place in places], np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "RUN_BYTES", run_bytes)
        patch.setattr(rules, "GAP_BYTES", gap_bytes)
        words, known = Memory(reader(pages)).words(addrs, count)

    for addr, row, is_known in zip(addrs.tolist(), words, known.tolist(), strict=True):
        last = addr + 8 * count - 1
        there = set(range((addr - START) // PAGE_BYTES, (last - START) // PAGE_BYTES + 1)) <= pages
        assert is_known == there
        assert row.tolist() == (list(range(addr, addr + 8 * count, 8)) if there else [0] * count)


@pytest.mark.parametrize("addr", [START + 4, 0, 8, 1 << 47, (1 << 64) - 8])
def test_an_impossible_address_has_no_word(addr):
    words, known = Memory(reader({0})).words(np.array([addr, START], np.uint64))

    assert (words[:, 0].tolist(), known.tolist()) == ([0, START], [False, True])


def test_a_run_ends_before_a_hole():
    memory = Memory(reader({0, 1}))

    assert len(memory.run(START + PAGE_BYTES, 4 * PAGE_BYTES)) == PAGE_BYTES // 8
    assert len(memory.run(START + 2 * PAGE_BYTES, 8)) == 0
    assert memory.bytes == PAGE_BYTES


def test_progress_is_called_with_the_bytes_that_were_read():
    told: list[int] = []
    memory = Memory(reader({0}), told.append)
    memory.words(np.array([START, START + 800], np.uint64))

    assert sum(told) == memory.bytes == 808
