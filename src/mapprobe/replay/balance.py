"""The balance of a recording's end: the census says which maps live, replay says what they hold and who filled them.

Replay knows every map that had an event, but not which of these maps the process has dropped. The census of the end
knows every map that the process has, but not who filled it. `reconcile` puts the two together, once, for every report:

    in both             alive: as replayed, if replay agrees with the census; else as the census read the map
    in replay alone     dead; but unknown if it has no buckets, or is on a stack that the census did not look at
    in the census alone alive, as the census read the map: filled before the recording, or untouched

Nobody knows whether an `unknown` map lives: its figures are 0 in the tables, and its bounds and `Replayed.unsettled`
say what it would hold if it lived. Without a census of the end, only the maps that were read at the end are known to
live. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mapprobe.arrays import I64, U64, Flags
from mapprobe.model.holdings import ALLOCATED, BUCKETS, LIVE
from mapprobe.model.places import place_key
from mapprobe.recording.inputs import Inputs, Taken
from mapprobe.recording.sites import Sites
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.charges import NEVER_USED, charged
from mapprobe.replay.from_census import Held, hold, lives_of, origins, replaced, with_more
from mapprobe.replay.recharged import with_bytes
from mapprobe.vocabulary import BEFORE, Inexact, Liveness, MapState, Source, View

NOWHERE = -1
STATES = (MapState.DEAD, MapState.ALIVE, MapState.UNKNOWN)
DEAD, ALIVE, UNKNOWN = range(3)
AMOUNTS = [column.name for column in schema.HOLDINGS]


def reconcile(replayed: Replayed, inputs: Inputs) -> Replayed:
    """Settle which maps of a replay live at the recording's end, and what they hold.

    Parameters
    ----------
    replayed
        The result of replaying all events up to the end (`last_read.before_end`).

    Returns
    -------
    The tables of `replayed`, settled: dead and unknown maps hold nothing, maps that only the census knows are added,
    and each map says its source and its bounds.
    """
    states = _states(replayed.maps)
    if inputs.end is None:
        return _without_end(replayed, inputs, states)
    end = _Census.of(inputs.end, inputs)
    row = end.rows_of(replayed.maps)
    states = _judged(replayed.maps, row, end, inputs.end)
    found = _as_read(replayed, row, states, end, inputs)
    is_met = np.zeros(len(end.lives), np.bool_)
    is_met[row[(row != NOWHERE) & (states == ALIVE)]] = True
    rest = inputs.end.rows.filter(pa.array(end.lives & ~is_met & ~_are_left_over(inputs.end.rows, inputs)))
    found = with_more(found, rest, inputs, inputs.end.started_ns)
    return _settled(found, np.append(states, np.full(len(rest), ALIVE)), inputs.sites, row, end)


def _without_end(replayed: Replayed, inputs: Inputs, states: I64) -> Replayed:
    """Settle a recording without a census of the end: nobody knows which maps of the start still live."""
    if inputs.start is None:
        return _settled(replayed, states, inputs.sites)
    start, row = _Census.of(inputs.start, inputs), of_start(replayed.maps, inputs)
    found = _as_read(replayed, row, states, start, inputs, is_old=True)
    is_met = np.zeros(len(start.lives), np.bool_)
    is_met[row[row != NOWHERE]] = True
    rest = inputs.start.rows.filter(pa.array(start.lives & ~is_met))
    found = with_more(found, rest, inputs, inputs.start.started_ns)
    return _settled(found, np.append(states, np.full(len(rest), UNKNOWN)), inputs.sites, row, start)


def reconcile_at(replayed: Replayed, whole: Replayed, inputs: Inputs, until_ns: int) -> Replayed:
    """Settle which maps of a replay up to a time lived at that time, and what they held.

    A map that lives at the end, or that has a later event, lived at that time; when the other maps died, nobody knows.
    A map from before the recording that was not touched by then holds what the census of the start read.

    Parameters
    ----------
    replayed
        The result of replaying the events up to the time.
    whole
        The result of `reconcile`: its first maps are those of `replayed`.
    until_ns
        The time, on the clock of the events.
    """
    count, is_later = len(replayed.maps), later(whole.maps, until_ns)
    states = np.where(is_later[:count], ALIVE, UNKNOWN)
    states[_states(replayed.maps) == DEAD] = DEAD
    if inputs.start is None:
        return _settled(replayed, states, inputs.sites)
    start = _Census.of(inputs.start, inputs)
    row = of_start(replayed.maps, inputs)
    found = _as_read(replayed, row, states, start, inputs, is_old=True)
    is_met, lives_on = (np.zeros(len(start.lives), np.bool_) for _ in range(2))
    first = of_start(whole.maps, inputs)
    is_met[first[:count][first[:count] != NOWHERE]] = True
    lives_on[first[is_later & (first != NOWHERE)]] = True
    for is_it, state in ((lives_on, ALIVE), (~lives_on, UNKNOWN)):
        rest = inputs.start.rows.filter(pa.array(start.lives & ~is_met & is_it))
        found = with_more(found, rest, inputs, inputs.start.started_ns)
        states = np.append(states, np.full(len(rest), state))
    return _settled(found, states, inputs.sites, row, start)


def of_start(maps: pa.Table, inputs: Inputs) -> I64:
    """Return the row of each map in the census of the start; `NOWHERE` for a map that was made later."""
    if inputs.start is None:
        return np.full(len(maps), NOWHERE, np.int64)
    found = _Census.of(inputs.start, inputs).rows_of(maps, dead=True)
    was_there = np.asarray(maps["generation"], np.int64) == 1
    was_there &= np.asarray(maps["created_by"], np.int64) == BEFORE
    return np.where(was_there, found, NOWHERE)


def later(maps: pa.Table, at_ns: int) -> Flags:
    """Return which maps of a whole recording are known to have lived at a time, if they were made by then."""
    found: Flags = (_states(maps) == ALIVE) | (np.asarray(maps["last_ns"], np.uint64) > np.uint64(at_ns))
    return found


@dataclass(frozen=True, slots=True)
class _Census:
    """A census, indexed by the places of its maps; one row a map but for `keys` and `order`.

    Attributes
    ----------
    keys
        The keys of the maps' places (`model.places.place_key`), sorted.
    order
        The census row of each of `keys`.
    held
        What each map holds, ``(maps, HOLDINGS)``, and its bounds.
    """

    keys: U64
    order: I64
    lives: Flags
    held: Held
    grown_by: I64
    type_id: I64
    read_ns: U64

    @classmethod
    def of(cls, taken: Taken, inputs: Inputs) -> _Census:
        rows = taken.rows
        places = (np.array(rows[name], np.uint64) for name in ("map_addr", "goid", "stack_offset"))
        keys = place_key(*places)
        order = np.argsort(keys, kind="stable")
        grown_by, type_id = (np.array(rows[name], np.int64) for name in ("grown_by", "type_id"))
        read_ns = np.maximum(np.array(rows["read_ns"], np.uint64), np.uint64(taken.started_ns))
        return cls(keys[order], order, lives_of(rows), hold(rows, inputs), grown_by, type_id, read_ns)

    def rows_of(self, maps: pa.Table, *, dead: bool = False) -> I64:
        """Return the census row of each map; `NOWHERE` for a map that the census does not have.

        Parameters
        ----------
        dead
            True: also look for maps that replay knows to be dead. False: dead maps are `NOWHERE`.
        """
        found = np.full(len(maps), NOWHERE, np.int64)
        if not len(self.keys):
            return found
        keys = place_key(*(np.array(maps[name], np.uint64) for name in ("map_addr", "goid", "stack_offset")))
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        is_it = (self.keys[at] == keys) & (dead | (_states(maps) != DEAD))
        found[is_it] = self.order[at[is_it]]
        return found


def _states(maps: pa.Table) -> I64:
    """Return the row in `STATES` of each map's state."""
    return np.asarray(pc.index_in(maps["state"], pa.array(list(map(str, STATES)))), np.int64)


