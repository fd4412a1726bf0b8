"""Operations on the eight control bytes of a bucket, which are one word.

A mask has 0x80 in each byte that is meant. Sums of such bytes are taken
modulo 255, the digit sum in base 256: exact, and no step overflows.
"""

from __future__ import annotations

import numpy as np

from support.oracle.model.state import int64

ZERO = np.uint64(0)
ONE = np.uint64(1)
SEVEN = np.uint64(7)
EIGHT = np.uint64(8)
BYTE = np.uint64(0xFF)
BASE = np.uint64(255)
LOWS = np.uint64(0x0101010101010101)
HIGHS = np.uint64(0x8080808080808080)
BELOW_HIGHS = np.uint64(0x7F7F7F7F7F7F7F7F)


def zero_bytes(control: np.uint64) -> np.uint64:
    """Return the mask of the bytes that are 0."""
    return ~(((control & BELOW_HIGHS) + BELOW_HIGHS) | control) & HIGHS


def bytes_equal(control: np.uint64, byte: np.uint64) -> np.uint64:
    """Return the mask of the bytes that are `byte`."""
    return zero_bytes(control ^ (LOWS * byte))


def first_slot(mask: np.uint64) -> int:
    """Return the lowest slot of a mask that is not 0."""
    lowest = mask >> SEVEN
    return int64((((lowest - ONE) & ~lowest) & LOWS) % BASE)


def slot_count(mask: np.uint64) -> int:
    """Return how many slots a mask has."""
    return int64((mask >> SEVEN) % BASE)


def get_byte(control: np.uint64, slot: int) -> np.uint64:
    """Return the control byte of a slot."""
    return (control >> np.uint64(8 * slot)) & BYTE


def with_byte(control: np.uint64, slot: int, byte: np.uint64) -> np.uint64:
    """Return the word with `byte` as the control byte of a slot."""
    shift = np.uint64(8 * slot)
    return (control & ~(BYTE << shift)) | (byte << shift)
