"""Checksums of values: of a kept result, and of each batch of a recording. They show damage, not forgery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from mapprobe.arrow import values


def checksum(data: pa.Table, wanted: pa.Schema | None = None, seed: int = 0) -> str:
    """Return a checksum (XXH3, 16 hexadecimal digits) of a table's values, however they are cut into batches.

    Parameters
    ----------
    wanted
        Take the columns as those of this schema, one after the other; None: as they are.
    seed
        Other seeds give other checksums.
    """
    found = xxhash.xxh3_64(len(data).to_bytes(8, "little"), seed=seed)
    for column, field in zip(data.columns, wanted or data.schema, strict=True):
        for part in _parts(column if column.type == field.type else column.cast(field.type)):
            found.update(part)
    return found.hexdigest()


class Chain:
    """The checksums of a table's batches: each is seeded with the one before, the first with recording and table.

    So a batch that is changed, missing, in another place, or of another recording has a wrong checksum.
    """

    def __init__(self, recording: str, table: str) -> None:
        self._last = xxhash.xxh3_64_intdigest(f"{recording} {table}".encode())

    def add(self, batch: pa.RecordBatch) -> str:
        """Return the checksum of the next batch."""
        found = checksum(pa.Table.from_batches([batch]), seed=self._last)
        self._last = int(found, 16)
        return found


def _parts(column: pa.ChunkedArray) -> Iterator[Any]:
    """Yield the bytes of a column's values: numbers, flags, text, bytes, or lists of these."""
    if column.null_count:
        yield from _parts(column.is_valid())
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        yield from _parts(pc.fill_null(pc.list_value_length(column), 0))
        yield from _parts(pc.list_flatten(column))
    elif pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        yield from _parts(pc.fill_null(pc.binary_length(column), 0))
        nothing = "" if pa.types.is_string(column.type) else b""
        whole = pc.fill_null(column, nothing) if column.null_count else column
        yield from map(_letters, whole.chunks)
    else:
        numbers = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
        whole = pc.fill_null(numbers, 0) if column.null_count else numbers  # fill_null always copies
        yield from (values(chunk).data for chunk in whole.chunks)


def _letters(texts: pa.Array) -> Any:
    """Return the bytes of all texts, one text after the other."""
    _, ends, letters = texts.buffers()
    first, last = (int(np.frombuffer(ends, np.int32)[texts.offset + n]) for n in (0, len(texts)))
    return letters[first:last] if last > first else b""
