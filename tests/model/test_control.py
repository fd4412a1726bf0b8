from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.model import control

words = st.lists(st.integers(0, 255), min_size=8, max_size=8)
masks = st.lists(st.sampled_from([0, 0x80]), min_size=8, max_size=8)

compiles = settings(deadline=None)
"""The first call of a kernel takes as long as compiling it."""


def word(bytes_of_word: list[int]) -> np.uint64:
    return np.uint64(int.from_bytes(bytes_of_word, "little"))


def mask_of(slots: list[bool]) -> int:
    return int(word([0x80 * slot for slot in slots]))


@compiles
@given(words)
def test_zero_bytes_are_masked(bytes_of_word: list[int]) -> None:
    assert control.zero_bytes(word(bytes_of_word)) == mask_of([byte == 0 for byte in bytes_of_word])


@compiles
@given(words, st.integers(0, 255))
def test_equal_bytes_are_masked(bytes_of_word: list[int], byte: int) -> None:
    expected = mask_of([b == byte for b in bytes_of_word])
    assert control.bytes_equal(word(bytes_of_word), np.uint64(byte)) == expected


@compiles
@given(masks)
def test_slots_of_a_mask_are_counted(mask: list[int]) -> None:
    assert control.slot_count(word(mask)) == mask.count(0x80)


@compiles
@given(masks.filter(any))
def test_first_slot_is_the_lowest(mask: list[int]) -> None:
    assert control.first_slot(word(mask)) == mask.index(0x80)


@compiles
@given(words, st.integers(0, 7), st.integers(0, 255))
def test_a_byte_that_was_set_is_read_and_the_others_stay(bytes_of_word: list[int], slot: int, byte: int) -> None:
    changed = np.uint64(control.with_byte(word(bytes_of_word), slot, np.uint64(byte)))
    assert [int(control.get_byte(changed, n)) for n in range(8)] == [
        byte if n == slot else b for n, b in enumerate(bytes_of_word)
    ]
