"""The loop of the oracle's replay: it applies events to the model.

One function walks the events in order. For each it finds the map or begins a
new generation, holds the header to the model, and lets the model do the
operation. Whatever can't be replayed exactly is counted by its headers and
marked with the reason (`vocabulary.Inexact`); it is never guessed.
"""

from __future__ import annotations

import numpy as np

from mapprobe.vocabulary import Inexact
from support.oracle.assignment import Assignment, assign
from support.oracle.columns import NOWHERE, Columns
from support.oracle.deaths import drop_live
from support.oracle.doubts import doubt, doubt_delete, may_meet, settle_doubt
from support.oracle.generations import learn_type, locate
from support.oracle.ledger import (
    ADDR,
    ARRAY,
    ASSIGN,
    CALLS,
    CLEARS,
    CLONE,
    CLONE_OF,
    CREATE,
    CREATED_NS,
    DELETE,
    DELETES,
    EXIT,
    GROW,
    HEADER,
    INEXACT,
    INSERTS,
    IS_DEAD,
    KEY_TYPE,
    LAST_NS,
    MODELLED,
    NO_HEADER,
    ON_STACKS,
    OVERFLOW,
    PEAK,
    PENDING,
    SEED,
    STACK_CLEARS,
    STACK_DELETES,
    STACK_INSERTS,
    STACK_UPDATES,
    UNEQUAL,
    UPDATES,
    Context,
    Ledger,
    add_live,
    count_inexact,
    find,
)
from support.oracle.localmaps import NOBODY, deepest_offset, leave_frames, note_array
from support.oracle.model import classic, swiss
from support.oracle.model.cloning import clone_classic, clone_swiss
from support.oracle.model.state import ARRAY as ARRAY_ROW
from support.oracle.model.state import COUNT, EVACUATED, FLAGS, LOG2, OLD_ARRAY, OVERFLOW_COUNT, State

NO_ROOM, DONE = -1, -2
"""What `prepare` returns instead of a map: more room is needed first, or the event is dealt with."""


def agrees(state: State, context: Context, events: Columns, i: int, m: int) -> bool:
    """True if the header of event `i` is what the model holds of map `m`."""
    common, h = events.common, events.header[i]
    is_growing = common.old_array_addr[h] != 0
    is_nil = common.array_addr[h] == 0
    args = (
        np.int64(events.count[i]), is_nil, is_growing, np.int64(common.flags[h]), np.int64(common.log2_size[h]),
        np.int64(events.overflow_count[i]), np.int64(common.directory_length[h]), np.int64(events.evacuated[i]),
    )  # fmt: skip
    if context.is_swiss[0]:
        return swiss.agrees(state, m, *args)
    return classic.agrees(state, m, *args)


