"""Event batches in, the state of every map out, and who is charged for it.

Pure: tables in, tables out. `Replay` feeds batches to the kernels of
`operations`, makes room when they ask for it, and at the end writes the rows of
`schema.REPLAYED`. What could not be replayed exactly takes its figures from
the memory that was read at the end of the recording, where it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe import ledger as rules
from mapprobe import schema
from mapprobe.charges import (
    ALLOCATED,
    COLUMNS,
    HOLDINGS,
    NEVER_USED,
    RETAINED,
    VIEWS,
    VIRGIN,
    charge_maps,
    new_rows,
    new_sheet,
)
from mapprobe.closing import judge, mark_cut, mark_lost
from mapprobe.columns import Columns, columns_of
from mapprobe.context import context_of
from mapprobe.deaths import drop_live
from mapprobe.errors import MapprobeError
from mapprobe.images import EMPTY, Image, images_by_map, measure, read_images
from mapprobe.inputs import Inputs
from mapprobe.ledger import new_ledger, roomier
from mapprobe.model import classic, swiss
from mapprobe.model.state import COUNT, State, enlarged, new_state
from mapprobe.operations import apply
from mapprobe.packing import select, times
from mapprobe.replayed import Replayed
from mapprobe.resync import Reading, Readings, resync
from mapprobe.schema import Implementation, Inexact, MapState, Source

I64 = npt.NDArray[np.int64]

ROWS_AT_ONCE = 1 << 18


@dataclass(slots=True)
class Feed:
    """A batch of events on its way into a replay.

    Attributes
    ----------
    due
        Readings of maps that come in on the way, each with the row that it precedes.
    row
        The first one that was not applied yet.
    """

    columns: Columns
    due: deque[tuple[int, Reading]]
    row: int = 0


class Replay:
    """Replay one recording; feed it batches in order, then take `result`."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._snapshot_maps = inputs.snapshot_maps
        self._is_swiss = inputs.implementation is Implementation.SWISS
        self.model = swiss if self._is_swiss else classic
        self.state = new_state(inputs.implementation, inputs.go_release)
        self._is_reflexive = np.array(inputs.types["key_reflexive"])
        stacks = len(inputs.sites.site_of_stack)
        self.ledger = new_ledger(stacks, len(inputs.sites.table), len(inputs.types))
        # without entries every map is measured by its memory, none is carried on
        buckets = inputs.snapshot_buckets if inputs.knows_entries else inputs.snapshot_buckets.slice(0, 0)
        self._readings = Readings(inputs.snapshot_maps, buckets, self._is_swiss)
        self.context = context_of(inputs)

    @property
    def map_count(self) -> int:
        """How many generations of maps were seen."""
        return int(self.ledger.tops[rules.MAPS])

    def feed(self, batch: pa.RecordBatch) -> None:
        """Apply one batch of packed events."""
        self.advance(self.begin(batch), batch.num_rows)

    def begin(self, batch: pa.RecordBatch) -> Feed:
        """Return a batch of packed events of which none is applied yet."""
        return Feed(columns_of(batch), deque(self._readings.due(batch)))

    def advance(self, feed: Feed, end: int) -> None:
        """Apply the events of a batch up to row `end`."""
        while feed.due and feed.due[0][0] < end:
            row, reading = feed.due.popleft()
            self._apply(feed, row)
            self._resync(reading)
        self._apply(feed, end)

    def _apply(self, feed: Feed, end: int) -> None:
        part = feed.columns.until(end)
        while feed.row < end:
            feed.row = apply(self.state, self.ledger, self.context, part, feed.row)
            if feed.row < end:
                self._make_room()

    def _resync(self, reading: Reading) -> None:
        resync(self.state, self.ledger, self.context, self._readings.headers, reading, self._more_room)

    def _more_room(self) -> State:
        self._make_room()
        return self.state

    def _make_room(self) -> None:
        if rules.is_full(self.ledger):
            self.ledger = roomier(self.ledger)
        else:
            try:
                self.state = enlarged(self.state)
            except MemoryError:
                why = "its maps need more memory than this machine gives: replay it on a larger one"
                raise MapprobeError(f"replay: {why}") from None

    def result(self) -> Replayed:
        """Return what all fed batches came to."""
        maps = self.map_count
        facts = self.ledger.facts[:maps]
        holdings = np.zeros((maps, HOLDINGS), np.int64)
        was_read = self._was_read()
        # what was neither followed since nor read holds what it held earlier
        is_estimated = (facts[:, rules.IS_DEAD] == 0) & (facts[:, rules.MODELLED] == 0) & ~was_read
        charges = self._charge(facts, was_read, is_estimated, holdings)
        return Replayed(
            maps=self._map_table(was_read, holdings),
            charges=charges,
            stack_operations=self._stack_table(),
            peaks=self._peak_table(),
            unsettled=schema.UNSETTLED.schema.empty_table(),
        )

    def buckets_of(self, m: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
        """Return control words and parts of a map's buckets, in the model's order."""
        count = self.model.count_buckets(self.state, m)
        buckets, parts = np.empty(count, np.uint32), np.empty(count, np.uint32)
        self.model.list_buckets(self.state, m, buckets, parts)
        control: npt.NDArray[np.uint64] = self.state.control[buckets]
        return control, parts

    def close(self, until_ns: int | None = None, *, memory_is_right: bool = True) -> None:
        """Take in what is known beside the events: deaths, losses, and of the end what the memory showed.

        Parameters
        ----------
        until_ns
            The events were taken up to here; what was seen of the end does not count then.
        memory_is_right
            A map that was read with other entries than replayed is as it was read; else `verify` reports it.
        """
        inputs = self._inputs
        self._snapshot_maps = inputs.snapshot_maps if until_ns is None else inputs.snapshot_maps.slice(0, 0)
        for reading in self._readings.rest():
            if until_ns is None or reading.time_ns <= until_ns:
                self._resync(reading)
        looked_at = self._snapshot_maps.filter(self._snapshot_maps["at_end"])
        # first: a map that lost events may have been emptied, and have a seed that the model doesn't know
        mark_lost(self.ledger, inputs.gaps, inputs.points, until_ns)
        judge(self.state, self.ledger, self.context, looked_at, self._more_room)
        if memory_is_right:
            self._hold_to_headers(looked_at)
        self._mark_unequal_keys(looked_at)
        if inputs.is_cut and until_ns is None:
            mark_cut(self.ledger)

    def _hold_to_headers(self, looked_at: pa.Table) -> None:
        """Let maps whose header says another number of entries than the model has be as they were read."""
        read = looked_at.filter(pc.is_null(looked_at["skipped"]))
        facts, words = self.ledger.facts[: self.map_count], self.ledger.words[: self.map_count]
        followed = np.flatnonzero((facts[:, rules.MODELLED] != 0) & (facts[:, rules.IS_DEAD] == 0))
        addrs, last = np.unique(np.array(read["map_addr"], np.uint64)[::-1], return_index=True)
        if not len(addrs):
            return
        count, when = (np.array(read[name], np.uint64)[::-1][last] for name in ("count", "time_ns"))
        row = np.minimum(np.searchsorted(addrs, words[followed, rules.KEY]), len(addrs) - 1)
        is_it = (addrs[row] == words[followed, rules.KEY]) & (words[followed, rules.LAST_NS] < when[row])
        differs = is_it & (self.state.maps[followed, COUNT].astype(np.uint64) != count[row])
        for m in followed[differs].tolist():
            drop_live(self.state, self.ledger, self.context, m)
            facts[m, rules.INEXACT], facts[m, rules.MODELLED] = Inexact.HEADER_MISMATCH, 0

    def _mark_unequal_keys(self, looked_at: pa.Table) -> None:
        """Mark the maps that grew with NaN somewhere inside of their keys: the probe doesn't look there, memory tells.

        Of other keys a memory that isn't as replayed is for `verify` to report.
        """
        facts, words = self.ledger.facts[: self.map_count], self.ledger.words[: self.map_count]
        may = (facts[:, rules.GROWTHS] > 0) & (facts[:, rules.MODELLED] != 0) & (facts[:, rules.IS_DEAD] == 0)
        may &= facts[:, rules.TYPE] >= 0
        may[may] = ~self._is_reflexive[facts[may, rules.TYPE]]
        if not may.any():
            return
        theirs = pa.array(words[may, rules.ADDR], pa.uint64())
        read = looked_at.filter(pc.is_null(looked_at["skipped"]))
        read = read.filter(pc.is_in(read["map_addr"], theirs))
        read_at = dict(zip(read["map_addr"].to_pylist(), read["time_ns"].to_pylist(), strict=True))
        buckets = self._inputs.snapshot_buckets
        images = images_by_map(buckets.filter(pc.is_in(buckets["map_addr"], theirs)))
        for m in np.flatnonzero(may).tolist():
            addr = int(words[m, rules.ADDR])
            when = read_at.get(addr, 0)
            if words[m, rules.LAST_NS] < when:
                control, _ = images.get((addr, when), EMPTY)
                if not np.array_equal(control, self.buckets_of(m)[0]):
                    facts[m, rules.INEXACT] = Inexact.UNEQUAL_KEYS
                    facts[m, rules.MODELLED] = 0

    def _was_read(self) -> npt.NDArray[np.bool_]:
        """Return of each map whether its memory was read at the end: it itself, not what stood there before."""
        read = self._snapshot_maps.filter(
            pc.and_(pc.is_null(self._snapshot_maps["skipped"]), self._snapshot_maps["at_end"])
        )
        words = self.ledger.words[: self.map_count]
        if not len(read):
            return np.zeros(len(words), np.bool_)
        # of several readings of one address the last counts
        addrs, last = np.unique(np.array(read["map_addr"], np.uint64)[::-1], return_index=True)
        when = np.array(read["time_ns"], np.uint64)[::-1][last]
        row = np.minimum(np.searchsorted(addrs, words[:, rules.ADDR]), len(addrs) - 1)
        # where one stood that was on a goroutine's stack another may stand now
        was_read: npt.NDArray[np.bool_] = (addrs[row] == words[:, rules.ADDR]) & (addrs[row] == words[:, rules.KEY])
        return was_read & (when[row] >= words[:, rules.CREATED_NS])

    def _charge(
        self, facts: I64, was_read: npt.NDArray[np.bool_], is_estimated: npt.NDArray[np.bool_], holdings: I64
    ) -> pa.Table:
        is_dead = facts[:, rules.IS_DEAD] != 0
        is_charged = facts[:, rules.MODELLED] != 0
        for m in np.flatnonzero(is_estimated).tolist():
            is_charged[m] = self.model.count_buckets(self.state, m) > 0
        sheet = new_sheet(len(self.ledger.stacks))
        parts: list[pa.Table] = [self._charge_measured(facts, holdings, is_charged | is_dead | ~was_read)]
        skip = is_dead | ~is_charged
        m = 0
        while m < len(facts):
            rows = new_rows(max(ROWS_AT_ONCE, VIEWS * len(self.ledger.stacks)))  # the table keeps them
            m, written = charge_maps(self.state, sheet, self._is_swiss, skip, m, holdings, rows)
            parts.append(_charge_table(*(column[..., :written] for column in rows)))
        return pa.concat_tables(parts)

    def _charge_measured(self, facts: I64, holdings: I64, skip: npt.NDArray[np.bool_]) -> pa.Table:
        """Charge the maps that are not modelled: their memory was read, their slots' history is not known.

        All their slots count as filled before the recording, their buckets as grown by their last growth.
        """
        amounts: list[I64] = []
        ids: list[int] = []
        unmodelled = np.flatnonzero(~skip)
        addrs = pa.array(self.ledger.words[unmodelled, rules.ADDR], pa.uint64())
        images = read_images(self._snapshot_maps, self._inputs.snapshot_buckets, self._is_swiss, addrs)
        for m in unmodelled.tolist():
            addr = int(self.ledger.words[m, rules.ADDR])
            if addr in images and facts[m, rules.TYPE] >= 0:
                holdings[m] = self._measure(m, images[addr])
                ids.append(m)
                amounts.append(np.append(holdings[m], holdings[m, VIRGIN]))
        stacks = [int(facts[m, rules.GROWN_BY]) for m in ids]
        return _charge_table(
            np.repeat(np.array(ids, np.int64), VIEWS),
            np.tile(np.arange(VIEWS), len(ids)),
            np.repeat(np.array(stacks, np.int64), VIEWS),
            np.repeat(np.array(amounts, np.int64).reshape(-1, COLUMNS).T, VIEWS, axis=1),
        )

    def _measure(self, m: int, image: Image) -> I64:
        type_id = self.ledger.facts[m, rules.TYPE]
        bucket_bytes, has_pointers = self.context.bucket_bytes[type_id], self.context.has_pointers[type_id]
        return measure(image, self._is_swiss, self.state.rules, int(bucket_bytes), int(has_pointers))

    def _map_table(self, was_read: npt.NDArray[np.bool_], holdings: I64) -> pa.Table:
        words, facts = self.ledger.words[: self.map_count], self.ledger.facts[: self.map_count]
        dead, is_followed = facts[:, rules.IS_DEAD] != 0, facts[:, rules.MODELLED] != 0
        state = np.where(dead, 0, np.where(was_read, 1, 2))
        states = pa.array([MapState.DEAD, MapState.ALIVE, MapState.UNKNOWN], pa.string())
        sources = pa.array([Source.BOUNDED, Source.READ, Source.REPLAYED], pa.string())
        goid, stack_offset = rules.stack_place(words[:, rules.KEY])
        columns = {
            "map_id": np.arange(len(facts)),
            "map_addr": words[:, rules.ADDR],
            "generation": facts[:, rules.GENERATION],
            "type_id": facts[:, rules.TYPE],
            "state": states.take(pa.array(state)),
            "inexact": facts[:, rules.INEXACT],
            "goid": goid,
            "stack_offset": stack_offset,
            "source": sources.take(pa.array(np.where(is_followed, 2, was_read.astype(np.int64)))),
            "created_by": facts[:, rules.CREATED_BY],
            "created_ns": words[:, rules.CREATED_NS],
            "last_ns": words[:, rules.LAST_NS],
            "growths": facts[:, rules.GROWTHS],
            "inserts": facts[:, rules.INSERTS],
            "updates": facts[:, rules.UPDATES],
            "deletes": facts[:, rules.DELETES],
            "clears": facts[:, rules.CLEARS],
            **{column.name: holdings[:, n] for n, column in enumerate(schema.HOLDINGS)},
            schema.PEAK.name: facts[:, rules.PEAK],
            **bounds_of(holdings, is_known=is_followed | was_read | dead),
        }
        return _table(schema.MAPS, columns)

    def _stack_table(self) -> pa.Table:
        stacks = self.ledger.stacks
        columns = {
            "stack_id": np.arange(len(stacks)),
            "maps": stacks[:, rules.STACK_MAPS],
            "growths": stacks[:, rules.STACK_GROWTHS],
            "inserts": stacks[:, rules.STACK_INSERTS],
            "updates": stacks[:, rules.STACK_UPDATES],
            "deletes": stacks[:, rules.STACK_DELETES],
            "clears": stacks[:, rules.STACK_CLEARS],
            schema.PEAK.name: stacks[:, rules.STACK_PEAK],
        }
        return _table(schema.STACK_OPERATIONS, columns)

    def _peak_table(self) -> pa.Table:
        ledger = self.ledger
        sites, types = len(ledger.sites), len(self._inputs.types)
        columns = {
            "group": ["total"] + ["site"] * sites + ["type"] * types,
            "id": [0, *range(sites), *range(types)],
            schema.PEAK.name: np.concatenate(
                [ledger.total[1:], ledger.sites[:, rules.LIVE_PEAK], ledger.types[:types, rules.LIVE_PEAK]]
            ),
        }
        return _table(schema.PEAKS, columns)


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
        Leave out what happened later; None: all of it.
    progress
        Is told the number of events after each batch.
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


def bounds_of(holdings: I64, *, is_known: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return `schema.BOUNDS` of maps: what is known has no others, and of what is not known nothing is."""
    unbounded = {"mask": ~is_known}
    return {
        "least_retained_bytes": np.where(is_known, holdings[:, RETAINED], 0),
        "most_retained_bytes": pa.array(holdings[:, RETAINED], pa.int64(), **unbounded),
        "most_allocated_bytes": pa.array(holdings[:, ALLOCATED], pa.int64(), **unbounded),
    }


def _table(table: schema.Table, columns: Mapping[str, Any]) -> pa.Table:
    arrays = [pa.array(columns[c.name], c.type) for c in table.columns]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def _charge_table(map_id: I64, view: I64, stack: I64, amounts: I64) -> pa.Table:
    columns = {
        "map_id": map_id,
        "view": view,
        "stack_id": stack,
        "never_used_slots": amounts[NEVER_USED],
        **{column.name: amounts[n] for n, column in enumerate(schema.HOLDINGS)},
    }
    return _table(schema.CHARGES, columns)