def _judged(maps: pa.Table, row: I64, end: _Census, taken: Taken) -> I64:
    """Return the state of each map at the end."""
    before, is_met = _states(maps), row != NOWHERE
    was_read = before == ALIVE
    is_here = is_met.copy()
    is_here[is_met] = end.lives[row[is_met]]
    on_stack = np.asarray(maps["stack_offset"], np.int64) != 0
    # A census leaves out maps without buckets, and headers on stacks where it does not look for headers.
    is_out_of_sight = np.where(on_stack, not taken.sees_stacks, np.asarray(maps["buckets"], np.int64) == 0)
    is_out_of_sight &= np.asarray(pc.equal(maps["source"], str(Source.REPLAYED)), np.bool_) | on_stack
    was_made = np.asarray(maps["created_by"], np.int64) != BEFORE
    is_new = was_made & (np.asarray(maps["created_ns"], np.uint64) > np.uint64(taken.ended_ns))
    found = np.where(is_met, np.where(is_here, ALIVE, DEAD), np.where(was_read, ALIVE, DEAD))
    found = np.where(~was_read & (~is_met & is_out_of_sight | is_new), UNKNOWN, found)
    return np.where(before == DEAD, DEAD, found)


def _are_left_over(rows: pa.Table, inputs: Inputs) -> Flags:
    """Return which rows of a census are headers left over on stacks, if their maps had no event.

    On the stack of a running goroutine a header in use looks like one that was left over. If every operation was seen
    from the first instruction on, a map without an event holds nothing, so its row is a header left over.
    """
    saw_everything = inputs.knows_entries and not (inputs.attached or inputs.is_cut or len(inputs.gaps))
    found: Flags = (np.asarray(rows["liveness"], np.int64) == Liveness.ON_STACK) & saw_everything
    return found


