"""What replay knows of each map besides the model's state: identity, type, last header, counts.

Arrays with one row a map, stack, site or type, and the functions that keep
them: finding a map's row (by address, or by goroutine and distance from the
top of its stack for maps that live on one), live entries by site and type,
and the counts of maps that can't be replayed, by their headers alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mapprobe.arrays import I64, U64
from mapprobe.vocabulary import EventKind, Inexact
from support.oracle.columns import NOWHERE, Columns
from support.oracle.model.state import zeros

ASSIGN, DELETE, CLEAR = int(EventKind.ASSIGN), int(EventKind.DELETE), int(EventKind.CLEAR)
CREATE, GROW, OVERFLOW, EXIT, CLONE = (
    int(EventKind.CREATE), int(EventKind.GROW), int(EventKind.OVERFLOW), int(EventKind.EXIT), int(EventKind.CLONE),
)  # fmt: skip

# Columns of a map's row, as Ledger.words (uint64) and as Ledger.facts (int64). In the first line stands all that
# one more operation under the same header touches: the header that the model agreed with, the type word of its key.
HEADER, TYPE, PEAK, INSERTS, UPDATES, DELETES = range(6)  # facts
LAST_NS, KEY_TYPE = 6, 7  # words
KEY, ADDR, SEED, ARRAY, CREATED_NS, LAST_COUNT, RESUMED_NS = range(8, 15)  # words
MODELLED, IS_DEAD, INEXACT, GENERATION, CREATED_BY, GROWN_BY, PENDING, PENDING_STACK = range(15, 23)  # facts
GROWTHS, CLEARS, UNEQUAL, CLONE_OF = range(23, 27)  # facts
# The operation in doubt (`doubts`): hash of its key, and where it was probed; PENDING and PENDING_STACK are its kind
# and stack, LAST_COUNT the count before, KEY_TYPE that of its key. The next map of the stack that a map stands on
# (`localmaps`), and when its frame was left.
DOUBT_HASH, ENDED_NS = 27, 28  # words
DOUBT_POINT, OLDER = 29, 30  # facts
MAP_COLUMNS = 32
# Columns of Ledger.stacks (int64), one row a stack.
STACK_MAPS, STACK_GROWTHS, STACK_INSERTS, STACK_UPDATES, STACK_DELETES, STACK_CLEARS, STACK_LIVE, STACK_PEAK = range(8)
STACK_COLUMNS = 8
# Columns of the live counters of sites, types and the total.
LIVE, LIVE_PEAK = range(2)
# Entries of Ledger.tops: maps there are and how many there may be, what of a key's place in the index counts,
# how often `apply` was called, how many keys the index has, and how many maps live on stacks.
MAPS, ROOM, INDEX_MASK, CALLS, KEYS, ON_STACKS = range(6)
TOPS = 6
KEYS_OF_EVENT = 3
"""Most keys that an event enters: of a map, its goroutine, its array."""

ON_STACK = np.uint64(1 << 63)
OF_ARRAY = np.uint64(1 << 62)
OFFSET_BITS = np.uint64(31)
"""A goroutine's stack has fewer than 2**31 bytes. go: runtime/proc.go maxstackceiling [1.18..1.27]"""
MIX = np.uint64(0x9E3779B97F4A7C15)
NO_HEADER = 0


class Ledger(NamedTuple):
    """What replay knows beside the model's state; the arrays grow by doubling.

    index ``(2**k, 2)`` is an open-addressing index from a map's key to its row; a key of 0 is no key. It has the keys
    of `localmaps` too. `words` and `facts` are the same memory.
    """

    index: U64
    words: U64
    facts: I64
    stacks: I64
    sites: I64
    types: I64
    total: I64
    tops: I64


