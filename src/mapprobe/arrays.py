"""Types of NumPy arrays, and the distinct rows of columns of numbers."""

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
"""Multiplier of the hash by which the core finds distinct rows: 2**64 divided by the golden ratio."""


def distinct_rows(columns: Sequence[npt.NDArray[Any]]) -> tuple[I64, npt.NDArray[np.int32]]:
    """Return the first row of each distinct combination of values, and the number of each row's combination.

    Parameters
    ----------
    columns
        Unsigned integers, ``(rows,)`` each.

    Returns
    -------
    First rows, ``(combinations,)``, in order of appearance; for each row the index of its combination, ``(rows,)``.
    """
    whole = [np.ascontiguousarray(column) for column in columns]
    first, number = _core.distinct_rows(whole, len(columns[0]), int(MIX))
    return np.frombuffer(first, np.int64), np.frombuffer(number, np.int32)


def distinct_pairs(grown_by: I64, types: I64) -> tuple[tuple[I64, I64], I64]:
    """Return the distinct pairs of growth stack and type, and for each row the index of its pair."""
    keys = grown_by << 32 | types & 0xFFFFFFFF
    if not len(keys):
        return (keys, keys), keys
    first, pair = distinct_rows([keys.view(np.uint64)])
    keys = keys[first]
    return (keys >> 32, (keys << 32) >> 32), pair.astype(np.int64)
