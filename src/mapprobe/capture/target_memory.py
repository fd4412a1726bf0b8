"""The target's memory during a recording: the censuses of start and end, the heap, the hashes of keys.

A process's memory may contain anything: if a census fails, the recording goes on, and a line says what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mapprobe.errors import FORGED, MapprobeError, MemoryReadError, RecordingError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import heap_facts_for
from mapprobe.go.keyhash import KeyHasher
from mapprobe.go.memhash import KEY_BYTES
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.types import TypeTable
from mapprobe.go.variables import hash_key_vaddr, heap_vaddr
from mapprobe.live.heap.objects import Heap
from mapprobe.live.process import Process
from mapprobe.live.snapshot.entry_hashes import Rehash, Rehasher
from mapprobe.recording.symbols import Interner
from mapprobe.recording.writer import Writer

if TYPE_CHECKING:
    from mapprobe.capture.intake import Intake
    from mapprobe.live.census.reader import Enumeration, Enumerator

LARGE_BYTES = 4 << 30
"""Resident memory [bytes] above which a census does not search all memory for references to maps: the time that this
search takes grows with the memory."""


class MemorySide:
    """Reader of one process's memory during a recording.

    Parameters
    ----------
    tell
        Takes a line of news.
    """

    def __init__(
        self, process: Process, binary: GoBinary, functions: FunctionTable, writer: Writer, tell: Callable[[str], None]
    ) -> None:
        self._process, self._binary, self._functions = process, binary, functions
        self._writer, self._tell = writer, tell
        self._heap_vaddr = heap_vaddr(binary, functions)
        self._hash_key_vaddr = hash_key_vaddr(binary, functions)
        self._enumerator: Enumerator | None = None
        self.types = TypeTable(binary)

    def prepare(self, bias: int) -> Enumerator:
        """Return the reader of a census, loaded beforehand so that a process that is held does not wait for it."""
        import mapprobe.capture.census  # noqa: F401 - loaded before the process is stopped, so that it does not wait
        from mapprobe.live.census.reader import Enumerator

        if not self._enumerator:
            self._enumerator = Enumerator(self._process, self._binary, self._functions, self.types, bias)
        return self._enumerator

    def take_census(
        self, interner: Interner, bias: int, drain: Callable[[], object], *, at_end: bool
    ) -> Enumeration | None:
        """Find the maps that the process has, including maps that nothing touches, and write them; None: not read.

        Parameters
        ----------
        drain
            Takes in the events of the ring; called again and again during the read.
        """
        if not self._process.is_alive():
            return None
        from mapprobe.capture.census import write_census

        try:
            enumerator = self.prepare(bias)
            resident = self._process.resident_bytes()
            if resident > LARGE_BYTES:
                self._tell(f"looking for maps in {resident / 1e9:.0f} GB of memory (--no-census leaves that out)")
            taken = enumerator.read(references=resident <= LARGE_BYTES, progress=lambda _: drain())
            write_census(taken, self._writer, interner, at_end=at_end)
        except RecordingError:  # the disk is full: nothing more can be kept
            raise
        except (MapprobeError, *FORGED) as error:
            self._tell(f"no census at the {'end' if at_end else 'start'}: {error}")
            return None
        return taken

    def heap(self, bias: int) -> Heap:
        """Return the heap of the process, whose binary was loaded with this bias."""
        return Heap(self._process.read, self._heap_vaddr + bias, heap_facts_for(self._binary.go_release))

    def rehasher(self, intake: Intake) -> Rehash | None:
        """Return a function that hashes keys as the process does, None if the process's hash key isn't known (yet)."""
        if self._hash_key_vaddr is None:
            return None
        read = self._process.read
        try:
            key = np.frombuffer(read(self._hash_key_vaddr + intake.bias, KEY_BYTES), np.uint8)
        except MemoryReadError:
            return None
        hasher = KeyHasher(self.types, key, read)
        return Rehasher(self._binary.implementation, hasher, read, intake.map_types, intake.bias)
