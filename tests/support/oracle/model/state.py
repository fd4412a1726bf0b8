"""The arrays that hold every map of a replay, and what differs between Go releases.

One `State` holds all maps of one process. A map is a row of `maps`; its
buckets are runs of rows in the bucket arrays (`control`, `hashes`, ...).
A slot is live by its control byte; else it is dead if `insert_stacks` names
a stack (it held an entry since its bucket was allocated), else virgin.

No function here makes an array longer. Before an operation `has_room` of the
implementation is asked; where it says no, it has noted in `tops` what is
short, and `enlarged` returns a state that has it.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from mapprobe import vocabulary
from mapprobe.arrays import I64, U32, U64
from mapprobe.errors import MapprobeError, TargetError
from mapprobe.vocabulary import Implementation

int64 = cast(Callable[[Any], int], np.int64)
"""When it runs `np.int64`, to type checkers something that returns an int, as ids and counts are."""

NOWHERE = -1
"""No array, no bucket, no table: the named nothing of int64 columns."""

# Columns of State.maps (int64), one row a map. What every operation looks at stands in its first line. The first
# and the last block are of both implementations.
COUNT, LOG2, ARRAY, FLAGS = range(4)
# Classic: the array being evacuated, how far that went (as the header has it); noverflow; overflow buckets chained
# to the current and to the waiting old buckets, how many of the old array's buckets wait, how many of the
# preallocated ones are taken, and how many the heap gave to the current and to the old array.
OLD_ARRAY, EVACUATED, OVERFLOW_COUNT, CHAINED, OLD_CHAINED, WAITING, PREALLOCATED_USED, HEAP, OLD_HEAP = range(4, 13)
# Swiss: directory slots (0: small map), groups of all tables, growths by an insert that ran out of room.
DIRECTORY_LENGTH, GROUPS, UNCOUNTED = range(4, 7)
BUCKET_BYTES, HAS_POINTERS, CREATED_BY = range(13, 16)
MAP_COLUMNS = 16

# Columns of State.bucket_stacks.
GROWTH, LAST_INSERT, LAST_DELETE = range(3)

# Columns of State.tables (int64), one row a Swiss table: its first group and how many, entries, inserts
# left before growth, and its place in the directory.
FIRST_GROUP, LOG2_GROUPS, USED, GROWTH_LEFT, LOCAL_DEPTH, INDEX = range(6)
TABLE_COLUMNS = 8
"""Six, and two to make it a line."""

# Values of State.bucket_kinds.
MAIN, PREALLOCATED, ON_HEAP = range(3)

# Entries of State.tops: rows in use of each arena, then how many rows the last `has_room` asked for,
# whether there is any key type that is not 0, and how many rows there are.
BUCKETS, TABLES, DIRECTORY = range(3)
WANTED_BUCKETS, WANTED_TABLES, WANTED_DIRECTORY, WANTED_MAPS, HAS_KEY_TYPES = range(3, 8)
ROOM_BUCKETS, ROOM_TABLES, ROOM_DIRECTORY, ROOM_MAPS = range(8, 12)
TOPS = 12

LONGEST_RUN_LOG2 = 32
"""Runs of buckets and directories are powers of two, at most this one."""

# Entries of State.free: heads of lists of free runs by log2 of their length, and of free tables.
FREE_BUCKETS, FREE_DIRECTORIES, FREE_TABLES = 0, LONGEST_RUN_LOG2 + 1, 2 * (LONGEST_RUN_LOG2 + 1)
FREE_HEADS = FREE_TABLES + 1

# Entries of State.rules, in the order of the fields of Rules behind `first`.
LOAD_FACTOR_NUM, MALLOC_HEADER, PRUNES_TOMBSTONES, FLAGS_TOMBSTONES, UPDATE_GROWS_FULL_SMALL_MAP = range(5)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a range of Go releases does; it begins with `first` and ends before the next row.

    Attributes
    ----------
    load_factor_num
        Classic: entries per two buckets before a map grows. go: runtime/map.go loadFactorNum [1.18..1.23]
    malloc_header
        Bytes before objects that hold pointers and are larger than 512 bytes.
        go: runtime/malloc.go mallocHeaderSize [1.22..1.27]
    prunes_tombstones
        Swiss: some inserts prune. go: internal/runtime/maps/table.go (*table).pruneTombstones [1.25..1.27]
    flags_tombstones
        Swiss: the header says whether there may be tombstones, and clear heeds it.
        go: internal/runtime/maps/map.go Map.tombstonePossible [1.25..1.27]
    update_grows_full_small_map
        Swiss: assigning to a small map of eight entries grows it even if the key is there.
        go: internal/runtime/maps/map.go (*Map).PutSlot [1.24..1.26]
    """

    first: tuple[int, int]
    load_factor_num: int
    malloc_header: int
    prunes_tombstones: bool
    flags_tombstones: bool
    update_grows_full_small_map: bool


