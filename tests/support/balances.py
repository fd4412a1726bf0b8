"""Recordings with censuses made by hand, reconciled."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from mapprobe.recording.inputs import Inputs, Taken
from mapprobe.recording.sites import with_before
from mapprobe.recording.tables.census import CENSUS
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.balance import reconcile
from mapprobe.replay.last_read import before_end
from mapprobe.replay.replay import replay
from mapprobe.vocabulary import Liveness, Naming
from support.recordings import RecordedMap, Recording, filled
from support.tables import TYPES

GROWER = 4
SOME_BYTES = 4096


def seen(made: RecordedMap, **more: object) -> dict[str, object]:
    """Return the row of a census that found a map as it is."""
    held = made.slots()
    row = {
        "map_addr": made.address, "type_id": made.type_id, "naming": Naming.EXACT, "size_known": True,
        "state": "alive", "liveness": Liveness.REFERRED_TO, "settled": True, "grown_by": GROWER,
        "live_slots": held["live_slots"], "deleted_slots": 0, "buckets": held["buckets"],
        "retained_buckets": held["retained_buckets"], "allocated_bytes": SOME_BYTES, "array_addr": 1,
        "array_bytes": SOME_BYTES, "live_least": held["live_slots"], "live_most": held["live_slots"], "read_ns": 0,
        "goid": made.goid, "stack_offset": made.stack_offset,
    }  # fmt: skip
    return row | more


def taken(at_ns: int, *rows: dict[str, object], sees_stacks: bool = True) -> Taken:
    """Return a census that found these maps at a time."""
    table = pa.Table.from_pylist([{"at_end": True} | row for row in rows], CENSUS.schema)
    return Taken(table, at_ns, at_ns, sees_stacks)


def inputs_of(recording: Recording, end: Taken | None = None, start: Taken | None = None) -> Inputs:
    """Return what a replay needs, with these censuses."""
    pairs = [(GROWER, type_id) for type_id in range(-1, len(TYPES))] + [(0, type_id) for type_id in range(len(TYPES))]
    sites = with_before(recording.sites, pairs, TYPES["name"].to_pylist(), "before the recording")
    return replace(recording.inputs(), start=start, end=end, sites=sites)


def balanced(recording: Recording, end: Taken | None, start: Taken | None = None) -> Replayed:
    """Return the result of a recording with these censuses."""
    inputs = inputs_of(recording, end, start)
    return reconcile(replay(before_end(recording.batches(), inputs), inputs), inputs)


def filled_before(recording: Recording, n: int = 100) -> RecordedMap:
    """Give a map that had entries when the recording began."""
    recording.attached = True
    with recording.out_of_sight():
        return filled(recording, n)