class Context(NamedTuple):
    """What does not change while events are applied.

    Attributes
    ----------
    is_swiss
        One flag, ``(1,)``.
    bucket_bytes, has_pointers
        Of each type, ``(types,)``.
    layout_of, name_of
        Types of one layout have one number in `layout_of`, those of keys and elements of one name one in `name_of`,
        ``(types,)``: a map of a defined type is written as one without a name too. NOWHERE is the name of a
        shape, which stands for every type of its layout.
    is_indirect
        Whether keys or elements of each type stand outside of their slots, ``(types,)``.
    may_meet
        Whether keys of each type that differ may have one hash, ``(types,)``.
    prunes
        Whether an insert at this point prunes tombstones, ``(points,)``.
    site_of
        Site of each stack, ``(stacks,)``.
    sees_growths
        One flag, ``(1,)``: each growth sends an event of its own.
    why
        `vocabulary.Inexact` of a map at its first sight, ``(2,)``: of any, and of one that is not empty.
    """

    is_swiss: npt.NDArray[np.bool_]
    bucket_bytes: I64
    has_pointers: I64
    layout_of: I64
    name_of: I64
    is_indirect: npt.NDArray[np.bool_]
    may_meet: npt.NDArray[np.bool_]
    prunes: npt.NDArray[np.bool_]
    site_of: npt.NDArray[np.uint32]
    sees_growths: npt.NDArray[np.bool_]
    why: I64


def new_ledger(stacks: int, sites: int, types: int) -> Ledger:
    """Return a ledger without maps for recordings with these numbers of stacks, sites and types."""
    rows = zeros((1 << 11, MAP_COLUMNS), np.dtype(np.int64))
    ledger = Ledger(
        index=np.zeros((1 << 12, 2), np.uint64),
        words=rows.view(np.uint64),
        facts=rows,
        stacks=np.zeros((stacks, STACK_COLUMNS), np.int64),
        sites=np.zeros((sites, 2), np.int64),
        types=np.zeros((max(types, 1), 2), np.int64),
        total=np.zeros(2, np.int64),
        tops=np.zeros(TOPS, np.int64),
    )
    return _measured(ledger)


def roomier(ledger: Ledger) -> Ledger:
    """Return the ledger with room for twice as many maps."""
    rows = zeros((2 * len(ledger.facts), MAP_COLUMNS), np.dtype(np.int64))
    rows[: len(ledger.facts)] = ledger.facts
    index = np.zeros((2 * len(ledger.index), 2), np.uint64)
    more = _measured(ledger._replace(index=index, words=rows.view(np.uint64), facts=rows))
    more.tops[KEYS] = 0
    enter_all(more, ledger.index)
    return more


def _measured(ledger: Ledger) -> Ledger:
    """Return the ledger, having noted in it how many rows there are."""
    ledger.tops[ROOM], ledger.tops[INDEX_MASK] = len(ledger.facts), len(ledger.index) - 1
    return ledger


def is_full(ledger: Ledger) -> bool:
    """True if one more event may not find room in the ledger: it has to be `roomier` first."""
    tops = ledger.tops
    return bool(tops[MAPS] + 1 >= tops[ROOM] or 2 * (tops[KEYS] + KEYS_OF_EVENT) > tops[INDEX_MASK])


def enter_all(ledger: Ledger, index: U64) -> None:
    """Let each key of an index mean its row."""
    for n in range(len(index)):
        if index[n, 0] != np.uint64(0):
            enter(ledger, index[n, 0], np.int64(index[n, 1]))


def find(ledger: Ledger, key: np.uint64) -> int:
    """Return the row of the newest generation under `key`, NOWHERE when there is none."""
    mask = np.uint64(ledger.tops[INDEX_MASK])
    slot = ((key * MIX) >> np.uint64(20)) & mask
    while ledger.index[slot, 0] != np.uint64(0):
        if ledger.index[slot, 0] == key:
            return np.int64(ledger.index[slot, 1])
        slot = (slot + np.uint64(1)) & mask
    return np.int64(NOWHERE)


