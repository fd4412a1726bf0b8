"""The parts of goroutines' stacks in use: above the point of return; all of a running one, nothing of a dead one."""

from __future__ import annotations

import numpy as np
import pytest

from mapprobe.live.heap.goroutines import GoroutineLayout, stacks_in_use
from mapprobe.live.memory import Memory

BASE, TABLE, FIRST, EACH = 0xC000000000, 0xC000000040, 0xC000000100, 0x100
LOW, HIGH, SCHEDULED, IN_SYSCALL = 0xC000010000, 0xC000012000, 0xC000011800, 0xC000011000
LAYOUT = GoroutineLayout(BASE, syscall_sp=112, status=144)
SCANNED = 0x1000


def memory_of(*statuses: int, count: int | None = None) -> Memory:
    """Return memory with a goroutine of each status; all have the same stack."""
    words = np.zeros(0x1000 // 8, np.uint64)

    def put(addr: int, word: int) -> None:
        words[(addr - BASE) // 8] = word

    length = len(statuses) if count is None else count
    for place, word in enumerate((TABLE, length, length)):
        put(BASE + 8 * place, word)
    for number, status in enumerate(statuses):
        g = FIRST + EACH * number
        put(TABLE + 8 * number, g)
        for offset, word in ((0, LOW), (8, HIGH), (56, SCHEDULED), (112, IN_SYSCALL), (144, status)):
            put(g + offset, word)
    raw = words.tobytes()

    def read_into(addr: int, buffer: memoryview) -> int:
        part = raw[addr - BASE : addr - BASE + len(buffer)] if addr >= BASE else b""
        buffer[: len(part)] = part
        return len(part)

    return Memory(read_into)


@pytest.mark.parametrize(
    ("status", "start"),
    [(1, SCHEDULED), (2, LOW), (3, IN_SYSCALL), (4, SCHEDULED), (9, SCHEDULED), (8, LOW), (0, None), (6, None)],
    ids=["runnable", "running", "syscall", "waiting", "preempted", "copied", "idle", "dead"],
)
@pytest.mark.parametrize("scanned", [0, SCANNED])
def test_a_stack_is_in_use_from_where_its_goroutine_goes_on(status: int, start: int | None, scanned: int) -> None:
    found = stacks_in_use(memory_of(status | scanned), LAYOUT)

    assert found is not None
    assert found.tolist() == ([] if start is None else [[start, HIGH]])


def test_each_goroutine_has_its_own() -> None:
    found = stacks_in_use(memory_of(4, 6, 2), LAYOUT)

    assert found is not None
    assert found.tolist() == [[SCHEDULED, HIGH], [LOW, HIGH]]


@pytest.mark.parametrize("count", [0, 1 << 40])
def test_what_is_no_list_of_goroutines_says_nothing(count: int) -> None:
    assert stacks_in_use(memory_of(4, count=count), LAYOUT) is None
