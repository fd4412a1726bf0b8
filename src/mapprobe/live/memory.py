"""Reads words at many addresses of a process's memory: in large runs, of which only the wanted words are kept.

Addresses near each other are read at once. A read ends at a hole in memory;
the next read begins after the hole, so only words in the hole are unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapprobe import _core
from mapprobe.arrays import U64, Flags

ReadInto = Callable[[int, memoryview], int]

RUN_BYTES = 1 << 21
"""Length of the longest run [bytes]: this much stays in the processor's cache until it has been looked at."""
GAP_BYTES = 1 << 14
"""Addresses at most this far apart are read in one run [bytes]: reading 16 KiB more takes as long as another run."""
NO_DESCRIPTOR = -1
PAGE_BYTES = 4096
WORD = 8
HIGHEST = 1 << 47
MOST_SIGHTINGS = 1 << 16
"""Most places that are noted of a word that is looked out for: this bounds the memory that they take."""


class Memory:
    """The memory of one process.

    Parameters
    ----------
    read_into
        `Process.read_into`.
    progress
        Called after each read with its number of bytes.
    mapped_bytes
        How much memory the process has mapped [bytes]: no object is larger, whatever its memory says.
    descriptor
        `Process.memory_descriptor`, which is read first; `read_into` is called if the descriptor gives too few bytes.
    """

    def __init__(
        self,
        read_into: ReadInto,
        progress: Callable[[int], object] | None = None,
        mapped_bytes: int = HIGHEST,
        descriptor: int = NO_DESCRIPTOR,
    ) -> None:
        self._read_into, self._descriptor = read_into, descriptor
        self._progress = progress
        self.mapped_bytes = mapped_bytes
        self._buffer = np.zeros(RUN_BYTES, np.uint8)
        self._view = self._buffer.data
        self.bytes = 0
        """How many bytes were read so far."""
        self._wanted: np.uint64 | None = None
        self._sighted: list[U64] = []

    def look_out(self, word: int | None) -> None:
        """From now on note the addresses at which `blocks` and `run` meet this word; None: note nothing."""
        self._wanted = None if word is None else np.uint64(word)

    def sighted(self) -> U64:
        """Return the addresses at which the word of `look_out` was met, in ascending order, and stop looking out."""
        self._wanted = None
        found: U64 = np.unique(np.concatenate([np.empty(0, np.uint64), *self._sighted]))
        return found

    def words(self, addrs: U64, count: int = 1) -> tuple[U64, Flags]:
        """Return `count` words at each address, ``(addrs, count)``, and whether they could be read, ``(addrs,)``.

        Words that can't be read are zeros, as are words at an address that is not a multiple of eight.
        """
        found, known = np.zeros((len(addrs), count), np.uint64), np.zeros(len(addrs), np.bool_)
        _core.read_words(self.source, np.ascontiguousarray(addrs), found, known)
        return found, known

    def blocks(self, addrs: U64, count: int) -> U64:
        """Return `count` words at each address, ``(addrs, count)``, with zeros for holes; at most `RUN_BYTES` in all.

        The array is valid until the next read.
        """
        found = self._buffer.view(np.uint64)[: len(addrs) * count].reshape(len(addrs), count)
        _core.read_blocks(self.source, np.ascontiguousarray(addrs), WORD * count, found)
        if self._wanted is not None:
            block, word = np.divmod(np.flatnonzero(found.reshape(-1) == self._wanted), count)
            self._note(addrs[block] + (word * WORD).astype(np.uint64))
        return found

    @property
    def source(self) -> tuple[object, ...]:
        """The argument `source` of functions of `_core`: reader, descriptor, progress, buffer of a run, longest gap."""
        return self._read, self._descriptor, self._told, self._buffer, GAP_BYTES

    def run(self, addr: int, length: int) -> U64:
        """Return the words from an address on, up to the first hole; the array is valid until the next read."""
        there = self._read(addr, self._view[: min(length, RUN_BYTES)])
        words: U64 = self._buffer[: there // WORD * WORD].view(np.uint64)
        if self._wanted is not None and addr % WORD == 0:
            self._note(np.uint64(addr) + (np.flatnonzero(words == self._wanted) * WORD).astype(np.uint64))
        return words

    def _read(self, addr: int, buffer: memoryview) -> int:
        """Read memory into a buffer, up to the first hole, and return how many bytes were read."""
        there = self._read_into(addr, buffer) if PAGE_BYTES <= addr < HIGHEST else 0
        self._told(there)
        return there

    def _told(self, there: int) -> None:
        self.bytes += there
        if self._progress:
            self._progress(there)

    def _note(self, places: U64) -> None:
        room = MOST_SIGHTINGS - sum(map(len, self._sighted))
        if len(places) and room > 0:
            self._sighted.append(places[:room])
