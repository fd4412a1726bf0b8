"""The end of a replay: which maps died or lost events, and what their last operations did.

Pure: the oracle's arrays and tables in, the ledger's columns changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mapprobe.arrays import U64
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import NOT_WATCHED, EventKind, Inexact
from support.oracle import ledger as rules
from support.oracle.columns import NOWHERE, OWN, Columns, Common, new_columns
from support.oracle.doubts import presume_all, settle_doubt
from support.oracle.generations import least_count
from support.oracle.ledger import Context, Ledger
from support.oracle.model import classic, swiss
from support.oracle.model.state import State
from support.oracle.operations import agrees, has_room

NEVER = np.uint64((1 << 64) - 1)


def as_events(snapshot: pa.Table) -> Columns:
    """Return the headers of `schema.SNAPSHOT_MAPS` in the form of events, so that one rule judges both."""
    rows = len(snapshot)
    types = {c.name: c.type.to_pandas_dtype() for c in schema.EVENTS.columns}

    def column(name: str) -> npt.NDArray[Any]:
        return np.array(snapshot[name] if name in snapshot.column_names else np.zeros(rows), types[name])

    own = [np.arange(rows, dtype=np.uint32) if name == "header" else column(name) for name in OWN]
    return new_columns(own, Common(*(column(name) for name in Common._fields)))


def judge(state: State, ledger: Ledger, context: Context, looked_at: pa.Table, make_room: Callable[[], State]) -> None:
    """Mark the maps that had died by the time their memory was looked at, and settle what the others did last.

    A map has died if the collector had freed its header, or if what stood there can't be the map's: the next
    owner of its memory has begun to use it.

    Parameters
    ----------
    looked_at
        `schema.SNAPSHOT_MAPS`, those at the end.
    make_room
        Returns the state with the room that was found short.
    """
    headers, died = as_events(looked_at), np.array(looked_at["died"], np.bool_)
    row = judge_headers(state, ledger, context, headers, died, 0)
    while row < len(died):
        state = make_room()
        row = judge_headers(state, ledger, context, headers, died, row)
    presume_all(state, ledger, context)


def judge_headers(
    state: State, ledger: Ledger, context: Context, headers: Columns, died: npt.NDArray[np.bool_], start: int
) -> int:
    """Do what `judge` says, header by header from `start` on; return the one that needs more room, or the end."""
    for row in range(start, len(died)):
        m = rules.find(ledger, headers.common.map_addr[row])
        if m == NOWHERE or ledger.words[m, rules.LAST_NS] >= headers.time_ns[row]:
            continue
        in_doubt = ledger.facts[m, rules.MODELLED] != 0 and ledger.facts[m, rules.PENDING] != 0
        if in_doubt and not has_room(state, context, m):
            return row
        if died[row] or not continues(state, ledger, context, headers, row, m):
            ledger.facts[m, rules.IS_DEAD] = 1
            continue
        if in_doubt:
            settle_doubt(state, ledger, context, m, headers.count[row])
        if not ledger.facts[m, rules.MODELLED]:
            rules.settle(ledger, m, headers.count[row])
    return len(died)


def continues(state: State, ledger: Ledger, context: Context, headers: Columns, row: int, m: int) -> bool:
    """True if a header that was read can be that of map `m` after its last event."""
    seed, array = ledger.words[m, rules.SEED], ledger.words[m, rules.ARRAY]
    if not ledger.facts[m, rules.MODELLED]:
        # It may have been emptied and grown unseen: only a seed that no map has tells another owner.
        return bool(seed == 0 or headers.common.seed[row] != 0)
    if seed == 0:  # never written: what it was made with is all that it can have
        buckets = swiss.count_buckets(state, m) if context.is_swiss[0] else classic.count_buckets(state, m)
        return agrees(state, context, headers, row, m) and (buckets > 0) == (headers.common.array_addr[row] != 0)
    is_empty = least_count(state, ledger, context, m) == 0
    return bool(
        seed == headers.common.seed[row] or (is_empty and (array == 0 or array == headers.common.array_addr[row]))
    )


def mark_lost(ledger: Ledger, gaps: pa.Table, points: pa.Table, until_ns: int | None) -> None:
    """Mark every map that lived while events were lost, or not watched: any of them may have been its.

    The model holds those that were read again afterwards. Where creations were not watched, a map that is first seen
    later may have been made then: nobody knows that it was there before the recording.
    """
    kinds = dict(zip(points["point"].to_pylist(), points["kind"].to_pylist(), strict=True))
    maps = ledger.tops[rules.MAPS]
    words, facts = ledger.words[:maps], ledger.facts[:maps]
    buried_ns = _buried_ns(words, facts)
    lost_ns = np.full(maps, NEVER)
    columns = [gaps[name].to_pylist() for name in ("from_ns", "to_ns", "reason")]
    hides = [kinds.get(point) in (EventKind.CREATE, EventKind.CLONE) for point in gaps["point"].to_pylist()]
    for start, end, reason, hides_creations in sorted(set(zip(*columns, hides, strict=True))):
        why = Inexact.NOT_WATCHED if reason == NOT_WATCHED else Inexact.EVENTS_LOST
        if until_ns is not None and start > until_ns:
            continue
        lived = (words[:, rules.CREATED_NS] <= end) & (buried_ns > start)
        facts[lived & (facts[:, rules.INEXACT] == 0), rules.INEXACT] = why
        facts[lived & (words[:, rules.RESUMED_NS] <= end), rules.MODELLED] = 0
        # what was first seen when it was not empty any more: its creation is among what was lost
        unexplained = [Inexact.OUT_OF_SIGHT] + [Inexact.BEFORE_RECORDING] * (hides_creations and reason == NOT_WATCHED)
        appeared = np.isin(facts[:, rules.INEXACT], unexplained) & (words[:, rules.CREATED_NS] >= start)
        facts[appeared, rules.INEXACT] = why
        lost_ns[lived] = np.minimum(lost_ns[lived], np.uint64(start))
    _mark_clones(words, facts, lost_ns)


def _mark_clones(words: U64, facts: npt.NDArray[np.int64], lost_ns: U64) -> None:
    """Mark the clones of maps that had lost events by then, `lost_ns` at the earliest; of clones of clones too."""
    for m in np.flatnonzero(facts[:, rules.CLONE_OF]).tolist():
        original = facts[m, rules.CLONE_OF] - 1
        if lost_ns[original] >= words[m, rules.CREATED_NS]:
            continue
        lost_ns[m] = min(lost_ns[m], words[m, rules.CREATED_NS])
        if not facts[m, rules.INEXACT]:
            facts[m, rules.INEXACT] = Inexact.OUT_OF_SIGHT
        if not words[m, rules.RESUMED_NS]:
            facts[m, rules.MODELLED] = 0


def _buried_ns(words: U64, facts: npt.NDArray[np.int64]) -> U64:
    """Return until when each map may have lived: its frame was left, or the next one was seen in its place."""
    buried_ns = np.full(len(words), NEVER)
    order = np.lexsort((facts[:, rules.GENERATION], words[:, rules.KEY]))
    of, next_one = order[:-1], order[1:]
    is_buried = words[of, rules.KEY] == words[next_one, rules.KEY]
    buried_ns[of[is_buried]] = words[next_one[is_buried], rules.CREATED_NS]
    ended_ns = words[:, rules.ENDED_NS]
    return np.where(ended_ns > 0, np.minimum(buried_ns, ended_ns), buried_ns)


def mark_cut(ledger: Ledger) -> None:
    """Mark every map that lived at the end of a recording whose last events are missing."""
    facts = ledger.facts[: ledger.tops[rules.MAPS]]
    lived = facts[:, rules.IS_DEAD] == 0
    facts[lived & (facts[:, rules.INEXACT] == 0), rules.INEXACT] = Inexact.CUT_OFF
    facts[lived, rules.MODELLED] = 0