def _as_read(
    replayed: Replayed, row: I64, states: I64, end: _Census, inputs: Inputs, *, is_old: bool = False
) -> Replayed:
    """Give maps the figures of a census if replay has none, or if they differ.

    Parameters
    ----------
    is_old
        True for the census of the start: operations since then that were not followed may have changed everything.
    """
    maps = replayed.maps
    is_met = (row != NOWHERE) & (states == ALIVE)
    of = np.where(is_met, row, 0)
    if not is_met.any():
        return replayed
    types = np.array(maps["type_id"], np.int64)
    is_unnamed = is_met & (types < 0)
    types[is_unnamed] = end.type_id[of[is_unnamed]]
    maps = replaced(maps, "type_id", pa.array(types))
    is_other_size = _bucket_bytes(types, inputs) != _bucket_bytes(end.type_id[of], inputs)
    is_taken = is_met & _are_of_memory(maps, of, end)
    if not is_old:
        is_taken |= is_met & _are_read_as_others(maps, of, end, is_other_size)
        is_corrected = is_met & ~is_taken & ~is_other_size & _take_other_bytes(maps, of, end)
        replayed = with_bytes(replace(replayed, maps=maps), is_corrected, end.held.amounts[of, ALLOCATED])
        maps = replayed.maps
    taken = np.flatnonzero(is_taken)
    if not len(taken):
        return replace(replayed, maps=maps)
    is_other = is_taken & is_other_size
    types[is_other] = end.type_id[of[is_other]]
    maps = replaced(maps, "type_id", pa.array(types))
    inexact = np.array(maps["inexact"], np.int64)
    inexact[taken] = np.where(inexact[taken] == Inexact.EXACT, Inexact.HEADER_MISMATCH, inexact[taken])
    inexact[is_taken & ~end.held.is_settled[of]] = Inexact.NEVER_STILL
    maps = replaced(maps, "inexact", pa.array(inexact))
    is_known = end.held.is_settled[of] & (not is_old)
    sources = np.where(is_known, str(Source.READ), str(Source.BOUNDED))
    maps = replaced(maps, "source", pc.if_else(pa.array(is_taken), pa.array(sources.tolist()), maps["source"]))
    for column, name in enumerate(AMOUNTS):
        amounts = np.where(is_taken, end.held.amounts[of, column], np.asarray(maps[name]))
        maps = replaced(maps, name, pa.array(amounts))
    for name, bound in end.held.bounds.items():
        theirs = pa.array(bound[of])
        if is_old:
            theirs = pa.nulls(len(of), pa.int64()) if name.startswith("most") else pa.array(np.zeros_like(of))
        maps = replaced(maps, name, pc.if_else(pa.array(is_taken), theirs, maps[name]))
    maps = _charged_to_nobody(maps, is_taken, _known(replayed, end.grown_by[of]), types, inputs.sites)
    return replace(replayed, maps=maps, charges=_of_maps(replayed.charges, ~is_taken))


