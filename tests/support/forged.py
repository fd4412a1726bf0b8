"""Memory of a process with any contents: a heap whose words are random, some of them of real structures."""

from __future__ import annotations

import struct

import numpy as np

from mapprobe.errors import MemoryReadError
from mapprobe.go.facts import SPAN_FREE_INDEX, SPAN_PAGES, SPAN_START, heap_facts_for, span_facts_for
from mapprobe.go.types import MapType
from mapprobe.live.census.layouts import Layouts, Shape
from mapprobe.live.heap.objects import IN_USE, PAGE
from mapprobe.live.heap.spans import MANUAL, Layout
from mapprobe.model.sizes import sizes_of
from mapprobe.vocabulary import Implementation

MHEAP, LIST, SPANS, BITS, START = 0x100000, 0x200000, 0x300000, 0x400000, 0xC000000000
OBJECT_BYTES = (48, 32, 24, 8, 16, 144, 208, 208, 288, 1792, 4096, 48)
LARGE_PAGES = 4
BUCKETS = {Implementation.SWISS: (136, 200, 208), Implementation.CLASSIC: (144, 208, 272)}
RELEASE = {Implementation.SWISS: (1, 27), Implementation.CLASSIC: (1, 23)}
MOST_READS = 20_000
WHOLE = 168


