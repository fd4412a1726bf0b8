"""Replay: batches of events in, the state of every map out, and who is charged for what the maps hold.

Pure: tables in, tables out. `Replay` feeds batches to the core, and at the end makes the tables of a `Replayed`. A map
that could not be replayed takes its figures from its memory, if that was read at the end of the recording.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import _core, vocabulary
from mapprobe.arrays import I64, U32, U64, Flags
from mapprobe.model.core import DEAD, MODELLED, World, batch_of, out_of_memory
from mapprobe.model.holdings import ALLOCATED, HOLDINGS, RETAINED, VIRGIN
from mapprobe.model.places import stack_place
from mapprobe.model.sizes import sizes_of
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.narrow import kept
from mapprobe.recording.packing import select, times
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed, map_rows, no_rows, peak_rows, stack_rows
from mapprobe.replay.balance import reconcile, reconcile_at
from mapprobe.replay.charges import NEVER_USED, ROW, Rows, charge_table
from mapprobe.replay.closing import judge, mark_cut, mark_lost, unfollow
from mapprobe.replay.context import type_facts, world_of
from mapprobe.replay.measured import Images, measure, read_images
from mapprobe.replay.resync import Reading, Readings, resync
from mapprobe.vocabulary import Inexact, MapState, Source

ROWS_AT_ONCE = 1 << 15


@dataclass(slots=True)
class Feed:
    """A batch of events that is being applied in a replay.

    Attributes
    ----------
    due
        Readings of maps to take in between the events, each with the row of the event that it precedes.
    """

    batch: _core.Batch
    due: deque[tuple[int, Reading]]

    @property
    def row(self) -> int:
        """The first event that is not applied yet."""
        return self.batch.row


class Charging:
    """The amounts that maps hold, and the stacks that are charged for them, as the core writes them.

    Attributes
    ----------
    holdings
        `schema.HOLDINGS` of each map, ``(HOLDINGS, maps or more)``.
    charged_to
        The one stack that is charged for all that a map holds, ``(maps or more,)``; `vocabulary.NONE` if several
        stacks are charged, or none.
    """

    def __init__(self, stacks: int, maps: int = 0) -> None:
        self._room = np.zeros(max(ROWS_AT_ONCE, stacks), ROW)
        self.holdings, self.charged_to = np.zeros((HOLDINGS, 0), np.int64), np.zeros(0, np.uint32)
        self.make_room(maps)

    def make_room(self, maps: int) -> None:
        """Make room for this many maps."""
        had, lacks = len(self.charged_to), max(0, maps - len(self.charged_to))
        if lacks:
            holdings = np.zeros((HOLDINGS, maps), np.int64)
            holdings[:, :had] = self.holdings
            self.holdings = holdings
            self.charged_to = np.concatenate([self.charged_to, np.full(lacks, vocabulary.NONE, np.uint32)])

    def charge(self, world: World, skip: Flags) -> Iterator[Rows]:
        """Charge all maps that `skip` does not flag; yield rows of the maps that several stacks are charged for.

        The rows that are yielded are overwritten by the next ones.

        Raises
        ------
        MapprobeError
            If there is not enough memory.
        """
        m = 0
        while m < len(skip):
            args = (world.handle, skip, m, self.holdings, self.charged_to, self._room)
            try:
                m, written = _core.charge_maps(*args)
            except MemoryError:
                raise out_of_memory() from None
            if written:
                yield self._room[:written]


class Replay:
    """Replay one recording; feed it batches in order, then take `result`."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._snapshot_maps = inputs.snapshot_maps
        self.world = world_of(inputs)
        self._types = type_facts(inputs.types)
        self._is_reflexive = np.array(inputs.types["key_reflexive"])
        # if operations were not recorded, every map is measured by its memory and none is resynced
        buckets = inputs.snapshot_buckets if inputs.knows_entries else inputs.snapshot_buckets.slice(0, 0)
        self._readings = Readings(inputs.snapshot_maps, buckets, self.world.is_swiss)

    @property
    def map_count(self) -> int:
        """How many generations of maps were seen."""
        return self.world.map_count

    def feed(self, batch: pa.RecordBatch) -> None:
        """Apply one batch of packed events."""
        self.advance(self.begin(batch), batch.num_rows)

    def begin(self, batch: pa.RecordBatch) -> Feed:
        """Return the feed of a batch of packed events, of which none is applied yet."""
        return Feed(batch_of(batch), deque(self._readings.due(batch)))

    def advance(self, feed: Feed, end: int) -> None:
        """Apply the events of a batch up to row `end`."""
        while feed.due and feed.due[0][0] < end:
            row, reading = feed.due.popleft()
            self.world.apply(feed.batch, row)
            self._resync(reading)
        self.world.apply(feed.batch, end)

    def _resync(self, reading: Reading) -> None:
        resync(self.world, self._types, self._readings.headers, reading)

    def result(self) -> Replayed:
        """Return the state of every map after all batches that were fed."""
        was_read, charging = self._was_read(), Charging(len(self._inputs.sites.site_of_stack), self.map_count)
        charges, stacks = self._charge(was_read, charging), self.world.stacks
        return Replayed(
            maps=self._map_table(was_read, charging),
            charges=charges,
            stack_operations=stack_rows(stacks["maps"], stacks, stacks["peak"]),
            peaks=peak_rows(*(self.world.rows(name)["peak"] for name in ("total", "sites", "types"))),
            unsettled=no_rows(schema.UNSETTLED),
        )

    def buckets_of(self, m: int) -> tuple[U64, U32]:
        """Return control words and parts of a map's buckets, in the model's order."""
        buckets, parts = self.world.buckets_of(m)
        return self.world.buckets["control"][buckets], parts

    def close(self, until_ns: int | None = None, *, memory_is_right: bool = True) -> None:
        """Take in what is known besides the events: deaths, losses, and the memory that was read at the end.

        Parameters
        ----------
        until_ns
            Time up to which events were fed; the memory of the end does not count then. None: all were fed.
        memory_is_right
            True: a map whose header has another count than replay is taken as it was read. False: it stays as
            replayed, so that `verify` reports the difference.
        """
        inputs = self._inputs
        self._snapshot_maps = inputs.snapshot_maps if until_ns is None else inputs.snapshot_maps.slice(0, 0)
        for reading in self._readings.rest():
            if until_ns is None or reading.time_ns <= until_ns:
                self._resync(reading)
        looked_at = kept(self._snapshot_maps, self._snapshot_maps["at_end"])
        # losses first: a map that lost events may have been emptied, which gives it a seed that the model doesn't know
        mark_lost(self.world, inputs.gaps, inputs.points, until_ns)
        judge(self.world, looked_at)
        if memory_is_right:
            self._hold_to_headers(looked_at)
        self._mark_unequal_keys(looked_at)
        if inputs.is_cut and until_ns is None:
            mark_cut(self.world)

    def _hold_to_headers(self, looked_at: pa.Table) -> None:
        """Stop following maps whose header, read at the end, has another count of entries than the model."""
        read = kept(looked_at.select(["map_addr", "count", "time_ns"]), pc.is_null(looked_at["skipped"]))
        world = self.world
        followed = np.flatnonzero(world.is_in_state(MODELLED) & ~world.is_in_state(DEAD))
        addrs, last = np.unique(np.array(read["map_addr"], np.uint64)[::-1], return_index=True)
        if not len(addrs):
            return
        count, when = (np.array(read[name], np.uint64)[::-1][last] for name in ("count", "time_ns"))
        keys, maps = world.facts["key"][followed], world.maps
        row = np.minimum(np.searchsorted(addrs, keys), len(addrs) - 1)
        is_it = (addrs[row] == keys) & (maps["last_ns"][followed] < when[row])
        differs = followed[is_it & (maps["count"][followed].astype(np.uint64) != count[row])]
        for m in differs.tolist():
            _core.drop_live(world.handle, m)
        world.facts["inexact"][differs] = Inexact.HEADER_MISMATCH
        unfollow(world, differs)

    def _mark_unequal_keys(self, looked_at: pa.Table) -> None:
        """Mark the maps that grew with NaN inside their keys, where the probe doesn't look: memory differs from replay.

        If a map with other keys differs from its memory, `verify` reports the difference.
        """
        world, facts = self.world, self.world.facts
        of_type, last_ns = world.maps["type"], world.maps["last_ns"]
        may = (world.extras["growths"] > 0) & world.is_in_state(MODELLED) & ~world.is_in_state(DEAD) & (of_type >= 0)
        may[may] = ~self._is_reflexive[of_type[may]]
        if not may.any():
            return
        theirs = pa.array(facts["addr"][may], pa.uint64())
        read = looked_at.select(["map_addr", "time_ns"]).filter(pc.is_null(looked_at["skipped"]))
        read = read.filter(pc.is_in(read["map_addr"], theirs))
        read_at = dict(zip(read["map_addr"].to_pylist(), read["time_ns"].to_pylist(), strict=True))
        buckets = self._inputs.snapshot_buckets
        images = Images(buckets.filter(pc.is_in(buckets["map_addr"], theirs)))
        moved = list[int]()
        for m in np.flatnonzero(may).tolist():
            addr = int(facts["addr"][m])
            when = read_at.get(addr, 0)
            if last_ns[m] < when:
                control, _ = images.of(addr, when)
                if not np.array_equal(control, self.buckets_of(m)[0]):
                    moved.append(m)
        facts["inexact"][moved] = Inexact.UNEQUAL_KEYS
        unfollow(world, np.array(moved, np.int64))

    def _was_read(self) -> Flags:
        """Return which maps were read at the end: this generation, not an earlier map at the address."""
        seen = self._snapshot_maps
        read = kept(seen.select(["map_addr", "time_ns"]), pc.and_(pc.is_null(seen["skipped"]), seen["at_end"]))
        facts = self.world.facts
        if not len(read):
            return np.zeros(len(facts), np.bool_)
        # if an address was read several times, the last read counts
        addrs, last = np.unique(np.array(read["map_addr"], np.uint64)[::-1], return_index=True)
        when = np.array(read["time_ns"], np.uint64)[::-1][last]
        row = np.minimum(np.searchsorted(addrs, facts["addr"]), len(addrs) - 1)
        # the address of a map on a goroutine's stack may have another map by the time the memory is read
        was_read: Flags = (addrs[row] == facts["addr"]) & (addrs[row] == facts["key"])
        return was_read & (when[row] >= facts["created_ns"])

    def _charge(self, was_read: Flags, charging: Charging) -> pa.Table:
        """Charge all maps that live; return rows of the maps that several stacks are charged for."""
        world = self.world
        is_dead, is_followed = world.is_in_state(DEAD), world.is_in_state(MODELLED)
        # a map that is no longer followed and was not read counts as it was when it was last followed
        is_estimated = ~is_dead & ~is_followed & ~was_read & (world.maps["array"] != vocabulary.NONE)
        self._charge_measured(was_read & ~is_dead & ~is_followed, charging)
        return charge_table(charging.charge(world, is_dead | ~(is_followed | is_estimated)))

    def _charge_measured(self, which: Flags, charging: Charging) -> None:
        """Charge maps that the model does not follow but whose memory was read.

        Nobody knows who filled their slots: such a map is charged to the stack of its last growth.
        """
        inputs, of_type, facts = self._inputs, self.world.maps["type"], self.world.facts
        sizes = sizes_of(inputs.implementation, inputs.go_release)
        ids = np.flatnonzero(which & (of_type >= 0))
        addrs = facts["addr"][ids]
        images = read_images(self._snapshot_maps, inputs.snapshot_buckets, self.world.is_swiss, addrs)
        for m, image in zip(ids.tolist(), images, strict=True):
            if image:
                theirs = self._types[of_type[m]]
                about = int(theirs["bucket_bytes"]), bool(theirs["has_pointers"])
                charging.holdings[:, m] = measure(image, self.world.is_swiss, sizes, *about)
                charging.charged_to[m] = facts["grown_by"][m]

    def _map_table(self, was_read: Flags, charging: Charging) -> pa.Table:
        maps, facts, holdings = self.world.maps, self.world.facts, charging.holdings
        dead, is_followed = self.world.is_in_state(DEAD), self.world.is_in_state(MODELLED)
        state = np.where(dead, 0, np.where(was_read, 1, 2))
        states = pa.array([MapState.DEAD, MapState.ALIVE, MapState.UNKNOWN], pa.string())
        sources = pa.array([Source.BOUNDED, Source.READ, Source.REPLAYED], pa.string())
        goid, stack_offset = stack_place(facts["key"])
        nobody = np.zeros(len(maps), np.uint32)
        columns = {
            "map_addr": facts["addr"],
            "type_id": maps["type"],
            "state": states.take(pa.array(state)),
            "goid": goid,
            "stack_offset": stack_offset,
            "source": sources.take(pa.array(np.where(is_followed, 2, was_read.astype(np.int64)))),
            "last_ns": maps["last_ns"],
            **{name: facts[name] for name in ("generation", "inexact", "created_by", "created_ns")},
            **{name: self.world.extras[name] for name in ("growths", "clears")},
            **{name: maps[name] for name in ("inserts", "updates", "deletes")},
            NEVER_USED: holdings[VIRGIN],
            schema.PEAK.name: maps["peak"],
            **bounds_of(holdings, is_known=is_followed | was_read | dead),
            "origin": nobody,
            "growth_origin": nobody,
        }
        return map_rows(columns, holdings, charging.charged_to)


