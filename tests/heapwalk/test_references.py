from __future__ import annotations

import itertools
from dataclasses import fields, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.go.facts import heap_facts_for, span_facts_for
from mapprobe.heapwalk.memory import Memory
from mapprobe.heapwalk.references import globals_of, merged, pages_of, referred_to
from mapprobe.heapwalk.spans import Layout, Spans

START, PAGE = 0xC000000000, 8192
OBJECTS = 512
LAYOUT = Layout(0, heap_facts_for((1, 23)), span_facts_for((1, 23)), inline_marks=False)


def heap(*pages: bool, stacks: int = 0) -> Spans:
    """Return spans of a page each, which have pointers or not, and behind them pages of stacks."""
    count = len(pages)
    columns = {f.name: np.zeros(count, np.uint64) for f in fields(Spans)}
    start = np.uint64(START) + np.arange(count, dtype=np.uint64) * np.uint64(PAGE)
    first = START + count * PAGE
    columns |= {"start": start, "end": start + np.uint64(PAGE), "has_pointers": np.array(pages, np.bool_)}
    every = np.full(count, OBJECTS)
    columns |= {"object_bytes": np.full(count, PAGE // OBJECTS, np.uint64), "objects": every, "free_index": every}
    columns |= {"is_swept": np.ones(count, np.bool_)}
    columns |= {"stacks": np.array([[first, first + stacks * PAGE]], np.uint64)[: 1 if stacks else 0]}
    return Spans(**columns | {"sweepgen": 2})


def memory_of(words: dict[int, int], length: int) -> Memory:
    data = np.zeros(length // 8, np.uint64)
    for addr, word in words.items():
        data[(addr - START) // 8] = word
    raw = data.tobytes()

    def read_into(addr: int, buffer: memoryview) -> int:
        part = raw[addr - START : addr - START + len(buffer)] if addr >= START else b""
        buffer[: len(part)] = part
        return len(part)

    return Memory(read_into)


def referring(memory: Memory, spans: Spans, headers: np.ndarray, others: list[tuple[int, int]]) -> list[bool]:
    """Return which headers are referred to."""
    found = referred_to(memory, LAYOUT, spans, headers, others, np.zeros(len(spans), np.bool_))
    there: list[bool] = found.is_there.tolist()
    return there


def test_what_a_word_points_to_is_referred_to() -> None:
    headers = np.array([START + 96, START, START + 48], np.uint64)
    memory = memory_of({START + PAGE + 8: START + 96, START + 2 * PAGE: START + 48}, 4 * PAGE)

    # the second page has no pointers: what looks like one there is a number
    assert referring(memory, heap(True, False, stacks=1), headers, []) == [False, False, True]
    assert referring(memory, heap(True, True, stacks=1), headers, []) == [True, False, True]


def test_what_a_free_object_still_holds_refers_to_nothing() -> None:
    headers = np.array([START + 96], np.uint64)
    memory, spans = memory_of({START + PAGE + 8: START + 96}, 4 * PAGE), heap(True, True)
    is_free = replace(spans, free_index=np.zeros(2, np.int64))

    assert [referring(memory, of, headers, []) for of in (spans, is_free)] == [[True], [False]]


def test_memory_beside_the_heap_refers_too() -> None:
    memory = memory_of({START + 3 * PAGE: START + 48}, 4 * PAGE)
    headers = np.array([START + 48], np.uint64)
    beside = [(START + 3 * PAGE, START + 4 * PAGE)]

    assert [referring(memory, heap(True), headers, others) for others in ([], beside)] == [[False], [True]]


def test_the_holder_is_in_an_object_whose_type_is_kept() -> None:
    words = {START + 8: START + 48, START + PAGE + 16: START + 48, START + 3 * PAGE: START + 96, START: START + 144}
    memory, headers = memory_of(words, 4 * PAGE), np.array([START + 144, START + 96, START + 48, START], np.uint64)
    kept = np.array([False, True, False])
    found = referred_to(memory, LAYOUT, heap(True, True, True, stacks=1), headers, [], kept)

    assert found.is_there.tolist() == [True, True, True, False]
    assert found.holder.tolist() == [0, 0, START + PAGE + 16, 0]


def test_no_headers_are_not_referred_to() -> None:
    assert referring(memory_of({}, PAGE), heap(True), np.empty(0, np.uint64), []) == []


def test_what_is_passed_over_refers_to_nothing() -> None:
    # objects of 16 bytes: the second one of the page holds the word
    memory, headers = memory_of({START + 24: START + 96}, PAGE), np.array([START + 96], np.uint64)
    none = np.zeros(1, np.bool_)

    def is_there(*objects: int) -> list[bool]:
        passed_over = np.array(objects, np.uint64)
        return referred_to(memory, LAYOUT, heap(True), headers, [], none, passed_over).is_there.tolist()

    assert [is_there(START, START + 32), is_there(START + 16), is_there(START + 24)] == [[True], [False], [False]]


def test_globals_are_writable_memory_of_files_and_what_follows_it() -> None:
    maps = f"""\
00400000-00500000 r-xp 00000000 08:01 1 /bin/x
00500000-00510000 rw-p 00100000 08:01 1 /bin/x
00510000-00530000 rw-p 00000000 00:00 0
01000000-01020000 rw-p 00000000 00:00 0 [heap]
{START:x}-{START + 64 * PAGE:x} rw-p 00000000 00:00 0
7f0000000000-7f0000010000 rw-p 00000000 00:00 0
7f0000020000-7f0000030000 rw-s 00000000 08:01 2 /var/lib/data of it.db
7f0000040000-7f0000050000 rw-p 00001000 08:01 3 /opt/a plugin.so
7f0000050000-7f0000051000 r--p 00000000 00:00 0
7ffd00000000-7ffd00020000 rw-p 00000000 00:00 0 [stack]
"""
    assert globals_of(maps) == [(0x500000, 0x510000), (0x510000, 0x530000), (0x7F0000040000, 0x7F0000050000)]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda pair: (pair[0], sum(pair)))))
def test_merged_ranges_cover_the_same_and_lie_apart(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)

    assert {n for start, end in found for n in range(start, end)} == {n for a, b in ranges for n in range(a, b)}
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


def test_pages_are_those_of_the_ranges() -> None:
    found = pages_of(np.array([START, START + 4 * PAGE], np.uint64), np.array([START + 2 * PAGE, START + 5 * PAGE]))

    assert found.tolist() == [START, START + PAGE, START + 4 * PAGE]
