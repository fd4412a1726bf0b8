"""Encoded events, as a file has them: the header of each map once, then only what changes.

A batch of events is one row of the file::

    rows  is_full  hashes           encoded
    u32   bool     binary, 8 each   binary

Maps are numbered in the order in which they appear, and an event names its map by number. The header is written only
for an event whose header differs from the last one of the same map. The count of entries is written as the difference
from the count to be expected after the map's previous event. Each distinct combination of operation and stack is
written once in a batch; events name the combination by number. All these numbers are split by byte into planes. A plane
uses as few bits for a value as nearly all of its values fit in; the few larger values are listed separately.
`src/core/encoding.h` has every detail.

To decode a batch the batches before it may be needed, back to the last full one; every 32nd batch is full. A file that
is cut off loses only the events after the cut. Readers get packed events (`packing`), whether a file has packed or
encoded ones.

An event takes 12 bytes where 10,000 maps take turns, 7 to 10 bytes where there is one map. Eight of the bytes are the
hash, which compresses only where the same keys occur again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache

import numpy as np
import pyarrow as pa

from mapprobe import _core
from mapprobe.arrow import values
from mapprobe.recording.packing import COMMON, HALVED, MOST_ROWS, common_columns, high_name, of_buffers, packed_schema
from mapprobe.recording.tables import schema

VERSION = "5"
"""The version of a file of encoded events; a file of packed ones has `schema.VERSION`."""
HASH = "hash"
HASH_BYTES = 8
HEADER = (*COMMON, *(high_name(name) for name in HALVED))
OWN = tuple(name for name in packed_schema().names if name not in ("header", HASH))


class EncodingError(ValueError):
    """An encoded batch is damaged, or an earlier batch that it depends on is missing."""


@cache
def encoded_schema() -> pa.Schema:
    """Return the Arrow schema of encoded events."""
    docs = {
        "rows": (pa.uint32(), "number of events in the batch"),
        "is_full": (pa.bool_(), "the batch can be decoded without the batches before it"),
        "hashes": (pa.binary(), "the hash of each event, eight bytes each"),
        "encoded": (pa.binary(), "everything else, as src/core/encoding.h describes"),
    }
    fields = [pa.field(n, kind, nullable=False, metadata={"doc": doc, "unit": ""}) for n, (kind, doc) in docs.items()]
    metadata = {**(schema.EVENTS.schema.metadata or {}), b"mapprobe.version": VERSION.encode()}
    return pa.schema(fields, metadata=metadata)


def version_of(found: pa.Schema) -> str:
    """Return the version of the format that a file's schema names."""
    return bytes((found.metadata or {}).get(b"mapprobe.version", b"?")).decode(errors="replace")


def is_encoded(found: pa.Schema) -> bool:
    """True if a file of this schema has encoded events."""
    return version_of(found) == VERSION


def decoded(encoded: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of one file as packed events, up to the first batch that can't be decoded."""
    decoder = Decoder()
    with suppress(EncodingError, MemoryError):
        for batch in encoded:
            yield from decoder.decode(batch)


class Encoder:
    """Encodes the batches of one file, in order."""

    def __init__(self) -> None:
        self._encoder = _core.new_encoder()

    def encode(self, packed: pa.RecordBatch) -> pa.RecordBatch:
        """Encode the next batch of packed events; return one row of `encoded_schema`.

        Raises
        ------
        ValueError
            If the batch has more than `MOST_ROWS` events.
        """
        number, header = common_columns(packed, HEADER)
        own = [values(packed.column(name)) for name in OWN]
        is_full, encoded = _core.encode_batch(self._encoder, [own[0], number, *own[1:]], header)
        hashes = values(packed.column(HASH))
        columns = [pa.array([len(packed)], pa.uint32()), pa.array([is_full]), _binary(hashes), _binary(encoded)]
        return pa.record_batch(columns, schema=encoded_schema())


class Decoder:
    """Decodes the batches of one file, in order."""

    def __init__(self) -> None:
        self._decoder = _core.new_decoder()

    def decode(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield a batch of packed events for each row of `batch` (`encoded_schema`).

        Raises
        ------
        EncodingError
            If a row is damaged, or depends on a row that is missing.
        """
        columns = (batch.column(name) for name in encoded_schema().names)
        for rows, is_full, hashes, encoded in zip(*columns, strict=True):
            yield self._decoded(rows.as_py(), is_full.as_py(), hashes.as_buffer(), encoded.as_buffer())

    def _decoded(self, rows: int, is_full: bool, hashes: pa.Buffer, encoded: pa.Buffer) -> pa.RecordBatch:
        if rows > MOST_ROWS or hashes.size != rows * HASH_BYTES:
            raise EncodingError("a batch has more or fewer hashes than events")
        try:
            own, header = _core.decode_batch(self._decoder, rows, is_full, encoded)
        except ValueError as error:
            raise EncodingError(str(error)) from None
        step, number, *rest = own
        rest.insert(OWN.index("point"), hashes)
        return of_buffers(step, number, header, rest)


def _binary(column: object) -> pa.Array:
    """Return memory as a binary column of one row."""
    memory = pa.py_buffer(column)
    return pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(np.array([0, memory.size], np.int32)), memory])
