"""Write the tables of a recording while it runs: each batch with its checksum, each file with the recording's name."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from mapprobe import arrow
from mapprobe.errors import RecordingError
from mapprobe.recording.checksum import Chain
from mapprobe.recording.encoding import Encoder
from mapprobe.recording.files import CHECKSUM, RECORDING, default_of, written_schema
from mapprobe.recording.folder import RECORDED, table_path
from mapprobe.recording.owner import create_file
from mapprobe.recording.tables import schema

COMPRESSION = pa.Codec("lz4")
"""Compression while recording. ZSTD-1 needs a seventh fewer bytes for an event, but twice the time."""
NAME_BYTES = 8
"""Of a recording's name: two recordings never draw the same."""


class Writer:
    """Append to the tables of one recording; a context manager that closes every stream.

    The file of a table is made at the table's first batch. Each batch is compressed and handed to the kernel at once,
    so that all batches of a recorder that was killed are in the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = secrets.token_hex(NAME_BYTES)
        self._files: dict[str, pa.OSFile] = {}
        self._streams: dict[str, SealedStream] = {}
        self._encoder = Encoder()
        self._rows = dict.fromkeys((table.name for table in RECORDED if table is not schema.SESSION), 0)
        self.written_bytes = 0

    def __enter__(self) -> Writer:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every stream and file; after an error, errors of closing are ignored (a full disk was reported)."""
        with ExitStack() as closing:
            closing.enter_context(suppress(OSError) if kind is not None else self._explained())
            for file in self._files.values():
                closing.callback(file.close)
            for stream in self._streams.values():
                closing.callback(stream.close)

    def append(self, table: schema.Table, columns: Mapping[str, Any]) -> None:
        """Append one batch to a table.

        Parameters
        ----------
        table
            Any table but events (for those: `append_batch`).
        columns
            One array or list for each column of the table; a column that is not given gets its default.

        Raises
        ------
        RecordingError
            If the batch can't be written: the disk is full, or a limit was reached.
        """
        self.append_all([(table, columns)])

    def append_all(self, given: Iterable[tuple[schema.Table, Mapping[str, Any]]]) -> None:
        """Append a batch to each of several tables (see `append`); if a value does not fit its column, append nothing.

        Raises
        ------
        ValueError, TypeError, OverflowError
            If a value does not fit its column.
        """
        batches = [(table, _batch_of(table, columns)) for table, columns in given]
        for table, batch in batches:
            if len(batch):
                self.append_batch(table, batch)

    def append_batch(self, table: schema.Table, batch: pa.RecordBatch) -> None:
        """Append a batch that has the schema `stored_schema` (see `append`)."""
        written = self._encoder.encode(batch) if table is schema.EVENTS else batch
        with self._explained():
            self._stream(table).write(written)
        if table is not schema.SESSION:
            self._rows[table.name] = self._rows.get(table.name, 0) + len(batch)
        self.written_bytes = sum(file.tell() for file in self._files.values())

    def contents(self) -> dict[str, list[str] | list[int]]:
        """Return how many rows each table has, as columns of the closing row of `schema.SESSION`."""
        return {"tables": list(self._rows), "table_rows": list(self._rows.values())}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the system's error about a failed write into a `RecordingError` that says what to do."""
        try:
            yield
        except OSError as error:
            why = f"{error.strerror or error}: what was written until then opens; free some room and record again"
            raise RecordingError(str(self._folder), why) from None

    def _stream(self, table: schema.Table) -> SealedStream:
        if table.name not in self._streams:
            path = table_path(self._folder, table)
            create_file(path)
            file = self._files[table.name] = pa.OSFile(str(path), "wb")
            self._streams[table.name] = SealedStream(file, table, self._name, COMPRESSION)
        return self._streams[table.name]


class SealedStream:
    """An Arrow stream of one table whose batches bear their checksums."""

    def __init__(self, file: pa.NativeFile, table: schema.Table, recording: str | None, codec: pa.Codec) -> None:
        """Write the schema; None: no recording is named, and no checksum is written."""
        kind, options = written_schema(table), pa.ipc.IpcWriteOptions(compression=codec)
        if recording is not None:
            kind = kind.with_metadata({**(kind.metadata or {}), RECORDING: recording.encode()})
        self._chain = None if recording is None else Chain(recording, table.name)
        self._stream = pa.ipc.new_stream(file, kind, options=options)

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a batch that has the columns of `written_schema`."""
        seal = {CHECKSUM: self._chain.add(batch).encode()} if self._chain else None
        self._stream.write_batch(batch, custom_metadata=seal)

    def close(self) -> None:
        """End the stream."""
        self._stream.close()


def _batch_of(table: schema.Table, columns: Mapping[str, Any]) -> pa.RecordBatch:
    rows = len(next(iter(columns.values())))
    given = {c.name: arrow.array(columns[c.name], c.type) for c in table.columns if c.name in columns}
    arrays = [given[c.name] if c.name in given else default_of(c, given, rows) for c in table.columns]
    return pa.record_batch(arrays, schema=table.schema)
