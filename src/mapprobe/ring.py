"""Bytes of the BPF ring in, numpy columns of events out; knows no bcc.

The kernel maps a ring's data twice, back to back, so a record never splits
at the end. Each record is an 8-byte header (length with two flag bits, page
offset) and, here, always one event of the same size, so everything between
the two positions is one matrix of words::

    fd + 0     consumer position   u64, ours to write
    fd + 4096  producer position   u64, then the data, then the data again

It is copied once, and turned over while it is: a column of words in one piece
is several times cheaper to work on than one in strides of two cache lines.

kernel: include/uapi/linux/bpf.h BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BUSY = np.uint32(1 << 31)
DISCARD = np.uint32(1 << 30)
PAGE = mmap.PAGESIZE

WORD = 8
TURNED_AT_ONCE = 2048
"""Records: as many as stay in the second-level cache; turning over all at once takes five times as long."""

DRAINED_AT_ONCE = 65536
"""Records, eight megabytes of them: their room is free again before the rest is looked at."""

U64 = npt.NDArray[np.uint64]

EVENT = np.dtype(
    [
        ("time_ns", "<u8"),
        ("map_addr", "<u8"),
        ("type_addr", "<u8"),
        ("hash", "<u8"),
        ("header", "<u8", 6),
        ("key_type", "<u8"),
        ("goid", "<u8"),
        ("stack", "<u8"),
        ("tid", "<u4"),
        ("stack_offset", "<u4"),
        ("kind", "u1"),
        ("point", "u1"),
        ("unused", "u1", 2),
        ("depth", "<u4"),
    ]
)
"""The layout of one event of a map in the ring, `struct map_event` of probes/events.h."""
WORDS = EVENT.itemsize // WORD
RECORD_BYTES = WORD + EVENT.itemsize

HEAP_EVENT = np.dtype(
    [
        ("time_ns", "<u8"),
        ("words", "<u8", 3),
        ("goid", "<u8"),
        ("stack", "<u8"),
        ("tid", "<u4"),
        ("kind", "u1"),
        ("point", "u1"),
        ("unused", "u1", 2),
    ]
)
"""The layout of one event of the heap, `struct heap_event`."""


class Events:
    """Events as columns: `events["time_ns"]` is a field of their layout, ``(n,)``; of `header` ``(6, n)``.

    Parameters
    ----------
    words
        The eight-byte words of the events, ``(words, n)`` uint64.
    layout
        Of one event, `EVENT` or `HEAP_EVENT`.
    """

    def __init__(self, words: U64, layout: np.dtype[np.void] = EVENT) -> None:
        self.words, self._layout = words, layout

    @classmethod
    def of(cls, rows: npt.NDArray[np.void]) -> Events:
        """Return rows of a layout as columns."""
        return cls(
            np.ascontiguousarray(rows.view(np.uint64).reshape(len(rows), rows.dtype.itemsize // WORD).T), rows.dtype
        )

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """Return the events of all parts, of one layout, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(np.concatenate([part.words for part in parts], axis=1), parts[0]._layout)

    def __len__(self) -> int:
        """Return how many events there are."""
        return int(self.words.shape[1])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column."""
        dtype, offset = self._layout.fields[name][:2]  # type: ignore[index]
        word, size = offset // WORD, dtype.base.itemsize
        if size == WORD:
            return self.words[word : word + dtype.itemsize // WORD] if dtype.shape else self.words[word]
        parts: npt.NDArray[Any] = self.words[word].view(dtype.base)
        return parts[offset % WORD // size :: WORD // size]

    def take(self, rows: npt.NDArray[np.int64]) -> Events:
        """Return the events of these rows."""
        return Events(self.words.take(rows, axis=1), self._layout)

    def part(self, start: int, end: int) -> Events:
        """Return the events from row `start` to `end`."""
        return Events(self.words[:, start:end], self._layout)


def layout_asserts(dtype: np.dtype[np.void], struct: str) -> str:
    """Render C static asserts that hold `struct` to `dtype`, one for each field and one for the size."""
    fields: Mapping[str, Any] = dtype.fields or {}
    lines = [
        f'_Static_assert(__builtin_offsetof(struct {struct}, {name}) == {offset}, "{struct}.{name}");'
        for name, (_, offset, *_rest) in fields.items()
    ]
    lines.append(f'_Static_assert(sizeof(struct {struct}) == {dtype.itemsize}, "sizeof {struct}");')
    return " ".join(lines)


def turned(records: U64) -> U64:
    """Return a matrix with rows and columns in each other's place, copied."""
    out = np.empty(records.shape[::-1], records.dtype)
    for start in range(0, len(records), TURNED_AT_ONCE):
        end = start + TURNED_AT_ONCE
        out[:, start:end] = records[start:end].T
    return out


def complete_events(records: U64, layout: np.dtype[np.void] = EVENT) -> tuple[Events, int]:
    """Take the events that are fully written from the head of `records`.

    Parameters
    ----------
    records
        Records between the consumer's and the producer's position, ``(n, 1 + words)``.
    layout
        Of one event.

    Returns
    -------
    A copy of the events, discarded ones left out, and how many records were used up: all before the
    first that a CPU is still writing.
    """
    columns = turned(records)
    lengths = columns[0].astype(np.uint32)
    busy = np.flatnonzero(lengths & BUSY)
    used = int(busy[0]) if len(busy) else len(records)
    events = Events(columns[1:, :used], layout)
    is_discarded = lengths[:used] & DISCARD != 0
    return events.take(np.flatnonzero(~is_discarded)) if is_discarded.any() else events, used


class Ring:
    """A BPF ring mapped into this process; a context manager, nothing outlives it.

    Parameters
    ----------
    fd
        The ring's file descriptor.
    size
        Bytes of its data area, a power of two.
    layout
        Of one event.
    """

    def __init__(self, fd: int, size: int, layout: np.dtype[np.void] = EVENT) -> None:
        self._size, self._layout = size, layout
        self._words = 1 + layout.itemsize // WORD
        self._consumer_map = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(fd, PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE)
        self._consumer = np.frombuffer(self._consumer_map, np.uint64, 1)
        self._producer = np.frombuffer(self._producer_map, np.uint64, 1)

    def __enter__(self) -> Ring:
        """Return the ring itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the ring."""
        del self._consumer, self._producer
        self._consumer_map.close()
        self._producer_map.close()

    def drain(self) -> Iterator[Events]:
        """Yield copies of the events that are complete, so many at a time, and give their room back to the kernel."""
        start, end = int(self._consumer[0]), int(self._producer[0])
        while start < end:
            count = min((end - start) // (WORD * self._words), DRAINED_AT_ONCE)
            words = np.frombuffer(self._producer_map, np.uint64, count * self._words, PAGE + start % self._size)
            events, used = complete_events(words.reshape(count, self._words), self._layout)
            start += used * WORD * self._words
            self._consumer[0] = start
            yield events
            if used < count:
                return
