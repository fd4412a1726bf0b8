"""The stored result of a replay: a report uses the result again as long as events, code and core are the same."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from mapprobe.errors import RecordingError
from mapprobe.recording import files
from mapprobe.recording.checksum import checksum
from mapprobe.recording.folder import replacing, table_path
from mapprobe.recording.narrow import gathered
from mapprobe.recording.owner import FOLDER_MODE
from mapprobe.recording.packing import MOST_ROWS
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_TABLES
from mapprobe.recording.tables.result import Replayed
from mapprobe.recording.writer import COMPRESSION

DIGEST = "mapprobe.digest"
FINGERPRINT = "mapprobe.fingerprint"
MOST_CACHED = 20
"""Results in the user's cache; older ones are removed."""
LARGE = (schema.EVENTS, schema.SNAPSHOT_MAPS, schema.SNAPSHOT_BUCKETS, CENSUS)
"""Tables of which only the size goes into the fingerprint: hashing all their bytes would take too long."""
RESULT_SOURCES = ("vocabulary.py", "arrays.py", "arrow.py", "units.py", "model", "recording", "replay")
"""Modules and packages that compute a result: a change of one of them, or of the core, makes stored results stale."""
CORE = "mapprobe._core"


def fingerprint(path: Path) -> str:
    """Return the fingerprint of the recorded tables and the code; a stored result is valid only with the same one."""
    tables = contents_digest(path, (*schema.RECORDED, *CENSUS_TABLES), LARGE)
    return f"{sources_digest()} {tables}"


def contents_digest(folder: Path, tables: Iterable[schema.Table], large: Container[schema.Table]) -> str:
    """Return a hash of the sizes of the tables' files, and of the bytes of all tables that are not in `large`."""
    digest = hashlib.sha256()
    for table in tables:
        path = table_path(folder, table)
        digest.update(f"{table.name} {path.stat().st_size if path.is_file() else None}".encode())
        if path.is_file() and table not in large:
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def sources_digest() -> str:
    """Return a hash of the sources and of the native core that compute results."""
    digest, core = hashlib.sha256(), find_spec(CORE)
    assert core is not None
    assert core.origin is not None
    package = Path(__file__).parents[1]
    folders = [file for name in RESULT_SOURCES for file in (package / name).rglob("*.py")]
    for path in sorted({package / name for name in RESULT_SOURCES if name.endswith(".py")} | {*folders}):
        digest.update(path.read_bytes())
    digest.update(Path(core.origin).read_bytes())
    return digest.hexdigest()[:16]


def is_replayed(path: Path, made_from: str) -> bool:
    """True if a whole result with this fingerprint is stored."""
    return replayed(path, made_from) is not None


def replayed(path: Path, made_from: str) -> Replayed | None:
    """Return the result of these events by this code, None if there is none that is whole."""
    return _read(path, made_from) or _read(cached(made_from), made_from)


def keep(path: Path, result: Replayed, made_from: str) -> Path:
    """Keep the result of a recording, in its folder, or in the user's cache where the folder can't be written.

    Returns
    -------
    The folder that has the result now.

    Raises
    ------
    RecordingError
        If neither can be written.
    """
    try:
        return _write(path, result, made_from)
    except RecordingError:
        folder = cached(made_from)
        try:
            folder.mkdir(parents=True, mode=FOLDER_MODE, exist_ok=True)
            _write(folder, result, made_from)
        except (OSError, RecordingError):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _prune(folder.parent)
            return folder
        raise


def cached(made_from: str) -> Path:
    """Return the folder of a result in the user's cache: in MAPPROBE_CACHE, else where XDG_CACHE_HOME says."""
    own, common = (os.environ.get(name) for name in ("MAPPROBE_CACHE", "XDG_CACHE_HOME"))
    base = Path(own) if own else Path(common or os.path.expanduser("~/.cache")) / "mapprobe"
    return base / "results" / hashlib.sha256(made_from.encode()).hexdigest()[:32]


def _prune(base: Path) -> None:
    """Remove all results of a cache but the newest."""
    with suppress(OSError):  # another command removes them, too
        found = sorted((path for path in base.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for path in found[:-MOST_CACHED]:
            shutil.rmtree(path, ignore_errors=True)


def _write(folder: Path, result: Replayed, made_from: str) -> Path:
    for table, data in zip(schema.REPLAYED, result.tables(), strict=True):
        write_table(folder, table, data, {FINGERPRINT: made_from})
    return folder


def _read(path: Path, made_from: str) -> Replayed | None:
    found = list[pa.Table]()
    for table in schema.REPLAYED:
        data = whole_table(path, table, {FINGERPRINT: made_from})
        if data is None:
            return None
        found.append(data)
    return Replayed(*found)


def write_table(folder: Path, table: schema.Table, data: pa.Table, metadata: dict[str, str] | None = None) -> None:
    """Write a whole table at once, atomically, with more schema metadata if given."""
    found = table.schema
    schema_out = found.with_metadata({**found.metadata, DIGEST: checksum(data, found), **(metadata or {})})
    options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
    with replacing(table_path(folder, table)) as file, pa.ipc.new_stream(file, schema_out, options=options) as stream:
        for batch in data.to_batches(MOST_ROWS):
            stream.write_batch(batch.cast(schema_out))


def whole_table(folder: Path, table: schema.Table, metadata: Mapping[str, str]) -> pa.Table | None:
    """Return a table, narrow (`narrow`), if it is what `write_table` wrote with this metadata, else None."""
    found = table_metadata(folder, table)
    if not metadata.items() <= found.items():
        return None
    data = gathered(files.batches(folder, table), table.schema)
    return data if found.get(DIGEST) == checksum(data, table.schema) else None


def table_metadata(folder: Path, table: schema.Table) -> dict[str, str]:
    """Return a table's schema metadata, empty when the table was not written."""
    path = table_path(folder, table)
    if not path.is_file():
        return {}
    try:
        with pa.memory_map(str(path)) as source:
            found = pa.ipc.open_stream(source).schema.metadata or {}
    except files.DAMAGED:
        return {}
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in found.items()}
