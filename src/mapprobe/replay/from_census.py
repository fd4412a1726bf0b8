"""A census in the form of a replay's result, so that every report of a recording works on a census too.

Pure. A map that nothing refers to is dead and holds nothing, as in a replay. Nobody saw who filled and emptied the
slots of the other maps: they are charged to a site that names the map's type and where the map was grown
(`recording.sites.with_before`). Growth is charged to the stack that allocated the map's largest sampled array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import I64, Flags, distinct_rows
from mapprobe.model.control import SLOTS_OF_BUCKET
from mapprobe.model.holdings import (
    ALLOCATED,
    BUCKETS,
    DEAD,
    HOLDINGS,
    LIVE,
    NEEDED,
    RETAINED,
    RETAINED_BUCKETS,
    SLOTS,
    VIRGIN,
)
from mapprobe.model.sizes import sizes_of
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.sites import Sites
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import (
    Replayed,
    map_rows,
    no_rows,
    peak_rows,
    replaced,
    stack_rows,
)
from mapprobe.replay.charges import NEVER_USED
from mapprobe.vocabulary import BEFORE, NONE, Implementation, Inexact, MapState, Source

MOST_BYTES = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Held:
    """What the maps of a census hold; one row a map, zeros for a dead map.

    Attributes
    ----------
    amounts
        `schema.HOLDINGS`, ``(maps, HOLDINGS)``.
    is_settled
        True if the amounts are of one moment, and the type is known if the amounts need it: the bounds are the amounts.
    bounds
        `schema.BOUNDS` by name, each ``(maps,)``.
    """

    amounts: I64
    is_settled: Flags
    bounds: dict[str, I64]


def counted(census: pa.Table, inputs: Inputs, time_ns: int) -> Replayed:
    """Return a census as a replay's result.

    Parameters
    ----------
    census
        Rows of `recording.tables.census.CENSUS`.
    time_ns
        When the census was taken.
    """
    held, type_id = hold(census, inputs), np.array(census["type_id"], np.int64)
    live = held.amounts[:, LIVE]
    return Replayed(
        maps=map_table(census, held, time_ns, Inexact.BEFORE_RECORDING, inputs.sites),
        charges=no_rows(schema.CHARGES),
        stack_operations=_stack_table(len(inputs.sites.site_of_stack), len(census), int(live.sum())),
        peaks=_peak_table(inputs, live, type_id),
        unsettled=no_rows(schema.UNSETTLED),
    )


def with_more(replayed: Replayed, rest: pa.Table, inputs: Inputs, time_ns: int) -> Replayed:
    """Add maps that had no event to the result of a replay.

    Parameters
    ----------
    rest
        Their rows of `recording.tables.census.CENSUS`.
    time_ns
        When that census was taken.
    """
    held, type_id = hold(rest, inputs), np.array(rest["type_id"], np.int64)
    first = len(replayed.maps)
    maps = map_table(rest, held, time_ns, Inexact.UNTOUCHED, inputs.sites, first)
    live = held.amounts[:, LIVE]
    return Replayed(
        maps=pa.concat_tables([replayed.maps, maps]),
        charges=replayed.charges,
        stack_operations=_with_nobodys(replayed.stack_operations, len(rest), int(live.sum())),
        peaks=_with_peaks(replayed.peaks, _peak_table(inputs, live, type_id)[schema.PEAK.name]),
        unsettled=replayed.unsettled,
    )


def _with_nobodys(operations: pa.Table, maps: int, live: int) -> pa.Table:
    """Add maps that nobody was seen to make to `schema.STACK_OPERATIONS`, as maps of stack 0."""
    is_first = pa.array(np.arange(len(operations)) == 0)
    for name, more in (("maps", maps), (schema.PEAK.name, live)):
        operations = replaced(operations, name, pc.if_else(is_first, pc.add(operations[name], more), operations[name]))
    return operations


def _with_peaks(peaks: pa.Table, live: pa.Array) -> pa.Table:
    """Add entries that were there all the time to `schema.PEAKS`; `live` has one number for each of its rows."""
    return replaced(peaks, schema.PEAK.name, pc.add(peaks[schema.PEAK.name], live))


def held(census: pa.Table, inputs: Inputs) -> dict[str, int]:
    """Return the number of ``maps`` of a census that live, and the sums of `schema.HOLDINGS` over them."""
    sums = hold(census, inputs).amounts.sum(axis=0).tolist()
    names = [column.name for column in schema.HOLDINGS]
    return {"maps": int(np.count_nonzero(lives_of(census)))} | dict(zip(names, sums, strict=True))


def hold(census: pa.Table, inputs: Inputs) -> Held:
    """Return what each map of a census holds."""
    out = np.zeros((len(census), HOLDINGS), np.int64)
    names = ("live_slots", "deleted_slots", "buckets", "retained_buckets", "allocated_bytes")
    columns = (LIVE, DEAD, BUCKETS, RETAINED_BUCKETS, ALLOCATED)
    for name, column in zip(names, columns, strict=True):
        out[:, column] = np.array(census[name], np.int64)
    lives, type_id = lives_of(census), np.array(census["type_id"], np.int64)

    def needed_by(live: I64) -> I64:
        return _needed(type_id, live, out[:, ALLOCATED], inputs)[0]

    out[~lives] = 0
    out[:, SLOTS] = SLOTS_OF_BUCKET * out[:, BUCKETS]
    out[:, VIRGIN] = out[:, SLOTS] - out[:, LIVE] - out[:, DEAD]
    allocated = out[:, ALLOCATED]
    out[:, NEEDED], has_type = _needed(type_id, out[:, LIVE], allocated, inputs)
    out[:, RETAINED] = np.maximum(0, allocated - out[:, NEEDED])
    least, most = (np.where(lives, np.array(census[name], np.int64), 0) for name in ("live_least", "live_most"))
    is_measured = has_type & np.asarray(census["size_known"], np.bool_)
    at_least, at_most = (_retained(out, type_id, live, inputs) for live in (most, least))
    bounds = {
        # if several types are possible, the census took the one with the largest buckets: the others need less
        "least_retained_bytes": at_least,
        "most_retained_bytes": np.where(is_measured, at_most, allocated),
        "most_allocated_bytes": allocated,
    }
    is_settled = ~lives | (is_measured & np.asarray(census["settled"], np.bool_))
    return Held(out, is_settled, bounds)


def _retained(amounts: I64, type_id: I64, live: I64, inputs: Inputs) -> I64:
    """Return the retained bytes of maps if they have `live` entries; most maps have this number already."""
    found = amounts[:, RETAINED].copy()
    rows = np.flatnonzero(live != amounts[:, LIVE])
    allocated = amounts[rows, ALLOCATED]
    found[rows] = np.maximum(0, allocated - _needed(type_id[rows], live[rows], allocated, inputs)[0])
    return found


def _needed(type_id: I64, live: I64, allocated: I64, inputs: Inputs) -> tuple[I64, Flags]:
    """Return the bytes that fresh maps for as many entries would take, and for which maps this is known.

    For a map with entries whose type isn't known, all its allocated bytes count as needed.
    """
    sizes = sizes_of(inputs.implementation, inputs.go_release)
    fresh_bytes = sizes.fresh_swiss if inputs.implementation is Implementation.SWISS else sizes.fresh_classic
    # the last row stands for type -1, not known
    bucket_bytes = np.append(np.array(inputs.types["bucket_bytes"], np.int64), 0)[type_id]
    has_pointers = np.append(np.array(inputs.types["bucket_has_pointers"], np.bool_), False)[type_id]
    is_known: Flags = (bucket_bytes > 0) | (live == 0)
    if not len(live):
        return live, is_known
    first, number = distinct_rows([bucket_bytes, has_pointers, live])
    keys = zip(bucket_bytes[first].tolist(), has_pointers[first].tolist(), live[first].tolist(), strict=True)
    fresh = [min(fresh_bytes(*key), MOST_BYTES) if key[0] else 0 for key in keys]
    needed: I64 = np.array(fresh, np.int64)[number]
    return np.where(bucket_bytes > 0, needed, np.where(live > 0, allocated, 0)), is_known


def lives_of(census: pa.Table) -> Flags:
    """Return which maps of a census live."""
    lives: Flags = np.asarray(pc.not_equal(census["state"], str(MapState.DEAD)), np.bool_)
    return lives


def map_table(census: pa.Table, held: Held, time_ns: int, why: Inexact, sites: Sites, first: int = 0) -> pa.Table:
    """Return rows of `schema.MAPS` from map id `first` on for a census; `why` says why they are not exact.

    What the maps hold is charged to stack 0; the census names the stacks that stand for stack 0 (`origins`).
    """
    count = len(census)
    zeros, now = np.zeros(count, np.int64), np.full(count, time_ns, np.uint64)
    still, size_known = np.asarray(census["settled"], np.bool_), np.asarray(census["size_known"], np.bool_)
    inexact = np.where(size_known, why, Inexact.SIZE_NOT_KNOWN)
    inexact = np.where(still, inexact, Inexact.NEVER_STILL)
    sources = pa.array([Source.BOUNDED, Source.BEFORE], pa.string())
    grown_by = np.array(census["grown_by"], np.int64)
    origin = origins(sites, grown_by, np.array(census["type_id"], np.int64))
    columns = {
        "map_addr": census["map_addr"],
        "generation": np.ones(count, np.int32),
        "type_id": census["type_id"],
        "state": census["state"],
        "inexact": inexact,
        "goid": census["goid"],
        "stack_offset": census["stack_offset"],
        "source": sources.take(pa.array(held.is_settled.astype(np.int64))),
        "created_by": zeros,
        "created_ns": now,
        "last_ns": now,
        **{column.name: zeros for column in schema.OPERATIONS},
        NEVER_USED: zeros,
        schema.PEAK.name: held.amounts[:, LIVE],
        **held.bounds,
        "origin": origin,
        "growth_origin": np.where(grown_by != BEFORE, grown_by, origin),
    }
    charged_to = np.where(held.amounts[:, BUCKETS] == 0, NONE, BEFORE).astype(np.uint32)
    return map_rows(columns, held.amounts.T, charged_to, first)


def origins(sites: Sites, grown_by: I64, types: I64) -> I64:
    """Return, for each growth stack and type, the stack that stands for what was done before; `BEFORE` if none does."""
    first, pair = distinct_rows([grown_by, types])
    found = [sites.before.get(key, BEFORE) for key in zip(grown_by[first].tolist(), types[first].tolist(), strict=True)]
    return np.array(found, np.int64)[pair]


def _stack_table(stacks: int, maps: int, live: int) -> pa.Table:
    """Return `schema.STACK_OPERATIONS` without operations: all maps were made before, or out of sight (stack 0)."""
    only_first = np.zeros(stacks, np.int64)
    only_first[:1] = 1
    none = {column.name: np.zeros(stacks, np.int64) for column in schema.OPERATIONS}
    return stack_rows(maps * only_first, none, live * only_first)


def _peak_table(inputs: Inputs, live: I64, type_id: I64) -> pa.Table:
    of_types = np.bincount(type_id[type_id >= 0], live[type_id >= 0], len(inputs.types)).astype(np.int64)
    of_sites = np.zeros(len(inputs.sites.table), np.int64)
    of_sites[:1] = live.sum()
    return peak_rows(live.sum(keepdims=True), of_sites, of_types)
