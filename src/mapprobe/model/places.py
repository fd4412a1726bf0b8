"""The key by which a map is found again: its address; for a map on a stack, the goroutine and the place on its stack.

A stack moves when it grows, but the distance of a map from the top of its stack stays. The core makes the same keys
(src/core/ledger.h); tests/model/test_core.py compares them.
"""

from __future__ import annotations

import numpy as np

from mapprobe.arrays import U64

ON_STACK = np.uint64(1 << 63)
"""Set in the keys of maps on stacks; addresses of a process are smaller."""
OFFSET_BITS = np.uint64(31)
"""A goroutine's stack has fewer than 2**31 bytes. go: runtime/proc.go maxstackceiling [1.18..1.27]"""
OFFSETS = np.uint64((1 << 31) - 1)
"""The bits of a key that hold the distance from the top of the stack."""


def place_key(addrs: U64, goids: U64, offsets: U64) -> U64:
    """Return the keys of maps, ``(maps,)``.

    Parameters
    ----------
    addrs
        Addresses of the maps' headers, ``(maps,)``.
    goids, offsets
        Goroutine, and distance of the header from the top of its stack [bytes], ``(maps,)``; offset 0: on the heap.
    """
    key: U64 = np.where(offsets != 0, ON_STACK | goids << OFFSET_BITS | offsets, addrs)
    return key


def stack_place(keys: U64) -> tuple[U64, U64]:
    """Return for each key the goroutine and the distance from the top of its stack [bytes]; 0 for maps on the heap."""
    is_on_stack = keys & ON_STACK != 0
    goid = np.where(is_on_stack, (keys & ~ON_STACK) >> OFFSET_BITS, np.uint64(0))
    offset = np.where(is_on_stack, keys & OFFSETS, np.uint64(0))
    return goid, offset
