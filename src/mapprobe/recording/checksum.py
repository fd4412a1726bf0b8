"""Checksums of values: of a kept result, and of each batch of a recording. They show damage, not forgery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from mapprobe.arrays import Flags
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
        for part in _parts((column if column.type == field.type else column.cast(field.type)).chunks):
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


def _parts(chunks: list[pa.Array]) -> Iterator[Any]:
    """Yield the bytes of a column's values: numbers, flags, text, bytes, or lists of these.

    No function of `pyarrow.compute` is used: the recorder does not load that module, which takes 14 MB.
    """
    chunks = [chunk for chunk in chunks if len(chunk)]
    if any(chunk.null_count for chunk in chunks):
        yield from (_is_valid(chunk).view(np.uint8) for chunk in chunks)
    kind = chunks[0].type if chunks else pa.null()
    if pa.types.is_list(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind):
        yield from (np.where(_is_valid(chunk), np.diff(_offsets(chunk)), 0) for chunk in chunks)
        ends = [(int(found[0]), int(found[-1])) for found in map(_offsets, chunks)]
        if pa.types.is_list(kind):
            yield from _parts([chunk.values[first:last] for chunk, (first, last) in zip(chunks, ends, strict=True)])
        else:
            texts = zip((chunk.buffers()[2] for chunk in chunks), ends, strict=True)
            yield from (letters[first:last] for letters, (first, last) in texts if last > first)
    elif pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        yield from _parts([chunk.values[chunk.offset * size : (chunk.offset + len(chunk)) * size] for chunk in chunks])
    elif pa.types.is_boolean(kind):
        yield from (np.where(_is_valid(chunk), _bits(chunk, 1), False).view(np.uint8) for chunk in chunks)
    else:
        numbers = ((values(chunk), chunk) for chunk in chunks)
        yield from (np.where(_is_valid(chunk), of, 0) if chunk.null_count else of for of, chunk in numbers)


def _is_valid(chunk: pa.Array) -> Flags:
    return _bits(chunk, 0) if chunk.null_count else np.ones(len(chunk), np.bool_)


def _bits(chunk: pa.Array, buffer: int) -> Flags:
    """Return the bits of a buffer of an array, one for each of its values."""
    raw = np.frombuffer(chunk.buffers()[buffer], np.uint8)
    return np.unpackbits(raw, bitorder="little")[chunk.offset : chunk.offset + len(chunk)].astype(np.bool_)


def _offsets(chunk: pa.Array) -> npt.NDArray[np.int32]:
    """Return where the values of each list or text begin, and where those of the last one end."""
    return np.frombuffer(chunk.buffers()[1], np.int32, len(chunk) + 1, chunk.offset * 4)
