"""The scheduler's Ps: a list of objects, each with its own number in it, or no list."""

from __future__ import annotations

import numpy as np
import pytest

from mapprobe.live.heap.goroutines import processors
from mapprobe.live.memory import Memory

ALLP, TABLE, FIRST, EACH = 0x100000, 0x100100, 0x101008, 0x2000
RUNNING = 1 << 32


def memory_of(numbers: list[int], count: int) -> Memory:
    """Return memory with a P for each number, of which a list tells so many."""
    words = np.zeros((FIRST - ALLP + EACH * (len(numbers) + 1)) // 8, np.uint64)
    words[0], words[1] = TABLE, count
    for place, number in enumerate(numbers):
        addr = FIRST + EACH * place
        words[(TABLE - ALLP) // 8 + place] = addr
        words[(addr - ALLP) // 8] = RUNNING | number
    raw = words.tobytes()

    def read_into(addr: int, buffer: memoryview) -> int:
        part = raw[addr - ALLP : addr - ALLP + len(buffer)] if addr >= ALLP else b""
        buffer[: len(part)] = part
        return len(part)

    return Memory(read_into)


def test_all_ps_are_listed() -> None:
    assert processors(memory_of([0, 1, 2], 3), ALLP).tolist() == [FIRST, FIRST + EACH, FIRST + 2 * EACH]


@pytest.mark.parametrize(
    ("numbers", "count"), [([0, 2], 2), ([0], 2), ([0], 0), ([0], 1 << 40)],
    ids=["another number", "one isn't there", "none", "more than there can be"],
)  # fmt: skip
def test_what_is_no_list_of_ps_has_none(numbers: list[int], count: int) -> None:
    assert processors(memory_of(numbers, count), ALLP).tolist() == []
