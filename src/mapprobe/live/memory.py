"""Reads words at many addresses of a process's memory: in large runs, of which only the wanted words are kept.

Addresses near each other are read at once. A read that meets a hole comes back
short: reading goes on behind the hole, and only words in the hole itself are
unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapprobe import _core
from mapprobe.arrays import U64, Flags

ReadInto = Callable[[int, memoryview], int]

RUN_BYTES = 1 << 21
"""The longest run: what is looked at as soon as it was read stays in the processor's cache."""
GAP_BYTES = 1 << 14
"""What lies this near each other is one run: reading 16 KiB more takes as long as another run."""
NO_DESCRIPTOR = -1
PAGE_BYTES = 4096
WORD = 8
HIGHEST = 1 << 47
MOST_SIGHTINGS = 1 << 16
"""Places that are kept of a word that is looked out for."""


class Memory:
    """The memory of one process.

    Parameters
    ----------
    read_into
        `Process.read_into`.
    progress
        Is told how many bytes each read gave.
    mapped_bytes
        How much memory the process has mapped: no object is larger, whatever the process's words say.
    descriptor
        `Process.memory_descriptor`: `read_into` is asked only where that gives less than is wanted.
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
        """How many were read."""
        self._wanted: np.uint64 | None = None
        self._sighted: list[U64] = []

    def look_out(self, word: int | None) -> None:
        """Note from here on where a word stands in `blocks` and `run`; None: note nothing."""
        self._wanted = None if word is None else np.uint64(word)

    def sighted(self) -> U64:
        """Return where the word that is looked out for was seen, in order, and look out no longer."""
        self._wanted = None
        found: U64 = np.unique(np.concatenate([np.empty(0, np.uint64), *self._sighted]))
        return found

    def words(self, addrs: U64, count: int = 1) -> tuple[U64, Flags]:
        """Return `count` words at each address, ``(addrs, count)``, and of which addresses they are there.

        Words that are not there are zeros; nothing is at an address that isn't a multiple of eight.
        """
        found, known = np.zeros((len(addrs), count), np.uint64), np.zeros(len(addrs), np.bool_)
        _core.read_words(self.source, np.ascontiguousarray(addrs), found, known)
        return found, known

    def blocks(self, addrs: U64, count: int) -> U64:
        """Return `count` words at each address, ``(addrs, count)``, zeros where nothing is, as far as `RUN_BYTES` go.

        They hold until more is read.
        """
        found = self._buffer.view(np.uint64)[: len(addrs) * count].reshape(len(addrs), count)
        _core.read_blocks(self.source, np.ascontiguousarray(addrs), WORD * count, found)
        if self._wanted is not None:
            block, word = np.divmod(np.flatnonzero(found.reshape(-1) == self._wanted), count)
            self._note(addrs[block] + (word * WORD).astype(np.uint64))
        return found

    @property
    def source(self) -> tuple[object, ...]:
        """What the loops of `_core` read by, and what they tell; a buffer for runs, and the longest gap in one."""
        return self._read, self._descriptor, self._told, self._buffer, GAP_BYTES

    def run(self, addr: int, length: int) -> U64:
        """Return the words from an address on, up to the first hole; they hold until the next call."""
        there = self._read(addr, self._view[: min(length, RUN_BYTES)])
        words: U64 = self._buffer[: there // WORD * WORD].view(np.uint64)
        if self._wanted is not None and addr % WORD == 0:
            self._note(np.uint64(addr) + (np.flatnonzero(words == self._wanted) * WORD).astype(np.uint64))
        return words

    def _read(self, addr: int, buffer: memoryview) -> int:
        """Read memory into a buffer as far as it is there without a hole, and return how many bytes that is."""
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
