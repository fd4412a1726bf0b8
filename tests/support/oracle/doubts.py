"""Operations on keys that may share a hash: the count in the map's next header shows what such an operation did.

The dynamic type of an interface is not hashed, so two different keys may have the same hash if a part of the key is an
interface. An assignment to a hash that is there is then an update, or the insert of another key; a delete finds its
key, or not. The operation is in doubt until the next header of the map is seen, or the header that was read at the
end. Entries that share a hash are told apart by a number above the address in their key type.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import Inexact
from support.oracle.assignment import Assignment, assign
from support.oracle.columns import Columns
from support.oracle.deaths import drop_live
from support.oracle.ledger import (
    ASSIGN,
    DELETE,
    DELETES,
    DOUBT_HASH,
    DOUBT_POINT,
    HEADER,
    INEXACT,
    IS_DEAD,
    KEY_TYPE,
    LAST_COUNT,
    MAPS,
    MODELLED,
    NO_HEADER,
    PENDING,
    PENDING_STACK,
    STACK_DELETES,
    STACK_UPDATES,
    TYPE,
    UPDATES,
    Context,
    Ledger,
    add_live,
    presume,
)
from support.oracle.model import classic, swiss
from support.oracle.model.state import State, int64

TWIN = np.uint64(1 << 48)
"""What the key types of two entries of one hash differ by: no address of a process reaches as far."""
MOST_TWINS = 1 << 10
"""More entries of one hash are not followed: each operation on one looks for all."""


def may_meet(ledger: Ledger, context: Context, m: int) -> bool:
    """True if keys of map `m` that differ may have one hash."""
    type_id = ledger.facts[m, TYPE]
    return bool(type_id >= 0 and context.may_meet[type_id])


def count_twins(state: State, context: Context, m: int, hash: np.uint64, key_type: np.uint64) -> int:
    """Return how many entries of one hash and key type a map has, `MOST_TWINS` at most."""
    n = 0
    while n < MOST_TWINS:
        twin = key_type + np.uint64(n) * TWIN
        is_held = swiss.holds(state, m, hash, twin) if context.is_swiss[0] else classic.holds(state, m, hash, twin)
        if not is_held:
            break
        n += 1
    return n


def doubt(ledger: Ledger, events: Columns, i: int, m: int) -> None:
    """Note that it is not known what event `i` did to map `m`."""
    ledger.facts[m, PENDING] = np.int64(events.kind[i])
    ledger.facts[m, PENDING_STACK] = np.int64(events.stack_id[i])
    ledger.words[m, LAST_COUNT] = events.count[i]
    ledger.words[m, DOUBT_HASH] = events.hash[i]
    ledger.facts[m, DOUBT_POINT] = np.int64(events.point[i])
    ledger.facts[m, HEADER] = NO_HEADER


def doubt_delete(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> None:
    """Let the delete of event `i` wait, if the model has a key of its hash: it may be another that is not there."""
    hash, key_type = events.hash[i], ledger.words[m, KEY_TYPE]
    if not context.is_swiss[0]:
        classic.evacuate_for(state, m, hash, int64(events.stack_id[i]))
    if count_twins(state, context, m, hash, key_type) > 0:
        doubt(ledger, events, i, m)


def settle_doubt(state: State, ledger: Ledger, context: Context, m: int, count: np.uint64) -> None:
    """Do what the operation in doubt of map `m` did, as `count` tells, the entries of the next header.

    The map is not replayed any more if that can't be known: a delete that was of one of several entries. There has to
    be room for one more operation. A count that tells nothing leaves the doubt.
    """
    change = np.int64(count) - np.int64(ledger.words[m, LAST_COUNT])
    pending, stack = ledger.facts[m, PENDING], ledger.facts[m, PENDING_STACK]
    if pending == ASSIGN and change == 1:
        insert_twin(state, ledger, context, m)
    elif pending == ASSIGN and change == 0:
        ledger.facts[m, PENDING] = 0
        ledger.facts[m, UPDATES] += 1
        ledger.stacks[stack, STACK_UPDATES] += 1
    elif pending == DELETE and change == -1:
        delete_lone(state, ledger, context, m)
    elif pending == DELETE and change == 0:
        ledger.facts[m, PENDING] = 0


def insert_twin(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Insert another key of the hash in doubt."""
    hash, key_type = ledger.words[m, DOUBT_HASH], ledger.words[m, KEY_TYPE]
    twins = count_twins(state, context, m, hash, key_type)
    if twins == MOST_TWINS:
        lose(state, ledger, context, m)
        return
    by = Assignment(
        hash,
        key_type + np.uint64(twins) * TWIN,
        ledger.facts[m, PENDING_STACK],
        context.prunes[ledger.facts[m, DOUBT_POINT]],
        int64(ledger.words[m, LAST_COUNT]),
        True,
    )
    if assign(state, ledger, context, m, by) < 0:
        lose(state, ledger, context, m)
    else:
        ledger.facts[m, PENDING] = 0


def delete_lone(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Delete the key of the hash in doubt, if there is but one that it can be."""
    hash, key_type, stack = ledger.words[m, DOUBT_HASH], ledger.words[m, KEY_TYPE], ledger.facts[m, PENDING_STACK]
    if count_twins(state, context, m, hash, key_type) > 1:
        lose(state, ledger, context, m)
        return
    if context.is_swiss[0]:
        inserted_by = swiss.delete(state, m, hash, key_type, stack)
    else:
        inserted_by = classic.delete_evacuated(state, m, hash, key_type, stack)
    ledger.facts[m, PENDING] = 0
    ledger.facts[m, DELETES] += 1
    ledger.stacks[stack, STACK_DELETES] += 1
    add_live(ledger, context, m, inserted_by, -1)


def lose(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Replay map `m` no more: its entries can't be told apart. The operation in doubt counts by the headers."""
    drop_live(state, ledger, context, m)
    ledger.facts[m, INEXACT] = np.int64(Inexact.EQUAL_HASHES)
    ledger.facts[m, MODELLED] = 0
    ledger.facts[m, HEADER] = NO_HEADER


def presume_all(state: State, ledger: Ledger, context: Context) -> None:
    """Take what is in doubt still for what it most likely was: an update, or the delete of a key that was there."""
    for m in range(ledger.tops[MAPS]):
        if not ledger.facts[m, MODELLED] or not ledger.facts[m, PENDING]:
            continue
        if ledger.facts[m, PENDING] == DELETE and ledger.facts[m, IS_DEAD] == 0:
            delete_lone(state, ledger, context, m)
        if ledger.facts[m, MODELLED]:
            if ledger.facts[m, PENDING]:
                presume(ledger, m)
            elif ledger.facts[m, INEXACT] == 0:
                ledger.facts[m, INEXACT] = np.int64(Inexact.EQUAL_HASHES)
