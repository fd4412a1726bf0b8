"""The BPF ring: its bytes in, events out, without bcc.

The kernel maps a ring's data twice, back to back, so a record never splits
at the end. Each record is an 8-byte header (length with two flag bits, page
offset) and, here, always one event of the same size, so everything between
the two positions is one array of records::

    fd + 0     consumer position   u64, ours to write
    fd + 4096  producer position   u64, then the data, then the data again

Records are copied a few at a time (`src/core/ring.c`), so that they are still in the cache when intake packs them.

kernel: include/uapi/linux/bpf.h BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mapprobe import _core
from mapprobe.arrays import U64
from mapprobe.errors import HostError

BUSY = np.uint32(1 << 31)
DISCARD = np.uint32(1 << 30)
PAGE = mmap.PAGESIZE

WORD = 8
DRAINED_AT_ONCE = 4096
"""Records copied at once, half a megabyte: as many as stay in the second-level cache until intake has packed them; the
kernel can use their room again before the next records are copied."""


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
"""The layout of one event of a map in the ring, `struct map_event` of probes/events.h and src/core/ring.h."""
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
    """Events as rows and as columns: `events["time_ns"]` is a field of the layout, ``(n,)``; `header` is ``(6, n)``.

    Parameters
    ----------
    rows
        One row an event, with layout `EVENT` or `HEAP_EVENT`.
    """

    def __init__(self, rows: npt.NDArray[np.void]) -> None:
        self.rows = rows

    @classmethod
    def of(cls, rows: npt.NDArray[np.void]) -> Events:
        """Return rows of a layout as events."""
        return cls(np.ascontiguousarray(rows))

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """Return the events of all parts, of one layout, in order."""
        return parts[0] if len(parts) == 1 else cls(np.concatenate([part.rows for part in parts]))

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self.rows)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column."""
        return self.rows[name].T

    def take(self, rows: npt.NDArray[np.int64]) -> Events:
        """Return the events of these rows."""
        return Events(self.rows.take(rows))

    def part(self, start: int, end: int) -> Events:
        """Return the events from row `start` to `end`."""
        return Events(self.rows[start:end])

    def watched(self, first_ns: U64, last_ns: U64) -> tuple[Events, npt.NDArray[np.int64]]:
        """Return the events that came while their points were watched, and the number of other events of each point.

        Parameters
        ----------
        first_ns, last_ns
            Since when and until when each point was watched [ns].
        """
        outside = _core.find_outside(self.rows, first_ns, last_ns)
        if outside is None:
            return self, np.zeros(len(first_ns), np.int64)
        is_outside = np.frombuffer(outside, np.bool_)
        counts = np.bincount(self["point"][is_outside], minlength=len(first_ns))
        return self.take(np.flatnonzero(~is_outside)), counts


def layout_asserts(dtype: np.dtype[np.void], struct: str) -> str:
    """Return C static asserts that compare `struct` with `dtype`, one for each field and one for the size."""
    fields: Mapping[str, Any] = dtype.fields or {}
    lines = [
        f'_Static_assert(__builtin_offsetof(struct {struct}, {name}) == {offset}, "{struct}.{name}");'
        for name, (_, offset, *_rest) in fields.items()
    ]
    lines.append(f'_Static_assert(sizeof(struct {struct}) == {dtype.itemsize}, "sizeof {struct}");')
    return " ".join(lines)


def complete_events(records: U64, layout: np.dtype[np.void] = EVENT) -> tuple[Events, int]:
    """Take the events that are fully written from the head of `records`.

    Parameters
    ----------
    records
        Records between the consumer's and the producer's position, ``(n, 1 + words)``.
    layout
        Layout of one event.

    Returns
    -------
    A copy of the events without discarded ones, and how many records were used up: all before the first record that a
    CPU is still writing.
    """
    return _taken(records, 0, len(records), layout)


def _taken(memory: U64 | mmap.mmap, start: int, count: int, layout: np.dtype[np.void]) -> tuple[Events, int]:
    """Take the events of `count` records that begin at byte `start` of `memory`."""
    rows, events, used = _core.take_records(memory, start, count, layout.itemsize)
    return Events(np.frombuffer(rows, layout, events)), used


class Ring:
    """A BPF ring mapped into this process; a context manager, nothing outlives it.

    Parameters
    ----------
    fd
        The ring's file descriptor.
    size
        Bytes of its data area, a power of two.
    layout
        Layout of one event.

    Raises
    ------
    HostError
        If the host does not let the ring be mapped.
    """

    def __init__(self, fd: int, size: int, layout: np.dtype[np.void] = EVENT) -> None:
        self._size, self._layout = size, layout
        self._record_bytes = WORD + layout.itemsize
        try:
            self._consumer_map = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
            self._producer_map = mmap.mmap(fd, PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE)
        except OSError as error:
            why = f"a ring of {size >> 20} MiB can't be mapped ({error.strerror})"
            raise HostError(why, "raise the limits of 'ulimit -n' and 'ulimit -v'") from None
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
        """Yield copies of complete events, `DRAINED_AT_ONCE` at a time, and give their room back to the kernel."""
        start, end = int(self._consumer[0]), int(self._producer[0])
        while start < end:
            count = min((end - start) // self._record_bytes, DRAINED_AT_ONCE)
            events, used = _taken(self._producer_map, PAGE + start % self._size, count, self._layout)
            start += used * self._record_bytes
            self._consumer[0] = start
            yield events
            if used < count:
                return