class Forged:
    """A heap of a few spans. What `lies` is a share of: words that are anything, descriptors too.

    Attributes
    ----------
    reads
        How many there were: it fails at `MOST_READS`.
    objects
        Where objects begin.
    """

    def __init__(self, implementation: Implementation, seed: int, lies: float, torn: float) -> None:
        self._implementation, self._lies, self._torn = implementation, lies, torn
        self.random = np.random.default_rng(seed)
        self.release = RELEASE[implementation]
        self.heap, self.span = heap_facts_for(self.release), span_facts_for(self.release)
        self._pages: dict[int, np.ndarray] = {}
        self.reads = 0
        self._make_heap()

    @property
    def layout(self) -> Layout:
        return Layout(MHEAP, self.heap, self.span, inline_marks=self._implementation is Implementation.SWISS)

    @property
    def layouts(self) -> Layouts:
        sizes = BUCKETS[self._implementation]
        shapes = [
            Shape(n, MapType(n, f"map[{n}]", "", "", 0, 8, 8, size // 8, size, n % 2 == 0, *[False] * 5))
            for n, size in enumerate(sizes)
        ]
        return Layouts(self._implementation, sizes_of(self._implementation, self.release), self.read, 0, shapes)

    def some(self, count: int) -> np.ndarray:
        """Return words as memory has them: addresses, small numbers, anything."""
        random = self.random
        pools = (
            self.objects[random.integers(0, len(self.objects), count)],
            random.integers(0, 64, count).astype(np.uint64),
            np.uint64(1) << random.integers(0, 64, count).astype(np.uint64),
            random.integers(0, 1 << 64, count, np.uint64),
            np.zeros(count, np.uint64),
        )
        return np.choose(random.integers(0, len(pools), count), pools)

    def _make_heap(self) -> None:
        self._put(MHEAP, bytes(PAGE * 16))
        self._put_field(MHEAP + self.heap.sweepgen, "<I", 8)
        starts = START + PAGE * np.arange(len(OBJECT_BYTES) + LARGE_PAGES, dtype=np.uint64)
        objects = [
            start + np.arange(PAGE // size, dtype=np.uint64) * np.uint64(size)
            for start, size in zip(starts[: len(OBJECT_BYTES)], OBJECT_BYTES, strict=True)
        ]
        self.objects = np.concatenate([*objects, starts[len(OBJECT_BYTES) :]])
        for number, size in enumerate((*OBJECT_BYTES, LARGE_PAGES * PAGE)):
            self._put_span(number, int(starts[number]), size)
        for start in starts.tolist():
            words = self.some(PAGE // 8)
            self._put(start, words.tobytes())
        self._put_headers(int(starts[0]))
        self._put_headers(int(starts[len(OBJECT_BYTES) - 1]))
        count = len(OBJECT_BYTES) + 2
        self._put(LIST, (SPANS + WHOLE * np.arange(count, dtype=np.uint64)).astype(np.uint64).tobytes())
        lie = self._is_lie()
        length = int(self.some(1)[0]) if lie else count
        self._put_field(MHEAP + self.span.all_spans, "<QQ", LIST, length)
        self._put(BITS, self.some(PAGE // 8).tobytes())

    def _is_lie(self) -> bool:
        return bool(self.random.random() < self._lies)

    def _put_span(self, number: int, start: int, size: int) -> None:
        at, pages = SPANS + WHOLE * number, max(1, size // PAGE)
        self._put(at, bytes(WHOLE))
        classes = (0 if size > PAGE else 10) << 1 | int(self.random.random() < 0.2)
        form = "<H" if self.heap.free_index_bytes == 2 else "<Q"
        count = pages * PAGE // size
        fields = (
            (SPAN_START, "<Q", start), (SPAN_PAGES, "<Q", pages), (SPAN_FREE_INDEX, form, count),
            (self.span.elements, form, count), (self.span.span_class, "<B", classes),
            (self.heap.alloc_bits, "<Q", BITS), (self.heap.mark_bits, "<Q", BITS + 512),
            (self.heap.span_sweepgen, "<I", 8), (self.heap.span_state, "<B", IN_USE),
            (self.heap.elem_bytes, "<Q", size),
            (self.span.specials, "<Q", int(self.objects[self.random.integers(0, len(self.objects))])),
        )  # fmt: skip
        for offset, form, value in fields:
            lie = self.random.random() < self._lies / 20
            mask = (1 << 8 * struct.calcsize(form)) - 1
            self._put_field(at + offset, form, (int(self.some(1)[0]) & mask) if lie else value)
        if self.random.random() < self._lies / 4:
            self._put_field(at + self.heap.span_state, "<B", MANUAL)

    def _put_headers(self, start: int) -> None:
        """Put something like headers into a span."""
        objects = np.frombuffer(bytes(self._at(start, PAGE)), np.uint64).copy()[: PAGE // 48 * 6].reshape(-1, 6)
        count, log2 = len(objects), self.random.integers(0, 24, len(objects)).astype(np.uint64)
        if self._implementation is Implementation.SWISS:
            is_small = self.random.random(count) < 0.4
            columns = {
                0: self.random.integers(0, 9, count).astype(np.uint64),
                2: self.objects[self.random.integers(0, len(self.objects), count)],
                3: np.where(is_small, 0, np.uint64(1) << log2).astype(np.uint64),
                4: np.where(is_small, 0, log2 | (np.uint64(64) - log2) << np.uint64(8)).astype(np.uint64),
                5: np.zeros(count, np.uint64),
            }
        else:
            columns = {
                0: self.random.integers(0, 9, count).astype(np.uint64),
                1: (log2 >> np.uint64(2)) << np.uint64(8) | np.uint64(0xABCD << 32),
                2: self.objects[self.random.integers(0, len(self.objects), count)],
                3: np.where(self.random.random(count) < 0.5, 0, self.some(count)).astype(np.uint64),
                4: np.zeros(count, np.uint64),
                5: np.where(self.random.random(count) < 0.5, 0, self.some(count)).astype(np.uint64),
            }
        for column, values in columns.items():
            truthful = self.random.random(count) >= self._lies
            objects[truthful, column] = values[truthful]
        self._put(start, objects.tobytes())

    def _at(self, addr: int, length: int) -> memoryview:
        page = self._pages.get(addr // PAGE)
        return page.data[addr % PAGE : addr % PAGE + length] if page is not None else memoryview(b"")

    def _put(self, addr: int, raw: bytes) -> None:
        for start in range(addr, addr + len(raw), PAGE):
            self._pages.setdefault(start // PAGE, np.zeros(PAGE, np.uint8))
        while raw:
            room = PAGE - addr % PAGE
            self._pages.setdefault(addr // PAGE, np.zeros(PAGE, np.uint8))
            part = np.frombuffer(raw[:room], np.uint8)
            self._pages[addr // PAGE][addr % PAGE : addr % PAGE + len(part)] = part
            addr, raw = addr + len(part), raw[room:]

    def _put_field(self, addr: int, form: str, *values: int) -> None:
        self._put(addr, struct.pack(form, *values))

    def read_into(self, addr: int, buffer: memoryview) -> int:
        """As `Process.read_into`; some words change meanwhile."""
        self.reads += 1
        assert self.reads < MOST_READS
        got = 0
        while got < len(buffer) and (part := self._at(addr + got, len(buffer) - got)):
            buffer[got : got + len(part)] = part
            got += len(part)
        if self.random.random() < self._torn:
            page = START // PAGE + int(self.random.integers(0, len(OBJECT_BYTES) + LARGE_PAGES))
            place = int(self.random.integers(0, PAGE // 8))
            self._pages[page].view(np.uint64)[place] = self.some(1)[0]
        return got

    def read(self, addr: int, length: int) -> bytes:
        """As `Process.read`."""
        assert length <= 1 << 22
        raw = bytearray(length)
        if self.read_into(addr, memoryview(raw)) < length:
            raise MemoryReadError(addr, length, "nothing stands there")
        return bytes(raw)
