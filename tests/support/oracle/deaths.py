"""The end of a map: its entries leave the live counters, its buckets are given back, its last operation is counted."""

from __future__ import annotations

import numpy as np

from support.oracle.ledger import (
    HEADER,
    IS_DEAD,
    KEY,
    MODELLED,
    NO_HEADER,
    ON_STACK,
    ON_STACKS,
    PENDING,
    Context,
    Ledger,
    add_live,
    presume,
)
from support.oracle.model import classic, swiss
from support.oracle.model.state import State, int64


def drop_live(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Take every live entry of map `m` out of the live counters: it is about to be cleared, or died."""
    is_swiss = context.is_swiss[0]
    if is_swiss:
        n = swiss.list_buckets(state, m, state.listed, state.listed_parts)
    else:
        n = classic.list_buckets(state, m, state.listed, state.listed_parts)
    for k in range(n):
        b = np.int64(state.listed[k])
        control = state.control[b]
        live = swiss.live_mask(control) if is_swiss else classic.live_mask(control)
        for j in range(8):
            if live & (np.uint64(0x80) << np.uint64(8 * j)):
                add_live(ledger, context, m, int64(state.insert_stacks[b, j]), -1)


def bury(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Map `m` is no more: its entries and buckets are gone, its counts stay."""
    if ledger.facts[m, MODELLED] and ledger.facts[m, PENDING]:
        presume(ledger, m)
    if ledger.words[m, KEY] >= ON_STACK:
        ledger.tops[ON_STACKS] -= 1
    ledger.facts[m, IS_DEAD] = 1
    ledger.facts[m, HEADER] = NO_HEADER
    if ledger.facts[m, MODELLED]:
        drop_live(state, ledger, context, m)
    if context.is_swiss[0]:
        swiss.forget(state, m)
    else:
        classic.forget(state, m)
