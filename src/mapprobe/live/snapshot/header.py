"""The words of a map's header in memory: the bits of each field, and the columns of `schema.HEADER` made from them.

No other module in Python knows the place of a field in a header. Headers are arrays whose last axis is the words of
one header: ``(6,)`` for one map, ``(maps, 6)`` for many.

go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import U64, Flags
from mapprobe.model.sizes import MAP_HEADER_BYTES
from mapprobe.vocabulary import Implementation

WORD_BITS = 64
HEADER_WORDS = MAP_HEADER_BYTES // 8
MOST_WORDS = 7
"""Number of words of the longest header (`header_words`)."""

NARROW: dict[str, npt.DTypeLike] = {
    "flags": np.uint8, "log2_size": np.uint8, "overflow_count": np.uint16, "evacuated": np.uint32,
    "directory_length": np.uint32, "clear_seq": np.uint32,
}  # fmt: skip
"""Columns of `schema.HEADER` that are narrower than a word."""


class Field(NamedTuple):
    """A field of a header: the word that holds the field, and the bits of the word."""

    word: int
    shift: int = 0
    bits: int = WORD_BITS

    def __call__(self, words: U64) -> U64:
        """Return the field of each header."""
        found = words[..., self.word]
        if self.shift:
            found = found >> np.uint64(self.shift)
        return found if self.shift + self.bits == WORD_BITS else found & np.uint64((1 << self.bits) - 1)

    @property
    def mask(self) -> int:
        """The bits of the field in its word."""
        return (1 << self.bits) - 1 << self.shift


COUNT = Field(0)
"""Number of entries, in both families."""
ARRAY = Field(2)
"""Address of the buckets, in both families: a classic array; a Swiss directory, or the group of a small map; or 0."""


class Hmap:
    """The header of a classic map."""

    FLAGS = Field(1, 0, 8)
    WRITING = Field(1, 2, 1)  # go: runtime/map.go hashWriting [1.18..1.23]
    SAME_SIZE_GROW = Field(1, 3, 1)  # go: runtime/map.go sameSizeGrow [1.18..1.23]
    LOG2_SIZE = Field(1, 8, 8)
    OVERFLOW_COUNT = Field(1, 16, 16)
    SEED = Field(1, 32, 32)
    OLD_ARRAY = Field(3)
    EVACUATED = Field(4)
    EXTRA = Field(5)
    EXTRA_BEHIND_CLEARS = Field(6)
    """The field `extra` in a header that also counts clears (`header_words`)."""


class Map:
    """The header of a Swiss map."""

    SEED = Field(1)
    DIRECTORY_LENGTH = Field(3)
    """Number of directory slots; 0: the map is small, and has at most one group."""
    GLOBAL_DEPTH = Field(4, 0, 8)
    WRITING = Field(4, 16, 8)
    TOMBSTONE_POSSIBLE = Field(4, 24, 1)
    CLEAR_SEQ = Field(5)


NEVER_SET = {
    Implementation.CLASSIC: (Hmap.FLAGS.word, np.uint64(0xF0 << Hmap.FLAGS.shift | 0xC0 << Hmap.LOG2_SIZE.shift)),
    Implementation.SWISS: (Map.GLOBAL_DEPTH.word, np.uint64(0xFFFFFFFF_FEFE0000)),
}
"""The number of a header's word, and bits of the word that no map sets. Classic: flags that do not exist, and bits of B
for an array larger than any memory. Swiss: the padding, and all but one bit of each bool."""


def header_words(implementation: Implementation, go_release: tuple[int, int]) -> int:
    """Return how many words a header has; a classic map of Go 1.24 and later has one more, which counts clears."""
    return MOST_WORDS if implementation is Implementation.CLASSIC and go_release >= (1, 24) else HEADER_WORDS


def object_words(words: int) -> int:
    """Return how many words the object of a header has: its size class may be larger than the header.

    go: runtime/sizeclasses.go class_to_size [1.18..1.24]
    """
    return words if words != MOST_WORDS else 8


def header_object(implementation: Implementation, words: int) -> tuple[int, int]:
    """Return the size of a header, and of its part up to the last pointer [bytes].

    go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
    """
    return 8 * words, 8 * (ARRAY.word + 1) if implementation is Implementation.SWISS else 8 * words


def is_writing(implementation: Implementation, words: U64) -> Flags:
    """Return which headers say that an operation is writing the map."""
    writing = Hmap.WRITING if implementation is Implementation.CLASSIC else Map.WRITING
    found: Flags = writing(words) != 0
    return found


def seed(implementation: Implementation, words: U64) -> U64:
    """Return the seed of the hashes of each map."""
    return (Hmap.SEED if implementation is Implementation.CLASSIC else Map.SEED)(words)


def extra_addr(words: U64) -> U64:
    """Return the address of each classic map's `mapextra`, 0 for none."""
    return (Hmap.EXTRA_BEHIND_CLEARS if words.shape[-1] >= MOST_WORDS else Hmap.EXTRA)(words)


def bits_of(*fields: Field) -> U64:
    """Return the words of a header in which all bits of some fields are set, and no others."""
    found = np.zeros(HEADER_WORDS, np.uint64)
    for field in fields:
        found[field.word] |= np.uint64(field.mask)
    return found


def header_columns(implementation: Implementation, words: U64) -> dict[str, npt.NDArray[np.generic]]:
    """Split headers ``(maps, 6)`` into the columns of `schema.HEADER`."""
    zero = np.zeros(len(words), np.uint64)
    if implementation is Implementation.CLASSIC:
        found = {
            "flags": Hmap.FLAGS(words) & ~np.uint64(Hmap.WRITING.mask),
            "log2_size": Hmap.LOG2_SIZE(words),
            "overflow_count": Hmap.OVERFLOW_COUNT(words),
            "old_array_addr": Hmap.OLD_ARRAY(words),
            "evacuated": Hmap.EVACUATED(words),
            "directory_length": zero,
            "clear_seq": zero,
        }
    else:
        found = {
            "flags": Map.TOMBSTONE_POSSIBLE(words),
            "log2_size": Map.GLOBAL_DEPTH(words),
            "overflow_count": zero,
            "old_array_addr": zero,
            "evacuated": zero,
            "directory_length": Map.DIRECTORY_LENGTH(words),
            "clear_seq": Map.CLEAR_SEQ(words),
        }
    both = {"count": COUNT(words), "seed": seed(implementation, words), "array_addr": ARRAY(words)}
    return both | {name: column.astype(NARROW.get(name, np.uint64)) for name, column in found.items()}