RULES = (
    Rules((1, 18), 13, 0, False, False, False),
    Rules((1, 21), 12, 0, False, False, False),
    Rules((1, 22), 13, 8, False, False, False),
    Rules((1, 24), 13, 8, False, False, True),
    Rules((1, 25), 13, 8, True, True, True),
    Rules((1, 27), 13, 8, True, True, False),
)


class State(NamedTuple):
    """Every map of one process, in arrays of named rows.

    Attributes
    ----------
    maps
        ``(maps, MAP_COLUMNS)``.
    rows
        What stands behind the bucket arrays but `key_types`, a row of 128 bytes each (`_views`), ``(buckets, 16)``.
    control
        Eight control bytes of a bucket, the first slot's lowest: classic tophash, Swiss ctrl, ``(buckets,)``.
    hashes, key_types
        Of each slot: hash, and dynamic type word of an interface key, ``(buckets, 8)``. What stands
        in a slot that isn't live means nothing.
    insert_stacks
        Of each slot: the stack that last filled it, `vocabulary.NONE` for never, ``(buckets, 8)``.
    delete_stacks
        Of each slot that isn't live: the stack that last emptied it, `vocabulary.NONE` for never, ``(buckets, 8)``.
        It stands in the low half of the slot's hash, which is of no use any more.
    bucket_stacks
        ``(buckets, 3)``: GROWTH, LAST_INSERT, LAST_DELETE.
    bucket_kinds
        MAIN, PREALLOCATED or ON_HEAP; Swiss groups are all MAIN, ``(buckets,)``.
    listed, listed_parts
        Room for `list_buckets` of any one map, ``(buckets,)``.
    next_bucket
        Classic overflow chain; of the first bucket of a free run the next free run, ``(buckets,)``.
    tables
        ``(tables, TABLE_COLUMNS)``; FIRST_GROUP of a free one is the next free one.
    directory
        Tables by directory slot; the first slot of a free run is the next free run.
    free, tops, rules
        Heads of free lists, ends of arenas, and the row of `RULES`.
    """

    maps: I64
    rows: U64
    control: U64
    hashes: U64
    key_types: U64
    insert_stacks: U32
    delete_stacks: U32
    bucket_stacks: U32
    bucket_kinds: npt.NDArray[np.uint8]
    next_bucket: U32
    listed: U32
    listed_parts: U32
    tables: I64
    directory: U32
    free: I64
    tops: I64
    rules: I64


FIRST_RELEASE = {Implementation.CLASSIC: (1, 18), Implementation.SWISS: (1, 24)}

MAP_ARRAYS = ("maps",)
BUCKET_ARRAYS = ("rows",)
KEY_TYPE_ARRAYS = ("key_types",)
CACHE_LINE = 128
"""Bytes; processors of today fetch lines of 64 in pairs."""
ROW_WORDS = 16
HUGE_PAGE = 1 << 21
"""Bytes. An operation on one of 100,000 entries waited longer for where its page is than for its bucket."""
SCRATCH_ARRAYS = ("listed", "listed_parts")
TABLE_ARRAYS = ("tables",)
DIRECTORY_ARRAYS = ("directory",)


def rules_of(implementation: Implementation, go_release: tuple[int, int]) -> I64:
    """Return the row of `RULES` that a release follows, as the models read it.

    Raises
    ------
    TargetError
        If the release is older than the first one known.
    """
    first = FIRST_RELEASE[implementation]
    if go_release < first:
        release, known = (".".join(map(str, r)) for r in (go_release, first))
        raise TargetError(f"go {release}: no {implementation} maps are known of it: use go {known} or later")
    row = [rules for rules in RULES if rules.first <= go_release][-1]
    return np.array(astuple(row)[1:], np.int64)


