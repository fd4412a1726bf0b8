"""Read the tables of a recording: open what a crash left, refuse what was damaged since.

Every table is one Arrow IPC *stream* file, `<table>.arrow`. A stream has no footer: what was written can be read to the
last whole batch, whatever happens next. Each batch bears a checksum (`checksum.Chain`), each file the name of its
recording, and the closing row of `schema.SESSION` says how many rows each table has. So a reader can tell

- an unfinished recording, which has no closing row, and whose files may end within a batch;
- damaged events: they are read up to the first damaged batch, and the recording counts as cut there;
- any other table that is damaged, shortened, missing, or of another recording: it is refused by its name.

Recordings of before these checksums are read to the first batch that can't be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from mapprobe import arrow
from mapprobe.errors import RecordingError
from mapprobe.recording.checksum import Chain
from mapprobe.recording.encoding import decoded, encoded_schema, is_encoded, version_of
from mapprobe.recording.folder import RECORDED, is_recording, table_path
from mapprobe.recording.packing import packed_schema, unpack
from mapprobe.recording.tables import schema

CHECKSUM = b"mapprobe.checksum"
"""The key of a batch's checksum in the metadata of its message."""
RECORDING = b"mapprobe.recording"
"""The key of a recording's name, drawn at random, in the metadata of the schema of each of its files."""
DAMAGED = (pa.ArrowException, OSError, MemoryError, UnicodeError, SystemError)
"""The exceptions that pyarrow raises on bytes that are not a whole batch."""


def stored_schema(table: schema.Table) -> pa.Schema:
    """Return the Arrow schema of the batches of `stored_batches`: events are packed."""
    return packed_schema() if table is schema.EVENTS else table.schema


def written_schema(table: schema.Table) -> pa.Schema:
    """Return the Arrow schema with which a table's file is written: events are encoded."""
    return encoded_schema() if table is schema.EVENTS else table.schema


def batches(folder: Path, table: schema.Table) -> Iterator[pa.RecordBatch]:
    """Yield the complete batches of a table, events unpacked (see `stored_batches`)."""
    stored = stored_batches(folder, table)
    return map(unpack, stored) if table is schema.EVENTS else stored


