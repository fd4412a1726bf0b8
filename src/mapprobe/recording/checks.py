"""The tables of a recording as replay uses them, each checked first: values that no recorder writes are an error."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import distinct_pairs
from mapprobe.arrow import values
from mapprobe.errors import RecordingError
from mapprobe.recording import files
from mapprobe.recording.folder import table_path
from mapprobe.recording.inputs import Inputs, Taken
from mapprobe.recording.narrow import gathered
from mapprobe.recording.packing import MOST_ROWS, common_columns
from mapprobe.recording.session import Left, Session
from mapprobe.recording.sites import resolve, with_before
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_ABOUT
from mapprobe.recording.tables.heap import RESIDENCE
from mapprobe.vocabulary import ArrayState, CyclePhase, EventKind, Part, ReturnReason

FIRST_KIND, LAST_KIND = min(EventKind), max(EventKind)
LARGEST_BUCKET = 1 << 16
"""Largest size of a bucket that is accepted [bytes]. Go's buckets have at most 2064: larger keys and elements than 128
bytes are stored outside the bucket."""
LAST_PART = 3
"""Largest `part` of a bucket of a classic map, however few buckets the map has (`schema.SNAPSHOT_BUCKETS`)."""
LARGEST_CODES = {"phase": max(CyclePhase), "reason": max(ReturnReason), "state": max(ArrayState)}
UNBOUNDED = {"goal_bytes", "last_goal_bytes", "memory_limit_bytes"}
"""Columns that hold the largest number of their type where the process has no goal or no limit."""
MOST_BYTES = 1 << 60
"""Largest amount of memory that is accepted [bytes]: no process has as much, and sums of larger ones overflow int64."""


def damaged(path: Path, table: schema.Table) -> RecordingError:
    """Return what to raise where a table holds what no recorder writes."""
    return RecordingError(str(path), f"{table_path(path, table).name} is damaged: record again")


def session(path: Path) -> Session:
    """Return the session of a recording: the process, when it was recorded, and how.

    Raises
    ------
    RecordingError
        If the folder holds no recording that this version can read.
    """
    rows = files.read_table(path, schema.SESSION).to_pylist()
    if not rows:
        raise RecordingError(str(path), "session.arrow is cut before its first batch: record again")
    found = Session(rows[-1])
    if not found.is_sound:
        raise damaged(path, schema.SESSION)
    return found


def events_left(path: Path) -> Left:
    """Return how many events can be read."""
    stops = list[int]()
    events = sum(batch.num_rows for batch in batches(path, stops.append))
    return Left(events, stops[0] if stops else None)


def batches(path: Path, stopped: Callable[[int], None] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the batches of packed events up to the first that speaks of a stack, type or kind that isn't there.

    Parameters
    ----------
    stopped
        As of `files.stored_batches`.
    """
    stacks, types = (len(files.read_table(path, table)) for table in (schema.STACKS, schema.TYPES))
    for batch in files.stored_batches(path, schema.EVENTS, stopped):
        _, (type_id,) = common_columns(batch, ("type_id",))
        if values(batch.column("stack_id")).max(initial=0) >= stacks:
            return
        if type_id.max(initial=-1) >= types or type_id.min(initial=-1) < -1:
            return
        kind = values(batch.column("kind"))
        if kind.min(initial=FIRST_KIND) < FIRST_KIND or kind.max(initial=FIRST_KIND) > LAST_KIND:
            return
        yield batch


def inputs(path: Path, about: Session, left: Left) -> Inputs:
    """Return what a replay needs beside the events.

    Raises
    ------
    RecordingError
        If no event of the recording can be used, or a table has values that no recorder writes.
    """
    stacks, types = (files.read_table(path, table) for table in (schema.STACKS, schema.TYPES))
    buckets = lean_buckets(path)
    points = files.read_table(path, schema.POINTS)
    is_cut = bool(about.damage(left))
    if not len(stacks) or (is_cut and not left.events):
        why = f"none of its {about.events:,} events can be used: files of it are missing or damaged"
        raise RecordingError(str(path), f"{why}: record again")
    if np.array(types["bucket_bytes"], np.uint64).max(initial=0) > LARGEST_BUCKET:
        raise damaged(path, schema.TYPES)
    if (pc.max(buckets["part"]).as_py() or 0) > max(LAST_PART, len(buckets)):
        raise damaged(path, schema.SNAPSHOT_BUCKETS)
    start, end = (taken(path, at_end=at_end) for at_end in (False, True))
    maps = files.read_table(path, schema.SNAPSHOT_MAPS)
    sites = resolve(stacks, files.read_table(path, schema.FRAMES))
    found = [rows for rows in (start, end) if rows]
    pairs = itertools.chain.from_iterable(_origins(of.rows, maps, len(types)) for of in found)
    when = "before the recording" if about.row["attached"] else "out of sight"
    return Inputs(
        implementation=about.implementation,
        go_release=about.go_release,
        probes=about.row["probes"],
        attached=about.row["attached"],
        is_cut=is_cut,
        types=types,
        points=points,
        gaps=files.read_table(path, schema.GAPS),
        snapshot_maps=maps,
        snapshot_buckets=buckets,
        sites=with_before(sites, pairs, types["name"].to_pylist(), when),
        start=start,
        end=end,
    )


