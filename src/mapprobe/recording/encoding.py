"""Events as they stand in a file: the header of each map once, then only what changes.

A batch of events is one row::

    rows  is_full  hashes           encoded
    u32   bool     binary, 8 each   binary

Maps are numbered as they appear, and an event names its map by number. An event whose header is the last header of its
map says no more of the header. Its count stands as the difference from the count that the map's previous event lets
expect. What events did, and who did it, stand once in a batch, and events have the numbers. All these numbers are split
by byte into planes; the values of a plane have as few bits as nearly all of them fit in, the odd ones stand beside.
`src/core/encoding.h` has every detail.

A batch may need the batches before it, back to the last full one; every 32nd batch is full. A file that is cut off
loses only the events behind the cut. Readers get packed events (`packing`), whichever way a file has them.

An event takes 12 bytes where 10,000 maps take turns, 7 to 10 bytes where there is one map. Eight of the bytes are the
hash, which is compressed only where keys come again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache

import numpy as np
import pyarrow as pa

from mapprobe import _core
from mapprobe.arrow import array, values
from mapprobe.recording.packing import COMMON, HALVED, MOST_ROWS, common_columns, high_name, of_buffers, packed_schema
from mapprobe.recording.tables import schema

VERSION = "5"
"""The version of a file of encoded events; a file of packed ones has `schema.VERSION`."""
HASH = "hash"
HASH_BYTES = 8
HEADER = (*COMMON, *(high_name(name) for name in HALVED))
OWN = tuple(name for name in packed_schema().names if name not in ("header", HASH))


class EncodingError(ValueError):
    """An encoded batch is damaged, or a batch that it needs is not there."""


@cache
def encoded_schema() -> pa.Schema:
    """Return the Arrow schema of encoded events."""
    docs = {
        "rows": (pa.uint32(), "events of the batch"),
        "is_full": (pa.bool_(), "it can be read without the batches before it"),
        "hashes": (pa.binary(), "the hash of each event, eight bytes"),
        "encoded": (pa.binary(), "all else: src/core/encoding.h"),
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
    """Yield the batches of one file packed, up to the first that can't be decoded."""
    decoder = Decoder()
    with suppress(EncodingError, MemoryError):
        for batch in encoded:
            yield from decoder.decode(batch)


class Encoder:
    """Encodes the batches of one file, in order."""

    def __init__(self) -> None:
        self._encoder = _core.new_encoder()

    def encode(self, packed: pa.RecordBatch) -> pa.RecordBatch:
        """Return a packed batch encoded.

        Raises
        ------
        ValueError
            If it has more than `MOST_ROWS` events.
        """
        number, header = common_columns(packed, HEADER)
        own = [values(packed.column(name)) for name in OWN]
        is_full, encoded = _core.encode_batch(self._encoder, [own[0], number, *own[1:]], header)
        hashes = values(packed.column(HASH))
        about = array([len(packed)], pa.uint32()), array([bool(is_full)], pa.bool_())
        return pa.record_batch([*about, _binary(hashes), _binary(encoded)], schema=encoded_schema())


class Decoder:
    """Decodes the batches of one file, in order."""

    def __init__(self) -> None:
        self._decoder = _core.new_decoder()

    def decode(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield the packed batches that are encoded in the rows of one.

        Raises
        ------
        EncodingError
            If one is damaged, or needs one that was not there.
        """
        columns = (batch.column(name) for name in encoded_schema().names)
        for rows, is_full, hashes, encoded in zip(*columns, strict=True):
            yield self._decoded(rows.as_py(), is_full.as_py(), hashes.as_buffer(), encoded.as_buffer())

    def _decoded(self, rows: int, is_full: bool, hashes: pa.Buffer, encoded: pa.Buffer) -> pa.RecordBatch:
        if rows > MOST_ROWS or hashes.size != rows * HASH_BYTES:
            raise EncodingError("a batch has not as many hashes as events")
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