def replay(
    events: Iterable[pa.RecordBatch],
    inputs: Inputs,
    until_ns: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Replay a recording, or its beginning.

    Parameters
    ----------
    events
        Batches of packed events (`packing`), in order.
    inputs
        The other tables.
    until_ns
        Leave out later events; None: replay all.
    progress
        Called after each batch with its number of events.
    """
    session = Replay(inputs)
    for batch in events:
        if until_ns is not None:
            batch = select(batch, times(batch) <= until_ns)
        session.feed(batch)
        if progress:
            progress(batch.num_rows)
    session.close(until_ns)
    return session.result()


def result_of(
    events: Iterable[pa.RecordBatch],
    inputs: Inputs,
    until_ns: int | None = None,
    whole: Callable[[], Replayed] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Return the result of a recording, or of its beginning: replay, held to the censuses that were taken.

    Parameters
    ----------
    events, inputs, until_ns, progress
        As of `replay`.
    whole
        Returns the result of the whole recording, from which a result up to `until_ns` learns which maps still lived.
    """
    result = replay(events, inputs, until_ns, progress)
    if until_ns is None or whole is None:
        return reconcile(result, inputs)
    return reconcile_at(result, whole(), inputs, until_ns)


def bounds_of(holdings: I64, *, is_known: Flags) -> dict[str, Any]:
    """Return `schema.BOUNDS` of maps: the figures of a map if they are known, else 0 and no upper bound."""
    unbounded = {"mask": ~is_known}
    return {
        "least_retained_bytes": np.where(is_known, holdings[RETAINED], 0),
        "most_retained_bytes": pa.array(holdings[RETAINED], pa.int64(), **unbounded),
        "most_allocated_bytes": pa.array(holdings[ALLOCATED], pa.int64(), **unbounded),
    }
