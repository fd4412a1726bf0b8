"""The close of a replay, after the last event: mark which maps died or lost events, and settle their last operations.

Pure: a world and tables in, the world changed in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe import _core
from mapprobe.arrays import U64, Flags
from mapprobe.model.core import DEAD, MODELLED, World, batch_of_headers, out_of_memory
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import NOT_WATCHED, EventKind, Inexact

Headers = dict[str, npt.NDArray[Any]]
"""Columns of `schema.EVENTS`."""
HeaderWords = tuple[int, bool, bool, int, int, int, int, int]
"""A header as the core compares it: count, array_is_nil, is_growing, flags, log2_size, overflow_count,
directory_length, evacuated."""

NEVER = np.uint64((1 << 64) - 1)
HEADERS_AT_ONCE = 1 << 16


def headers_of(snapshot: pa.Table) -> Headers:
    """Return the headers of `schema.SNAPSHOT_MAPS` as columns of events, so that one rule judges headers and events.

    The column ``type_id`` is left out: a header does not say the type of its map.
    """
    types = {c.name: c.type.to_pandas_dtype() for c in schema.EVENTS.columns if c.name != "type_id"}
    return {name: np.array(snapshot[name], types[name]) for name in types if name in snapshot.column_names}


def words_of(headers: Headers, row: int) -> HeaderWords:
    """Return the header in a row as the core compares headers."""
    numbers = ("flags", "log2_size", "overflow_count", "directory_length", "evacuated")
    flags, log2_size, overflow_count, directory_length, evacuated = (int(headers[name][row]) for name in numbers)
    is_nil, is_growing = (bool(headers[name][row] == of) for name, of in (("array_addr", 0), ("old_array_addr", 0)))
    count = int(headers["count"][row])
    return count, is_nil, not is_growing, flags, log2_size, overflow_count, directory_length, evacuated


def judge(world: World, looked_at: pa.Table) -> None:
    """Mark the maps that had died by the time their memory was read, and settle the last operation of the others.

    A map has died if the collector had freed its header, or if the words in its place can't be its header: the next
    owner of that memory has begun to use it.

    Parameters
    ----------
    looked_at
        The rows of `schema.SNAPSHOT_MAPS` of the end.
    """
    for start in range(0, len(looked_at), HEADERS_AT_ONCE):
        part = looked_at.slice(start, HEADERS_AT_ONCE)
        died = np.array(part["died"], np.bool_)
        try:
            _core.judge(world.handle, batch_of_headers(headers_of(part), len(died)), died)
        except MemoryError:
            raise out_of_memory() from None
    _core.presume_all(world.handle)


def mark_lost(world: World, gaps: pa.Table, points: pa.Table, until_ns: int | None) -> None:
    """Mark every map that lived while events were lost, or not watched: a lost event may be of any of these maps.

    The model keeps the maps that were read again afterwards. If creations were not watched during a gap, a map that is
    first seen later may have been made in the gap: nobody knows that it was there before the recording.
    """
    kinds = dict(zip(points["point"].to_pylist(), points["kind"].to_pylist(), strict=True))
    facts, extras = world.facts, world.extras
    buried_ns, lost_ns = _buried_ns(world), np.full(len(facts), NEVER)
    columns = [gaps[name].to_pylist() for name in ("from_ns", "to_ns", "reason")]
    hides = [kinds.get(point) in (EventKind.CREATE, EventKind.CLONE) for point in gaps["point"].to_pylist()]
    for start, end, reason, hides_creations in sorted(set(zip(*columns, hides, strict=True))):
        why = Inexact.NOT_WATCHED if reason == NOT_WATCHED else Inexact.EVENTS_LOST
        if until_ns is not None and start > until_ns:
            continue
        lived = (facts["created_ns"] <= end) & (buried_ns > start)
        facts["inexact"][lived & (facts["inexact"] == 0)] = why
        unfollow(world, lived & (extras["resumed_ns"] <= end))
        # maps that were not empty when first seen: their creation is among the lost events
        unexplained = [Inexact.OUT_OF_SIGHT] + [Inexact.BEFORE_RECORDING] * (hides_creations and reason == NOT_WATCHED)
        appeared = np.isin(facts["inexact"], unexplained) & (facts["created_ns"] >= start)
        facts["inexact"][appeared] = why
        lost_ns[lived] = np.minimum(lost_ns[lived], np.uint64(start))
    _mark_clones(world, lost_ns)


def unfollow(world: World, which: Flags | npt.NDArray[np.int64]) -> None:
    """Stop following some maps in the model, given by their numbers or by flags ``(maps,)``."""
    world.maps["state"][which] &= np.uint8(~MODELLED & 0xFF)


def _mark_clones(world: World, lost_ns: U64) -> None:
    """Mark clones, and clones of clones, whose original had lost events before it was cloned.

    Parameters
    ----------
    lost_ns
        When each map first lost events [ns], ``(maps,)``; set for the clones that are marked.
    """
    facts, extras = world.facts, world.extras
    is_unfollowed = np.zeros(len(facts), np.bool_)
    for m in np.flatnonzero(extras["clone_of"]).tolist():
        original = int(extras["clone_of"][m]) - 1
        created_ns = facts["created_ns"][m]
        if lost_ns[original] >= created_ns:
            continue
        lost_ns[m] = min(lost_ns[m], created_ns)
        if not facts["inexact"][m]:
            facts["inexact"][m] = Inexact.OUT_OF_SIGHT
        is_unfollowed[m] = not extras["resumed_ns"][m]
    unfollow(world, is_unfollowed)


def _buried_ns(world: World) -> U64:
    """Return until when each map may have lived: until its frame was left, or the next map was seen in its place."""
    facts, ended_ns = world.facts, world.extras["ended_ns"]
    buried_ns = np.full(len(facts), NEVER)
    order = np.lexsort((facts["generation"], facts["key"]))
    of, next_one = order[:-1], order[1:]
    is_buried = facts["key"][of] == facts["key"][next_one]
    buried_ns[of[is_buried]] = facts["created_ns"][next_one[is_buried]]
    return np.where(ended_ns > 0, np.minimum(buried_ns, ended_ns), buried_ns)


def mark_cut(world: World) -> None:
    """Mark every map that lived at the end of a recording whose last events are missing."""
    lived, inexact = ~world.is_in_state(DEAD), world.facts["inexact"]
    inexact[lived & (inexact == 0)] = Inexact.CUT_OFF
    unfollow(world, lived)