def operate_assign(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> bool:
    """Let the model do the assignment of event `i` and count what it did; False as of `operate`."""
    stack = np.int64(events.stack_id[i])
    prunes, count = context.prunes[events.point[i]], np.int64(events.count[i])
    done = assign(
        state, ledger, context, m,
        Assignment(events.hash[i], ledger.words[m, KEY_TYPE], stack, prunes, count, False),
    )  # fmt: skip
    if done < 0:
        return False
    if not done & 1:
        if may_meet(ledger, context, m) and ledger.facts[m, MODELLED]:
            doubt(ledger, events, i, m)
        else:
            ledger.facts[m, UPDATES] += 1
            ledger.stacks[stack, STACK_UPDATES] += 1
    return True


def operate(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> bool:
    """Let the model do the operation of event `i` and count what it did; False if it can't be what happened.

    That is an insert that splits tables without end: no hash function sends all keys of a table to one side.
    """
    kind, stack = np.int64(events.kind[i]), np.int64(events.stack_id[i])
    is_swiss = context.is_swiss[0]
    if kind == ASSIGN:
        return operate_assign(state, ledger, context, events, i, m)
    if kind == DELETE and may_meet(ledger, context, m):
        doubt_delete(state, ledger, context, events, i, m)
    elif kind == DELETE:
        key_type = ledger.words[m, KEY_TYPE]
        if is_swiss:
            inserted_by = swiss.delete(state, m, events.hash[i], key_type, stack)
        else:
            inserted_by = classic.delete(state, m, events.hash[i], key_type, stack)
        if inserted_by >= 0:
            ledger.facts[m, DELETES] += 1
            ledger.stacks[stack, STACK_DELETES] += 1
            add_live(ledger, context, m, inserted_by, -1)
    else:
        drop_live(state, ledger, context, m)
        if is_swiss:
            swiss.clear(state, m, stack)
        else:
            classic.clear(state, m, stack)
        ledger.facts[m, UNEQUAL] = 0
        ledger.facts[m, CLEARS] += 1
        ledger.stacks[stack, STACK_CLEARS] += 1
    return True


def clone(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> None:
    """Let the model fill the map `m`, which event `i` says is a clone, and count its entries as inserted."""
    original, stack = find(ledger, events.hash[i]), np.int64(events.stack_id[i])
    was_created = ledger.words[m, CREATED_NS] != events.time_ns[i]
    is_known = original != NOWHERE and ledger.facts[original, MODELLED] != 0 and ledger.facts[original, IS_DEAD] == 0
    is_known = is_known and ledger.facts[original, PENDING] == 0
    if context.is_swiss[0]:
        if is_known:
            clone_swiss(state, original, m, stack)
    else:
        # A map of one bucket with keys or elements outside their slots may be packed again, by the kind of its keys.
        type_id = events.common.type_id[events.header[i]]
        is_indirect = type_id < 0 or context.is_indirect[type_id]
        is_known = is_known and was_created and not (is_indirect and state.maps[original, LOG2] == 0)
        if is_known:
            clone_classic(state, original, m, stack)
    if not is_known:
        ledger.facts[m, INEXACT] = np.int64(Inexact.OUT_OF_SIGHT)
        ledger.facts[m, MODELLED] = 0
        return
    ledger.facts[m, CLONE_OF] = original + 1
    if ledger.facts[original, INEXACT] != 0:
        ledger.facts[m, INEXACT] = np.int64(Inexact.OUT_OF_SIGHT)
    entries = swiss.count(state, m) if context.is_swiss[0] else classic.count(state, m)
    ledger.facts[m, INSERTS] += entries
    ledger.stacks[stack, STACK_INSERTS] += entries
    ledger.facts[m, PEAK] = entries
    ledger.facts[m, UNEQUAL] = ledger.facts[original, UNEQUAL]
    add_live(ledger, context, m, stack, entries)


def has_room(state: State, context: Context, m: int) -> bool:
    """True if the model can do one more operation on map `m`."""
    return swiss.has_room(state, m) if context.is_swiss[0] else classic.has_room(state, m)


def apply(state: State, ledger: Ledger, context: Context, events: Columns, lo: int) -> int:
    """Apply events from row `lo` on; return the row it stopped at: the end, or one that needs more room.

    Most events come under the header that the last one of their map came under, and the model has it still:
    then all that can differ from the model is the count and what else changes from one operation to the next.
    """
    end = len(events.kind)
    ledger.tops[CALLS] += 1
    goid, deepest = NOBODY, np.int64(0)
    for i in range(lo, end):
        if events.kind[i] == EXIT:
            continue
        if ledger.tops[ON_STACKS] != 0 and events.depth[i] != 0:
            if events.goid[i] != goid:
                goid, deepest = events.goid[i], deepest_offset(ledger, events.goid[i])
            if deepest > np.int64(events.depth[i]):
                leave_frames(state, ledger, context, events, i)
                deepest = deepest_offset(ledger, goid)
        m = events.rows[events.header[i]]
        if m != NOWHERE and is_as_expected(state, ledger, context, events, i, m):
            take_overflow_count(state, context, events, i, m)
            if not has_room(state, context, m):
                return i
            ledger.words[m, LAST_NS] = events.time_ns[i]
        else:
            m = prepare(state, ledger, context, events, i)
            if m == NO_ROOM:
                return i
            if events.common.stack_offset[events.header[i]] != 0:
                goid = NOBODY  # it may have more maps
            if m == DONE:
                continue
        log2, array, flags, old_array = header_of(state, m)
        if not operate(state, ledger, context, events, i, m):
            give_up(state, ledger, context, events, i, m)
        elif header_of(state, m) != (log2, array, flags, old_array):
            ledger.facts[m, HEADER] = NO_HEADER
    return end


def number_of(ledger: Ledger, h: np.uint32) -> int:
    """Return the number of header `h` that no header of another batch has, nor NO_HEADER."""
    return np.int64((ledger.tops[CALLS] << 32) | np.int64(h))


def header_of(state: State, m: int) -> tuple[int, int, int, int]:
    """Return what of the header a model may change, and events have in common: OLD_ARRAY is DIRECTORY_LENGTH too."""
    maps = state.maps
    return maps[m, LOG2], maps[m, ARRAY_ROW], maps[m, FLAGS], maps[m, OLD_ARRAY]


def is_as_expected(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> bool:
    """True if event `i` is an operation whose header is the one before, which agreed, but for what operations change.

    Then `locate`, `learn_type` and `agrees` have nothing new to say of it.
    """
    if ledger.facts[m, HEADER] != number_of(ledger, events.header[i]) or events.kind[i] > DELETE:
        return False
    maps = state.maps
    if np.int64(events.count[i]) != maps[m, COUNT]:
        return False
    if context.is_swiss[0]:
        return True
    is_counted = maps[m, LOG2] >= classic.RANDOM_OVERFLOW_LOG2 or events.overflow_count[i] == maps[m, OVERFLOW_COUNT]
    return bool(is_counted and (maps[m, OLD_ARRAY] == NOWHERE or events.evacuated[i] == maps[m, EVACUATED]))


def prepare(state: State, ledger: Ledger, context: Context, events: Columns, i: int) -> int:
    """Return the map that event `i` operates on, if the model can follow; NO_ROOM or DONE if there is nothing to do."""
    m = locate(state, ledger, context, events, i)
    if m == NOWHERE:
        return NO_ROOM
    kind, common, h = np.int64(events.kind[i]), events.common, events.header[i]
    events.rows[h] = m
    ledger.facts[m, HEADER] = NO_HEADER
    ledger.words[m, ADDR] = common.map_addr[h]
    ledger.words[m, LAST_NS] = events.time_ns[i]
    learn_type(state, ledger, context, m, np.int64(common.type_id[h]))
    if kind == CLONE and ledger.facts[m, MODELLED]:
        clone(state, ledger, context, events, i, m)
    if kind in (CREATE, CLONE):
        return DONE
    if ledger.facts[m, MODELLED] and ledger.facts[m, PENDING] and kind != GROW and kind != OVERFLOW:
        if not has_room(state, context, m):
            return NO_ROOM
        settle_doubt(state, ledger, context, m, events.count[i])
    if ledger.tops[ON_STACKS] != 0:
        note_array(state, ledger, context, events, i, m)
    if not ledger.facts[m, MODELLED]:
        note_header(ledger, events, i, m)
        count_inexact(ledger, events, i, m)
    elif kind != GROW and kind != OVERFLOW:
        # first: many overflow buckets make the next insert grow, and that takes room
        take_on_trust(state, context, events, i, m)
        if not has_room(state, context, m):
            return NO_ROOM
        if agrees(state, context, events, i, m):
            note_header(ledger, events, i, m)
            return m
        give_up(state, ledger, context, events, i, m)
    return DONE


def note_header(ledger: Ledger, events: Columns, i: int, m: int) -> None:
    """Note the header of event `i` as that of map `m`."""
    common, h = events.common, events.header[i]
    ledger.words[m, SEED] = common.seed[h]
    ledger.words[m, ARRAY] = common.array_addr[h]
    ledger.words[m, KEY_TYPE] = common.key_type[h]
    if ledger.facts[m, MODELLED] and common.stack_offset[h] == 0:
        ledger.facts[m, HEADER] = number_of(ledger, h)


def give_up(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> None:
    """Replay map `m` no more: it can't be what event `i` says; count that by its header, as all that follow."""
    drop_live(state, ledger, context, m)
    ledger.facts[m, INEXACT] = np.int64(Inexact.HEADER_MISMATCH)
    ledger.facts[m, MODELLED] = 0
    ledger.facts[m, HEADER] = NO_HEADER
    note_header(ledger, events, i, m)
    count_inexact(ledger, events, i, m)


def take_on_trust(state: State, context: Context, events: Columns, i: int, m: int) -> None:
    """Take from a classic header what the model can't know: iterators, and the estimate of many overflow buckets."""
    if context.is_swiss[0]:
        return
    common, h = events.common, events.header[i]
    classic.set_iterator_flags(state, m, np.int64(common.flags[h]))
    if common.log2_size[h] >= classic.RANDOM_OVERFLOW_LOG2:
        classic.set_overflow_count(state, m, np.int64(events.overflow_count[i]))


def take_overflow_count(state: State, context: Context, events: Columns, i: int, m: int) -> None:
    """Take from a classic header that is as expected the estimate of many overflow buckets."""
    if not context.is_swiss[0] and state.maps[m, LOG2] >= classic.RANDOM_OVERFLOW_LOG2:
        classic.set_overflow_count(state, m, np.int64(events.overflow_count[i]))
