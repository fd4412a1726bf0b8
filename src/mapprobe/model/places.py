"""The key by which a map is found again: its address, or on which goroutine's stack it stands and how far from the top.

The core makes the same keys (src/core/ledger.h; tests/model/test_core.py holds the numbers equal).
"""

from __future__ import annotations

import numpy as np

from mapprobe.arrays import U64

ON_STACK = np.uint64(1 << 63)
OFFSET_BITS = np.uint64(31)
"""A goroutine's stack has fewer than 2**31 bytes. go: runtime/proc.go maxstackceiling [1.18..1.27]"""
OFFSETS = np.uint64((1 << 31) - 1)


def place_key(addrs: U64, goids: U64, offsets: U64) -> U64:
    """Return the keys of maps, ``(maps,)``.

    Parameters
    ----------
    addrs
        Addresses of their headers, ``(maps,)``.
    goids, offsets
        Goroutine, and distance from the top of its stack, ``(maps,)`` [bytes]; offset 0 of maps on the heap.
    """
    key: U64 = np.where(offsets != 0, ON_STACK | goids << OFFSET_BITS | offsets, addrs)
    return key


def stack_place(keys: U64) -> tuple[U64, U64]:
    """Return goroutine and distance from the top of its stack [bytes] of maps, by their keys; 0 of maps on the heap."""
    is_on_stack = keys & ON_STACK != 0
    goid = np.where(is_on_stack, (keys & ~ON_STACK) >> OFFSET_BITS, np.uint64(0))
    offset = np.where(is_on_stack, keys & OFFSETS, np.uint64(0))
    return goid, offset
