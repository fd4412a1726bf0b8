"""A replay that stops at chosen times, and says at each stop what every map and every site holds.

Maps that had no event since the last stop hold what they held: only maps with events are charged again. At a stop at T
the figures equal those of a replay up to T (`replay(..., until_ns=T)`), to the last byte. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import _core, vocabulary
from mapprobe.arrays import I64, U64
from mapprobe.model.core import DEAD, MODELLED, NOWHERE
from mapprobe.model.holdings import HOLDINGS
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.packing import select, times
from mapprobe.recording.tables import schema
from mapprobe.replay.charges import amount
from mapprobe.replay.lifetimes import Lifetimes
from mapprobe.replay.replay import Charging, Feed, Replay
from mapprobe.replay.resync import Reading
from mapprobe.vocabulary import BEFORE, View

Rows = npt.NDArray[np.void]

MEASURES = tuple(name for name in schema.MEASURES if name != schema.PEAK.name)
"""The measures of each row at a stop, as int64; without the peak, which belongs to no point of time."""
OPERATIONS = [column.name for column in schema.OPERATIONS]
OF_MAPS = ("inserts", "updates", "deletes")
"""Operations that the core counts in `World.maps`; the others are counted in `World.extras`."""
AMOUNTS = [column.name for column in schema.HOLDINGS]
NEVER = np.uint64((1 << 64) - 1)


class Charges:
    """Charges to sites, in one view, of the maps that several stacks are charged for; a map's rows are consecutive.

    Outdated rows of maps that were charged again stay until there is no room: so the cost of a stop grows with the
    maps that changed, not with all maps.
    """

    def __init__(self) -> None:
        # amounts become int64 as soon as one needs more than 32 bits
        self._sites, self._amounts = np.zeros(0, np.int32), np.zeros((0, HOLDINGS), np.int32)
        self._starts, self._counts = np.zeros(0, np.int64), np.zeros(0, np.int32)
        self._top = 0

    def take_out(self, map_ids: I64) -> tuple[I64, I64]:
        """Remove the rows of some maps; return their sites and amounts, ``(rows,)`` and ``(rows, HOLDINGS)``."""
        known = map_ids[map_ids < len(self._counts)]
        rows = self._rows_of(known)
        self._counts[known] = 0
        return self._sites[rows].astype(np.int64), self._amounts[rows].astype(np.int64)

    def put_in(self, map_ids: I64, sites: I64, amounts: I64) -> None:
        """Add the rows of maps that have no rows here."""
        if not len(map_ids):
            return
        lacks = int(map_ids.max()) + 1 - len(self._counts)
        if lacks > 0:
            room = np.zeros(lacks + len(self._counts) // 4, np.int32)
            self._starts, self._counts = np.concatenate([self._starts, room]), np.concatenate([self._counts, room])
        if amounts.max(initial=0) > np.iinfo(self._amounts.dtype).max:
            self._amounts = self._amounts.astype(np.int64)
        if self._top + len(sites) > len(self._sites):
            self._make_room(len(sites))
        rows = slice(self._top, self._top + len(sites))
        self._sites[rows], self._amounts[rows] = sites, amounts
        first = np.flatnonzero(np.r_[True, map_ids[1:] != map_ids[:-1]])
        self._starts[map_ids[first]] = self._top + first
        self._counts[map_ids[first]] = np.diff(np.append(first, len(map_ids)))
        self._top += len(sites)

    def _rows_of(self, map_ids: I64) -> I64:
        counts = self._counts[map_ids]
        begun = np.cumsum(counts) - counts
        rows: I64 = np.repeat(self._starts[map_ids] - begun, counts) + np.arange(counts.sum())
        return rows

    def _make_room(self, wanted: int) -> None:
        rows = self._rows_of(np.arange(len(self._counts)))
        room = len(rows) // 4 + 2 * wanted
        self._sites = _with_room(self._sites, rows, room)
        self._amounts = _with_room(self._amounts, rows, room)
        self._starts, self._top = np.cumsum(self._counts) - self._counts, len(rows)


def _with_room(array: npt.NDArray[Any], rows: I64, room: int) -> npt.NDArray[Any]:
    """Return some rows of an array, with room for `room` more rows after them."""
    found = np.zeros((len(rows) + room, *array.shape[1:]), array.dtype)
    np.take(array, rows, axis=0, out=found[: len(rows)], mode="clip")
    return found


class SteppedReplay(Replay):
    """A replay that knows at each stop what every map and every site holds.

    Attributes
    ----------
    charging
        What maps hold at the last stop.
    site_holdings
        `schema.HOLDINGS` of each site at the last stop, ``(sites, HOLDINGS)``; they sum to what the maps hold.
    """

    def __init__(self, inputs: Inputs, view: View, lifetimes: Lifetimes) -> None:
        super().__init__(inputs)
        self._view = view
        self._lifetimes = lifetimes
        maps = len(lifetimes.until_ns)
        self._is_counted = np.zeros(maps, np.bool_)
        self._has_before = np.zeros(maps, np.bool_)
        self._has_before[lifetimes.before] = True
        self._origin = np.full(maps, BEFORE, np.int64)
        self._origin[lifetimes.before] = lifetimes.stacks
        self._is_as_before = np.zeros(len(lifetimes.before), np.bool_)
        self._to_come = deque(sorted(self._readings.rest(), key=lambda reading: reading.time_ns))
        self._site_of_stack = inputs.sites.site_of_stack.astype(np.int64)
        self.charging = Charging(len(self._site_of_stack))
        self.site_holdings = np.zeros((len(inputs.sites.table), HOLDINGS), np.int64)
        self._is_touched = np.zeros(0, np.bool_)
        self._known = self._stopped_ns = 0
        self._charges = Charges()

    def advance(self, feed: Feed, end: int) -> None:
        """Apply the events of a batch up to row `end`, and note which maps the events are of.

        The maps are looked up both before and after: an event may end one generation and begin the next.
        """
        start = feed.row
        self._note(feed, start, end)
        super().advance(feed, end)
        self._note(feed, start, end)

    def _note(self, feed: Feed, start: int, end: int) -> None:
        self._make_room_to_note()
        _core.note_maps(self.world.handle, feed.batch, start, end, self._is_touched)

    def _resync(self, reading: Reading) -> None:
        super()._resync(reading)
        self._make_room_to_note()
        m = self.world.find(reading.addr)
        if m != NOWHERE:
            self._is_touched[m] = True

    def _make_room_to_note(self) -> None:
        if self.map_count > len(self._is_touched):
            more = np.zeros(2 * self.map_count - len(self._is_touched), np.bool_)
            self._is_touched = np.concatenate([self._is_touched, more])

    def stop(self, at_ns: int) -> None:
        """Find what every map and site holds at a time; every event up to then was fed, and none after.

        A map that had no event since the last stop holds what it held. A map that isn't known to have lived at that
        time (see `balance.reconcile_at`) is not counted.
        """
        self._take_readings(at_ns)
        maps = self.map_count
        self._make_room_to_note()
        has_changed = self._is_touched[:maps]
        has_changed[self._known :] = True
        has_changed |= self.world.extras["ended_ns"] > self._stopped_ns  # an event of another map may end a map
        self._stopped_ns = at_ns
        if maps > len(self.charging.charged_to):
            self.charging.make_room(maps + maps // 4)
        self._charge_again(has_changed, at_ns)
        self._take_before(at_ns)
        self._is_touched[:maps], self._known = False, maps

    def _take_readings(self, at_ns: int) -> None:
        """Resync maps that were read by then and had no event since, as `close` does."""
        while self._to_come and self._to_come[0].time_ns <= at_ns:
            reading = self._to_come.popleft()
            m = self.world.find(reading.addr)
            if m != NOWHERE and self.world.maps["last_ns"][m] < reading.time_ns:
                self._resync(reading)

    def _take_before(self, at_ns: int) -> None:
        """Note which maps are taken to hold what they held at the start: maps that replay does not follow yet."""
        of, maps = self._lifetimes.before, self.map_count
        is_seen = of < maps
        is_known = is_seen.copy()
        is_known[is_seen] = self.world.is_in_state(MODELLED | DEAD)[of[is_seen]]
        lives = self._lifetimes.until_ns[of] > np.uint64(at_ns)
        self._is_as_before = lives & ~is_known
        self._is_counted[of[~is_seen]] = lives[~is_seen]

    def _charge_again(self, has_changed: npt.NDArray[np.bool_], at_ns: int) -> None:
        changed = np.flatnonzero(has_changed)
        np.subtract.at(self.site_holdings, *self._of_one(changed))
        np.subtract.at(self.site_holdings, *self._charges.take_out(changed))
        self.charging.holdings[:, changed], self.charging.charged_to[changed] = 0, vocabulary.NONE
        skip = ~has_changed
        is_dead, is_followed = (self.world.is_in_state(bit)[changed] for bit in (DEAD, MODELLED))
        lives = ~is_dead & (self._lifetimes.until_ns[changed] > np.uint64(at_ns))
        skip[changed] = ~lives | (self._has_before[changed] & ~is_followed)
        self._is_counted[changed] = lives
        for rows in self.charging.charge(self.world, skip):
            of, amounts = rows["map_id"].astype(np.int64), self._amounts(rows)
            sites = self._sites(of, rows["stack_id"].astype(np.int64))
            np.add.at(self.site_holdings, sites, amounts)
            self._charges.put_in(of, sites, amounts)
        np.add.at(self.site_holdings, *self._of_one(changed))

    def _of_one(self, map_ids: I64) -> tuple[I64, I64]:
        """Return sites and amounts of those of the maps that are charged to a single stack."""
        charged_to = self.charging.charged_to[map_ids]
        of = map_ids[charged_to != vocabulary.NONE]
        return self._sites(of, self.charging.charged_to[of].astype(np.int64)), self.charging.holdings[:, of].T

    def _sites(self, map_ids: I64, stacks: I64) -> I64:
        """Return the site of each stack; for stack 0, the site of the stack that stands for it in the row's map."""
        found: I64 = self._site_of_stack[np.where(stacks == BEFORE, self._origin[map_ids], stacks)]
        return found

    def _amounts(self, rows: Rows) -> I64:
        """Return `schema.HOLDINGS` that rows charge in the view, ``(rows, HOLDINGS)``."""
        return np.stack([amount(lambda name: rows[name], self._view, name) for name in AMOUNTS], axis=1)

    def of_maps(self, ids: I64) -> I64:
        """Return `MEASURES` of some maps at the last stop, ``(ids, MEASURES)``; zeros for maps not known yet."""
        out = np.zeros((len(ids), len(MEASURES)), np.int64)
        seen = ids < self.map_count
        out[:, 0] = self._is_counted[ids]
        maps, extras = self.world.maps, self.world.extras
        for n, name in enumerate(OPERATIONS, 1):
            out[seen, n] = (maps if name in OF_MAPS else extras)[name][ids[seen]]
        out[seen, -HOLDINGS:] = self.charging.holdings[:, ids[seen]].T
        place = np.full(len(self._is_counted), NOWHERE, np.int64)
        place[self._lifetimes.before] = np.where(self._is_as_before, np.arange(len(self._is_as_before)), NOWHERE)
        here = np.flatnonzero(place[ids] != NOWHERE)
        out[here, -HOLDINGS:] = self._lifetimes.amounts[place[ids[here]]]
        return out

    def of_sites(self, ids: I64) -> I64:
        """Return `MEASURES` of some sites at the last stop, ``(ids, MEASURES)``."""
        return self._of_every_site()[ids]

    def of_all(self) -> I64:
        """Return `MEASURES` of all maps at the last stop, ``(MEASURES,)``: summed over sites, as these are fewer."""
        found: I64 = self._of_every_site().sum(axis=0)
        return found

    def _of_every_site(self) -> I64:
        sites = len(self.site_holdings)
        out = np.zeros((sites, len(MEASURES)), np.int64)
        counted = np.flatnonzero(self._is_counted)
        made = self.world.facts["created_by"][counted[counted < self.map_count]]
        out[:, 0] = np.bincount(self._site_of_stack[made], minlength=sites)
        out[0, 0] += np.count_nonzero(counted >= self.map_count)
        done = self.world.stacks
        np.add.at(out[:, 1:-HOLDINGS], self._site_of_stack, np.stack([done[name] for name in OPERATIONS], axis=1))
        out[:, -HOLDINGS:] = self.site_holdings
        here = self._is_as_before
        of_before = self._site_of_stack[self._lifetimes.stacks[here]]
        np.add.at(out[:, -HOLDINGS:], of_before, self._lifetimes.amounts[here])
        return out


