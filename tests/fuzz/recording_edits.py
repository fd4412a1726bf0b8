"""Edits to a copy of a sample recording: bytes of its files, and values of its tables written as a recorder would."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import mapprobe
from mapprobe.recording import files
from mapprobe.recording.folder import table_path
from mapprobe.recording.tables import schema
from support.traces import EXPECTED, SAMPLES, TRACES

TABLES = {table.name: table for table in (*schema.RECORDED, *schema.REPLAYED)}

Edit = list[Any]
"""What is done, to which table, and how: see the methods of `Copy`."""


@functools.cache
def replayed(sample: str) -> dict[str, bytes]:
    """Return the files of a sample and of its replay."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(TRACES / sample, Path(scratch) / sample, ignore=lambda *_: {EXPECTED})
        mapprobe.open(folder).replay()
        return {path.name: path.read_bytes() for path in folder.iterdir()}


class Copy:
    """A recording that is damaged step by step; an edit of a table that can't be read any more does nothing."""

    def __init__(self, sample: str, folder: Path, *, with_replay: bool) -> None:
        self._folder, self._other = folder, next(name for name in SAMPLES if name != sample)
        folder.mkdir()
        results = {self._path(table.name).name for table in schema.REPLAYED}
        for name, content in replayed(sample).items():
            if with_replay or name not in results:
                (folder / name).write_bytes(content)

    def edit(self, edit: Edit) -> None:
        """Make one edit; one that a former edit made impossible does nothing."""
        what, table, *how = edit
        with contextlib.suppress(pa.ArrowException, KeyError, TypeError, OverflowError):
            getattr(self, f"_{what}")(self._path(table), *how)

    def _path(self, table: str) -> Path:
        return table_path(self._folder, TABLES[table])

    def _flip(self, path: Path, place: int, content: str) -> None:
        """Overwrite bytes of the file."""
        if path.is_file() and (image := bytearray(path.read_bytes())):
            raw, start = bytes.fromhex(content), place % len(image)
            image[start : start + len(raw)] = raw[: len(image) - start]
            path.write_bytes(image)

    def _cut(self, path: Path, length: int) -> None:
        """Cut the file off."""
        if path.is_file():
            image = path.read_bytes()
            path.write_bytes(image[: length % (len(image) + 1)])

    def _drop(self, path: Path) -> None:
        """Remove the file."""
        path.unlink(missing_ok=True)

    def _swap(self, path: Path, other: str) -> None:
        """Let two tables trade files."""
        beside, scratch = self._path(other), path.with_suffix(".scratch")
        if path.is_file() and beside.is_file() and path != beside:
            path.replace(scratch)
            beside.replace(path)
            scratch.replace(beside)

    def _foreign(self, path: Path) -> None:
        """Put the file of the other sample in the place of this one."""
        source = TRACES / self._other / path.name
        if source.is_file():
            shutil.copy(source, path)

    def _rows(self, path: Path, start: int, stop: int, times: int) -> None:
        """Keep only some rows, perhaps several times."""
        if data := self._read(path):
            start, stop = (n % (len(data) + 1) for n in (start, stop))
            self._write(path, pa.concat_tables([data.slice(start, max(0, stop - start))] * times))

    def _set(self, path: Path, column: str, row: int | None, value: object) -> None:
        """Give one row, or all, another value."""
        if data := self._read(path):
            rows = data[column].to_pylist()
            chosen = range(len(rows)) if row is None else [row % len(rows)] if rows else []
            for n in chosen:
                rows[n] = value
            kind = data.schema.field(column).type
            self._put(path, data, column, pa.chunked_array([pa.array(rows, kind)]))

    def _mask(self, path: Path, column: str, mask: int) -> None:
        """Keep some bits of all values of a column of integers."""
        if data := self._read(path):
            values = np.array(data[column].combine_chunks().cast(pa.uint64(), safe=False)) & np.uint64(mask)
            self._put(path, data, column, pa.chunked_array([values]).cast(data.schema.field(column).type, safe=False))

    def _type(self, path: Path, column: str, kind: str) -> None:
        """Give a column another type, its values cast where they can be, else null."""
        if data := self._read(path):
            try:
                values = data[column].cast(kind, safe=False)
            except pa.ArrowException:
                values = pa.chunked_array([pa.nulls(len(data), kind)])
            self._put(path, data, column, values, kind)

    def _read(self, path: Path) -> pa.Table | None:
        if not path.is_file():
            return None
        try:
            with pa.ipc.open_stream(path.read_bytes()) as stream:
                data = stream.read_all()
                data.validate(full=True)
                return data
        except files.DAMAGED:
            return None

    def _put(self, path: Path, data: pa.Table, column: str, values: pa.ChunkedArray, kind: str | None = None) -> None:
        number = data.schema.get_field_index(column)
        field = data.schema.field(number)
        self._write(path, data.set_column(number, field.with_type(kind) if kind else field, values))

    def _write(self, path: Path, data: pa.Table) -> None:
        with pa.ipc.new_stream(path, data.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
            stream.write_table(data)
