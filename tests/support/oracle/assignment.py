"""One assignment to a key of a replayed map: its effect in the model, and the stack that it counts for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mapprobe import vocabulary
from mapprobe.vocabulary import Inexact
from support.oracle.deaths import drop_live
from support.oracle.ledger import (
    ARRAY,
    GROWN_BY,
    GROWTHS,
    HEADER,
    INEXACT,
    INSERTS,
    MODELLED,
    NO_HEADER,
    PEAK,
    STACK_GROWTHS,
    STACK_INSERTS,
    UNEQUAL,
    Context,
    Ledger,
    add_live,
)
from support.oracle.model import classic, swiss
from support.oracle.model.state import LOG2, State


class Assignment(NamedTuple):
    """An assignment to a key.

    Attributes
    ----------
    stack
        Who did it.
    prunes
        Whether the function that did it prunes tombstones.
    entries
        How many there were before it.
    is_evacuated
        A growth's part of it was done before.
    """

    hash: np.uint64
    key_type: np.uint64
    stack: int
    prunes: bool
    entries: int
    is_evacuated: bool


def assign(state: State, ledger: Ledger, context: Context, m: int, by: Assignment) -> int:
    """Let the model assign to a key of map `m`; count an insert, and growths; return as the model's `insert`."""
    is_swiss, stack = context.is_swiss[0], by.stack
    log2_before = state.maps[m, LOG2]
    if is_swiss:
        done = swiss.insert(state, m, by.hash, by.key_type, stack, by.prunes)
        if done == swiss.NO_ROOM:
            return done
    else:
        if not by.is_evacuated:
            classic.begin_insert(state, m, by.hash, stack)
        done = classic.insert_evacuated(state, m, by.hash, by.key_type, stack)
    if done & 1:
        ledger.facts[m, INSERTS] += 1
        ledger.stacks[stack, STACK_INSERTS] += 1
        add_live(ledger, context, m, stack, 1)
        ledger.facts[m, PEAK] = max(ledger.facts[m, PEAK], by.entries + 1)
    growths = done >> 1
    # a classic growth of the same size does not hash again
    has_rehashed = growths > 0 and (is_swiss or state.maps[m, LOG2] != log2_before)
    if has_rehashed and ledger.facts[m, UNEQUAL]:
        drop_live(state, ledger, context, m)
        ledger.facts[m, INEXACT] = np.int64(Inexact.UNEQUAL_KEYS)
        ledger.facts[m, MODELLED] = 0
        if context.sees_growths[0]:  # they follow, and will be counted
            growths = 0
    if growths:
        ledger.facts[m, GROWTHS] += growths
        ledger.stacks[stack, STACK_GROWTHS] += growths
    if done >> 1:
        ledger.facts[m, GROWN_BY] = stack
        ledger.words[m, ARRAY] = np.uint64(0)
        ledger.facts[m, HEADER] = NO_HEADER
    if by.key_type == vocabulary.UNEQUAL_KEY:
        ledger.facts[m, UNEQUAL] = 1
    return done
