"""Types of NumPy arrays, and rows of columns of numbers that are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mapprobe import _core

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MIX = 0x9E3779B97F4A7C15
"""Multiplier of the hash that distinct rows are found by."""


def distinct_rows(columns: Sequence[npt.NDArray[Any]]) -> tuple[I64, npt.NDArray[np.int32]]:
    """Return the first row of each distinct combination, in order of appearance, and which combination each row is.

    Parameters
    ----------
    columns
        Numbers without a sign, ``(rows,)`` each.
    """
    whole = [np.ascontiguousarray(column) for column in columns]
    first, number = _core.distinct_rows(whole, len(columns[0]), int(MIX))
    return np.frombuffer(first, np.int64), np.frombuffer(number, np.int32)


def distinct_pairs(grown_by: I64, types: I64) -> tuple[tuple[I64, I64], I64]:
    """Return each pair of a growth stack and a type once, and which one each row is."""
    keys = grown_by << 32 | types & 0xFFFFFFFF
    if not len(keys):
        return (keys, keys), keys
    first, pair = distinct_rows([keys.view(np.uint64)])
    keys = keys[first]
    return (keys >> 32, (keys << 32) >> 32), pair.astype(np.int64)
