from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mapprobe import _core
from mapprobe.vocabulary import Implementation
from support.side_by_side import new_world

words = st.lists(st.integers(0, 255), min_size=8, max_size=8)


def word(bytes_of_word: list[int]) -> int:
    return int.from_bytes(bytes_of_word, "little")


def mask_of(slots: list[bool]) -> int:
    return sum(is_meant << slot for slot, is_meant in enumerate(slots))


@given(words, st.integers(0, 255))
def test_equal_bytes_are_masked(bytes_of_word: list[int], byte: int) -> None:
    assert _core.match_byte(word(bytes_of_word), byte) == mask_of([b == byte for b in bytes_of_word])


@given(words, st.integers(0, 7))
def test_a_byte_is_found_in_every_slot(bytes_of_word: list[int], slot: int) -> None:
    assert _core.match_byte(word(bytes_of_word), bytes_of_word[slot]) >> slot & 1


@given(words)
def test_live_slots_are_those_without_the_high_bit(bytes_of_word: list[int]) -> None:
    world = new_world(Implementation.SWISS, (1, 27))
    assert _core.live_slots(world.handle, word(bytes_of_word)) == mask_of([b < 0x80 for b in bytes_of_word])


@given(words, st.integers(0, 7), st.integers(0, 255))
def test_a_byte_that_was_set_is_read_and_the_others_stay(bytes_of_word: list[int], slot: int, byte: int) -> None:
    changed = _core.with_byte(word(bytes_of_word), slot, byte)
    assert list(changed.to_bytes(8, "little")) == [byte if n == slot else b for n, b in enumerate(bytes_of_word)]
