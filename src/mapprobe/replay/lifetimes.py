"""The lifetimes of maps: until when each is known to have lived, and what it held at the start of the recording.

A replay that stops at many times uses these arrays as a report at one time uses `balance.reconcile_at`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from mapprobe import vocabulary
from mapprobe.arrays import I64, U64
from mapprobe.model.holdings import VIEW_GROWTH
from mapprobe.recording.inputs import Inputs
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.replay.balance import NOWHERE, of_start
from mapprobe.replay.from_census import hold, origins
from mapprobe.vocabulary import BEFORE, MapState, View

NEVER = np.uint64((1 << 64) - 1)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """When maps end, and what they held at the start.

    Attributes
    ----------
    until_ns
        Time before which each map of the whole recording is known to live [ns], ``(maps,)``; the largest number for
        maps that live at the end.
    before
        Map ids of the maps that the census of the start read, ``(n,)``.
    stacks
        The stack that is charged for what each of the maps `before` held, ``(n,)``.
    amounts
        What each of the maps `before` held, ``(n, HOLDINGS)``.
    """

    until_ns: U64
    before: I64
    stacks: I64
    amounts: I64


def lifetimes(whole: Replayed, inputs: Inputs, view: View) -> Lifetimes:
    """Return the lifetimes of the maps of a recording.

    Parameters
    ----------
    whole
        The result of `balance.reconcile`.
    view
        The view that says which stack is charged.
    """
    maps = whole.maps
    lives = np.asarray(pc.equal(maps["state"], str(MapState.ALIVE)), np.bool_)
    until_ns = np.where(lives, NEVER, np.asarray(maps["last_ns"], np.uint64))
    if inputs.start is None:
        nothing = np.zeros(0, np.int64)
        return Lifetimes(until_ns, nothing, nothing, np.zeros((0, len(schema.HOLDINGS)), np.int64))
    row = of_start(maps, inputs)
    before = np.flatnonzero(row != NOWHERE)
    row, rows = row[before], inputs.start.rows
    grown_by, types = (np.array(rows[name], np.int64)[row] for name in ("grown_by", "type_id"))
    known = np.asarray(maps["type_id"], np.int64)[before]
    stacks = origins(inputs.sites, grown_by, known)
    stacks = np.where(stacks == BEFORE, origins(inputs.sites, grown_by, types), stacks)
    if vocabulary.VIEWS.index(view) == VIEW_GROWTH:
        stacks = np.where(grown_by != BEFORE, grown_by, stacks)
    return Lifetimes(until_ns, before, stacks, hold(rows, inputs).amounts[row])