def _of_maps(charges: pa.Table, which: Flags) -> pa.Table:
    """Return the rows of `schema.CHARGES` whose maps are flagged in `which`, ``(maps,)``; no copy if all are."""
    is_it = which[np.asarray(charges["map_id"], np.int64)]
    return charges if is_it.all() else charges.filter(pa.array(is_it))


def _charged_to_nobody(maps: pa.Table, is_it: Flags, grown_by: I64, types: I64, sites: Sites) -> pa.Table:
    """Charge some maps to stack 0, as nobody was seen to fill them; `grown_by` says who grew them (0: not known)."""
    origin = np.zeros(len(maps), np.int64)
    origin[is_it] = origins(sites, grown_by[is_it], types[is_it])
    growth_origin = np.where(grown_by != BEFORE, grown_by, origin)
    found = {"charged_to": BEFORE, NEVER_USED: 0, "origin": pa.array(origin), "growth_origin": pa.array(growth_origin)}
    for name, values in found.items():
        maps = replaced(maps, name, pc.if_else(pa.array(is_it), values, maps[name]))
    return maps


def _are_of_memory(maps: pa.Table, of: I64, end: _Census) -> Flags:
    """Return which maps take their figures from the census.

    A map takes them if replay could not follow it, or if replay and census differ although no event came after the
    census read the map. A map that was read by itself at the end keeps the figures of that read, unless it was read as
    another type of map (`_are_read_as_others`).
    """
    is_followed = np.asarray(pc.equal(maps["source"], str(Source.REPLAYED)), np.bool_)
    was_read = _states(maps) == ALIVE
    differs = np.zeros(len(maps), np.bool_)
    for name, column in (("live_slots", LIVE), ("buckets", BUCKETS)):
        differs |= np.asarray(maps[name], np.int64) != end.held.amounts[of, column]
    found: Flags = ~was_read & (~is_followed | _are_comparable(maps, of, end) & differs)
    return found


def _are_read_as_others(maps: pa.Table, of: I64, end: _Census, is_other_size: Flags) -> Flags:
    """Return which maps, by the census, were read at the end as another type of map than they are.

    A map is read with the type of its events. If events were lost, another map may have its address by then.

    Parameters
    ----------
    is_other_size
        Which maps have buckets of another size by the census.
    """
    was_read = _states(maps) == ALIVE
    is_followed = np.asarray(pc.equal(maps["source"], str(Source.REPLAYED)), np.bool_)
    differs = np.asarray(maps["buckets"], np.int64) != end.held.amounts[of, BUCKETS]
    is_other = differs | is_other_size & _have_other_bytes(maps, of, end)
    found: Flags = was_read & ~is_followed & _are_comparable(maps, of, end) & is_other
    return found


def _take_other_bytes(maps: pa.Table, of: I64, end: _Census) -> Flags:
    """Return which maps have the entries and buckets of the census, but other bytes, and take the bytes of the census.

    If a map was read from memory, replay does not know which of its overflow buckets were allocated with an array. Maps
    that were followed from their creation keep their bytes: replay knows all of their buckets.
    """
    is_exact = np.asarray(maps["inexact"], np.int64) == Inexact.EXACT
    same = np.asarray(maps["live_slots"], np.int64) == end.held.amounts[of, LIVE]
    same &= np.asarray(maps["buckets"], np.int64) == end.held.amounts[of, BUCKETS]
    found: Flags = ~is_exact & _are_comparable(maps, of, end) & same & _have_other_bytes(maps, of, end)
    return found


