"""Finding the map of an event: the map that is known at its address, or a new generation there."""

from __future__ import annotations

import numpy as np

from mapprobe import vocabulary
from mapprobe.vocabulary import Inexact
from support.oracle.columns import NOWHERE, Columns
from support.oracle.deaths import bury
from support.oracle.ledger import (
    CLONE,
    CREATE,
    CREATED_BY,
    CREATED_NS,
    DELETE,
    GENERATION,
    GROWN_BY,
    INEXACT,
    IS_DEAD,
    KEY,
    LAST_COUNT,
    LAST_NS,
    MAPS,
    MODELLED,
    PENDING,
    SEED,
    STACK_MAPS,
    TYPE,
    Context,
    Ledger,
    enter,
    find,
    identity,
    is_full,
    is_same_array,
    move_live,
)
from support.oracle.localmaps import add
from support.oracle.model import classic, swiss
from support.oracle.model.cloning import has_room_to_clone
from support.oracle.model.state import State


def has_room_to_create(state: State, ledger: Ledger, context: Context, events: Columns, i: int, hint: int) -> bool:
    """True if the model can take one more map, made for `hint` entries."""
    m = ledger.tops[MAPS]
    type_id = events.common.type_id[events.header[i]]
    bucket_bytes = context.bucket_bytes[type_id] if type_id >= 0 else 0
    if context.is_swiss[0]:
        return swiss.has_room_to_create(state, m, hint, bucket_bytes)
    return classic.has_room_to_create(state, m, hint, bucket_bytes)


def begin(
    state: State, ledger: Ledger, context: Context, events: Columns, i: int, key: np.uint64, hint: int, why: int
) -> int:
    """Begin a new generation under `key` with event `i` and return its row; the one before is dead."""
    m = ledger.tops[MAPS]
    ledger.tops[MAPS] += 1
    before = find(ledger, key)
    generation = 1
    if before != NOWHERE:
        generation = ledger.facts[before, GENERATION] + 1
        if ledger.facts[before, IS_DEAD] == 0:
            bury(state, ledger, context, before)
    enter(ledger, key, m)
    stack = np.int64(events.stack_id[i]) if why == 0 else np.int64(vocabulary.BEFORE)
    ledger.words[m, KEY] = key
    ledger.words[m, CREATED_NS] = events.time_ns[i]
    ledger.facts[m, GENERATION] = generation
    ledger.facts[m, TYPE] = NOWHERE
    ledger.facts[m, INEXACT] = why
    ledger.facts[m, MODELLED] = why == 0
    ledger.facts[m, CREATED_BY] = stack
    ledger.facts[m, GROWN_BY] = stack
    ledger.stacks[stack, STACK_MAPS] += 1
    type_id = events.common.type_id[events.header[i]]
    bucket_bytes = context.bucket_bytes[type_id] if type_id >= 0 else 0
    has_pointers = context.has_pointers[type_id] if type_id >= 0 else 0
    if context.is_swiss[0]:
        swiss.create(state, m, hint, bucket_bytes, has_pointers, stack)
    else:
        classic.create(state, m, hint, bucket_bytes, has_pointers, stack)
    if events.common.stack_offset[events.header[i]] != 0:
        is_added = add(ledger, m, events.goid[i])
        if not is_added and why == 0:
            ledger.facts[m, INEXACT], ledger.facts[m, MODELLED] = int(Inexact.OUT_OF_SIGHT), 0
    return m


def is_fresh(events: Columns, i: int) -> bool:
    """True if a header is that of a small map without entries, whose state is known without having seen more."""
    common, h = events.common, events.header[i]
    return (
        events.count[i] == 0
        and common.log2_size[h] == 0
        and common.directory_length[h] == 0
        and common.old_array_addr[h] == 0
        and events.overflow_count[i] == 0
    )


def is_same_type(context: Context, a: int, b: int) -> bool:
    """True if a map can be of both types; one type may have several descriptors.

    A conversion, as of textproto.MIMEHeader to http.Header, gives one map to code of two defined types.
    Up to Go 1.20 generic code names the shape that it was compiled for.
    """
    if a == b or a < 0 or b < 0:
        return True
    names = context.name_of
    is_same_name = names[a] == names[b] or names[a] == NOWHERE or names[b] == NOWHERE
    return bool(context.layout_of[a] == context.layout_of[b] and is_same_name)


