"""The target's memory during a recording: the censuses of start and end, the heap, the hashes of keys.

A process's memory may contain anything: if a census fails, the recording goes on, and a line says what is missing.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mapprobe.errors import FORGED, MapprobeError, RecordingError
from mapprobe.go.types import MapType
from mapprobe.live.heap.objects import Heap
from mapprobe.live.snapshot.entry_hashes import Rehash, Rehasher
from mapprobe.live.target import Target
from mapprobe.recording.symbols import Interner
from mapprobe.recording.writer import Writer

if TYPE_CHECKING:
    from mapprobe.live.census.reader import CensusReader, CensusReading

LARGE_BYTES = 4 << 30
"""Resident memory [bytes] above which a census does not search all memory for references to maps: the time that this
search takes grows with the memory."""


ORDINARY_PRIORITY = 0


@contextmanager
def calmly(*, wanted: bool) -> Iterator[None]:
    """Give up this thread's priority over other processes for a while, if wanted: a census takes a second or more."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if wanted and before < ORDINARY_PRIORITY:
        os.setpriority(os.PRIO_PROCESS, 0, ORDINARY_PRIORITY)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


class TargetMemory:
    """Reader of one process's memory during a recording.

    Parameters
    ----------
    tell
        Takes a line of news.

    Raises
    ------
    BinaryError
        If the heap is not found: nothing was attached yet.
    """

    def __init__(self, target: Target, writer: Writer, tell: Callable[[str], None]) -> None:
        self._target, self._writer, self._tell = target, writer, tell
        self._reader: CensusReader | None = None
        target.heap_layout()

    def prepare(self) -> CensusReader:
        """Return the reader of a census, loaded beforehand so that a process that is held does not wait for it."""
        import mapprobe.capture.census  # noqa: F401 - loaded before the process is stopped, so that it does not wait
        from mapprobe.live.census.reader import CensusReader

        if not self._reader:
            self._reader = CensusReader(self._target)
        return self._reader

    def take_census(self, interner: Interner, drain: Callable[[], object], *, at_end: bool) -> CensusReading | None:
        """Find the maps that the process has, including maps that nothing touches, and write them; None: not read.

        Parameters
        ----------
        drain
            Takes in the events of the ring; called again and again during the read.
        """
        if not self._target.process.is_alive():
            return None
        from mapprobe.capture.census import write_census

        try:
            reader = self.prepare()
            resident = self._target.process.resident_bytes()
            if resident > LARGE_BYTES:
                self._tell(f"looking for maps in {resident / 1e9:.0f} GB of memory (--no-census leaves that out)")
            taken = reader.read(references=resident <= LARGE_BYTES, progress=lambda _: drain())
            write_census(taken, self._writer, interner, at_end=at_end)
        except RecordingError:  # the disk is full: nothing more can be kept
            raise
        except (MapprobeError, *FORGED) as error:
            self._tell(f"no census at the {'end' if at_end else 'start'}: {error}")
            return None
        _give_back()
        return taken

    def heap(self) -> Heap:
        """Return the heap of the process."""
        layout = self._target.heap_layout()
        facts = replace(layout.heap, inline_marks=layout.inline_marks)  # a program can be built without green tea
        return Heap(self._target.read, layout.addr, facts)

    def rehasher(self, map_types: list[MapType]) -> Rehash | None:
        """Return a function that hashes keys as the process does, None if the process's hash key isn't known (yet).

        Parameters
        ----------
        map_types
            Map types by id, which may become more.
        """
        target, hasher = self._target, self._target.hasher()
        if hasher is None:
            return None
        return Rehasher(target.implementation, hasher, target.read, map_types, target.bias)


def _give_back() -> None:
    """Give the system the free pages that the C library keeps between what is in use: a census leaves 15 MB of them."""
    with suppress(AttributeError):  # a C library that has no such function
        ctypes.CDLL(None).malloc_trim(0)
