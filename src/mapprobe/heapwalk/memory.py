"""Words at many addresses of a process's memory: read in large runs, kept only as far as they were asked for.

What stands near each other is read at once. A read that meets a hole comes
back short: what lies behind the hole is read from there on, and only words in
the hole itself are not known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mapprobe import _core

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
ReadInto = Callable[[int, memoryview], int]

RUN_BYTES = 8 << 20
"""The longest run: 32 MiB are no faster, and take their room."""
GAP_BYTES = 1 << 17
"""What lies this near each other is one run: reading 128 KiB more takes as long as another run."""
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
        How much memory the process has mapped: nothing that it holds is larger, whatever its words say.
    """

    def __init__(
        self,
        read_into: ReadInto,
        progress: Callable[[int], object] | None = None,
        mapped_bytes: int = HIGHEST,
    ) -> None:
        self._read_into = read_into
        self._progress = progress
        self.mapped_bytes = mapped_bytes
        self._buffer = np.zeros(RUN_BYTES, np.uint8)
        self._view = self._buffer.data
        self.bytes = 0
        """How many were read."""
        self._wanted: np.uint64 | None = None
        self._sighted: list[U64] = []

    def look_out(self, word: int | None) -> None:
        """Note from here on where a word stands, wherever memory is read; None: note nothing."""
        self._wanted = None if word is None else np.uint64(word)

    def sighted(self) -> U64:
        """Return where the word that is looked out for was seen, in order, and look out no longer."""
        self._wanted = None
        found: U64 = np.unique(np.concatenate([np.empty(0, np.uint64), *self._sighted]))
        return found

    def words(self, addrs: U64, count: int = 1) -> tuple[U64, Flags]:
        """Return `count` words at each address, ``(addrs, count)``, and of which addresses they are there.

        What is not there is zeros; nothing is at an address that isn't a multiple of eight.
        """
        found, known = np.zeros((len(addrs), count), np.uint64), np.zeros(len(addrs), np.bool_)
        wanted, rows, ends = (np.empty(len(addrs), dtype) for dtype in (np.uint64, np.int64, np.int64))
        limits = WORD * count, GAP_BYTES, RUN_BYTES
        _, runs = _core.arrange(np.ascontiguousarray(addrs), *limits, wanted, rows, ends)
        start = 0
        for end in ends[:runs].tolist():
            self._read_run(wanted[start:end], rows[start:end], found, known)
            start = end
        return found, known

    def run(self, addr: int, length: int) -> U64:
        """Return the words from an address on, up to the first hole; they hold until the next call."""
        there = self._read(addr, min(length, RUN_BYTES))
        words: U64 = self._buffer[: there // WORD * WORD].view(np.uint64)
        return words

    def _read_run(self, addrs: U64, rows: I64, found: U64, known: Flags) -> None:
        """Read words at sorted addresses that one run reaches."""
        length, start = WORD * found.shape[1], 0
        while start < len(addrs):
            base = int(addrs[start])
            there = self._read(base, int(addrs[-1]) - base + length)
            whole = start + int(np.searchsorted(addrs[start:], np.uint64(max(0, base + there - length)), "right"))
            if there >= length:
                words = self._buffer[: there // WORD * WORD]
                _core.gather_words(words, base, addrs[start:whole], rows[start:whole], found, known)
            else:  # the first of them is in a hole: so is all that begins before the next page
                hole_end = (base + there) // PAGE_BYTES * PAGE_BYTES + PAGE_BYTES
                whole = start + max(1, int(np.searchsorted(addrs[start:], np.uint64(hole_end))))
            start = whole

    def _read(self, addr: int, length: int) -> int:
        there = self._read_into(addr, self._view[:length]) if PAGE_BYTES <= addr < HIGHEST else 0
        self.bytes += there
        if self._progress:
            self._progress(there)
        if self._wanted is not None and addr % WORD == 0:
            self._note(addr, self._buffer[: there // WORD * WORD].view(np.uint64))
        return there

    def _note(self, addr: int, words: U64) -> None:
        room = MOST_SIGHTINGS - sum(map(len, self._sighted))
        place = np.flatnonzero(words == self._wanted)[:room]
        if len(place):
            self._sighted.append(np.uint64(addr) + (place * WORD).astype(np.uint64))
