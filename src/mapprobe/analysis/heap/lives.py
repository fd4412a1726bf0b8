"""The lives of large objects and bucket arrays: allocated by whom, freed in which collection, returned when.

An event reports each array when it is made. Spans, which are read after each
collection (and more often while some arrays are free), show what became of the
array. Large objects, where they are recorded, are followed from event to event.
An array belongs to a map if map code allocated it: to the map that the
goroutine was making or growing at that moment. Pure: tables in, tables out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mapprobe.arrays import I64, Flags
from mapprobe.arrow import values
from mapprobe.recording.packing import common_columns, times, whole
from mapprobe.vocabulary import ArrayState, CyclePhase, EventKind

MAP_CODE = ("runtime.makeBucketArray", "runtime.hashGrow", "runtime.makemap", "internal/runtime/maps.")
"""How the names of functions that allocate buckets begin.
go: runtime/map*.go [1.18..1.23], internal/runtime/maps/*.go [1.24..1.27]"""
LIVES = {
    "addr": pa.uint64(),
    "bytes": pa.int64(),
    "own_span": pa.bool_(),
    "is_array": pa.bool_(),
    "map_addr": pa.uint64(),
    "stack_id": pa.uint32(),
    "allocated_ns": pa.uint64(),
    "freed_ns": pa.uint64(),
    "freed_in": pa.int64(),
    "reused_ns": pa.uint64(),
    "returned_ns": pa.uint64(),
    "returned_bytes": pa.int64(),
}
"""Columns of `lives`. ``allocated_ns`` is null for objects from before the recording, ``map_addr`` where no map is
known, ``freed_ns`` and the columns behind it where that has not happened. Where no event reports the freeing,
``freed_ns`` is the time at which it was seen, and ``freed_in`` the last collection before that time: with more than ten
collections a second it may have been an earlier one."""
MOST_FOLLOWED = 10_000
"""The number of arrays, the largest, that are followed until they are returned."""
MOMENT_NS = 1_000_000_000
"""Most nanoseconds between the allocation of an array and its assignment to a table."""
NOBODY = 0
"""The goroutine of objects that were allocated before the recording."""
LATEST = 1 << 62
LARGEST_SMALL = 32768
"""A larger object has a span of its own. go: runtime/malloc.go maxSmallSize [1.18..1.27]"""
MAKES_ARRAYS = (EventKind.CREATE, EventKind.GROW, EventKind.CLONE)
GROWTH_COLUMNS = {"time_ns": pa.uint64(), "goid": pa.uint64(), "map_addr": pa.uint64(), "stack_id": pa.uint32()}


@dataclass(frozen=True, slots=True)
class Collections:
    """Collections whose sweep began in the recording, in order; arrays with one row for each collection.

    Attributes
    ----------
    number
        The runtime's number of the collection; -1 where it isn't known.
    started_ns, marked_ns
        0 where the phase began before the recording.
    trigger
        `vocabulary.Trigger`, -1 where it isn't known.
    marked_bytes
        Bytes that the collection found alive.
    """

    number: I64
    started_ns: I64
    marked_ns: I64
    sweeps_ns: I64
    trigger: I64
    marked_bytes: I64

    def last_before(self, time_ns: I64) -> I64:
        """Return for each time the number of the last collection whose sweep had begun, -1 if none is known."""
        row = np.searchsorted(self.sweeps_ns, time_ns, "right") - 1
        found: I64 = (
            np.where(row >= 0, self.number[np.maximum(row, 0)], -1) if len(self.number) else np.full_like(row, -1)
        )
        return found


def collections_of(cycles: pa.Table, figures: pa.Table) -> Collections:
    """Join the phases of each collection, and number the collections.

    The runtime counts a collection just after its sweep began, so the runtime's figures tell the number of the first.

    Parameters
    ----------
    cycles, figures
        `tables.heap.CYCLES` and `tables.heap.FIGURES`.
    """
    rows = cycles.to_pandas().sort_values("time_ns")
    cycle = (rows["phase"] == CyclePhase.SWEEPS).cumsum().shift(fill_value=0)
    parts = {phase: rows[rows["phase"] == phase].groupby(cycle).last() for phase in CyclePhase}
    sweeps = parts[CyclePhase.SWEEPS]

    def column(phase: CyclePhase, name: str, missing: int) -> I64:
        found: I64 = parts[phase][name].astype(np.int64).reindex(sweeps.index, fill_value=missing).to_numpy()
        return found

    sweeps_ns = column(CyclePhase.SWEEPS, "time_ns", 0)
    counted, when = np.array(figures["collections"], np.int64), np.array(figures["time_ns"], np.int64)
    # a sample between sweep and count, or a sweep during a sample, is off by one: most samples are not
    offsets, times = np.unique(counted - np.searchsorted(sweeps_ns, when, "right"), return_counts=True)
    known = len(offsets) > 0
    first = int(offsets[np.argmax(times)]) + 1 if known else -1
    number = first + np.arange(len(sweeps)) if known else np.full(len(sweeps), -1)
    return Collections(
        number=number.astype(np.int64),
        started_ns=column(CyclePhase.STARTED, "time_ns", 0),
        marked_ns=column(CyclePhase.MARKED, "time_ns", 0),
        sweeps_ns=sweeps_ns,
        trigger=column(CyclePhase.STARTED, "value", -1),
        marked_bytes=column(CyclePhase.MARKED, "value", 0),
    )


class HeapTables(NamedTuple):
    """A recording's tables of large objects and arrays: `SPANS`, `ARRAYS` and `RETURNS`."""

    spans: pa.Table
    arrays: pa.Table
    returns: pa.Table


def lives(
    tables: HeapTables,
    collections: Collections,
    growths: pa.Table,
    of_maps: Flags,
    known: pa.Table,
) -> pa.Table:
    """Return the life of each large object, and of each array that was followed: `LIVES`, in order of allocation.

    Parameters
    ----------
    growths
        Events that make or grow a map: ``time_ns``, ``goid``, ``map_addr`` and ``stack_id``.
    of_maps
        For each stack whether it has a function of map code, ``(stacks,)``.
    known
        Arrays whose map the census of the start knew: ``array_addr`` and ``map_addr``.
    """
    large = _large_objects(tables.spans.to_pandas())
    made, rest = _arrays(tables.arrays.to_pandas())
    large = _with_states(large, rest)
    # an array may be recorded twice: as a large object, and as an array
    row = _large_of(made, large)
    large["is_array"] = of_maps[large["stack_id"]] | np.isin(np.arange(len(large)), row)
    found = _with_maps(pd.concat([large, made[row < 0]], ignore_index=True), growths.to_pandas())
    found = _with_known(found, known.to_pandas())
    found["freed_in"] = _collection_of(found, collections)
    found = _with_returns(found, tables.returns)
    found = found.sort_values("allocated_ns", na_position="first", kind="stable")
    columns = {name: pa.array(found[name], kind, from_pandas=True) for name, kind in LIVES.items()}
    return pa.table(columns)


def _large_objects(events: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each large object, with the times of its allocation and of its freeing."""
    events = events.sort_values(["addr", "time_ns"], kind="stable")
    addr, time_ns, freed = (events[name].to_numpy() for name in ("addr", "time_ns", "freed"))
    is_same = np.append(addr[1:] == addr[:-1], False)[: len(addr)]
    following, is_freed_next = np.append(time_ns[1:], time_ns[:1]), np.append(freed[1:], freed[:1])
    is_before = (events["goid"].to_numpy() == NOBODY) & ~freed
    # the object was allocated while the census of the start read the spans: keep the row of the allocation
    is_twice = is_before & is_same & ~is_freed_next
    kept = np.flatnonzero(~freed & ~is_twice)
    found = events.iloc[kept]
    freed_ns = _times(following[kept], (is_same & is_freed_next)[kept])
    return pd.DataFrame(
        {
            "addr": addr[kept],
            "bytes": found["bytes"].to_numpy(np.int64),
            "own_span": True,
            "goid": found["goid"].to_numpy(),
            "stack_id": found["stack_id"].to_numpy(),
            "allocated_ns": _times(time_ns[kept], ~is_before[kept]),
            "freed_ns": freed_ns,
            "seen_returned_ns": _times(time_ns[kept], np.zeros(len(kept), np.bool_)),
        }
    )


def _times(values: npt.NDArray[np.uint64], is_there: Flags) -> pd.arrays.IntegerArray:
    """Return times, null where there is none (as integers: floats would round the times)."""
    return pd.arrays.IntegerArray(values.astype(np.uint64), ~is_there)


def _arrays(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row for each array with the times at which it was seen freed and returned: arrays made, others."""
    rows = rows.sort_values(["addr", "time_ns"], kind="stable")
    life = (rows["state"] == ArrayState.MADE).groupby(rows["addr"]).cumsum().rename("life")
    groups = rows.groupby([rows["addr"], life])
    whole = groups.first()

    def first(*states: ArrayState) -> pd.Series:
        is_it = rows[rows["state"].isin(states)]
        return is_it.groupby([is_it["addr"], life])["time_ns"].first().astype("UInt64").reindex(whole.index)

    freed = first(ArrayState.FREED, ArrayState.PAGES_FREE, ArrayState.RETURNED)
    # where another array was made at the same address, this array had been freed before
    gone = first(ArrayState.MADE).groupby(level=0).shift(-1)
    size = groups["bytes"].max().astype(np.int64)
    found = pd.DataFrame(
        {
            "addr": whole.index.get_level_values(0).astype(np.uint64),
            "life": whole.index.get_level_values(1),
            "bytes": size.to_numpy(),
            "own_span": size.to_numpy() > LARGEST_SMALL,
            "is_array": True,
            "goid": whole["goid"].to_numpy(),
            "stack_id": whole["stack_id"].to_numpy(),
            "allocated_ns": whole["time_ns"].astype("UInt64").to_numpy(),
            "freed_ns": freed.fillna(gone).array,
            "seen_returned_ns": first(ArrayState.RETURNED).array,
        }
    )
    return found[found["life"] > 0].drop(columns="life"), found[found["life"] == 0]


def _with_states(large: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Add the times at which large objects from before the recording were seen freed and returned."""
    states = seen.set_index("addr")[["freed_ns", "seen_returned_ns"]].reindex(large["addr"])
    is_open = (large["allocated_ns"].isna() & large["freed_ns"].isna()).to_numpy()
    for name in states.columns:
        values = states[name].astype("UInt64").array
        large[name] = large[name].where(~is_open, pd.Series(values, large.index))
    return large


def _with_known(found: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Add the maps of arrays from before the recording, as far as a census knew them."""
    map_of = known.drop_duplicates("array_addr").set_index("array_addr")["map_addr"].astype("UInt64")
    before = found["allocated_ns"].isna()
    its_map = pd.Series(map_of.reindex(found["addr"]).array, found.index)
    is_known = before & its_map.notna()
    map_addr = found["map_addr"].where(~is_known, its_map)
    return found.assign(map_addr=map_addr, is_array=found["is_array"] | is_known)


def _large_of(made: pd.DataFrame, large: pd.DataFrame) -> I64:
    """Return for each array the row of the large object that its goroutine allocated there just before, else -1."""
    left = made[["addr", "goid", "allocated_ns"]].astype({"allocated_ns": np.int64}).assign(row=np.arange(len(made)))
    right = large[["addr", "goid", "allocated_ns", "freed_ns"]].assign(large_row=np.arange(len(large)))
    right = right[right["allocated_ns"].notna()].fillna({"freed_ns": LATEST})
    right = right.astype({"allocated_ns": np.int64, "freed_ns": np.int64})
    found = pd.merge_asof(
        left.sort_values("allocated_ns"), right.sort_values("allocated_ns"), on="allocated_ns", by=["addr", "goid"],
        tolerance=MOMENT_NS,
    ).set_index("row")  # fmt: skip
    is_open = found["freed_ns"] > found["allocated_ns"]  # else it was freed before, and the array is small
    rows: I64 = found["large_row"].where(is_open, -1).reindex(np.arange(len(made))).to_numpy(np.int64)
    return rows


def _with_maps(found: pd.DataFrame, growths: pd.DataFrame) -> pd.DataFrame:
    """Add to each array the map that its goroutine was making or growing, and the stack of that."""
    asked = found[found["is_array"] & found["allocated_ns"].notna()][["goid", "allocated_ns"]]
    asked = asked.astype(np.int64).reset_index(names="row").sort_values("allocated_ns")
    known = growths.rename(columns={"stack_id": "grown_by"}).astype({"goid": np.int64, "time_ns": np.int64})
    known = known.sort_values("time_ns")
    tied = pd.merge_asof(asked, known, left_on="allocated_ns", right_on="time_ns", by="goid").set_index("row")
    map_addr, grown_by = (tied[name].reindex(found.index).astype("UInt64") for name in ("map_addr", "grown_by"))
    return found.assign(map_addr=map_addr, stack_id=grown_by.fillna(found["stack_id"].astype("UInt64")))


def _collection_of(found: pd.DataFrame, collections: Collections) -> pd.Series:
    freed = found["freed_ns"].notna()
    number = collections.last_before(found["freed_ns"].fillna(0).to_numpy(np.int64))
    return pd.Series(number, found.index).where(freed & (number >= 0)).astype("Int64")


def _with_returns(found: pd.DataFrame, returns: pa.Table) -> pd.DataFrame:
    """Add when the memory of freed arrays was reused or returned to the system, and how much was returned."""
    when = {name: np.zeros(len(found), np.int64) for name in ("reused_ns", "returned_ns", "returned_bytes")}
    start, size = (found[name].to_numpy(np.int64) for name in ("addr", "bytes"))
    freed = found["freed_ns"].fillna(0).to_numpy(np.int64)
    at, length, time_ns = (np.array(returns[name], np.int64) for name in ("addr", "bytes", "time_ns"))
    order = np.argsort(at, kind="stable")
    at, length, time_ns = at[order], length[order], time_ns[order]
    allocated = found["allocated_ns"].fillna(0).to_numpy(np.int64)
    by_start = np.argsort(start, kind="stable")
    starts, longest, longest_return = start[by_start], int(size.max(initial=0)), int(length.max(initial=0))
    rows = np.flatnonzero((freed > 0) & found["is_array"].to_numpy(np.bool_))
    for row in rows[np.argsort(-size[rows], kind="stable")][:MOST_FOLLOWED].tolist():
        low, high = start[row], start[row] + size[row]
        near = by_start[slice(*np.searchsorted(starts, [low - longest, high]))]
        near = near[(start[near] + size[near] > low) & (allocated[near] > allocated[row])]
        until = int(allocated[near].min(initial=LATEST))
        pieces = np.arange(*np.searchsorted(at, [low - longest_return, high]))
        # allocated memory is never returned: pieces returned after the allocation were free by then
        is_its = (at[pieces] + length[pieces] > low) & (time_ns[pieces] > allocated[row]) & (time_ns[pieces] < until)
        pieces = pieces[is_its]
        when["reused_ns"][row] = until if until < LATEST else 0
        if len(pieces):
            overlap = np.minimum(at[pieces] + length[pieces], high) - np.maximum(at[pieces], low)
            when["returned_ns"][row] = time_ns[pieces].min()
            when["returned_bytes"][row] = min(int(overlap.sum()), size[row])
    columns = {name: pd.Series(values, found.index) for name, values in when.items()}
    for name in ("reused_ns", "returned_ns"):
        columns[name] = columns[name].astype("UInt64").mask(columns[name] == 0)
    seen = found["seen_returned_ns"]
    unheard = seen.notna() & columns["returned_ns"].isna()
    columns["returned_bytes"] = columns["returned_bytes"].mask(unheard, found["bytes"])
    columns["returned_ns"] = columns["returned_ns"].fillna(seen)
    return found.assign(**columns)


def growths(events: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return the events that make or grow a map: ``time_ns``, ``goid``, ``map_addr`` and ``stack_id``.

    Parameters
    ----------
    events
        Batches of packed events, in order.
    """
    parts = [pa.table({name: pa.array([], kind) for name, kind in GROWTH_COLUMNS.items()})]
    for batch in events:
        rows = np.flatnonzero(np.isin(values(batch.column("kind")), MAKES_ARRAYS))
        number, (addr,) = common_columns(batch, ["map_addr"])
        stack_id = values(batch.column("stack_id"))
        found = (times(batch)[rows], whole(batch, "goid")[rows], addr[number[rows]], stack_id[rows])
        parts.append(pa.table(dict(zip(GROWTH_COLUMNS, found, strict=True))))
    return pa.concat_tables(parts)


def map_stacks(stacks: pa.Table, frames: pa.Table) -> Flags:
    """Return for each stack whether it has a function that allocates buckets.

    Parameters
    ----------
    stacks, frames
        `schema.STACKS` and `schema.FRAMES`.
    """
    pcs, functions = frames["pc"].to_pylist(), frames["function"].to_pylist()
    is_it = {pc for pc, function in zip(pcs, functions, strict=True) if function.startswith(MAP_CODE)}
    return np.array([any(pc in is_it for pc in row) for row in stacks["pcs"].to_pylist()], np.bool_)