def stored_batches(
    folder: Path, table: schema.Table, stopped: Callable[[int], None] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the sound batches of a table, events packed; of a stream that was cut off, all before the cut.

    Parameters
    ----------
    stopped
        Is told the number of batches before the first damaged one, if events were read no further.

    Raises
    ------
    RecordingError
        If the folder is not a recording, or the table's schema is not this version's, or the table is of another
        recording, or if it lacks rows and is not `schema.EVENTS`.
    """
    if table in RECORDED and not is_recording(folder):
        raise RecordingError(str(folder), "no recording here: give the folder that 'mapprobe record -o' wrote")
    stream = _Stream(folder, table)
    found = stream.batches()
    if table is schema.EVENTS:
        found = stream.decoded(found)
    yield from found
    if not stream.is_whole:
        if table is not schema.EVENTS:
            raise stream.error()
        if stopped:
            stopped(stream.batch_count)


class _Stream:
    """One table's file as it is read: how far it is sound."""

    def __init__(self, folder: Path, table: schema.Table) -> None:
        self._folder, self._table = folder, table
        self._path = table_path(folder, table)
        is_recorded = table is not schema.SESSION and table in RECORDED
        self._seal = closing(folder) if is_recorded else None
        self._is_damaged = self._is_encoded = False
        self._row_count = 0
        self.batch_count = 0

    @property
    def is_whole(self) -> bool:
        """True if all rows that the table must have were read; of an unfinished recording, if none is damaged."""
        wanted = None if self._seal is None else self._seal.rows
        return not self._is_damaged and (wanted is None or wanted.get(self._table.name) == self._row_count)

    def error(self) -> RecordingError:
        """Return what to raise for a table that lacks rows."""
        if not self._path.is_file():
            return RecordingError(str(self._folder), f"{self._path.name} is missing: record again")
        why = f"is damaged behind its first {self._row_count:,} rows ({self.batch_count:,} batches)"
        return RecordingError(str(self._folder), f"{self._path.name} {why}: record again")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the sound batches as they stand in the file, with all columns if events are not encoded."""
        if not self._path.is_file() or self._path.stat().st_size == 0:
            return
        # no memory map: the pages of a large file that were read would count as memory of this process
        with pa.OSFile(str(self._path)) as source:
            try:
                stream = pa.ipc.open_stream(source)
            except DAMAGED:
                is_sealed = self._seal is not None and self._seal.recording is not None
                self._is_damaged = is_sealed and not self._is_cut(source)
                return
            _check_schema(self._folder, self._table, stream.schema)
            self._is_encoded = is_encoded(stream.schema)
            chain = self._chain(stream.schema)
            for batch in self._sound(stream, source, chain):
                self.batch_count += 1
                if not self._is_encoded:
                    self._row_count += len(batch)
                yield batch if self._is_encoded else _completed(batch, self._table)

    def decoded(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield batches of events packed, up to the first that can't be decoded, which counts as damaged."""
        first = next(batches, None)  # only now it is known whether the file is encoded
        if first is None:
            return
        whole = itertools.chain([first], batches)
        if not self._is_encoded:
            yield from whole
            return
        for batch in decoded(whole):
            self._row_count += len(batch)
            yield batch

    def _chain(self, found: pa.Schema) -> Chain | None:
        """Return the checksums that the batches must have, None if the recording has none."""
        recording = recording_of(found)
        if self._seal is not None and self._seal.recording != recording:
            why = f"{self._path.name} is of another recording: put the one back that belongs here, or record again"
            raise RecordingError(str(self._folder), why)
        return Chain(recording, self._table.name) if recording is not None else None

    def _sound(
        self, stream: pa.RecordBatchStreamReader, source: pa.NativeFile, chain: Chain | None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the batches of a stream up to the first that is not whole, or not as it was written."""
        while True:
            try:
                batch, metadata = stream.read_next_batch_with_custom_metadata()
                batch.validate(full=True)
            except StopIteration:
                return
            except DAMAGED:
                self._is_damaged = chain is not None and not self._is_cut(source)
                return
            if _lacks_values(batch):
                self._is_damaged = chain is not None
                return
            if chain and (metadata or {}).get(CHECKSUM) != chain.add(batch).encode():
                self._is_damaged = True
                return
            yield batch

    def _is_cut(self, source: pa.NativeFile) -> bool:
        """True if what can't be read reaches to the end of the file: a recorder that was killed leaves it like this."""
        return bool(source.closed or source.tell() >= self._path.stat().st_size)


@dataclass(frozen=True, slots=True)
class Closing:
    """What the session's table says of all tables.

    Attributes
    ----------
    recording
        The name that all files of the recording bear; None: it was written before files had one.
    rows
        How many rows each table has; None: the recording is unfinished, or older than these counts.
    """

    recording: str | None
    rows: Mapping[str, int] | None


def closing(folder: Path) -> Closing:
    """Return what the session's table says of all tables.

    Raises
    ------
    RecordingError
        If that table is damaged.
    """
    found = table_path(folder, schema.SESSION).stat()
    return _closing(folder, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=64)
def _closing(folder: Path, _version: tuple[int, ...]) -> Closing:
    """Return the same of a session's table; `_version` tells one state of the file from another."""
    rows = read_table(folder, schema.SESSION).to_pylist()
    with pa.OSFile(str(table_path(folder, schema.SESSION))) as file:
        try:
            recording = recording_of(pa.ipc.open_stream(file).schema)
        except DAMAGED:
            recording = None
    if not rows or rows[-1]["ended"] is None or rows[-1]["tables"] is None:
        return Closing(recording, None)
    return Closing(recording, dict(zip(rows[-1]["tables"], rows[-1]["table_rows"] or (), strict=False)))


def recording_of(found: pa.Schema) -> str | None:
    """Return the name of the recording that a file's schema bears."""
    name = (found.metadata or {}).get(RECORDING)
    return None if name is None else name.decode(errors="replace")


def _completed(batch: pa.RecordBatch, table: schema.Table) -> pa.RecordBatch:
    """Return a batch with the columns that an older recording lacks, each with its default."""
    wanted = stored_schema(table)
    if len(batch.schema) == len(wanted):
        return batch
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    lacking = {c.name: default_of(c, given, len(batch)) for c in table.columns if c.name not in given}
    return pa.record_batch([given[name] if name in given else lacking[name] for name in wanted.names], schema=wanted)


def default_of(column: schema.Column, given: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Return the values for a column that a file or a caller does not have."""
    if isinstance(column.default, schema.Like):
        return arrow.array(given[column.default.column], column.type)
    return arrow.repeated(column.default, column.type, rows)


def ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same batches, but read and decompress each one in a thread while the caller uses the one before."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield batch


def _lacks_values(batch: pa.RecordBatch) -> bool:
    """True if a column that is not nullable has nulls, which Arrow's own validation accepts."""
    return any(
        (column.null_count and not field.nullable)
        or (pa.types.is_dictionary(field.type) and _has_nulls(column.dictionary))
        for field, column in zip(batch.schema, batch.columns, strict=True)
    )


def _has_nulls(struct: pa.StructArray) -> bool:
    return bool(struct.null_count or any(field.null_count for field in struct.flatten()))


def _check_schema(folder: Path, table: schema.Table, found: pa.Schema) -> None:
    version, has_codes = version_of(found), table is schema.EVENTS and is_encoded(found)
    if version != str(schema.VERSION) and not has_codes:
        raise RecordingError(
            str(folder),
            f"{table_path(folder, table).name} has schema {version}, this mapprobe reads {schema.VERSION}: "
            "read it with the mapprobe that wrote it",
        )
    wanted = encoded_schema() if has_codes else stored_schema(table)
    try:
        lacking = {c.name for c in table.columns if c.may_lack} - set(found.names)
        is_ours = found.equals(pa.schema([field for field in wanted if field.name not in lacking]))
    except UnicodeError:  # a damaged name of a column
        is_ours = False
    if not is_ours:
        raise RecordingError(str(folder), f"{table_path(folder, table).name} has foreign columns: record again")


def read_table(folder: Path, table: schema.Table) -> pa.Table:
    """Return all complete batches of a table as one table, empty if there are none (see `batches`)."""
    return pa.Table.from_batches(list(batches(folder, table)), table.schema)
