"""The inner loops in C over a process's memory, compared with the same loops in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.go.facts import NO_GUARD, STACK_GUARDS, STACK_MARKS
from mapprobe.live.heap.references import STACK_ENDS

WORDS = st.integers(0, 2**64 - 1)
ADDRS = st.one_of(WORDS, st.integers(0, 1 << 20), st.integers(0, 1 << 17).map(lambda n: 0xC000000000 + 8 * n))
PAGE_WORDS = 1024
NO_BUCKET = 1 << 62


def words_of(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


def looks_swiss(words: list[int]) -> int:
    used, seed, directory, length, depth, clears = words[:6]
    if depth >> 16 & ~0x101 or used >= 1 << 38 or clears >= 1 << 38 or directory % 8:
        return 0
    log2, shift = depth & 255, depth >> 8 & 255
    small = length == 0 and depth & 0xFFFF == 0 and used <= 8
    large = log2 <= 40 and shift == 64 - log2 and length == 1 << log2
    if directory:
        return int(small or large)
    return 2 * int(small and not used and not clears and not depth and 10 <= seed.bit_count() <= 54)


def looks_classic(words: list[int]) -> int:
    count, second, buckets, old, evacuated = words[:5]
    extra, flags, log2 = words[5 if len(words) == 6 else 6], second & 255, second >> 8 & 255
    fits = flags <= 15 and log2 <= 40 and (buckets | old | extra) % 8 == 0
    if len(words) > 6:
        fits = fits and words[5] < 1 << 38 and words[7] == 0
    if fits and buckets and buckets != old and evacuated <= 1 << log2:
        return 1
    nothing = not (count | buckets | old | evacuated | extra | second & 0xFFFFFFFF)
    return 2 * int(fits and nothing and second >> 32 > 0xFFFF)


SMALL = st.one_of(st.sampled_from([0, 1, 8, 0x3F01, 0x4000, 0x3D03, 0x10000]), st.integers(0, 64), ADDRS)


@given(st.lists(st.lists(SMALL, min_size=8, max_size=8), min_size=1, max_size=20), st.booleans())
def test_headers_are_recognised_by_their_words(rows, is_wide) -> None:
    for width, is_swiss, expected in ((6, True, looks_swiss), (8 if is_wide else 6, False, looks_classic)):
        looks = np.empty(len(rows), np.uint8)
        words = words_of([word for row in rows for word in row[:width]])
        _core.look_at_headers(words, width, is_swiss, looks)
        assert looks.tolist() == [expected(row[:width]) for row in rows]


@given(st.data())
def test_headers_are_found_among_the_allocated_objects_of_spans(data) -> None:
    width, objects = 6, data.draw(st.integers(0, 170))
    page = np.zeros((1, PAGE_WORDS), np.uint64)
    headers = data.draw(st.sets(st.integers(0, 169), max_size=8))
    for n in headers:
        page[0, n * width : n * width + 3] = 3, 0x5555555555555555, 0xC000001000
    taken = data.draw(st.integers(0, 2**192 - 1))
    bits = words_of([taken >> 64 * n & (1 << 64) - 1 for n in range(3)]).reshape(1, 3)
    spans = words_of([0xC000004000]), page, np.array([objects]), bits, np.zeros_like(bits), 3, width
    addr, words, is_old = np.empty(170, np.uint64), np.empty((170, width), np.uint64), np.empty(170, np.bool_)
    found, unwritten = _core.find_headers(True, spans, addr, words, is_old)
    expected = sorted(n for n in headers if n < objects and taken >> n & 1)
    assert addr[:found].tolist() == [0xC000004000 + 8 * width * n for n in expected]
    assert unwritten == 0
    assert not is_old[:found].any()


@given(st.data())
def test_references_are_words_that_are_pointers_to_a_target(data) -> None:
    targets = sorted(data.draw(st.sets(st.integers(0, 4000), min_size=1, max_size=10)))
    addrs = words_of([0xC000000000 + 48 * n for n in targets])
    first = int(addrs[0]) >> 13
    has = np.zeros((int(addrs[-1]) >> 13) - first + 1, np.bool_)
    has[(addrs >> np.uint64(13)).astype(np.int64) - first] = True
    words = np.zeros(2 * PAGE_WORDS, np.uint64)
    for place in data.draw(st.sets(st.integers(0, 2 * PAGE_WORDS - 1), max_size=20)):
        words[place] = data.draw(st.one_of(st.sampled_from(addrs.tolist()), ADDRS))
    begins = np.array([0, PAGE_WORDS - 16])
    places, rows = np.empty(len(words), np.int64), np.empty(len(words), np.int64)
    found = _core.find_references((addrs, first, has), STACK_ENDS, words, begins, places, rows)
    bits = [True] * PAGE_WORDS
    bits += [bool(int(words[PAGE_WORDS + PAGE_WORDS - 16 + n // 64]) >> n % 64 & 1) for n in range(PAGE_WORDS)]
    expected = [n for n in range(len(words)) if words[n] in addrs and bits[n] and not ends_stack(words.tolist(), n)]
    assert places[:found].tolist() == expected
    assert addrs[rows[:found]].tolist() == [int(words[n]) for n in expected]


def ends_stack(words: list[int], n: int) -> bool:
    if n < 1 or n + 2 >= len(words):
        return False
    start, end, guard, other = words[n - 1 : n + 3]
    is_guard = (guard - start) % 2**64 in STACK_GUARDS or guard in STACK_MARKS
    return start < end and is_guard and ((other - start) % 2**64 in STACK_GUARDS or other == NO_GUARD)


@given(st.sampled_from(STACK_GUARDS), st.sampled_from([*STACK_MARKS, 0]), st.booleans())
def test_where_a_stack_ends_is_no_reference(guard, mark, is_plain) -> None:
    start, end = 0xC000000000, 0xC000008000
    words = words_of([0, start, end, start + guard if is_plain else mark, NO_GUARD, end])
    places, rows = np.empty(len(words), np.int64), np.empty(len(words), np.int64)
    targets = words_of([end]), end >> 13, np.ones(1, np.bool_)
    found = _core.find_references(targets, STACK_ENDS, words, None, places, rows)
    assert places[:found].tolist() == ([5] if is_plain or mark else [2, 5])


@given(st.lists(st.integers(1, 40), max_size=12), st.lists(ADDRS, max_size=40), st.data())
def test_each_address_is_in_the_span_that_holds_it(gaps, addrs, data) -> None:
    starts, ends, sizes, at = [], [], [], 0xC000000000
    for gap in gaps:
        starts.append(at + 8 * gap)
        ends.append(starts[-1] + 8 * data.draw(st.integers(1, 60)))
        sizes.append(data.draw(st.sampled_from([8, 24, 48, 1 << 40])))
        at = ends[-1]
    addrs += [0xC000000000 + 8 * place for place in data.draw(st.lists(st.integers(0, 800), max_size=40))]
    rows, offsets = np.empty(len(addrs), np.int64), np.empty(len(addrs), np.int64)
    _core.find_spans((words_of(starts), words_of(ends), words_of(sizes)), words_of(addrs), rows, offsets)
    for addr, row, offset in zip(addrs, rows.tolist(), offsets.tolist(), strict=True):
        expected = next((n for n in range(len(starts)) if starts[n] <= addr < ends[n]), -1)
        assert (row, offset) == (expected, 0 if expected < 0 else (addr - starts[expected]) % sizes[expected])


def test_spans_whose_objects_take_nothing_are_refused() -> None:
    one = words_of([8])
    with pytest.raises(ValueError, match="something"):
        _core.find_spans((one, one, words_of([0])), one, np.empty(1, np.int64), np.empty(1, np.int64))