def lean_buckets(path: Path) -> pa.Table:
    """Return `schema.SNAPSHOT_BUCKETS` in little memory: batches without hashes (as at the end) share a null array."""
    unknown = pa.nulls(MOST_ROWS, schema.SLOT_WORDS)
    found = list[pa.RecordBatch]()
    for batch in pieces(files.batches(path, schema.SNAPSHOT_BUCKETS)):
        none = unknown.slice(0, len(batch))
        columns = [
            none if column.type == none.type and column.null_count == len(batch) else column for column in batch.columns
        ]
        found.append(pa.record_batch(columns, schema=batch.schema))
    return pa.Table.from_batches(found, schema.SNAPSHOT_BUCKETS.schema)


def pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of at most `MOST_ROWS`, so that whatever is computed from a batch stays small."""
    for batch in batches:
        yield from (batch.slice(start, MOST_ROWS) for start in range(0, len(batch), MOST_ROWS))


def taken(path: Path, *, at_end: bool) -> Taken | None:
    """Return the census of the end or of the start of a recording; None if the recording has no such census.

    Raises
    ------
    RecordingError
        If the census names a stack or a type that does not exist.
    """
    about = files.read_table(path, CENSUS_ABOUT).filter(pc.field("at_end") == at_end).to_pylist()
    if not about:
        return None
    parts = pieces(files.batches(path, CENSUS))
    of_it = (batch.filter(batch["at_end"] if at_end else pc.invert(batch["at_end"])) for batch in parts)
    rows = gathered(of_it, CENSUS.schema)
    for name, table in (("grown_by", schema.STACKS), ("type_id", schema.TYPES)):
        found = np.array(rows[name], np.int64)
        if found.max(initial=-1) >= len(files.read_table(path, table)) or found.min(initial=-1) < -1:
            raise damaged(path, CENSUS)
    started_ns = about[-1]["started_ns"]
    return Taken(rows, started_ns, started_ns + about[-1]["took_ns"], about[-1]["sees_stacks"])


def _origins(rows: pa.Table, snapshot_maps: pa.Table, types: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs (stack that grew a map, type of the map) of a census.

    A pair is yielded with the type that the census found, and with the type that the snapshots of the map name.
    """
    grown_by, type_id = (np.array(rows[name], np.int64) for name in ("grown_by", "type_id"))
    addr, seen = (np.array(table["map_addr"], np.uint64) for table in (rows, snapshot_maps))
    order = np.argsort(seen, kind="stable")
    place = np.searchsorted(seen[order], addr, "right") - 1  # the last of several snapshots of one map
    is_seen = place >= 0
    is_seen[is_seen] = seen[order[place[is_seen]]] == addr[is_seen]
    known = np.array(snapshot_maps["type_id"], np.int64)[order[place[is_seen]]]
    is_type = (known >= 0) & (known < types)
    for stacks, theirs in ((grown_by, type_id), (grown_by[is_seen][is_type], known[is_type])):
        (stack, of), _ = distinct_pairs(stacks, theirs)
        yield from zip(stack.tolist(), of.tolist(), strict=True)


def heap_table(path: Path, table: schema.Table) -> pa.Table:
    """Return one of the tables that ``record --heap`` writes.

    Raises
    ------
    RecordingError
        If the table has values that no recorder writes.
    """
    found = files.read_table(path, table)
    codes = LARGEST_CODES | {"stack_id": max(0, len(files.read_table(path, schema.STACKS)) - 1)}
    for name in set(codes) & set(found.column_names):
        if np.array(found[name], np.uint64).max(initial=0) > codes[name]:
            raise damaged(path, table)
    if any(
        "bytes" in name and np.abs(np.array(found[name], np.float64)).max(initial=0) > MOST_BYTES
        for name in set(found.column_names) - UNBOUNDED
    ):
        raise damaged(path, table)
    if table is RESIDENCE and not set(found["part"].to_pylist()) <= set(map(str, Part)):
        raise damaged(path, table)
    return found