def _have_other_bytes(maps: pa.Table, of: I64, end: _Census) -> Flags:
    """Return which maps have other allocated bytes by the census."""
    found: Flags = np.asarray(maps["allocated_bytes"], np.int64) != end.held.amounts[of, ALLOCATED]
    return found


def _are_comparable(maps: pa.Table, of: I64, end: _Census) -> Flags:
    """Return which maps the census read at one moment, after all of their events."""
    found: Flags = end.held.is_settled[of] & (np.asarray(maps["last_ns"], np.uint64) < end.read_ns[of])
    return found


def _bucket_bytes(types: I64, inputs: Inputs) -> I64:
    """Return the bytes of one bucket of each type; 0 if the type is not known."""
    found: I64 = np.append(np.array(inputs.types["bucket_bytes"], np.int64), 0)[types]
    return found


def _known(replayed: Replayed, grown_by: I64) -> I64:
    """Return the stack that grew each map: the one that was seen to grow most of it, else the one the census names."""
    charges = charged(replayed, View.GROWTH)
    rows = np.flatnonzero(charges.stack_id != BEFORE)
    rows = rows[np.argsort(charges.column("slots")[rows], kind="stable")]  # the largest part is written last, and stays
    found = grown_by.copy()
    found[charges.map_id[rows]] = charges.stack_id[rows]
    return found


def _settled(
    replayed: Replayed, states: I64, sites: Sites, row: I64 | None = None, end: _Census | None = None
) -> Replayed:
    """Write these states into the tables: only maps that are alive hold anything.

    With a census, also name the stacks that stand for what was done before the recording.
    """
    maps, charges, is_alive = replayed.maps, replayed.charges, states == ALIVE
    if row is not None and end is not None:
        maps = _with_origins(maps, np.append(row, np.full(len(maps) - len(row), NOWHERE)), end, sites)
    columns: dict[str, Any] = {"state": pa.array(list(map(str, STATES))).take(pa.array(states))}
    columns |= {name: pa.array(np.where(is_alive, np.asarray(maps[name]), 0)) for name in (*AMOUNTS, NEVER_USED)}
    columns["least_retained_bytes"] = pa.array(np.where(is_alive, np.asarray(maps["least_retained_bytes"]), 0))
    is_dead = pa.array(states == DEAD)
    columns["charged_to"] = pc.if_else(is_dead, None, maps["charged_to"])
    for name in ("most_retained_bytes", "most_allocated_bytes"):
        columns[name] = pc.if_else(is_dead, 0, maps[name])
    for name, values in columns.items():
        maps = replaced(maps, name, values)
    return Replayed(
        maps=maps,
        charges=_of_maps(charges, is_alive),
        stack_operations=replayed.stack_operations,
        peaks=replayed.peaks,
        unsettled=_of_maps(charges, states == UNKNOWN),
    )


def _with_origins(maps: pa.Table, row: I64, end: _Census, sites: Sites) -> pa.Table:
    """Name the stack that stands for unseen operations on each map, and for growth the stack that the census names."""
    rows = np.flatnonzero(row != NOWHERE)
    of_census = row[rows]
    grown_by = end.grown_by[of_census]
    stands_for = origins(sites, grown_by, np.asarray(maps["type_id"], np.int64)[rows])
    stands_for = np.where(stands_for == BEFORE, origins(sites, grown_by, end.type_id[of_census]), stands_for)
    who_grew = np.where(grown_by != BEFORE, grown_by, stands_for)
    for name, found in (("origin", stands_for), ("growth_origin", who_grew)):
        origin = np.array(maps[name], np.int64)
        origin[rows] = np.where(origin[rows] == BEFORE, found, origin[rows])
        maps = replaced(maps, name, pa.array(origin))
    return maps
