"""The folder of a recording: where each table stands, who may read it, and which files may be removed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from mapprobe.errors import RecordingError
from mapprobe.recording.owner import FOLDER_MODE, create_file, give_to_user
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS_TABLES
from mapprobe.recording.tables.heap import HEAP_TABLES

SUFFIX = ".arrow"
SCRATCH = ".part"
"""The ending of a file that is being written, until it takes the place of the table."""
VERSION_KEY = b"mapprobe.version"
LONGEST_SCHEMA = 1 << 16
"""Bytes: more than the schema of a table takes at the head of its file."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RECORDED = (*schema.RECORDED, *CENSUS_TABLES, *HEAP_TABLES)
TABLES = (*RECORDED, *schema.REPLAYED)


def table_path(folder: Path, table: schema.Table) -> Path:
    """Return the file that holds `table`."""
    return folder / f"{table.name}{SUFFIX}"


def is_recording(folder: Path) -> bool:
    """True if `folder` holds the session table of a recording."""
    return table_path(folder, schema.SESSION).is_file()


def create(folder: Path, *, force: bool) -> None:
    """Make an empty folder for a recording, with rights for its owner only (`FOLDER_MODE`).

    Only files that a recording has are ever removed.

    Raises
    ------
    RecordingError
        If the folder exists and `force` is not set, or is a link, or has files that no recording has, or can't be made.
    """
    try:
        if folder.is_symlink() or folder.exists():
            _clear(folder, force=force)
        else:
            folder.mkdir(parents=True, mode=FOLDER_MODE)
            give_to_user(folder)
    except OSError as error:
        raise RecordingError(str(folder), f"{error.strerror}: choose another folder") from None


@contextmanager
def replacing(path: Path) -> Iterator[pa.NativeFile]:
    """Give a file to write that takes the place of another one when the block ends, and none if it fails.

    Raises
    ------
    RecordingError
        If it can't be written.
    """
    scratch = path.with_suffix(SCRATCH)
    try:
        scratch.unlink(missing_ok=True)
        create_file(scratch)
        with pa.OSFile(str(scratch), "wb") as file:
            yield file
        with scratch.open("rb") as written:
            os.fsync(written.fileno())  # a rename must not reach the disk before what it renames
        os.replace(scratch, path)
    except BaseException as error:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from None
        raise


def _unwritable(path: Path, error: OSError) -> RecordingError:
    why = os.strerror(error.errno) if error.errno else str(error)  # pyarrow's own text has the path in it
    remedy = "free some room" if error.errno in NO_ROOM else "copy the recording to where it may be written"
    return RecordingError(str(path.parent), f"{path.name} can't be written ({why}): {remedy}")


def _clear(folder: Path, *, force: bool) -> None:
    """Remove the recording that stands in a folder, if that is wanted."""
    if folder.is_symlink():
        raise RecordingError(str(folder), "is a link: give the folder itself")
    if not folder.is_dir() or not (is_recording(folder) or _was_begun(folder)):
        raise RecordingError(str(folder), "exists and is not a recording: choose another folder")
    found = sorted(folder.iterdir())
    others = [path.name for path in found if not _may_be_removed(path)]
    if others:
        raise RecordingError(str(folder), f"has {others[0]!r}, which no recording has: choose another folder")
    if found and not force:
        raise RecordingError(str(folder), "exists: choose another folder, or --force to overwrite it")
    for path in found:
        path.unlink()


def _may_be_removed(path: Path) -> bool:
    """True if a recording can have a file of this name."""
    names = {f"{table.name}{ending}" for table in TABLES for ending in (SUFFIX, SCRATCH)}
    return path.name in names and stat.S_ISREG(path.lstat().st_mode)


def _was_begun(folder: Path) -> bool:
    """True if a folder holds nothing but tables of a recording: a recorder that was killed early has left no more."""
    names = {f"{table.name}{SUFFIX}" for table in RECORDED}
    return all(path.name in names and path.is_file() and _is_ours(path) for path in folder.iterdir())


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(LONGEST_SCHEMA)
    return not head or VERSION_KEY in head
