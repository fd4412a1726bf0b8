"""Which headers on a stack are in use: by a frame's bitmap, or by references to them; else left over or unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mapprobe.go.stack_maps import FrameMap, StackObject
from mapprobe.live.heap.frames import NO_POINTERS, SIZE_NOT_KNOWN, Claim, Frames, Stack, Use
from mapprobe.live.memory import Memory

TOP, BIAS = 0xC000100000, 0x1000
HEADER = 48, 24
INNER, OUTER, START, ELSEWHERE = 0x400010, 0x400020, 0x400030, 0x400FFF
PARKED = FrameMap(16, 0, (), (), False, False, False, False)
"""The innermost frame: of two words, with the return address behind them."""
HOLDS = FrameMap(
    160, 0, (), (StackObject(-136, 48, 24), StackObject(-80, 72, 64)), False, False, False, False
)  # fmt: skip
"""A frame with a header and a bucket."""
LAST = FrameMap(0, 0, (), (), True, False, False, False)
SLOT = TOP + 24 + 160
"""Where the return address of `HOLDS` stands."""
ADDR, BUCKET = SLOT - 136, SLOT - 80


class Maps:
    def __init__(self, **frames: FrameMap) -> None:
        self._frames = {INNER: frames.get("inner", PARKED), OUTER: frames.get("outer", HOLDS), START: LAST}

    def at(self, pc: int) -> FrameMap | None:
        return self._frames.get(pc)


def stack(words: dict[int, int] | None = None, *, pc: int = INNER, outer: int = OUTER) -> Stack:
    """Return a stack with a frame that has parked in another one, and some words in them."""
    found = [0] * 64
    for addr, word in ({TOP + 16: outer + BIAS, SLOT: START + BIAS} | (words or {})).items():
        found[(addr - TOP) // 8] = word
    return Stack(TOP, found, TOP, pc + BIAS if pc else 0, (), 0, False)


def claim(given: Stack, addr: int = ADDR, buckets: int = BUCKET, **frames: FrameMap) -> Claim:
    memory = Memory(lambda _addr, _buffer: 0)
    (found,) = Frames(memory, Maps(**frames), BIAS, HEADER, 32).claims(given, [(addr, buckets)])  # type: ignore[arg-type]
    return found


def test_a_header_whose_own_words_are_in_use_is() -> None:
    assert claim(stack(), outer=replace(HOLDS, pointers=(-136 + 16,))) == (Use.IN_USE, 72, OUTER, -136)


def test_a_header_that_nothing_leads_to_is_left_over() -> None:
    assert claim(stack()) == (Use.LEFT_OVER, 72, OUTER, -136)


def test_a_pointer_in_use_leads_to_it() -> None:
    assert claim(stack({SLOT - 24: ADDR}), outer=replace(HOLDS, pointers=(-24,))).use is Use.IN_USE


def test_a_pointer_that_is_not_in_use_does_not() -> None:
    assert claim(stack({SLOT - 24: ADDR})).use is Use.LEFT_OVER


def test_one_object_leads_to_another() -> None:
    outer = replace(HOLDS, pointers=(-24,), objects=(*HOLDS.objects[:1], StackObject(-80, 40, 40)))

    assert claim(stack({SLOT - 24: SLOT - 72, SLOT - 48: ADDR + 8}), outer=outer).use is Use.IN_USE


def test_what_the_goroutine_goes_on_with_leads_to_it() -> None:
    assert claim(stack()._replace(roots=(ADDR,))).use is Use.IN_USE


def test_arguments_lead_to_it() -> None:
    inner = replace(PARKED, pointers=(8,))

    assert claim(stack({TOP + 24: ADDR}), inner=inner).use is Use.IN_USE


def test_what_is_no_object_of_its_frame_is_no_header() -> None:
    assert claim(stack(), ADDR + 8).use is Use.NO_HEADER
    assert claim(stack(), BUCKET).use is Use.NO_HEADER


def test_a_bucket_that_is_no_object_has_no_pointers() -> None:
    assert claim(stack(), buckets=BUCKET + 8).bucket_bytes == NO_POINTERS


@pytest.mark.parametrize("given", [stack(pc=0), stack(pc=ELSEWHERE), stack(outer=ELSEWHERE)], ids=["runs", "c", "torn"])
def test_headers_are_not_judged_if_frames_are_unknown(given: Stack) -> None:
    found = claim(given, ADDR + 8, BUCKET + 8)

    assert found == (Use.NOT_TOLD, SIZE_NOT_KNOWN, 0, 0)


def test_a_frame_that_sets_the_stack_pointer_ends_what_is_known() -> None:
    assert claim(stack(), outer=replace(HOLDS, is_closed=True)).use is Use.NOT_TOLD
    assert claim(stack(), inner=replace(PARKED, is_closed=True)).use is Use.LEFT_OVER


def test_headers_on_the_stack_of_a_panic_are_not_judged() -> None:
    assert claim(stack()._replace(is_panicking=True)).use is Use.NOT_TOLD


def test_above_kept_registers_any_word_may_be_in_use() -> None:
    inner = replace(PARKED, keeps_registers=True)

    assert claim(stack(), inner=inner).use is Use.NOT_TOLD
    assert claim(stack({SLOT - 24: ADDR}), inner=inner).use is Use.IN_USE
    assert claim(stack({TOP + 8: ADDR}), inner=inner).use is Use.IN_USE


def test_an_object_of_a_frame_that_is_not_set_up_yet_is_none() -> None:
    given = stack()._replace(sp=SLOT, pc=OUTER + BIAS)

    assert claim(given, outer=replace(HOLDS, size=0)).use is Use.NO_HEADER


def test_frames_that_lead_out_of_the_stack_end() -> None:
    assert claim(stack(), outer=replace(HOLDS, size=1 << 40)).use is Use.NOT_TOLD
