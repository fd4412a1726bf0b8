"""Arrow arrays from Python values and NumPy arrays, made without loading pandas.

`pa.array` and `pa.scalar` load pandas first, which takes a quarter of a second and 40 MB: as much as a census of a
small heap. Values of types that these functions don't know are passed on to `pa.array`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def array(values: Any, kind: pa.DataType) -> pa.Array:
    """Return a sequence, a NumPy array or an Arrow array as an Arrow array of type `kind`.

    Raises
    ------
    ValueError, TypeError, OverflowError
        If a value does not fit the type.
    """
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    lacking = 0 if isinstance(values, np.ndarray) else sum(value is None for value in values)
    if lacking and lacking == len(values):
        return pa.nulls(lacking, kind)
    is_known = not lacking
    if is_known and pa.types.is_boolean(kind) and all_of(values, bool, np.bool_):
        return _of_flags(np.asarray(values, np.bool_))
    if is_known and pa.types.is_integer(kind) and all_of(values, int, np.integer):
        return _of_numbers(_fitting(np.asarray(values, _dtype(kind) if isinstance(values, list) else None), kind), kind)
    if is_known and pa.types.is_string(kind) and all_of(values, str, np.str_):
        return _of_texts([str(value).encode() for value in values])
    if is_known and pa.types.is_list(kind) and all_of(values, list, tuple):
        offsets = _of_numbers(_offsets([len(value) for value in values]), pa.int32())
        return pa.ListArray.from_arrays(offsets, array(list(chain(*values)), kind.value_type), kind)
    return pa.array(values, kind)


def repeated(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    """Return an array that has one value in each of `rows` rows."""
    if value is None:
        return pa.nulls(rows, kind)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return array(np.full(rows, value), kind)
    return array([value] * rows, kind)


def one_of(texts: Sequence[str], number: npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]) -> pa.Array:
    """Return for each number the text at that index of `texts`."""
    numbers = _of_numbers(number.astype(np.int32, copy=False), pa.int32())
    return pa.DictionaryArray.from_arrays(numbers, _of_texts([text.encode() for text in texts])).dictionary_decode()


def all_of(values: Sequence[Any] | npt.NDArray[Any], *kinds: type) -> bool:
    """True if every value is of one of the types `kinds`."""
    if isinstance(values, np.ndarray):
        return values.ndim == 1 and issubclass(values.dtype.type, kinds)
    return all(isinstance(value, kinds) for value in values)


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return found


def _fitting(values: npt.NDArray[Any], kind: pa.DataType) -> npt.NDArray[Any]:
    """Return integers with the dtype of an Arrow type."""
    limits = np.iinfo(_dtype(kind))
    if len(values) and (int(values.min()) < limits.min or int(values.max()) > limits.max):
        raise ValueError(f"a value does not fit {kind}")
    return np.ascontiguousarray(values.astype(limits.dtype, copy=False))


def _of_numbers(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _of_flags(values: npt.NDArray[np.bool_]) -> pa.Array:
    bits = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def _of_texts(raw: Sequence[bytes]) -> pa.Array:
    offsets = _offsets([len(text) for text in raw])
    return pa.Array.from_buffers(pa.string(), len(raw), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(raw))])


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return where each of several consecutive pieces begins, and where the last piece ends."""
    ends = np.cumsum([0, *lengths])
    if int(ends[-1]) > np.iinfo(np.int32).max:
        raise OverflowError("more than one Arrow array with 32-bit offsets can hold")
    return ends.astype(np.int32)


def values(array: pa.Array) -> npt.NDArray[Any]:
    """Return a numeric Arrow array without nulls as a NumPy array that shares its memory."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.empty(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