def new_state(implementation: Implementation, go_release: tuple[int, int]) -> State:
    """Return a state without maps, with small arenas."""
    maps, buckets, tables, directory = 1 << 8, 1 << 12, 1 << 8, 1 << 10
    state = State(
        maps=zeros((maps, MAP_COLUMNS), np.dtype(np.int64)),
        **_bucket_arrays(buckets),
        key_types=np.zeros((buckets, 8), np.uint64),
        listed=np.zeros(buckets, np.uint32),
        listed_parts=np.zeros(buckets, np.uint32),
        tables=np.zeros((tables, TABLE_COLUMNS), np.int64),
        directory=np.zeros(directory, np.uint32),
        free=np.full(FREE_HEADS, vocabulary.NONE, np.int64),
        tops=np.zeros(TOPS, np.int64),
        rules=rules_of(implementation, go_release),
    )
    return _measured(state)


def enlarged(state: State) -> State:
    """Return the state with room for what the last `has_room` found short, each such arena at least doubled.

    Raises
    ------
    MapprobeError
        If that is more rows than the arrays can number.
    MemoryError
        If it is more than the machine has.
    """
    tops = state.tops
    wanted = {
        MAP_ARRAYS: (len(state.maps), int(tops[WANTED_MAPS])),
        BUCKET_ARRAYS: (int(tops[BUCKETS]), int(tops[WANTED_BUCKETS])),
        KEY_TYPE_ARRAYS: (int(tops[BUCKETS] * tops[HAS_KEY_TYPES]), int(tops[WANTED_BUCKETS])),
        SCRATCH_ARRAYS: (0, int(tops[WANTED_BUCKETS])),
        TABLE_ARRAYS: (int(tops[TABLES]), int(tops[WANTED_TABLES])),
        DIRECTORY_ARRAYS: (int(tops[DIRECTORY]), int(tops[WANTED_DIRECTORY])),
    }
    if (most := max(rows for _, rows in wanted.values())) > vocabulary.NONE:
        raise MapprobeError(f"map model: {most} rows are more than 32 bits can number: replay a shorter recording")
    # asked beforehand: the system promises more memory than there is, and ends the process that uses it
    short = [(getattr(state, name), rows) for names, (_, rows) in wanted.items() for name in names]
    if sum(array.nbytes // len(array) * rows for array, rows in short if rows > len(array)) > _memory():
        raise MemoryError
    longer: dict[str, npt.NDArray[Any]] = {}
    for names, (used, rows) in wanted.items():
        for name in names:
            array = getattr(state, name)
            if rows > len(array):
                longer[name] = _longer(array, used, rows)
    if "rows" in longer:
        longer |= _views(longer["rows"])
    return _measured(state._replace(**longer))


def _measured(state: State) -> State:
    """Return the state, having noted in it how many rows there are."""
    state.tops[ROOM_BUCKETS], state.tops[ROOM_TABLES] = len(state.control), len(state.tables)
    state.tops[ROOM_DIRECTORY], state.tops[ROOM_MAPS] = len(state.directory), len(state.maps)
    return state


def _bucket_arrays(buckets: int) -> dict[str, npt.NDArray[Any]]:
    rows = zeros((buckets, ROW_WORDS), np.dtype(np.uint64))
    return {"rows": rows, **_views(rows)}


def _views(rows: U64) -> dict[str, npt.NDArray[Any]]:
    """Return the bucket arrays that stand in `rows`, so that an operation on a bucket touches two cache lines."""
    halves, octets = rows.view(np.uint32), rows.view(np.uint8)
    return {
        "control": rows[:, 0],
        "hashes": rows[:, 1:9],
        "delete_stacks": halves[:, 2:18:2],
        "insert_stacks": halves[:, 18:26],
        "bucket_stacks": halves[:, 26:29],
        "next_bucket": halves[:, 29],
        "bucket_kinds": octets[:, 120],
    }


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return zeros that begin at a cache line; their pages are taken only when they are touched, huge ones if may be.

    Raises
    ------
    MemoryError
        If the system does not promise as much.
    """
    size = math.prod(shape) * dtype.itemsize
    if size >= HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            raise MemoryError from None
        pages.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(pages, dtype).reshape(shape)
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def _memory() -> int:
    """Return how much memory the machine has [bytes]."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _longer(array: npt.NDArray[Any], used: int, rows: int) -> npt.NDArray[Any]:
    length = 2 * len(array)
    while length < rows:
        length *= 2
    more = zeros((length, *array.shape[1:]), array.dtype)
    more[:used] = array[:used]
    return more
