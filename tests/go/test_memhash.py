from __future__ import annotations

import numpy as np

from mapprobe.go.memhash import aes_round, memhash, memhash_word

KEY = np.arange(128, dtype=np.uint8)


def lanes(text: str) -> np.ndarray:
    """Return a register as its documentation writes it, highest byte first."""
    return np.frombuffer(bytes.fromhex(text)[::-1], np.uint8).reshape(1, 16)


def test_round_is_that_of_the_instruction() -> None:
    """The example for AESENC in Intel's white paper 323641-001."""
    state, key = lanes("7b5b54657374566563746f725d53475d"), lanes("48692853686179295b477565726f6e5d")

    assert np.array_equal(aes_round(state, key), lanes("a8311c2f9fdba3c58b104b58ded7e595"))


def test_rows_are_hashed_alone() -> None:
    data = np.random.default_rng(1).integers(0, 256, (5, 40)).astype(np.uint8)
    seeds = np.arange(5, dtype=np.uint64)
    alone = [memhash(KEY, data[n : n + 1], seeds[n : n + 1])[0] for n in range(5)]

    assert memhash(KEY, data, seeds).tolist() == alone


def test_word_is_not_hashed_as_memory_of_its_length() -> None:
    data, seeds = np.zeros((1, 8), np.uint8), np.ones(1, np.uint64)

    assert memhash_word(KEY, data, seeds) != memhash(KEY, data, seeds)
