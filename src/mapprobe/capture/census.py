"""A census as rows of a recording: writes the result of `live.census.reader` to the tables of a census."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mapprobe import arrow
from mapprobe.arrays import I64
from mapprobe.go.types import MapType
from mapprobe.live.census.map_types import Names
from mapprobe.live.census.reader import Enumeration
from mapprobe.live.heap.frames import Use
from mapprobe.recording.symbols import Interner
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_ABOUT, SYNC_MAPS
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import Liveness, MapState, Naming

NAMED = 3
"""Candidates for the type of a map that are named; the others are counted."""
LOCAL_LIVENESS = np.zeros(len(Use), np.int64)
LOCAL_LIVENESS[[Use.NOT_TOLD, Use.IN_USE, Use.LEFT_OVER]] = [
    Liveness.ON_STACK, Liveness.USED_ON_STACK, Liveness.LEFT_ON_STACK
]  # fmt: skip
"""`Liveness` by `frames.Use`."""
NOBODY = 0
"""The stack for an array of which nobody knows who allocated it."""


def write_census(taken: Enumeration, writer: Writer, interner: Interner, *, at_end: bool = True) -> None:
    """Write the rows of a census, or nothing if a word fits no column.

    Parameters
    ----------
    at_end
        True: the census of a recording's end, or the only one. False: the census of the start.
    """
    type_ids = _intern_types(interner, taken.names)
    stack_ids = _intern_stacks(interner, taken)
    hidden = taken.sync_maps
    found = {"map_addr": hidden.addr, "entries": hidden.entries, "counted": hidden.is_counted} if hidden else {}
    rows: list[tuple[schema.Table, dict[str, Any]]] = [
        (CENSUS, _census_columns(taken, type_ids, stack_ids)),
        (SYNC_MAPS, found),
        (CENSUS_ABOUT, {name: [value] for name, value in _about_row(taken).items()}),
    ]
    writer.append_all(
        (table, {"at_end": np.full(len(next(iter(columns.values()))), at_end)} | columns)
        for table, columns in rows
        if columns
    )


def _intern_types(interner: Interner, names: Names) -> I64:
    """Return the id of each map's type, -1 for none."""
    ids = np.full(len(names.tuples), -1, np.int64)
    for number in np.flatnonzero(np.bincount(names.candidates, minlength=len(ids))).tolist():
        if types := names.tuples[number]:
            ids[number] = interner.type_id(one_of(types))
    found: I64 = ids[names.candidates]
    return found


def _intern_stacks(interner: Interner, taken: Enumeration) -> I64:
    """Return the id of the stack that allocated each map's array."""
    ids = [NOBODY, *interner.stack_ids(taken.stacks)]
    found: I64 = np.array(ids, np.int64)[taken.origins.stack]
    return found


def one_of(types: Sequence[MapType]) -> MapType:
    """Return a type that stands for several candidates: it has all their names, and what is equal in all of them."""
    first = types[0]
    if len(types) == 1:
        return first
    rest = f" or {len(types) - NAMED} more" if len(types) > NAMED else ""
    name = " or ".join(of.name for of in types[:NAMED]) + rest
    common = {
        field: getattr(first, field)
        if len({getattr(of, field) for of in types}) == 1
        else type(getattr(first, field))()
        for field in schema.TYPES.names
        if field not in ("type_id", "name")
    }
    # the largest buckets: a fresh map takes the most then, so the map retains at least what is computed
    largest = max(types, key=lambda of: of.bucket_bytes)
    common |= {"bucket_bytes": largest.bucket_bytes, "bucket_has_pointers": largest.bucket_has_pointers}
    return replace(first, name=name, **common)


def _census_columns(taken: Enumeration, type_ids: I64, stack_ids: I64) -> dict[str, Any]:
    found, names, counted = taken.found, taken.names, taken.found.counted
    liveness = np.where(found.headers.is_old, Liveness.MARKED, Liveness.NEW)
    if taken.references is not None:
        liveness = np.where(taken.references.is_there, Liveness.REFERRED_TO, Liveness.NOT_REFERRED_TO)
    places = found.headers.places
    liveness[places.header] = LOCAL_LIVENESS[places.use]
    stack_offset = np.zeros(places.count, np.uint32)
    stack_offset[places.header] = (places.high - found.headers.addr[places.header]).astype(np.uint32)
    is_dead = np.isin(liveness, (Liveness.NOT_REFERRED_TO, Liveness.LEFT_ON_STACK))
    is_one_size = np.array([len(sizes) <= 1 for sizes in found.sets.sets], np.bool_)[counted.sizes]
    is_sure = is_one_size | np.isin(names.naming, (Naming.EXACT, Naming.ONLY))
    return {
        "map_addr": found.headers.addr,
        "goid": places.spread("goid"),
        "stack_offset": stack_offset,
        "type_id": type_ids.astype(np.int32),
        "naming": names.naming,
        # all sizes that fit take the same memory: one bucket does, and so do the buckets of a fresh map
        "size_known": is_sure | (counted.live == 0) | (counted.buckets <= 1),
        "state": arrow.one_of((MapState.ALIVE, MapState.DEAD), is_dead),
        "liveness": liveness.astype(np.uint8),
        "settled": found.is_settled,
        "grown_by": stack_ids.astype(np.uint32),
        "live_slots": counted.live,
        "deleted_slots": counted.dead,
        "buckets": counted.buckets,
        "retained_buckets": counted.empty,
        "allocated_bytes": counted.allocated,
        "array_addr": counted.array,
        "array_bytes": counted.array_bytes,
        "live_least": found.live_least,
        "live_most": found.live_most,
        "read_ns": found.read_ns,
    }


def _about_row(taken: Enumeration) -> dict[str, Any]:
    found = taken.found
    return {
        "started_ns": taken.started_ns,
        "spans": len(found.spans),
        "objects": found.looked_at,
        "lookalikes": found.lookalikes,
        "never_written": found.never_written,
        "never_still": found.never_still,
        "samples": int(np.count_nonzero(taken.origins.stack)),
        "profiled": taken.is_profiled,
        "read_bytes": taken.read_bytes,
        "took_ns": taken.took_ns,
        "paused_ns": taken.paused_ns,
        "sees_stacks": found.sees_stacks,
        "references": taken.references is not None,
        "ownerless": taken.ownerless.arrays if taken.ownerless else None,
        "ownerless_bytes": taken.ownerless.bytes if taken.ownerless else None,
    }
