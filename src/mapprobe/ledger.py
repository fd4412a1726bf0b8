"""Which map an event belongs to, whether its header fits, and what it did: the kernels of replay.

One kernel walks the events in order. For each it finds the map (by address,
or by goroutine and distance from the top of its stack for maps that live on
one), decides whether the header can continue the map it knows or a new
generation begins, holds the header to the model, and lets the model do the
operation. Whatever can't be replayed exactly is counted by its headers and
marked with the reason (`schema.Inexact`); it is never guessed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mapprobe import schema
from mapprobe.model import classic, swiss
from mapprobe.model.state import State, kernel
from mapprobe.schema import EventKind, Inexact

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

ASSIGN, DELETE, CLEAR = int(EventKind.ASSIGN), int(EventKind.DELETE), int(EventKind.CLEAR)
CREATE, GROW, OVERFLOW, EXIT = (
    int(EventKind.CREATE), int(EventKind.GROW), int(EventKind.OVERFLOW), int(EventKind.EXIT),
)  # fmt: skip

# Columns of Ledger.words (uint64), one row a map.
KEY, ADDR, SEED, ARRAY, CREATED_NS, LAST_NS, LAST_COUNT = range(7)
WORDS = 7
# Columns of Ledger.facts (int64), one row a map.
GENERATION, TYPE, INEXACT, CREATED_BY, IS_DEAD, PEAK, PENDING, PENDING_STACK, GROWN_BY = range(9)
GROWTHS, INSERTS, UPDATES, DELETES, CLEARS = range(9, 14)
FACTS = 14
# Columns of Ledger.stacks (int64), one row a stack.
STACK_MAPS, STACK_GROWTHS, STACK_INSERTS, STACK_UPDATES, STACK_DELETES, STACK_CLEARS, STACK_LIVE, STACK_PEAK = range(8)
STACK_COLUMNS = 8
# Columns of the live counters of sites, types and the total.
LIVE, LIVE_PEAK = range(2)
# Entries of Ledger.tops.
MAPS = 0

ON_STACK = np.uint64(1 << 63)
MIX = np.uint64(0x9E3779B97F4A7C15)
NOWHERE = -1


class Ledger(NamedTuple):
    """What replay knows beside the model's state; the arrays grow by doubling.

    keys ``(2**k,)`` and rows ``(2**k,)`` are an open-addressing index from a map's key to its row.
    """

    keys: U64
    rows: npt.NDArray[np.int32]
    words: U64
    facts: I64
    stacks: I64
    sites: I64
    types: I64
    total: I64
    tops: I64


class Columns(NamedTuple):
    """A batch of events as arrays, all of one length (`schema.EVENTS`)."""

    time_ns: U64
    kind: npt.NDArray[np.uint8]
    point: npt.NDArray[np.uint8]
    map_addr: U64
    stack_offset: npt.NDArray[np.uint32]
    type_id: npt.NDArray[np.int32]
    hash: U64
    key_type: U64
    count: U64
    seed: U64
    array_addr: U64
    old_array_addr: U64
    flags: npt.NDArray[np.uint8]
    log2_size: npt.NDArray[np.uint8]
    overflow_count: npt.NDArray[np.uint16]
    directory_length: npt.NDArray[np.uint32]
    evacuated: npt.NDArray[np.uint32]
    goid: U64
    stack_id: npt.NDArray[np.uint32]


class Context(NamedTuple):
    """What does not change while events are applied.

    Attributes
    ----------
    is_swiss
        One flag, ``(1,)``.
    bucket_bytes, has_pointers
        Of each type, ``(types,)``.
    prunes
        Whether an insert at this point prunes tombstones, ``(points,)``.
    site_of
        Site of each stack, ``(stacks,)``.
    why
        `schema.Inexact` of a map at its first sight, ``(2,)``: of any, and of one that is not empty.
    """

    is_swiss: npt.NDArray[np.bool_]
    bucket_bytes: I64
    has_pointers: I64
    prunes: npt.NDArray[np.bool_]
    site_of: npt.NDArray[np.uint32]
    why: I64


def new_ledger(stacks: int, sites: int, types: int) -> Ledger:
    """Return a ledger without maps for recordings with so many stacks, sites and types."""
    return Ledger(
        keys=np.zeros(1 << 12, np.uint64),
        rows=np.zeros(1 << 12, np.int32),
        words=np.zeros((1 << 11, WORDS), np.uint64),
        facts=np.zeros((1 << 11, FACTS), np.int64),
        stacks=np.zeros((stacks, STACK_COLUMNS), np.int64),
        sites=np.zeros((sites, 2), np.int64),
        types=np.zeros((max(types, 1), 2), np.int64),
        total=np.zeros(2, np.int64),
        tops=np.zeros(1, np.int64),
    )


def roomier(ledger: Ledger) -> Ledger:
    """Return the ledger with room for twice as many maps."""
    more = ledger._replace(
        keys=np.zeros(2 * len(ledger.keys), np.uint64),
        rows=np.zeros(2 * len(ledger.rows), np.int32),
        words=np.concatenate([ledger.words, np.zeros_like(ledger.words)]),
        facts=np.concatenate([ledger.facts, np.zeros_like(ledger.facts)]),
    )
    used = ledger.keys != 0
    enter_all(more, ledger.keys[used], ledger.rows[used])
    return more


@kernel
def enter_all(ledger: Ledger, keys: U64, rows: npt.NDArray[np.int32]) -> None:
    """Let each key mean its row."""
    for n in range(len(keys)):
        enter(ledger, keys[n], rows[n])


@kernel
def find(ledger: Ledger, key: np.uint64) -> int:
    """Return the row of the newest generation under `key`, NOWHERE when there is none."""
    mask = np.uint64(len(ledger.keys) - 1)
    slot = ((key * MIX) >> np.uint64(20)) & mask
    while ledger.keys[slot] != np.uint64(0):
        if ledger.keys[slot] == key:
            return np.int64(ledger.rows[slot])
        slot = (slot + np.uint64(1)) & mask
    return np.int64(NOWHERE)


@kernel
def enter(ledger: Ledger, key: np.uint64, m: int) -> None:
    """Let `key` mean row `m` from here on."""
    mask = np.uint64(len(ledger.keys) - 1)
    slot = ((key * MIX) >> np.uint64(20)) & mask
    while ledger.keys[slot] != np.uint64(0) and ledger.keys[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    ledger.keys[slot] = key
    ledger.rows[slot] = m


@kernel
def identity(events: Columns, i: int) -> np.uint64:
    """Return what stays the same of a map: its address, or where it stands on which goroutine's stack."""
    if events.stack_offset[i] == 0:
        return events.map_addr[i]
    return ON_STACK | (events.goid[i] << np.uint64(31)) | np.uint64(events.stack_offset[i])