def continues(ledger: Ledger, context: Context, events: Columns, i: int, m: int, model_count: int) -> bool:
    """True if the header of event `i` can be that of map `m`, some operations later or not.

    The seed changes only when a map was emptied: by its last delete or a clear. A header with another
    seed over a map that is not empty is another map; over an empty one it is the same map only if its
    array is still the same.
    """
    common, h = events.common, events.header[i]
    if not is_same_type(context, np.int64(common.type_id[h]), ledger.facts[m, TYPE]):
        return False
    seed = ledger.words[m, SEED]
    if seed == 0 or seed == common.seed[h]:
        return True
    is_same = is_same_array(ledger, events, i, m)
    if ledger.facts[m, MODELLED]:
        return model_count == 0 and is_same
    if common.stack_offset[h] != 0 and events.count[i] == 0:
        # the first bucket of the next map in a frame stands where that of the last one stood
        return is_same and was_emptied(ledger, m)
    return is_same or events.count[i] != 0


def least_count(state: State, ledger: Ledger, context: Context, m: int) -> int:
    """Return how many entries map `m` has, without the one that the delete in doubt may have been of."""
    count = swiss.count(state, m) if context.is_swiss[0] else classic.count(state, m)
    return count - 1 if ledger.facts[m, PENDING] == DELETE and ledger.facts[m, MODELLED] != 0 else count


def was_emptied(ledger: Ledger, m: int) -> bool:
    """True if the last event of a map that isn't replayed may have left it without entries."""
    left = ledger.words[m, LAST_COUNT]
    return left == 0 or (left == 1 and ledger.facts[m, PENDING] == DELETE)


def is_untouched(ledger: Ledger, m: int) -> bool:
    """True if map `m` was made in sight and nothing has happened to it since, as to a classic clone that is made."""
    return (
        ledger.words[m, LAST_NS] == ledger.words[m, CREATED_NS]
        and ledger.facts[m, MODELLED] != 0
        and ledger.facts[m, IS_DEAD] == 0
    )


def is_as_before(ledger: Ledger, events: Columns, h: int, m: int) -> bool:
    """True if map `m`, which an earlier event had header `h` of, still lives and has had no other seed since."""
    is_same_seed = ledger.words[m, SEED] == events.common.seed[h]
    return bool(is_same_seed and ledger.facts[m, IS_DEAD] == 0 and events.common.stack_offset[h] == 0)


def locate(state: State, ledger: Ledger, context: Context, events: Columns, i: int) -> int:
    """Return the row of the map that event `i` belongs to, begun with it where it is a new one.

    NOWHERE if there must be more room first.
    """
    kind = np.int64(events.kind[i])
    h = events.header[i]
    m = events.rows[h]
    if m != NOWHERE and kind != CREATE and kind != CLONE and is_as_before(ledger, events, h, m):
        return m
    if is_full(ledger):
        return np.int64(NOWHERE)
    key = identity(events, i)
    is_created = kind == CREATE
    if kind == CLONE:
        original = find(ledger, events.hash[i])
        if original != NOWHERE and not has_room_to_clone(state, context.is_swiss[0], original, ledger.tops[MAPS]):
            return np.int64(NOWHERE)
        m = find(ledger, key)
        if m != NOWHERE and is_untouched(ledger, m):
            return m
    elif not is_created:
        m = find(ledger, key)
        is_known = m != NOWHERE and ledger.facts[m, IS_DEAD] == 0
        if is_known and continues(ledger, context, events, i, m, least_count(state, ledger, context, m)):
            return m
    hint = np.int64(events.hash[i]) if is_created else np.int64(0)
    if not has_room_to_create(state, ledger, context, events, i, hint):
        return np.int64(NOWHERE)
    why = context.why[0]
    if why == 0 and not is_created and kind != CLONE and not is_fresh(events, i):
        why = context.why[1]
    return begin(state, ledger, context, events, i, key, hint, why)


def learn_type(state: State, ledger: Ledger, context: Context, m: int, type_id: int) -> None:
    """Set the type of map `m` the first time an event shows it, or shows more than its shape."""
    known = ledger.facts[m, TYPE]
    if type_id < 0 or type_id == known:
        return
    if known >= 0:
        if context.name_of[known] == NOWHERE and context.name_of[type_id] != NOWHERE:
            live = swiss.count(state, m) if context.is_swiss[0] else classic.count(state, m)
            move_live(ledger, m, type_id, live if ledger.facts[m, MODELLED] else 0)
        return
    ledger.facts[m, TYPE] = type_id
    if context.is_swiss[0]:
        swiss.set_type(state, m, context.bucket_bytes[type_id], context.has_pointers[type_id])
    else:
        classic.set_type(state, m, context.bucket_bytes[type_id], context.has_pointers[type_id])
