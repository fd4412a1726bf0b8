"""The folder of a recording: append batches while it runs, open what a crash left.

Every table is one Arrow IPC *stream* file, `<table>.arrow`: no footer, so
what was written is readable whatever happens next, to the last whole batch.

A recorder writes with what is here: what only readers need, with pyarrow's functions, is loaded where it is used.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from mapprobe import arrow
from mapprobe.errors import RecordingError
from mapprobe.recording.encoding import Encoder, decoded, encoded_schema, is_encoded, version_of
from mapprobe.recording.packing import MOST_ROWS, pack_batch, packed_schema, unpack
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS_TABLES
from mapprobe.recording.tables.heap import HEAP_TABLES

SUFFIX = ".arrow"
VERSION_KEY = b"mapprobe.version"
DIGEST = "mapprobe.digest"
COMPRESSION = pa.Codec("lz4")
"""While recording. ZSTD-1 takes a seventh fewer bytes an event and twice the time."""
ARCHIVE = pa.Codec("zstd", 3)
"""Of packed recordings."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAMAGED = (pa.ArrowException, OSError, MemoryError, UnicodeError, SystemError)
"""What pyarrow raises on bytes that are no whole batch."""


def table_path(folder: Path, table: schema.Table) -> Path:
    """Return the file that holds `table`."""
    return folder / f"{table.name}{SUFFIX}"


def stored_schema(table: schema.Table) -> pa.Schema:
    """Return the Arrow schema of what `stored_batches` gives, and of a file that is not encoded."""
    return packed_schema() if table is schema.EVENTS else table.schema


def written_schema(table: schema.Table) -> pa.Schema:
    """Return the Arrow schema of a table's file: events are encoded."""
    return encoded_schema() if table is schema.EVENTS else table.schema


def is_recording(folder: Path) -> bool:
    """True if `folder` holds the session table of a recording."""
    return table_path(folder, schema.SESSION).is_file()


def create(folder: Path, *, force: bool) -> None:
    """Make an empty folder for a recording.

    Raises
    ------
    RecordingError
        If it exists and `force` is not set, or exists and is not a recording, or can't be made.
    """
    if folder.exists():
        if not folder.is_dir() or not (is_recording(folder) or _was_begun(folder)):
            raise RecordingError(str(folder), "exists and is not a recording: choose another folder")
        if any(folder.iterdir()) and not force:
            raise RecordingError(str(folder), "exists: choose another folder, or --force to overwrite it")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RecordingError(str(folder), f"{error.strerror}: choose another folder") from None


def _was_begun(folder: Path) -> bool:
    """True if a folder holds nothing but tables of a recording: a recorder that was killed early has left no more."""
    names = {f"{table.name}{SUFFIX}" for table in (*schema.RECORDED, *CENSUS_TABLES, *HEAP_TABLES)}
    return all(path.name in names and path.is_file() and _is_ours(path) for path in folder.iterdir())


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(1 << 16)  # more than a schema takes
    return not head or VERSION_KEY in head


