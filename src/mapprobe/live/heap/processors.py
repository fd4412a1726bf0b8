"""The scheduler's Ps: objects of the heap that hold what the write barrier met last, long after it has died.

go: runtime/runtime2.go p, runtime/mwbbuf.go wbBuf, runtime/proc.go procresize [1.18..1.27]
"""

from __future__ import annotations

import numpy as np

from mapprobe.live.memory import U64, WORD, Memory

MOST = 1 << 16


def processors(memory: Memory, allp: int) -> U64:
    """Return the addresses of all Ps; none if what stands at `allp` is no list of them: each has its number in it."""
    none = np.empty(0, np.uint64)
    header, known = memory.words(np.array([allp], np.uint64), 2)
    table, count = (int(word) for word in header[0])
    if not known[0] or not 0 < count <= MOST:
        return none
    pointers, _ = memory.words(np.uint64(table) + np.arange(count, dtype=np.uint64) * np.uint64(WORD))
    found: U64 = pointers[:, 0]
    first, known = memory.words(found)
    numbers = first[:, 0] & np.uint64(0xFFFFFFFF)
    return found if known.all() and (numbers == np.arange(count, dtype=np.uint64)).all() else none
