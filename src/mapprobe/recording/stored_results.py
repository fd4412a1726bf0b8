"""The stored result of a replay: a report uses the result again as long as events, code and core are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa

from mapprobe.recording import files
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_TABLES
from mapprobe.recording.tables.result import Replayed

FINGERPRINT = "mapprobe.fingerprint"
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
        path = files.table_path(folder, table)
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
    """Return the stored result if it is whole and has this fingerprint, else None."""
    found = list[pa.Table]()
    for table in schema.REPLAYED:
        data = files.whole_table(path, table, {FINGERPRINT: made_from})
        if data is None:
            return None
        found.append(data)
    return Replayed(*found)
