"""Possible headers on stacks: real ones are found, and other contents raise only errors of mapprobe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.live.census.candidates import Headers
from mapprobe.live.census.locals import DEEPEST, Locals, find_locals
from mapprobe.live.heap.frames import Claim, Frames, Stack, Use
from mapprobe.live.heap.goroutines import Goroutines
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import Implementation
from support.spans import spans

TOP, HIGH = 0xC000100000, 0xC000100400
BUCKET = HIGH - 0x100
SWISS = [2, 0x1234567, BUCKET, 0, 0, 0]
CLASSIC = [2, 0x1234567 << 32, BUCKET, 0, 0, 0]
ADDR = TOP + 0x40


class Told:
    """Frames that say the same of everything."""

    def __init__(self, use: Use = Use.IN_USE) -> None:
        self.use = use
        self.asked: list[tuple[Stack, list[tuple[int, int]]]] = []

    def claims(self, stack: Stack, headers: list[tuple[int, int]]) -> list[Claim]:
        self.asked.append((stack, headers))
        return [Claim(self.use, 72, 7, -8)] * len(headers)


def goroutines(*ranges: tuple[int, int]) -> Goroutines:
    top, high = np.array(ranges, np.uint64).reshape(-1, 2).T
    number = 1 + np.arange(len(ranges), dtype=np.uint64)
    return Goroutines(number, top, high, top, *(number * np.uint64(0) for _ in range(4)))


def memory(words: dict[int, list[int]]) -> Memory:
    raw = np.zeros((HIGH - TOP) // 8, np.uint64)
    for addr, part in words.items():
        raw[(addr - TOP) // 8 :][: len(part)] = part
    content = raw.tobytes()

    def read_into(addr: int, buffer: memoryview) -> int:
        part = content[addr - TOP : addr - TOP + len(buffer)] if addr >= TOP else b""
        buffer[: len(part)] = part
        return len(part)

    return Memory(read_into)


def found(
    given_memory: Memory,
    of: Goroutines,
    frames: Any,
    implementation: Implementation = Implementation.SWISS,
    words: int = 6,
) -> Headers:
    return looked_at(given_memory, of, frames, implementation, words).headers


def looked_at(
    given_memory: Memory,
    of: Goroutines,
    frames: Any,
    implementation: Implementation = Implementation.SWISS,
    words: int = 6,
) -> Locals:
    return find_locals(given_memory, spans(48), of, frames, implementation, words)


@pytest.mark.parametrize(
    ("implementation", "words"), [(Implementation.SWISS, SWISS), (Implementation.CLASSIC, CLASSIC)], ids=str
)
def test_a_header_is_found_at_its_address(implementation: Implementation, words: list[int]) -> None:
    frames = Told()
    headers = found(memory({ADDR: words}), goroutines((TOP, HIGH)), frames, implementation)

    assert headers.addr.tolist() == [ADDR]
    assert headers.words.tolist() == [words]
    places = headers.places
    assert [c.tolist() for c in (places.goid, places.top, places.high)] == [[1], [TOP], [HIGH]]
    assert [c.tolist() for c in (places.use, places.bucket_bytes, places.pc, places.offset)] == [[1], [72], [7], [-8]]
    assert frames.asked[0][1] == [(ADDR, BUCKET)]


def test_what_its_frame_says_is_none_is_none() -> None:
    assert len(found(memory({ADDR: SWISS}), goroutines((TOP, HIGH)), Told(Use.NO_HEADER))) == 0


def test_what_leads_nowhere_is_none() -> None:
    assert len(found(memory({ADDR: [*SWISS[:2], 0xC000900000, *SWISS[3:]]}), goroutines((TOP, HIGH)), Told())) == 0


def test_a_header_is_not_made_of_two_stacks() -> None:
    middle = ADDR + 16

    assert len(found(memory({ADDR: SWISS}), goroutines((TOP, middle), (middle, HIGH)), Told())) == 0


def test_of_stacks_that_overlap_one_is_read() -> None:
    headers = found(memory({ADDR: SWISS}), goroutines((TOP + 8, HIGH), (TOP, HIGH), (TOP, HIGH - 8)), Told())

    assert headers.addr.tolist() == [ADDR]


def test_what_is_behind_a_header_with_room_is_not_part_of_it() -> None:
    words = [2, 0x1234567 << 32, BUCKET, 0, 0, 0, 0, 99]
    headers = found(memory({ADDR: words}), goroutines((TOP, HIGH)), Told(), Implementation.CLASSIC, 7)

    assert headers.words.tolist() == [[*words[:7], 0]]


def test_of_a_very_deep_stack_the_outermost_frames_are_looked_at() -> None:
    frames = Told()
    deep = HIGH - 8 * DEEPEST - 64
    stacks = looked_at(memory({ADDR: SWISS}), goroutines((deep, HIGH)), frames)

    assert (stacks.headers.addr.tolist(), stacks.is_all) == ([ADDR], False)
    assert frames.asked[0][0].pc == 0


def test_no_stacks_have_no_headers() -> None:
    stacks = looked_at(memory({}), goroutines(), Told())

    assert (len(stacks.headers), stacks.is_all) == (0, True)


@pytest.mark.parametrize("words", [6, 7])
def test_stacks_that_cannot_be_read_have_headers_like_those_in_the_heap(words: int) -> None:
    nothing = looked_at(memory({}), goroutines(), Told(), Implementation.CLASSIC, words).headers

    assert Locals.not_read(words).headers.words.shape == nothing.words.shape
    assert not Locals.not_read(words).is_all


def test_those_in_use_come_first() -> None:
    class Both(Told):
        def claims(self, stack: Stack, headers: list[tuple[int, int]]) -> list[Claim]:
            return [Claim(Use.IN_USE if addr == ADDR + 0x40 else Use.LEFT_OVER, 72) for addr, _ in headers]

    headers = found(memory({ADDR: SWISS, ADDR + 0x40: SWISS}), goroutines((TOP, HIGH)), Both())

    assert headers.addr.tolist() == [ADDR + 0x40, ADDR]


def test_a_stack_that_lies_around_others_hides_none() -> None:
    middle = TOP + 0x200
    headers = found(memory({ADDR: SWISS}), goroutines((TOP - 8, HIGH), (TOP, middle), (middle, HIGH)), Told())
    beside = found(memory({middle: SWISS}), goroutines((TOP - 8, HIGH), (TOP, middle), (middle, HIGH)), Told())

    assert len(headers) == 0  # its bucket stands on another stack
    assert beside.places.top.tolist() == [middle]


WORDS = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 9), st.integers(TOP // 8, HIGH // 8).map(lambda n: 8 * n), st.just(0)
)


@given(
    st.lists(WORDS, min_size=1, max_size=64),
    st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=4),
    st.sampled_from(Implementation),
)
def test_any_contents_of_stacks_and_goroutines_are_read_in_bounded_memory(
    words: list[int], forged: list[tuple[int, ...]], implementation: Implementation
) -> None:
    class Maps:
        def at(self, pc: int) -> None:
            return None

    columns = np.array(forged, np.uint64).T
    number = np.arange(len(forged), dtype=np.uint64)
    high = np.minimum(columns[1], columns[0] + np.uint64(1 << 12)) & ~np.uint64(7)
    of = Goroutines(number, columns[0] & ~np.uint64(7), high, *columns[2:6], columns[2])
    frames = Frames(memory({}), Maps(), 0, (48, 24), 32)  # type: ignore[arg-type]

    assert len(found(memory({TOP: words}), of, frames, implementation)) <= 64
