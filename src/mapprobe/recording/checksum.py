"""A checksum of the values of a table: it shows whether a stored result was damaged since it was written."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrow import values


def checksum(data: pa.Table, wanted: pa.Schema | None = None) -> str:
    """Return a checksum (CRC-32) of a table's values, which does not depend on how they are split into batches.

    Parameters
    ----------
    wanted
        Cast the columns to the types of this schema first, in order; None: take them as they are.
    """
    found = 0
    for column, field in zip(data.columns, wanted or data.schema, strict=True):
        for part in _parts(column if column.type == field.type else column.cast(field.type)):
            found = zlib.crc32(part, found)
    return f"{found:08x}"


def _parts(column: pa.ChunkedArray) -> Iterator[Any]:
    """Yield the bytes of a column's values: numbers, flags, text or lists of these."""
    if column.null_count:
        yield from _parts(column.is_valid())
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        yield from _parts(pc.fill_null(pc.list_value_length(column), 0))
        yield from _parts(pc.list_flatten(column))
    elif pa.types.is_string(column.type):
        yield from _parts(pc.fill_null(pc.binary_length(column), 0))
        yield from map(_letters, pc.fill_null(column, "").chunks)
    else:
        numbers = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
        whole = pc.fill_null(numbers, 0) if column.null_count else numbers  # fill_null always copies
        yield from (values(chunk).data for chunk in whole.chunks)


def _letters(texts: pa.StringArray) -> Any:
    """Return the bytes of all texts, one text after the other."""
    _, ends, letters = texts.buffers()
    first, last = (int(np.frombuffer(ends, np.int32)[texts.offset + n]) for n in (0, len(texts)))
    return letters[first:last] if last > first else b""