class Writer:
    """Append to the tables of one recording; a context manager that closes every stream.

    Files are made at the first batch of their table. Batches are compressed and handed to the
    kernel one by one, so that a killed recorder leaves every batch it wrote.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, pa.OSFile] = {}
        self._streams: dict[str, pa.RecordBatchStreamWriter] = {}
        self._encoder = Encoder()
        self.written_bytes = 0

    def __enter__(self) -> Writer:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every stream and file, whatever state they are in; a disk that is full was reported before."""
        with ExitStack() as closing:
            closing.enter_context(suppress(OSError) if kind is not None else self._explained())
            for file in self._files.values():
                closing.callback(file.close)
            for stream in self._streams.values():
                closing.callback(stream.close)

    def append(self, table: schema.Table, columns: Mapping[str, Any]) -> None:
        """Append one batch.

        Parameters
        ----------
        table
            Which table, but events (`append_batch`).
        columns
            One array or list for each of its columns; absent columns have their defaults.

        Raises
        ------
        RecordingError
            If it can't be written: the disk is full, or a limit was reached.
        """
        self.append_all([(table, columns)])

    def append_all(self, given: Iterable[tuple[schema.Table, Mapping[str, Any]]]) -> None:
        """Append a batch to each of some tables (see `append`), or none if a value fits no column.

        Raises
        ------
        ValueError, TypeError, OverflowError
            If one does not.
        """
        batches = [(table, _batch_of(table, columns)) for table, columns in given]
        for table, batch in batches:
            if len(batch):
                self.append_batch(table, batch)

    def append_batch(self, table: schema.Table, batch: pa.RecordBatch) -> None:
        """Append a batch that stands as `stored_schema` (see `append`)."""
        written = self._encoder.encode(batch) if table is schema.EVENTS else batch
        with self._explained():
            self._stream(table).write_batch(written)
        self.written_bytes = sum(file.tell() for file in self._files.values())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the system says of a failed write into an error that says what to do."""
        try:
            yield
        except OSError as error:
            why = f"{error.strerror or error}: what was written until then opens; free some room and record again"
            raise RecordingError(str(self._folder), why) from None

    def _stream(self, table: schema.Table) -> pa.RecordBatchStreamWriter:
        if table.name not in self._streams:
            file = pa.OSFile(str(table_path(self._folder, table)), "wb")
            self._files[table.name] = file
            self._streams[table.name] = _new_stream(file, table, COMPRESSION)
        return self._streams[table.name]


def _batch_of(table: schema.Table, columns: Mapping[str, Any]) -> pa.RecordBatch:
    rows = len(next(iter(columns.values())))
    given = {c.name: arrow.array(columns[c.name], c.type) for c in table.columns if c.name in columns}
    arrays = [given[c.name] if c.name in given else _default(c, given, rows) for c in table.columns]
    return pa.record_batch(arrays, schema=table.schema)


def _new_stream(file: pa.NativeFile, table: schema.Table, codec: pa.Codec) -> pa.RecordBatchStreamWriter:
    return pa.ipc.new_stream(file, written_schema(table), options=pa.ipc.IpcWriteOptions(compression=codec))


def batches(folder: Path, table: schema.Table) -> Iterator[pa.RecordBatch]:
    """Yield the complete batches of a table, events unpacked (see `stored_batches`)."""
    stored = stored_batches(folder, table)
    return map(unpack, stored) if table is schema.EVENTS else stored


def stored_batches(folder: Path, table: schema.Table) -> Iterator[pa.RecordBatch]:
    """Yield the complete batches of a table, events packed; of a stream that was cut off, all before the cut.

    Raises
    ------
    RecordingError
        If the folder is not a recording, or the table's schema is not this version's.
    """
    path = table_path(folder, table)
    if not is_recording(folder):
        raise RecordingError(str(folder), "no recording here: give the folder that 'mapprobe record -o' wrote")
    if not path.is_file() or path.stat().st_size == 0:
        return
    # not mapped: what was read of a large file would stay in memory as long as there is room
    with pa.OSFile(str(path)) as source:
        try:
            stream = pa.ipc.open_stream(source)
        except DAMAGED:
            return
        _check_schema(folder, table, stream.schema)
        whole = _whole(stream)
        yield from decoded(whole) if is_encoded(stream.schema) else (_completed(batch, table) for batch in whole)


def _whole(stream: pa.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a stream up to the first that is not whole."""
    while True:
        try:
            batch = stream.read_next_batch()
            batch.validate(full=True)
            if _lacks_values(batch):
                return
        except (StopIteration, *DAMAGED):
            return
        yield batch


def _completed(batch: pa.RecordBatch, table: schema.Table) -> pa.RecordBatch:
    """Return a batch with the columns that an older recording lacks, each with its default."""
    wanted = stored_schema(table)
    if len(batch.schema) == len(wanted):
        return batch
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    lacking = {c.name: _default(c, given, len(batch)) for c in table.columns if c.name not in given}
    return pa.record_batch([given[name] if name in given else lacking[name] for name in wanted.names], schema=wanted)


def _default(column: schema.Column, given: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Return the values of a column that is not there."""
    if isinstance(column.default, schema.Like):
        return arrow.array(given[column.default.column], column.type)
    return arrow.repeated(column.default, column.type, rows)


def ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same batches, each read and decompressed while the caller is busy with the one before."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield batch


def _lacks_values(batch: pa.RecordBatch) -> bool:
    """True if something is null that never is: Arrow itself doesn't hold batches to that."""
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
            f"{table.name}{SUFFIX} has schema {version}, this mapprobe reads {schema.VERSION}: "
            "read it with the mapprobe that wrote it",
        )
    wanted = encoded_schema() if has_codes else stored_schema(table)
    optional = {c.name for c in table.columns if c.may_lack} - set(found.names)
    if not found.equals(pa.schema([field for field in wanted if field.name not in optional])):
        raise RecordingError(str(folder), f"{table.name}{SUFFIX} has foreign columns: record again")