def walk(
    events: Iterable[pa.RecordBatch],
    replay: SteppedReplay,
    at_ns: I64,
    until_ns: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[int]:
    """Feed events to a replay, and yield the time of each stop while the replay is at that time.

    Parameters
    ----------
    events
        Batches of packed events, in order.
    at_ns
        Times of the stops in ascending order [ns on the clock of the events], ``(points,)``.
    until_ns
        Leave out later events; None: replay all.
    progress
        Called after each batch with its number of events.
    """
    to_come, latest_ns = deque(at_ns.tolist()), 0
    for batch, next_ns in _with_next(events):
        if until_ns is not None:
            batch = select(batch, times(batch) <= until_ns)
        when, feed = times(batch), replay.begin(batch)
        for end, stop_ns in _stops(when, latest_ns, next_ns, to_come):
            replay.advance(feed, end)
            replay.stop(stop_ns)
            yield stop_ns
        replay.advance(feed, len(when))
        latest_ns = max(latest_ns, int(when.max(initial=0)))
        if progress:
            progress(batch.num_rows)
    for stop_ns in to_come:
        replay.stop(stop_ns)
        yield stop_ns


def _with_next(events: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, np.uint64]]:
    """Yield each batch with the time of the earliest event in the next batch."""
    held: pa.RecordBatch | None = None
    for batch in events:
        if held is not None:
            yield held, times(batch).min(initial=NEVER)
        held = batch
    if held is not None:
        yield held, NEVER


def _stops(when: U64, latest_ns: int, next_ns: np.uint64, to_come: deque[int]) -> list[tuple[int, int]]:
    """Return the rows of a batch before which to stop, each with the time of the stop; take these from `to_come`.

    At a stop all events up to its time are applied, and none after.
    """
    before = np.maximum.accumulate(np.r_[np.uint64(latest_ns), when])
    behind = np.minimum.accumulate(np.r_[when, next_ns][::-1])[::-1]
    rows = np.flatnonzero(before < behind)
    found: list[tuple[int, int]] = []
    while to_come and len(rows) and to_come[0] < behind[rows[-1]]:
        at = to_come.popleft()
        row = rows[np.searchsorted(behind[rows], np.uint64(at), side="right")]
        stop_ns = max(at, int(before[row]))
        if not found or found[-1][1] < stop_ns:
            found.append((int(row), stop_ns))
    return found
