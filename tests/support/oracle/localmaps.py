"""Maps in goroutines' stack frames: a map ends when its function returns, as an event of a shallower frame shows.

A stack grows down from its top, and distances from the top stay the same when the stack is moved: whatever is farther
from the top than the running frame is gone. The living maps of a goroutine form a list, the deepest first. An array of
buckets on the heap belongs to one map: if a second map has the array, the first map has ended, even if its goroutine
was not seen again.
"""

from __future__ import annotations

import numpy as np

from support.oracle.columns import NOWHERE, Columns
from support.oracle.deaths import bury
from support.oracle.ledger import (
    ARRAY,
    ENDED_NS,
    IS_DEAD,
    KEY,
    MODELLED,
    OF_ARRAY,
    OLDER,
    ON_STACK,
    ON_STACKS,
    Context,
    Ledger,
    enter,
    find,
    goroutine_key,
    offset_of,
)
from support.oracle.model.state import State, int64

MOST_DEEPER = 1024
NOBODY = np.uint64(0)
"""The number of no goroutine."""


def deepest_of(ledger: Ledger, goid: np.uint64) -> int:
    """Return the deepest map of a goroutine, NOWHERE where there is none."""
    # the index has the row behind it, and 0 for none
    m = find(ledger, goroutine_key(goid)) - 1
    return m if m >= 0 else int64(NOWHERE)


def deepest_offset(ledger: Ledger, goid: np.uint64) -> int:
    """Return how far the deepest map of a goroutine is from the top of its stack, 0 where there is none."""
    m = deepest_of(ledger, goid)
    return offset_of(ledger, m) if m >= 0 else int64(0)


def add(ledger: Ledger, m: int, goid: np.uint64) -> bool:
    """Put a map that begins into the list of its goroutine, in the place of the one before where it stands.

    False: too many stand deeper.
    """
    newer, older, offset = int64(NOWHERE), deepest_of(ledger, goid), offset_of(ledger, m)
    steps = 0
    while older >= 0 and offset_of(ledger, older) > offset:
        if steps == MOST_DEEPER:
            return False
        steps += 1
        newer, older = older, ledger.facts[older, OLDER] - 1
    if older >= 0 and offset_of(ledger, older) == offset:
        older = ledger.facts[older, OLDER] - 1
    ledger.facts[m, OLDER] = older + 1
    if newer >= 0:
        ledger.facts[newer, OLDER] = m + 1
    else:
        enter(ledger, goroutine_key(goid), m + 1)
    ledger.tops[ON_STACKS] += 1
    return True


def leave_frames(state: State, ledger: Ledger, context: Context, events: Columns, i: int) -> None:
    """End the maps of the goroutine of event `i` that stand deeper than the frame that the event comes from."""
    m = deepest_of(ledger, events.goid[i])
    while m >= 0 and offset_of(ledger, m) > np.int64(events.depth[i]):
        if ledger.facts[m, IS_DEAD] == 0:
            end(state, ledger, context, m, events.time_ns[i])
        m = ledger.facts[m, OLDER] - 1
    enter(ledger, goroutine_key(events.goid[i]), m + 1)


def end(state: State, ledger: Ledger, context: Context, m: int, when: np.uint64) -> None:
    """Let a map on a stack be dead: it ended before this time."""
    bury(state, ledger, context, m)
    ledger.words[m, ENDED_NS] = when


def note_array(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> None:
    """End the map on a stack whose array of buckets map `m` has by event `i`; note whose it is if `m` is on a stack.

    The array of a map that has never grown may stand in its frame: that tells nothing.
    """
    common, h = events.common, events.header[i]
    array = common.array_addr[h]
    if common.log2_size[h] == 0 and common.directory_length[h] == 0:
        return
    key = OF_ARRAY | array
    before = find(ledger, key)
    if before == m:
        return
    is_alive = before >= 0 and ledger.facts[before, IS_DEAD] == 0
    # one that has grown since has another array
    if is_alive and ledger.facts[before, MODELLED] and ledger.words[before, ARRAY] == array:
        end(state, ledger, context, before, events.time_ns[i])
    if ledger.words[m, KEY] >= ON_STACK:
        enter(ledger, key, m)
