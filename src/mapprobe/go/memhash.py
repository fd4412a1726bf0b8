"""The runtime's hash of memory, computed outside of the process from its own random key, many keys at a time.

Four AES rounds scramble a seed, three more the data in lanes of 16 bytes; a
lane is its own round key. Everything here is over arrays: one row a key.

go: runtime/asm_amd64.s aeshashbody memhash32 memhash64 [1.18..1.26],
internal/runtime/maps/memhash_amd64.s, internal/runtime/maps/memhash_nosimd_amd64.s [1.27]
"""

from __future__ import annotations

import numpy as np

from mapprobe.arrays import U8, U32, U64

KEY_BYTES = 128
"""go: runtime/alg.go aeskeysched [1.18..1.26], internal/runtime/maps/memhash_nosimd_amd64.s aeskeysched [1.27]"""
LANE = 16
COLUMNS = 4
FIELD = 0x11B  # the polynomial of AES's field
LANES = ((16, 1), (32, 2), (64, 4), (KEY_BYTES, 8))
"""Bytes of a key at most, and the number of lanes in which such a key is hashed."""


def _product(a: int, b: int) -> int:
    """Return the product of two numbers of AES's field."""
    out = 0
    while b:
        out ^= a if b & 1 else 0
        a = a << 1 ^ (FIELD if a & 0x80 else 0)
        b >>= 1
    return out


def _substitutes() -> list[int]:
    """Return AES's S-box: the inverse in its field, then an affine map (FIPS 197, 5.1.1)."""
    inverse = _inverses()
    rotated = [[inverse[x] << n | inverse[x] >> (8 - n) for n in range(5)] for x in range(256)]
    return [(r[0] ^ r[1] ^ r[2] ^ r[3] ^ r[4] ^ 0x63) & 0xFF for r in rotated]


def _inverses() -> list[int]:
    powers = [1]
    for _ in range(254):
        powers.append(_product(powers[-1], 3))
    place = {power: n for n, power in enumerate(powers)}
    return [0] + [powers[-place[x] % 255] for x in range(1, 256)]


def _round_tables() -> U32:
    """Return the column that SubBytes and MixColumns make of each byte in each row, ``(4, 256)``."""
    box = _substitutes()
    column = [_product(s, 2) | s << 8 | s << 16 | _product(s, 3) << 24 for s in box]
    rotated = [[(c << 8 * row | c >> (32 - 8 * row)) & 0xFFFFFFFF for c in column] for row in range(COLUMNS)]
    return np.array(rotated, np.uint32)


ROUND = _round_tables()


def aes_round(lanes: U8, keys: U8) -> U8:
    """Return lanes, ``(rows, 16)``, after the instruction AESENC, with a round key for each lane or one for all."""
    columns = np.empty((len(lanes), COLUMNS), np.uint32)
    for c in range(COLUMNS):
        column = ROUND[0][lanes[:, 4 * c]]
        for row in range(1, COLUMNS):
            column = column ^ ROUND[row][lanes[:, (4 * c + 5 * row) % LANE]]
        columns[:, c] = column
    return columns.view(np.uint8) ^ keys


def memhash(key: U8, data: U8, seeds: U64) -> U64:
    """Hash keys of one length.

    Parameters
    ----------
    key
        The process's random key, ``(128,)``.
    data
        ``(rows, length)``.
    seeds
        ``(rows,)``.
    """
    rows, length = data.shape
    seed = np.zeros((rows, LANE), np.uint8)
    seed[:, :8] = np.ascontiguousarray(seeds, np.uint64).view(np.uint8).reshape(rows, 8)
    seed[:, 8:] = np.tile(np.array([length & 0xFFFF], "<u2").view(np.uint8), 4)
    lanes = next((lanes for most, lanes in LANES if length <= most), LANES[-1][1])
    scrambled = [seed ^ key[LANE * n : LANE * (n + 1)] for n in range(lanes)]
    scrambled = [aes_round(s, s) for s in scrambled]
    if length == 0:
        return _low(aes_round(scrambled[0], scrambled[0]))
    state = [s ^ block for s, block in zip(scrambled, _blocks(data, lanes), strict=True)]
    for start in range(0, (length - 1 >> 7) * KEY_BYTES if length > KEY_BYTES else 0, KEY_BYTES):
        for n in range(lanes):
            block = data[:, start + LANE * n : start + LANE * (n + 1)]
            state[n] = aes_round(aes_round(state[n], state[n]), block)
    for n, lane in enumerate(state):
        for _ in range(3):
            lane = aes_round(lane, lane)
        state[n] = lane
    return _low(np.bitwise_xor.reduce(state, axis=0))


def _blocks(data: U8, lanes: int) -> list[U8]:
    """Return the first block of each lane: the data's beginning and end, or only the end of long data."""
    rows, length = data.shape
    if length < LANE:
        return [np.concatenate([data, np.zeros((rows, LANE - length), np.uint8)], axis=1)]
    half = lanes * LANE // 2
    if length > KEY_BYTES:
        ends = data[:, length - KEY_BYTES :]
    elif lanes == 1:
        ends = data
    else:
        ends = np.concatenate([data[:, :half], data[:, length - half :]], axis=1)
    return [ends[:, LANE * n : LANE * (n + 1)] for n in range(lanes)]


def memhash_word(key: U8, data: U8, seeds: U64) -> U64:
    """Hash keys of four or eight bytes, ``(rows, 4)`` or ``(rows, 8)``, as memhash32 and memhash64 do."""
    rows, length = data.shape
    lanes = np.zeros((rows, LANE), np.uint8)
    lanes[:, :8] = np.ascontiguousarray(seeds, np.uint64).view(np.uint8).reshape(rows, 8)
    lanes[:, 8 : 8 + length] = data
    for n in range(3):
        lanes = aes_round(lanes, key[LANE * n : LANE * (n + 1)])
    return _low(lanes)


def _low(lanes: U8) -> U64:
    return np.ascontiguousarray(lanes[:, :8]).view(np.uint64).reshape(-1)