@kernel
def add_live(ledger: Ledger, context: Context, m: int, stack: int, n: int) -> None:
    """Note that `n` entries more (or fewer) inserted by `stack` are live in map `m`."""
    ledger.stacks[stack, STACK_LIVE] += n
    ledger.stacks[stack, STACK_PEAK] = max(ledger.stacks[stack, STACK_PEAK], ledger.stacks[stack, STACK_LIVE])
    site = np.int64(context.site_of[stack])
    ledger.sites[site, LIVE] += n
    ledger.sites[site, LIVE_PEAK] = max(ledger.sites[site, LIVE_PEAK], ledger.sites[site, LIVE])
    type_id = ledger.facts[m, TYPE]
    if type_id >= 0:
        ledger.types[type_id, LIVE] += n
        ledger.types[type_id, LIVE_PEAK] = max(ledger.types[type_id, LIVE_PEAK], ledger.types[type_id, LIVE])
    ledger.total[LIVE] += n
    ledger.total[LIVE_PEAK] = max(ledger.total[LIVE_PEAK], ledger.total[LIVE])


@kernel
def drop_live(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Take every live entry of map `m` out of the live counters: it is about to be cleared, or died."""
    is_swiss = context.is_swiss[0]
    n = swiss.count_buckets(state, m) if is_swiss else classic.count_buckets(state, m)
    buckets = np.empty(n, np.uint32)
    parts = np.empty(n, np.uint32)
    if is_swiss:
        swiss.list_buckets(state, m, buckets, parts)
    else:
        classic.list_buckets(state, m, buckets, parts)
    for b in buckets:
        control = state.control[b]
        live = swiss.live_mask(control) if is_swiss else classic.live_mask(control)
        for j in range(8):
            if live & (np.uint64(0x80) << np.uint64(8 * j)):
                add_live(ledger, context, m, np.int64(state.insert_stacks[b, j]), -1)


@kernel
def has_room_to_create(state: State, ledger: Ledger, context: Context, events: Columns, i: int, hint: int) -> bool:
    """True if the model can take one more map, made for `hint` entries."""
    m = ledger.tops[MAPS]
    type_id = events.type_id[i]
    bucket_bytes = context.bucket_bytes[type_id] if type_id >= 0 else 0
    if context.is_swiss[0]:
        return swiss.has_room_to_create(state, m, hint, bucket_bytes)
    return classic.has_room_to_create(state, m, hint, bucket_bytes)


@kernel
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
        bury(state, ledger, context, before)
    enter(ledger, key, m)
    stack = np.int64(events.stack_id[i]) if why == 0 else np.int64(schema.BEFORE)
    ledger.words[m, KEY] = key
    ledger.words[m, CREATED_NS] = events.time_ns[i]
    ledger.facts[m, GENERATION] = generation
    ledger.facts[m, TYPE] = NOWHERE
    ledger.facts[m, INEXACT] = why
    ledger.facts[m, CREATED_BY] = stack
    ledger.facts[m, GROWN_BY] = stack
    ledger.stacks[stack, STACK_MAPS] += 1
    type_id = events.type_id[i]
    bucket_bytes = context.bucket_bytes[type_id] if type_id >= 0 else 0
    has_pointers = context.has_pointers[type_id] if type_id >= 0 else 0
    if context.is_swiss[0]:
        swiss.create(state, m, hint, bucket_bytes, has_pointers, stack)
    else:
        classic.create(state, m, hint, bucket_bytes, has_pointers, stack)
    return m


@kernel
def bury(state: State, ledger: Ledger, context: Context, m: int) -> None:
    """Map `m` is no more: its entries and buckets are gone, its counts stay."""
    ledger.facts[m, IS_DEAD] = 1
    if ledger.facts[m, INEXACT] == 0:
        drop_live(state, ledger, context, m)
    if context.is_swiss[0]:
        swiss.forget(state, m)
    else:
        classic.forget(state, m)


@kernel
def is_fresh(events: Columns, i: int) -> bool:
    """True if a header is that of a small map without entries, whose state is known without having seen more."""
    return (
        events.count[i] == 0
        and events.log2_size[i] == 0
        and events.directory_length[i] == 0
        and events.old_array_addr[i] == 0
        and events.overflow_count[i] == 0
    )


@kernel
def continues(ledger: Ledger, context: Context, events: Columns, i: int, m: int, model_count: int) -> bool:
    """True if the header of event `i` can be that of map `m`, some operations later or not.

    The seed changes only when a map was emptied: by its last delete or a clear. A header with another
    seed over a map that is not empty is another map; over an empty one it is the same map only if its
    array is still the same.
    """
    if events.type_id[i] >= 0 and ledger.facts[m, TYPE] >= 0 and events.type_id[i] != ledger.facts[m, TYPE]:
        return False
    seed, array = ledger.words[m, SEED], ledger.words[m, ARRAY]
    if seed == 0 or seed == events.seed[i]:
        return True
    if ledger.facts[m, INEXACT] != 0:
        return array == 0 or array == events.array_addr[i] or events.count[i] != 0
    return model_count == 0 and (array == 0 or array == events.array_addr[i])


@kernel
def settle(ledger: Ledger, m: int, count: np.uint64) -> None:
    """Count the last operation of an inexact map by what it did to the header's count."""
    pending = ledger.facts[m, PENDING]
    if pending == 0:
        return
    ledger.facts[m, PENDING] = 0
    stack = ledger.facts[m, PENDING_STACK]
    change = np.int64(count) - np.int64(ledger.words[m, LAST_COUNT])
    if pending == ASSIGN:
        column, stack_column = (INSERTS, STACK_INSERTS) if change > 0 else (UPDATES, STACK_UPDATES)
        ledger.facts[m, column] += 1
        ledger.stacks[stack, stack_column] += 1
    elif change < 0:
        ledger.facts[m, DELETES] += 1
        ledger.stacks[stack, STACK_DELETES] += 1


@kernel
def count_inexact(ledger: Ledger, events: Columns, i: int, m: int) -> None:
    """Count event `i` of a map that isn't replayed."""
    kind, stack = np.int64(events.kind[i]), np.int64(events.stack_id[i])
    if kind == GROW:
        ledger.facts[m, GROWTHS] += 1
        ledger.stacks[stack, STACK_GROWTHS] += 1
        ledger.facts[m, GROWN_BY] = stack
        return
    if kind == OVERFLOW:
        return
    settle(ledger, m, events.count[i])
    ledger.words[m, LAST_COUNT] = events.count[i]
    ledger.facts[m, PEAK] = max(ledger.facts[m, PEAK], np.int64(events.count[i]))
    if kind == CLEAR:
        ledger.facts[m, CLEARS] += 1
        ledger.stacks[stack, STACK_CLEARS] += 1
    else:
        ledger.facts[m, PENDING] = kind
        ledger.facts[m, PENDING_STACK] = stack


@kernel
def agrees(state: State, context: Context, events: Columns, i: int, m: int) -> bool:
    """True if the header of event `i` is what the model holds of map `m`."""
    is_growing = events.old_array_addr[i] != 0
    is_nil = events.array_addr[i] == 0
    args = (
        np.int64(events.count[i]), is_nil, is_growing, np.int64(events.flags[i]), np.int64(events.log2_size[i]),
        np.int64(events.overflow_count[i]), np.int64(events.directory_length[i]), np.int64(events.evacuated[i]),
    )  # fmt: skip
    if context.is_swiss[0]:
        return swiss.agrees(state, m, *args)
    return classic.agrees(state, m, *args)


@kernel
def operate(state: State, ledger: Ledger, context: Context, events: Columns, i: int, m: int) -> None:
    """Let the model do the operation of event `i` and count what it did."""
    kind, stack = np.int64(events.kind[i]), np.int64(events.stack_id[i])
    is_swiss = context.is_swiss[0]
    if kind == ASSIGN:
        prunes = context.prunes[events.point[i]]
        if is_swiss:
            done = swiss.insert(state, m, events.hash[i], events.key_type[i], stack, prunes)
        else:
            done = classic.insert(state, m, events.hash[i], events.key_type[i], stack, prunes)
        column, stack_column = (INSERTS, STACK_INSERTS) if done & 1 else (UPDATES, STACK_UPDATES)
        ledger.facts[m, column] += 1
        ledger.stacks[stack, stack_column] += 1
        if done >> 1:
            ledger.facts[m, GROWTHS] += done >> 1
            ledger.stacks[stack, STACK_GROWTHS] += done >> 1
            ledger.facts[m, GROWN_BY] = stack
            ledger.words[m, ARRAY] = np.uint64(0)
        if done & 1:
            add_live(ledger, context, m, stack, 1)
            ledger.facts[m, PEAK] = max(ledger.facts[m, PEAK], np.int64(events.count[i]) + 1)
    elif kind == DELETE:
        if is_swiss:
            inserted_by = swiss.delete(state, m, events.hash[i], events.key_type[i], stack)
        else:
            inserted_by = classic.delete(state, m, events.hash[i], events.key_type[i], stack)
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
        ledger.facts[m, CLEARS] += 1
        ledger.stacks[stack, STACK_CLEARS] += 1


@kernel
def learn_type(state: State, ledger: Ledger, context: Context, m: int, type_id: int) -> None:
    """Set the type of map `m` the first time an event shows it."""
    if type_id < 0 or ledger.facts[m, TYPE] >= 0:
        return
    ledger.facts[m, TYPE] = type_id
    if context.is_swiss[0]:
        swiss.set_type(state, m, context.bucket_bytes[type_id], context.has_pointers[type_id])
    else:
        classic.set_type(state, m, context.bucket_bytes[type_id], context.has_pointers[type_id])


@kernel
def apply(state: State, ledger: Ledger, context: Context, events: Columns, lo: int) -> int:
    """Apply events from row `lo` on; return the row it stopped at: the end, or one that needs more room."""
    is_swiss = context.is_swiss[0]
    for i in range(lo, len(events.kind)):
        kind = np.int64(events.kind[i])
        if kind == EXIT:
            continue
        if ledger.tops[MAPS] + 1 >= len(ledger.words) or 2 * (ledger.tops[MAPS] + 1) >= len(ledger.keys):
            return i
        key = identity(events, i)
        if kind == CREATE:
            hint = np.int64(events.hash[i])
            if not has_room_to_create(state, ledger, context, events, i, hint):
                return i
            m = begin(state, ledger, context, events, i, key, hint, context.why[0])
        else:
            m = find(ledger, key)
            if m != NOWHERE:
                count = swiss.count(state, m) if is_swiss else classic.count(state, m)
                if not continues(ledger, context, events, i, m, count):
                    m = np.int64(NOWHERE)
            if m == NOWHERE:
                if not has_room_to_create(state, ledger, context, events, i, 0):
                    return i
                why = context.why[0]
                if why == 0 and not is_fresh(events, i):
                    why = context.why[1]
                m = begin(state, ledger, context, events, i, key, 0, why)
        ledger.words[m, ADDR] = events.map_addr[i]
        ledger.words[m, LAST_NS] = events.time_ns[i]
        learn_type(state, ledger, context, m, np.int64(events.type_id[i]))
        if kind == CREATE:
            continue
        if ledger.facts[m, INEXACT] == 0 and kind != GROW and kind != OVERFLOW:
            if not (swiss.has_room(state, m) if is_swiss else classic.has_room(state, m)):
                return i
            if not is_swiss:
                classic.set_iterator_flags(state, m, np.int64(events.flags[i]))
                if events.log2_size[i] >= classic.RANDOM_OVERFLOW_LOG2:
                    classic.set_overflow_count(state, m, np.int64(events.overflow_count[i]))
            if agrees(state, context, events, i, m):
                ledger.words[m, SEED] = events.seed[i]
                ledger.words[m, ARRAY] = events.array_addr[i]
                operate(state, ledger, context, events, i, m)
                continue
            drop_live(state, ledger, context, m)
            ledger.facts[m, INEXACT] = np.int64(Inexact.HEADER_MISMATCH)
        if ledger.facts[m, INEXACT] != 0:
            ledger.words[m, SEED] = events.seed[i]
            ledger.words[m, ARRAY] = events.array_addr[i]
            count_inexact(ledger, events, i, m)
    return len(events.kind)
