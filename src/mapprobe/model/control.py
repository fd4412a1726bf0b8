"""Control bytes of buckets: which slots hold an entry, and the byte that the runtime stores for a hash.

A control byte is a tophash in a classic map and a ctrl in a Swiss map; the eight control bytes of a bucket are one
control word. The core has the same rules (src/core/chain.h, src/core/control.h).
"""

from __future__ import annotations

import numpy as np

from mapprobe.arrays import U8, U64, Flags

SLOTS_OF_BUCKET = 8
FIRST_EVACUATED, LAST_EVACUATED = 2, 4  # go: runtime/map.go evacuatedX evacuatedEmpty [1.18..1.23]
MIN_TOP_HASH = 5  # go: runtime/map.go minTopHash [1.18..1.23]
CTRL_EMPTY = 0x80  # go: internal/runtime/maps/group.go ctrlEmpty [1.24..1.27]
CTRL_DELETED = 0xFE  # go: internal/runtime/maps/group.go ctrlDeleted [1.24..1.27]
H2_MASK = np.uint64(0x7F)  # go: internal/runtime/maps/map.go h2 [1.24..1.27]


def of_slots(control: U64) -> U8:
    """Return the control bytes of the slots, ``(buckets, 8)``, from the control words of buckets."""
    return np.ascontiguousarray(control).view(np.uint8).reshape(-1, SLOTS_OF_BUCKET)


def are_live(control: U8, is_swiss: bool) -> Flags:
    """Return which control bytes say that their slot holds an entry."""
    found: Flags = control < CTRL_EMPTY if is_swiss else control >= MIN_TOP_HASH
    return found


def live_slots(control: U64, is_swiss: bool) -> Flags:
    """Return which slots of buckets hold an entry, ``(buckets, 8)``, given the buckets' control words."""
    return are_live(of_slots(control), is_swiss)


def are_evacuated(first: U64 | U8) -> Flags:
    """Return which buckets of a classic map are evacuated, by the control byte of their first slot.

    go: runtime/map.go evacuated [1.18..1.23]
    """
    found: Flags = (first >= FIRST_EVACUATED) & (first <= LAST_EVACUATED)
    return found


def control_of(hashes: U64, is_swiss: bool) -> U64:
    """Return the control byte of a slot that holds an entry with this hash.

    go: runtime/map.go tophash [1.18..1.23], internal/runtime/maps/map.go h2 [1.24..1.27]
    """
    if is_swiss:
        return hashes & H2_MASK
    top = hashes >> np.uint64(56)
    return np.where(top < MIN_TOP_HASH, top + np.uint64(MIN_TOP_HASH), top)
