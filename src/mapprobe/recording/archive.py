"""Write the events of a recording again, as small as they get: a recording that is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from mapprobe.errors import RecordingError
from mapprobe.recording.encoding import Encoder
from mapprobe.recording.files import closing, stored_batches
from mapprobe.recording.folder import replacing, table_path
from mapprobe.recording.packing import MOST_ROWS, pack_batch, unpack
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import SealedStream

ARCHIVE = pa.Codec("zstd", 3)
"""How the events of a packed recording are compressed."""


def pack_events(folder: Path, progress: Callable[[int], None] | None = None) -> tuple[int, int]:
    """Rewrite the events of a recording, in batches of `MOST_ROWS` and with stronger compression.

    While recording, a batch holds the events of about a second and is compressed quickly. Files of older releases are
    not encoded; they are afterwards. The rewrite is atomic: if it fails, the events are as they were.

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
        If it can't be written, or is damaged.
    """
    path, encoder = table_path(folder, schema.EVENTS), Encoder()
    before, stops = path.stat().st_size if path.is_file() else 0, list[int]()
    recording = closing(folder).recording
    with replacing(path) as file, contextlib.closing(SealedStream(file, schema.EVENTS, recording, ARCHIVE)) as stream:
        for batch in _whole_batches(stored_batches(folder, schema.EVENTS, stops.append)):
            stream.write(encoder.encode(batch))
            if progress:
                progress(len(batch))
        if stops:
            why = f"{path.name} is damaged behind its first {stops[0]:,} batches, and is left as it is: record again"
            raise RecordingError(str(folder), why)
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