def enter(ledger: Ledger, key: np.uint64, m: int) -> None:
    """Let `key` mean row `m` from here on."""
    mask = np.uint64(ledger.tops[INDEX_MASK])
    slot = ((key * MIX) >> np.uint64(20)) & mask
    while ledger.index[slot, 0] != np.uint64(0) and ledger.index[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    if ledger.index[slot, 0] == np.uint64(0):
        ledger.tops[KEYS] += 1
    ledger.index[slot, 0] = key
    ledger.index[slot, 1] = np.uint64(m)


def identity(events: Columns, i: int) -> np.uint64:
    """Return what stays the same of a map: its address, or where it stands on which goroutine's stack."""
    common, h = events.common, events.header[i]
    if common.stack_offset[h] == 0:
        return common.map_addr[h]
    return goroutine_key(events.goid[i]) | np.uint64(common.stack_offset[h])


def goroutine_key(goid: np.uint64) -> np.uint64:
    """Return the key of a goroutine: that of a map on its stack but for the distance from the top."""
    return ON_STACK | (goid << OFFSET_BITS)


def offset_of(ledger: Ledger, m: int) -> int:
    """Return how far map `m`, which is on a stack, is from the stack's top [bytes]."""
    return np.int64(ledger.words[m, KEY] & ((np.uint64(1) << OFFSET_BITS) - np.uint64(1)))


def stack_place(keys: U64) -> tuple[U64, U64]:
    """Return goroutine and distance from the top of its stack of maps with these keys (`places`); 0 of the heap's."""
    is_on_stack = keys & ON_STACK != 0
    goid = np.where(is_on_stack, (keys & ~ON_STACK) >> np.uint64(31), np.uint64(0))
    offset = np.where(is_on_stack, keys & np.uint64((1 << 31) - 1), np.uint64(0))
    return goid, offset


def place_key(addrs: U64, goids: U64, offsets: U64) -> U64:
    """Return the key (`places`) of maps at these addresses, or on the stacks of these goroutines."""
    key: U64 = np.where(offsets != 0, ON_STACK | goids << np.uint64(31) | offsets, addrs)
    return key


def note_maps(ledger: Ledger, events: Columns, lo: int, hi: int, is_touched: npt.NDArray[np.bool_]) -> None:
    """Note the maps that are known by what events from row `lo` to `hi` are of."""
    for i in range(lo, hi):
        m = find(ledger, identity(events, i))
        if m != NOWHERE:
            is_touched[m] = True


def is_same_array(ledger: Ledger, events: Columns, i: int, m: int) -> bool:
    """True if the array in the header of event `i` can be the one that map `m` was last seen with.

    A first bucket may stand in the frame beside the header, and moves with the stack.
    """
    array = ledger.words[m, ARRAY]
    common, h = events.common, events.header[i]
    if array == 0 or array == common.array_addr[h]:
        return True
    moved = common.map_addr[h] - ledger.words[m, ADDR]
    return common.stack_offset[h] != 0 and array + moved == common.array_addr[h]


def add_live(ledger: Ledger, context: Context, m: int, stack: int, n: int) -> None:
    """Note that `n` entries more (or fewer) inserted by `stack` are live in map `m`."""
    site = np.int64(context.site_of[stack])
    type_id = ledger.facts[m, TYPE]
    ledger.stacks[stack, STACK_LIVE] += n
    ledger.sites[site, LIVE] += n
    ledger.total[LIVE] += n
    if type_id >= 0:
        ledger.types[type_id, LIVE] += n
    if n < 0:  # no peak
        return
    ledger.stacks[stack, STACK_PEAK] = max(ledger.stacks[stack, STACK_PEAK], ledger.stacks[stack, STACK_LIVE])
    ledger.sites[site, LIVE_PEAK] = max(ledger.sites[site, LIVE_PEAK], ledger.sites[site, LIVE])
    ledger.total[LIVE_PEAK] = max(ledger.total[LIVE_PEAK], ledger.total[LIVE])
    if type_id >= 0:
        ledger.types[type_id, LIVE_PEAK] = max(ledger.types[type_id, LIVE_PEAK], ledger.types[type_id, LIVE])


def move_live(ledger: Ledger, m: int, type_id: int, n: int) -> None:
    """Let map `m` be of another type, its `n` live entries with it."""
    ledger.types[ledger.facts[m, TYPE], LIVE] -= n
    ledger.types[type_id, LIVE] += n
    ledger.types[type_id, LIVE_PEAK] = max(ledger.types[type_id, LIVE_PEAK], ledger.types[type_id, LIVE])
    ledger.facts[m, TYPE] = type_id


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


def presume(ledger: Ledger, m: int) -> None:
    """Count the operation in doubt of map `m` as what it most likely was; what it was nobody will know."""
    stack = ledger.facts[m, PENDING_STACK]
    column, stack_column = (UPDATES, STACK_UPDATES) if ledger.facts[m, PENDING] == ASSIGN else (DELETES, STACK_DELETES)
    ledger.facts[m, column] += 1
    ledger.stacks[stack, stack_column] += 1
    ledger.facts[m, PENDING] = 0
    if ledger.facts[m, INEXACT] == 0:
        ledger.facts[m, INEXACT] = np.int64(Inexact.EQUAL_HASHES)


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
        ledger.words[m, LAST_COUNT] = 0
    else:
        ledger.facts[m, PENDING] = kind
        ledger.facts[m, PENDING_STACK] = stack
