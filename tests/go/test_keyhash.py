"""Reading keys to hash them: each address gives its own bytes, whatever lies between; hashes equal Go's, live."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.errors import MemoryReadError
from mapprobe.go.facts import KIND_INTERFACE, KIND_STRUCT
from mapprobe.go.keyhash import LONGEST_VALUE, METHOD_COUNT, NEAR, KeyHasher, fetch, gather
from mapprobe.go.memhash import KEY_BYTES

BASE, HOLE, END = 0x10000, 0x18000, 0x20000
PAGE = 0x1000
INTERFACE, LARGE = 0x1000, 0x2000


def read(addr: int, length: int) -> bytes:
    """Return bytes that tell where they stand; a page in the middle is not there."""
    if addr < BASE or addr + length > END or (addr < HOLE + PAGE and addr + length > HOLE):
        raise MemoryReadError(addr, length, "nothing there")
    return bytes(byte % 251 for byte in range(addr, addr + length))


ADDRESSES = st.integers(BASE - 8, END) | st.integers(0, 2**64 - 1) | st.integers(2**64 - NEAR, 2**64 - 1)


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 2 * NEAR)), max_size=8))
def test_the_words_at_each_address_are_read(wanted: list[tuple[int, int]]) -> None:
    addrs = np.array([addr for addr, _ in wanted], np.uint64)
    lengths = np.array([length for _, length in wanted], np.int64)
    memory, starts, known = fetch(read, addrs, lengths)

    for (addr, length), start, is_known in zip(wanted, starts.tolist(), known.tolist(), strict=True):
        try:
            expected = read(addr, length)
        except MemoryReadError:
            assert not is_known or not length
            assert len(memory[start : start + length]) == length
        else:
            assert is_known
            assert memory[start : start + length].tobytes() == expected


def test_of_no_addresses_nothing_is_fetched() -> None:
    found, known = gather(read, np.empty(0, np.uint64), 8)

    assert (found.shape, known.shape) == ((0, 8), (0,))


class Types:
    """An interface type without methods, and another that says it is far larger than any key."""

    facts = type("Facts", (), {"hashes_by_signature": False})

    def common(self, addr: int, _read: object) -> Any:
        kind, size = (KIND_INTERFACE, 16) if addr == INTERFACE else (KIND_STRUCT, LONGEST_VALUE + 1)
        return type("Common", (), {"kind": kind, "size": size, "flags": 0})


def read_interface(addr: int, length: int) -> bytes:
    assert (addr, length) == (INTERFACE + METHOD_COUNT, 8)
    return bytes(8)


@pytest.mark.parametrize("most", [None, 3])
def test_of_more_types_than_are_looked_at_the_most_common_are(most: int | None) -> None:
    """Where strings are taken for interfaces each has a type of its own, so a census read a hundred thousand types."""
    types: Any = Types()
    looked_at = []

    def common(addr: int, _read: object) -> Any:
        if addr != INTERFACE:
            looked_at.append(addr)
        return Types.common(types, addr, _read)

    types.common = common
    hasher = KeyHasher(types, np.zeros(KEY_BYTES, np.uint8), read_interface, most_types=most)
    words = [*range(LARGE, LARGE + 800, 8), LARGE + 160, 0, LARGE + 400, LARGE + 160]
    keys = np.frombuffer(struct.pack(f"<{2 * len(words)}Q", *(n for word in words for n in (word, 0))), np.uint8)

    _, known = hasher.hashes(INTERFACE, keys.reshape(-1, 16), np.zeros(len(words), np.uint64))

    assert np.flatnonzero(known).tolist() == [words.index(0)]
    assert looked_at[:3] == [LARGE + 160, LARGE + 400, LARGE]
    assert len(looked_at) == (most or 100)


def test_what_is_no_keys_type_is_not_hashed() -> None:
    types: Any = Types()
    hasher = KeyHasher(types, np.zeros(KEY_BYTES, np.uint8), read_interface)
    keys = np.frombuffer(struct.pack("<4Q", LARGE, BASE, 0, 0), np.uint8).reshape(2, 16)

    _, known = hasher.hashes(INTERFACE, keys, np.zeros(2, np.uint64))

    assert known.tolist() == [False, True]