def pack_events(folder: Path, progress: Callable[[int], None] | None = None) -> tuple[int, int]:
    """Write the events again, in whole batches and compressed as far as it pays.

    A recording's own batches are as large as what came within a second, and quickly compressed. Older ones are not
    encoded yet. Atomic: a recorder or a disk that fails leaves the events as they were.

    Parameters
    ----------
    progress
        Is told the number of events after each batch.

    Returns
    -------
    What they took before, and take now [bytes].

    Raises
    ------
    RecordingError
        If it can't be written.
    """
    path, encoder = table_path(folder, schema.EVENTS), Encoder()
    before = path.stat().st_size if path.is_file() else 0
    scratch = path.with_suffix(".part")
    try:
        with pa.OSFile(str(scratch), "wb") as file, _new_stream(file, schema.EVENTS, ARCHIVE) as stream:
            for batch in _whole_batches(stored_batches(folder, schema.EVENTS)):
                stream.write_batch(encoder.encode(batch))
                if progress:
                    progress(len(batch))
        _sync(scratch)
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    return before, path.stat().st_size


def _whole_batches(stored: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same events in batches of `MOST_ROWS`."""
    waiting, rows = list[pa.RecordBatch](), 0
    for batch in map(unpack, stored):
        waiting.append(batch)
        rows += len(batch)
        while rows >= MOST_ROWS:
            joined = pa.concat_batches(waiting)
            yield pack_batch(joined.slice(0, MOST_ROWS))
            waiting, rows = [joined.slice(MOST_ROWS)], rows - MOST_ROWS
    if rows:
        yield pack_batch(pa.concat_batches(waiting))


def read_table(folder: Path, table: schema.Table) -> pa.Table:
    """Return a whole table, empty when nothing of it was written (see `batches`)."""
    return pa.Table.from_batches(list(batches(folder, table)), table.schema)


def write_table(folder: Path, table: schema.Table, data: pa.Table, metadata: dict[str, str] | None = None) -> None:
    """Write a whole table at once, atomically, with more schema metadata if given."""
    from mapprobe.recording.checksum import checksum

    path, found = table_path(folder, table), table.schema
    scratch = path.with_suffix(".part")
    schema_out = found.with_metadata({**found.metadata, DIGEST: checksum(data, found), **(metadata or {})})
    options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
    try:
        with pa.OSFile(str(scratch), "wb") as file, pa.ipc.new_stream(file, schema_out, options=options) as stream:
            for batch in data.to_batches(MOST_ROWS):
                stream.write_batch(batch.cast(schema_out))
        _sync(scratch)
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> RecordingError:
    why = os.strerror(error.errno) if error.errno else str(error)  # pyarrow's own text has the path in it
    remedy = "free some room" if error.errno in NO_ROOM else "copy the recording to where it may be written"
    return RecordingError(str(path.parent), f"{path.name} can't be written ({why}): {remedy}")


def _sync(path: Path) -> None:
    """Let a file reach the disk: a rename must not be there before what it renames."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def whole_table(folder: Path, table: schema.Table, metadata: Mapping[str, str]) -> pa.Table | None:
    """Return a table, narrow (`narrow`), if it is what `write_table` wrote with this metadata, else None."""
    from mapprobe.recording.checksum import checksum
    from mapprobe.recording.narrow import gathered

    found = table_metadata(folder, table)
    if not metadata.items() <= found.items():
        return None
    data = gathered(batches(folder, table), table.schema)
    return data if found.get(DIGEST) == checksum(data, table.schema) else None


def table_metadata(folder: Path, table: schema.Table) -> dict[str, str]:
    """Return a table's schema metadata, empty when the table was not written."""
    path = table_path(folder, table)
    if not path.is_file():
        return {}
    try:
        with pa.memory_map(str(path)) as source:
            found = pa.ipc.open_stream(source).schema.metadata or {}
    except DAMAGED:
        return {}
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in found.items()}
