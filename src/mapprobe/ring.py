"""Bytes of the BPF ring in, numpy events out; knows no bcc.

The kernel maps a ring's data twice, back to back, so a record never splits
at the end. Each record is an 8-byte header (length with two flag bits, page
offset) and, here, always one event of the same size, so everything between
the two positions is one structured array::

    fd + 0     consumer position   u64, ours to write
    fd + 4096  producer position   u64, then the data, then the data again

kernel: include/uapi/linux/bpf.h BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

BUSY = np.uint32(1 << 31)
DISCARD = np.uint32(1 << 30)
PAGE = mmap.PAGESIZE

Events = npt.NDArray[np.void]


def event_dtype(stack_depth: int) -> np.dtype[np.void]:
    """Return the layout of one event in the BPF ring, `struct map_event` of probes/map_event.h.

    Parameters
    ----------
    stack_depth
        Frames in the event, at least 1.
    """
    return np.dtype(
        [
            ("time_ns", "<u8"),
            ("map_addr", "<u8"),
            ("type_addr", "<u8"),
            ("hash", "<u8"),
            ("header", "<u8", 6),
            ("key_type", "<u8"),
            ("goid", "<u8"),
            ("tid", "<u4"),
            ("stack_offset", "<u4"),
            ("kind", "u1"),
            ("point", "u1"),
            ("frame_count", "u1"),
            ("unused", "u1", 5),
            ("frames", "<u8", stack_depth),
        ]
    )


def layout_asserts(dtype: np.dtype[np.void], struct: str) -> str:
    """Render C static asserts that hold `struct` to `dtype`, one for each field and one for the size."""
    fields: Mapping[str, Any] = dtype.fields or {}
    lines = [
        f'_Static_assert(__builtin_offsetof(struct {struct}, {name}) == {offset}, "{struct}.{name}");'
        for name, (_, offset, *_rest) in fields.items()
    ]
    lines.append(f'_Static_assert(sizeof(struct {struct}) == {dtype.itemsize}, "sizeof {struct}");')
    return " ".join(lines)


def record_dtype(event: np.dtype[np.void]) -> np.dtype[np.void]:
    """Return the layout of one ring record: the kernel's header, the event, padding to 8 bytes."""
    size = 8 + (event.itemsize + 7) // 8 * 8
    return np.dtype(
        {
            "names": ["length", "page", "event"],
            "formats": ["<u4", "<u4", event],
            "offsets": [0, 4, 8],
            "itemsize": size,
        }
    )


def complete_events(records: Events) -> tuple[Events, int]:
    """Take the events that are fully written from the head of `records`.

    Parameters
    ----------
    records
        Records between the consumer's and the producer's position, of `record_dtype`.

    Returns
    -------
    A copy of the events, discarded ones left out, and how many records were used up: all before the
    first that a CPU is still writing.
    """
    busy = np.flatnonzero(records["length"] & BUSY)
    used = int(busy[0]) if len(busy) else len(records)
    done = records[:used]
    return done["event"][(done["length"] & DISCARD) == 0], used


class Ring:
    """A BPF ring mapped into this process; a context manager, nothing outlives it.

    Parameters
    ----------
    fd
        The ring's file descriptor.
    size
        Bytes of its data area, a power of two.
    event
        Layout of one event.
    """

    def __init__(self, fd: int, size: int, event: np.dtype[np.void]) -> None:
        self._record = record_dtype(event)
        self._size = size
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

    def drain(self) -> Events:
        """Return a copy of the events that are complete and give their room back to the kernel."""
        start, end = int(self._consumer[0]), int(self._producer[0])
        waiting = (end - start) // self._record.itemsize
        if not waiting:
            return np.empty(0, self._record["event"])
        offset = PAGE + start % self._size
        records = np.frombuffer(self._producer_map, self._record, waiting, offset)
        events, used = complete_events(records)
        self._consumer[0] = start + used * self._record.itemsize
        return events
