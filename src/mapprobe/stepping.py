"""A replay that stops at chosen times, and what every map and every site holds there.

Maps that had no event since the last stop hold what they held: only the
others are charged again. At a stop at T the figures are those of a replay up
to T (`replay(..., until_ns=T)`), to the last byte. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import ledger as rules
from mapprobe import schema
from mapprobe.charges import HOLDINGS, VIEWS, charge_maps, new_rows, new_sheet
from mapprobe.columns import NOWHERE
from mapprobe.inputs import Inputs
from mapprobe.lifetimes import Lifetimes
from mapprobe.packing import select, times
from mapprobe.replay import ROWS_AT_ONCE, Feed, Replay
from mapprobe.resync import Reading
from mapprobe.schema import BEFORE, View

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

MEASURES = tuple(name for name in schema.MEASURES if name != schema.PEAK.name)
"""What is known of each row at a stop, as int64; a peak belongs to no point of time."""
LEDGER_COLUMNS = [rules.GROWTHS, rules.INSERTS, rules.UPDATES, rules.DELETES, rules.CLEARS]
STACK_COLUMNS = [
    rules.STACK_GROWTHS, rules.STACK_INSERTS, rules.STACK_UPDATES, rules.STACK_DELETES, rules.STACK_CLEARS,
]  # fmt: skip
NEVER = np.uint64((1 << 64) - 1)


class Charges:
    """What each map charges to sites, in one view; rows of one map stand together.

    Rows of maps that were charged again stay until there is no room: a stop costs what changed, not what there is.
    """

    def __init__(self) -> None:
        self._sites, self._amounts = np.zeros(0, np.int64), np.zeros((0, HOLDINGS), np.int64)
        self._starts, self._counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._top = 0

    def take_out(self, map_ids: I64) -> tuple[I64, I64]:
        """Return sites and amounts of some maps, ``(rows,)`` and ``(rows, HOLDINGS)``, which are no more."""
        known = map_ids[map_ids < len(self._counts)]
        rows = self._rows_of(known)
        self._counts[known] = 0
        return self._sites[rows], self._amounts[rows]

    def put_in(self, map_ids: I64, sites: I64, amounts: I64) -> None:
        """Keep rows of maps that have none."""
        if not len(map_ids):
            return
        lacks = int(map_ids.max()) + 1 - len(self._counts)
        if lacks > 0:
            room = np.zeros(lacks + len(self._counts), np.int64)
            self._starts, self._counts = np.concatenate([self._starts, room]), np.concatenate([self._counts, room])
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
        room = np.zeros(len(rows) + 2 * wanted, np.int64)
        self._sites = np.concatenate([self._sites[rows], room])
        self._amounts = np.concatenate([self._amounts[rows], np.zeros((len(room), HOLDINGS), np.int64)])
        self._starts, self._top = np.cumsum(self._counts) - self._counts, len(rows)


class SteppedReplay(Replay):
    """A replay that knows at each stop what every map and every site holds.

    Attributes
    ----------
    map_holdings, site_holdings
        `schema.HOLDINGS` as of the last stop, ``(maps or more, HOLDINGS)`` and ``(sites, HOLDINGS)``; both sum to
        the same.
    """

    def __init__(self, inputs: Inputs, view: View, lifetimes: Lifetimes) -> None:
        super().__init__(inputs)
        self._view = schema.VIEWS.index(view)
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
        stacks, sites = len(self._site_of_stack), len(inputs.sites.table)
        self._sheet, self._room = new_sheet(stacks), new_rows(max(ROWS_AT_ONCE, VIEWS * stacks))
        self.map_holdings = np.zeros((len(self.ledger.words), HOLDINGS), np.int64)
        self.site_holdings = np.zeros((sites, HOLDINGS), np.int64)
        self._is_touched = np.zeros(len(self.ledger.words), np.bool_)
        self._known = self._stopped_ns = 0
        self._charges = Charges()

    def advance(self, feed: Feed, end: int) -> None:
        """Apply the events of a batch up to row `end`, and note which maps they are of.

        Looked up before and after: an event may end one generation and begin the next.
        """
        start = feed.row
        rules.note_maps(self.ledger, feed.columns, start, end, self._is_touched)
        super().advance(feed, end)
        self._make_room_to_note()
        rules.note_maps(self.ledger, feed.columns, start, end, self._is_touched)

    def _resync(self, reading: Reading) -> None:
        super()._resync(reading)
        self._make_room_to_note()
        m = rules.find(self.ledger, np.uint64(reading.addr))
        if m != NOWHERE:
            self._is_touched[m] = True

    def _make_room_to_note(self) -> None:
        if lacks := len(self.ledger.words) - len(self._is_touched):
            self._is_touched = np.concatenate([self._is_touched, np.zeros(lacks, np.bool_)])

    def stop(self, at_ns: int) -> None:
        """Find what is held at a time; every event up to then was fed, none after.

        A map that had no event since the last stop holds what it held; what is known to have lived no longer (see
        `balance.reconcile_at`) is not counted.
        """
        self._take_readings(at_ns)
        maps = self.map_count
        has_changed = self._is_touched[:maps]
        has_changed[self._known :] = True
        has_changed |= self.ledger.words[:maps, rules.ENDED_NS] > self._stopped_ns  # by events of other maps
        self._stopped_ns = at_ns
        if maps > len(self.map_holdings):
            more = np.zeros((2 * maps - len(self.map_holdings), HOLDINGS), np.int64)
            self.map_holdings = np.concatenate([self.map_holdings, more])
        self._charge_again(has_changed, at_ns)
        self._take_before(at_ns)
        self._is_touched[:maps], self._known = False, maps

    def _take_readings(self, at_ns: int) -> None:
        """Let maps that were read by then, and had no event since, be as they were read, as `close` does."""
        while self._to_come and self._to_come[0].time_ns <= at_ns:
            reading = self._to_come.popleft()
            m = rules.find(self.ledger, np.uint64(reading.addr))
            if m != NOWHERE and self.ledger.words[m, rules.LAST_NS] < reading.time_ns:
                self._resync(reading)

    def _take_before(self, at_ns: int) -> None:
        """Note which maps hold at a time what they held at the start: what was done to them nobody could follow yet."""
        of, maps = self._lifetimes.before, self.map_count
        facts = (
            self.ledger.facts[np.minimum(of, maps - 1)] if maps else np.zeros((len(of), rules.MAP_COLUMNS), np.int64)
        )
        is_seen = of < maps
        is_known = is_seen & ((facts[:, rules.MODELLED] != 0) | (facts[:, rules.IS_DEAD] != 0))
        lives = self._lifetimes.until_ns[of] > np.uint64(at_ns)
        self._is_as_before = lives & ~is_known
        self._is_counted[of[~is_seen]] = lives[~is_seen]

    def _charge_again(self, has_changed: npt.NDArray[np.bool_], at_ns: int) -> None:
        changed = np.flatnonzero(has_changed)
        self.map_holdings[changed] = 0
        sites, amounts = self._charges.take_out(changed)
        np.subtract.at(self.site_holdings, sites, amounts)
        skip, m = ~has_changed, 0
        facts = self.ledger.facts[changed]
        lives = (facts[:, rules.IS_DEAD] == 0) & (self._lifetimes.until_ns[changed] > np.uint64(at_ns))
        skip[changed] = ~lives | (self._has_before[changed] & (facts[:, rules.MODELLED] == 0))
        self._is_counted[changed] = lives
        while m < len(skip):
            args = (self.state, self._sheet, self._is_swiss, skip, m, self.map_holdings, self._room)
            m, written = charge_maps(*args)
            mine = np.flatnonzero(self._room.view_code[:written] == self._view)
            of, stacks, amounts = self._room.map_id[mine], self._room.stack[mine], self._room.amounts[:HOLDINGS, mine].T
            sites = self._site_of_stack[np.where(stacks == BEFORE, self._origin[of], stacks)]
            np.add.at(self.site_holdings, sites, amounts)
            self._charges.put_in(of, sites, amounts)

    def of_maps(self, ids: I64) -> I64:
        """Return `MEASURES` of some maps at the last stop, ``(ids, MEASURES)``; zeros for those not seen yet."""
        out = np.zeros((len(ids), len(MEASURES)), np.int64)
        seen = ids < self.map_count
        out[:, 0] = self._is_counted[ids]
        out[seen, 1:-HOLDINGS] = self.ledger.facts[ids[seen]][:, LEDGER_COLUMNS]
        out[seen, -HOLDINGS:] = self.map_holdings[ids[seen]]
        place = np.full(len(self._is_counted), NOWHERE, np.int64)
        place[self._lifetimes.before] = np.where(self._is_as_before, np.arange(len(self._is_as_before)), NOWHERE)
        here = np.flatnonzero(place[ids] != NOWHERE)
        out[here, -HOLDINGS:] = self._lifetimes.amounts[place[ids[here]]]
        return out

    def of_sites(self, ids: I64) -> I64:
        """Return `MEASURES` of some sites at the last stop, ``(ids, MEASURES)``."""
        return self._of_every_site()[ids]

    def of_all(self) -> I64:
        """Return `MEASURES` of all maps at the last stop, ``(MEASURES,)``: as sites have them, who are fewer."""
        found: I64 = self._of_every_site().sum(axis=0)
        return found

    def _of_every_site(self) -> I64:
        sites = len(self.site_holdings)
        out = np.zeros((sites, len(MEASURES)), np.int64)
        counted = np.flatnonzero(self._is_counted)
        made = self.ledger.facts[counted[counted < self.map_count], rules.CREATED_BY]
        out[:, 0] = np.bincount(self._site_of_stack[made], minlength=sites)
        out[0, 0] += np.count_nonzero(counted >= self.map_count)
        np.add.at(out[:, 1:-HOLDINGS], self._site_of_stack, self.ledger.stacks[:, STACK_COLUMNS])
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
    """Feed events to a replay, and yield the time of each stop while it stands there.

    Parameters
    ----------
    events
        Batches of packed events, in order.
    at_ns
        Where to stop, rising [ns on the clock of the events], ``(points,)``.
    until_ns
        Leave out what happened later; None: all of it.
    progress
        Is told the number of events after each batch.
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
    """Yield each batch with the first moment of the one behind it."""
    held: pa.RecordBatch | None = None
    for batch in events:
        if held is not None:
            yield held, times(batch).min(initial=NEVER)
        held = batch
    if held is not None:
        yield held, NEVER


def _stops(when: U64, latest_ns: int, next_ns: np.uint64, to_come: deque[int]) -> list[tuple[int, int]]:
    """Return before which rows of a batch to stop, and the time that this is; take those from `to_come`.

    A stop has all earlier events before it, and all later ones behind.
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
