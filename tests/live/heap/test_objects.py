"""Which addresses are free objects, and how much room is behind an address, whatever the sweeper does meanwhile."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.go.facts import SPAN_FREE_INDEX, SPAN_PAGES, SPAN_START, heap_facts_for, span_facts_for
from mapprobe.live.heap import spans as rules
from mapprobe.live.heap.objects import Heap
from mapprobe.live.heap.spans import IN_USE, INLINE_MARKS_FROM_END, PAGE, Layout
from mapprobe.live.heap.states import ARENA_BASE, ARENA_BYTES, states_of
from mapprobe.live.memory import Memory
from mapprobe.vocabulary import ArrayState

START, OBJECT_BYTES = 0xC000000000, 48
MHEAP, TABLE, ARENA, SPAN, ALLOC_BITS, MARK_BITS = 0x100000, 0x200000, 0x10000000, 0x400000, 0x500000, 0x600000
SWEEPGEN = 8
NUMBER = (START + ARENA_BASE) // ARENA_BYTES
CLASSIC, GREEN = (1, 23), (1, 27)
HAS_POINTERS = 2 << 1


@pytest.fixture(autouse=True, scope="module")
def _no_waiting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "LOOK_SECONDS", 0)
        yield


class Page:
    """A heap of one page of objects; its span is read as each of `sweepgens` in turn, then stays the last."""

    def __init__(
        self,
        *sweepgens: int,
        release: tuple[int, int] = CLASSIC,
        object_bytes: int = OBJECT_BYTES,
        free_index: int = 0,
        allocated: int = 1,
        marked: int = 0,
    ) -> None:
        self.heap, self.span = heap_facts_for(release), span_facts_for(release)
        self._sweepgens = list(sweepgens or (SWEEPGEN,))
        self._object_bytes, self._free_index, self.inline = object_bytes, free_index, 0
        self.state = IN_USE
        self.words = {
            MHEAP + self.heap.sweepgen & ~7: SWEEPGEN << 8 * (self.heap.sweepgen & 7),
            MHEAP + self.heap.arenas: TABLE,
            TABLE + 8 * NUMBER: ARENA,
            ARENA + self.heap.spans: SPAN,
            ALLOC_BITS: allocated,
            MARK_BITS: marked,
        }

    def _descriptor(self) -> bytes:
        sweepgen = self._sweepgens.pop(0) if len(self._sweepgens) > 1 else self._sweepgens[0]
        raw, objects = bytearray(PAGE), PAGE // self._object_bytes
        for offset, form, value in (
            (SPAN_START, "<Q", START), (SPAN_PAGES, "<Q", 1), (self.heap.elem_bytes, "<Q", self._object_bytes),
            (self.heap.alloc_bits, "<Q", ALLOC_BITS), (self.heap.mark_bits, "<Q", MARK_BITS),
            (SPAN_FREE_INDEX, "<H", self._free_index), (self.span.elements, "<H", objects),
            (self.heap.span_sweepgen, "<I", sweepgen), (self.span.span_class, "<B", HAS_POINTERS),
            (self.heap.span_state, "<B", self.state),
        ):  # fmt: skip
            struct.pack_into(form, raw, offset, value)
        return bytes(raw)

    def read_into(self, addr: int, buffer: memoryview) -> int:
        if addr == SPAN:
            part = self._descriptor()[: len(buffer)]
        elif addr == START + PAGE - INLINE_MARKS_FROM_END:
            part = self.inline.to_bytes(INLINE_MARKS_FROM_END, "little")[: len(buffer)]
        else:
            words = [self.words.get(addr + n, 0) for n in range(0, len(buffer), 8)]
            part = struct.pack(f"<{len(words)}Q", *words)[: len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def read(self, addr: int, length: int) -> bytes:
        buffer = bytearray(length)
        self.read_into(addr, memoryview(buffer))
        return bytes(buffer)

    def layout(self, inline_marks: bool) -> Layout:
        return Layout(MHEAP, self.heap, self.span, inline_marks)

    def asked(self, *, inline_marks: bool = False) -> Heap:
        return Heap(self.read, self.layout(inline_marks))

    def free_by_columns(self, count: int, *, inline_marks: bool) -> list[int]:
        """Return what `states` says of the same objects."""
        addrs = START + np.arange(count, dtype=np.uint64) * np.uint64(self._object_bytes)
        state, _ = states_of(Memory(self.read_into), self.layout(inline_marks), addrs)
        return np.flatnonzero(state != ArrayState.HELD).tolist()

    def free(self, count: int, *, inline_marks: bool = False) -> list[int]:
        """Return which of the first objects are free."""
        addrs = {START + n * self._object_bytes: n for n in range(count)}
        return sorted(addrs[addr] for addr in self.asked(inline_marks=inline_marks).free(addrs))


def test_object_is_free_if_it_is_not_allocated() -> None:
    assert Page(free_index=2, allocated=0b1).free(4) == [2, 3]


def test_words_after_the_last_object_of_a_span_are_free() -> None:
    objects = PAGE // 144
    page = Page(object_bytes=144, free_index=objects, allocated=(1 << objects) - 1)

    assert page.free(objects + 1) == [objects]


def test_where_no_span_is_in_use_everything_is_free() -> None:
    page = Page(allocated=0xFF)
    page.state = 0

    assert page.free(2) == [0, 1]


@pytest.mark.parametrize("addr", [0x700000, START + ARENA_BYTES, 1 << 60])
def test_what_is_in_no_arena_of_the_heap_is_never_free(addr: int) -> None:
    assert Page(allocated=0).asked().free([addr]) == set()


def test_span_that_is_being_swept_is_read_when_it_was() -> None:
    assert Page(SWEEPGEN - 1, SWEEPGEN - 1, SWEEPGEN).free(2) == [1]


@pytest.mark.parametrize(
    ("allocated", "marked"),
    [(0b001, 0b011), (0b011, 0)],
    ids=["its bits are the old ones", "its bits are the new ones"],
)
def test_of_a_span_whose_sweep_does_not_end_no_object_in_use_is_free(allocated: int, marked: int) -> None:
    assert Page(SWEEPGEN - 1, allocated=allocated, marked=marked).free(3) == [2]


@pytest.mark.parametrize(("inline_marks", "free"), [(True, [2]), (False, [1, 2])], ids=["green tea", "no green tea"])
def test_marks_in_a_span_count_only_if_the_collector_keeps_them_there(inline_marks: bool, free: list[int]) -> None:
    page = Page(SWEEPGEN - 2, release=GREEN, marked=0b1)
    page.inline = 0b10

    assert page.free(3, inline_marks=inline_marks) == free


@pytest.mark.parametrize(
    ("addr", "room"),
    [
        (START, OBJECT_BYTES),
        (START + OBJECT_BYTES + 8, OBJECT_BYTES - 8),
        (START + PAGE, 0),
        (START + ARENA_BYTES, 0),
        (1 << 60, 0),
    ],
    ids=["an object", "in an object", "no span", "a global", "no address"],
)
def test_room_is_what_is_left_of_an_object(addr: int, room: int) -> None:
    assert Page().asked().room(addr) == room


BITS = st.integers(0, (1 << 64) - 1)


@given(
    sweepgen=st.sampled_from([SWEEPGEN - 2, SWEEPGEN - 1, SWEEPGEN, SWEEPGEN + 3]),
    free_index=st.integers(0, 40), bits=st.tuples(BITS, BITS, BITS),
    release=st.sampled_from([CLASSIC, GREEN]), inline_marks=st.booleans(),
)  # fmt: skip
def test_few_objects_are_free_where_many_are(
    sweepgen: int, free_index: int, bits: tuple[int, int, int], release: tuple[int, int], inline_marks: bool
) -> None:
    page = Page(sweepgen, release=release, free_index=free_index, allocated=bits[0], marked=bits[1])
    page.inline = bits[2]

    assert page.free(60, inline_marks=inline_marks) == page.free_by_columns(60, inline_marks=inline_marks)
