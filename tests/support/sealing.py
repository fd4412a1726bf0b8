"""A sample recording written again, with checksums and counts of rows as a recorder of today writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mapprobe.recording import files
from mapprobe.recording.files import RECORDING
from mapprobe.recording.folder import RECORDED, create
from mapprobe.recording.packing import MOST_ROWS, pack
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer


def seal(folder: Path, events: pa.Table | None = None, *, is_finished: bool = True, rows: int = MOST_ROWS) -> None:
    """Write all tables of a recording again, its results apart.

    Parameters
    ----------
    events
        Instead of those of the recording, as `schema.EVENTS`.
    is_finished
        Write the closing row.
    rows
        In a batch, at most.
    """
    tables = {table.name: files.read_table(folder, table) for table in RECORDED}
    tables[schema.EVENTS.name] = tables[schema.EVENTS.name] if events is None else events
    create(folder, force=True)
    session = tables.pop(schema.SESSION.name).to_pylist()
    with Writer(folder) as writer:
        writer.append(schema.SESSION, columns_of(session[0]))
        for table in RECORDED:
            for batch in tables[table.name].to_batches(rows) if table.name in tables else ():
                for part in _packed(batch) if table is schema.EVENTS else (batch,):
                    writer.append_batch(table, part)
        if is_finished:
            writer.append(schema.SESSION, columns_of(session[-1] | writer.contents()))


def columns_of(row: dict[str, object]) -> dict[str, list[object]]:
    """Return one row as columns."""
    return {name: [value] for name, value in row.items()}


def _packed(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if len(batch):
        yield pack({name: batch.column(name) for name in schema.EVENTS.names})


def unseal(folder: Path) -> None:
    """Take names and checksums from all files of a recording, as recorders wrote them before there were any."""
    for path in folder.glob("*.arrow"):
        with pa.ipc.open_stream(path.read_bytes()) as stream:
            batches, found = list(stream), stream.schema
        bare = found.with_metadata({key: value for key, value in (found.metadata or {}).items() if key != RECORDING})
        with pa.ipc.new_stream(path, bare, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
            for batch in batches:
                stream.write_batch(batch.replace_schema_metadata(bare.metadata))
