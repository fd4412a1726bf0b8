"""Codes and words that tables, the core and reports share: families of maps, kinds of events, states, reasons.

The core has `EventKind` and `Inexact` too (src/core/core.h; tests/model/test_core.py holds them equal).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Implementation(StrEnum):
    """The family of Go map."""

    CLASSIC = "classic"
    SWISS = "swiss"


class EventKind(IntEnum):
    """The operation that an event reports."""

    ASSIGN = 1
    DELETE = 2
    CLEAR = 3
    CREATE = 4
    GROW = 5
    OVERFLOW = 6
    EXIT = 7
    CLONE = 8


class HeapKind(IntEnum):
    """The change of the heap that an event reports."""

    SPAN_ALLOCATED = 16
    SPAN_FREED = 17
    SCAVENGE = 18
    RETURNED = 19
    ARRAY_MADE = 20
    CYCLE_STARTED = 21
    CYCLE_MARKED = 22
    CYCLE_SWEEPS = 23


class MapState(StrEnum):
    """Whether a map was still alive when it was last checked."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """The source of a map's figures."""

    REPLAYED = "replayed"
    """Every operation on the map was followed."""
    READ = "read"
    """The map's memory was read when the recording ended."""
    BOUNDED = "bounded"
    """The map's memory was read while the program wrote to the map: the figures have bounds."""
    BEFORE = "before"
    """Nothing was done to the map in the recording: a census read its memory."""


class View(StrEnum):
    """Who is charged for a slot that holds nothing."""

    GROWTH = "growth"
    FILL = "fill"
    DRAIN = "drain"


class Inexact(IntEnum):
    """Why a map's figures are not exact (0: they are), and which module sets the reason."""

    EXACT = 0
    BEFORE_RECORDING = 1  # set by replay/context.py, replay/from_census.py
    HEADER_MISMATCH = 2  # set by src/core/replay.c, replay/balance.py
    EVENTS_LOST = 3  # set by replay/closing.py
    GROWTH_ONLY = 4  # set by replay/context.py
    OUT_OF_SIGHT = 5  # set by replay/context.py, src/core/generations.c and replay.c
    CUT_OFF = 6  # set by replay/closing.py
    UNEQUAL_KEYS = 7  # set by src/core/doubts.c
    NOT_WATCHED = 8  # set by replay/closing.py
    NEVER_STILL = 9  # set by replay/from_census.py, replay/balance.py
    SIZE_NOT_KNOWN = 10  # set by replay/from_census.py
    UNTOUCHED = 11  # set by replay/from_census.py
    EQUAL_HASHES = 12  # set by src/core/doubts.c
    TOO_LARGE = 13  # set by src/core/generations.c


INEXACT_REASONS = {
    Inexact.EXACT: "",
    Inexact.BEFORE_RECORDING: "the map was filled before the recording began",
    Inexact.HEADER_MISMATCH: "its header changed in a way that no recorded event explains",
    Inexact.EVENTS_LOST: "events were lost while it lived",
    Inexact.GROWTH_ONLY: "only growth was recorded, not every operation",
    Inexact.OUT_OF_SIGHT: "it was made out of sight, or is a clone of a map that is not exact",
    Inexact.CUT_OFF: "the recording is damaged: its last events are missing",
    Inexact.UNEQUAL_KEYS: "it grew with keys that are not equal to themselves (NaN): growth moves such keys at random",
    Inexact.NOT_WATCHED: "not everything was watched all the time while it lived (--max-overhead)",
    Inexact.NEVER_STILL: "it was written each time a census read it: its figures are those of a read during writes",
    Inexact.SIZE_NOT_KNOWN: "a census found several types that it may have, and their buckets differ in size",
    Inexact.UNTOUCHED: "nothing was done to it in the recording: its figures are those of the last census",
    Inexact.EQUAL_HASHES: "some of its keys may share a hash: which of these keys an operation used is not known",
    Inexact.TOO_LARGE: "it was made for more entries than this machine has memory for, or its creation is damaged",
}

VIEWS = (View.GROWTH, View.FILL, View.DRAIN)

NONE = 0xFFFFFFFF
"""No stack, no site, no bucket: what uint32 columns and the core have instead of a null (null in Arrow)."""

BEFORE = 0
"""The stack id of everything that happened before the recording, or that the recording did not see."""


UNEQUAL_KEY = 1
"""The `key_type` of a key that is not equal to itself (NaN): no type has this address."""

NOT_WATCHED = "not watched"
"""The reason of a gap that mapprobe makes on purpose, to limit what probing costs the process."""

PROBES = "census"
"""The value of `probes` in `schema.SESSION` for a recording that is a census."""


class Naming(IntEnum):
    """How sure a census is of a map's type."""

    EXACT = 0
    ONLY = 1
    CANDIDATES = 2
    NOT_KNOWN = 3


NAMINGS = {
    Naming.EXACT: "exact",
    Naming.ONLY: "only",
    Naming.CANDIDATES: "candidates",
    Naming.NOT_KNOWN: "not known",
}
"""Each `Naming` in a word. EXACT: the allocator knows the type, or the call that grew the map names it. ONLY: just one
type of the binary fits. CANDIDATES: several types fit. NOT_KNOWN: no type fits."""


class Liveness(IntEnum):
    """Why a census takes a map to be alive or dead."""

    MARKED = 0
    NEW = 1
    REFERRED_TO = 2
    NOT_REFERRED_TO = 3
    USED_ON_STACK = 4
    ON_STACK = 5
    LEFT_ON_STACK = 6


LIVENESS = {
    Liveness.MARKED: "the last collection found it alive",
    Liveness.NEW: "it was made since the last collection",
    Liveness.REFERRED_TO: "a global, a stack or an object refers to it",
    Liveness.NOT_REFERRED_TO: "no global, stack or object refers to it, looked at twice",
    Liveness.USED_ON_STACK: "a local variable that its function still uses",
    Liveness.ON_STACK: "it is on a goroutine's stack whose frames could not be told apart: it may be left over there",
    Liveness.LEFT_ON_STACK: "left over on a goroutine's stack: nothing uses it any more",
}


class CyclePhase(IntEnum):
    """The phase of a collection that the runtime has reached."""

    STARTED = 0
    MARKED = 1
    SWEEPS = 2


class Trigger(IntEnum):
    """What started a collection.

    go: runtime/mgc.go gcTriggerKind [1.19..1.27]
    """

    HEAP = 0
    TIME = 1
    ASKED = 2


TRIGGERS = {
    Trigger.HEAP: "the heap reached its goal",
    Trigger.TIME: "no collection for two minutes",
    Trigger.ASKED: "runtime.GC or debug.FreeOSMemory",
}


class ReturnReason(IntEnum):
    """Why memory went back to the system."""

    BACKGROUND = 0
    ALLOCATION = 1
    LIMIT = 2
    FORCED = 3
    UNKNOWN = 4


RETURN_REASONS = {
    ReturnReason.BACKGROUND: "the background scavenger",
    ReturnReason.ALLOCATION: "an allocation that made the heap grow",
    ReturnReason.LIMIT: "an allocation at the memory limit",
    ReturnReason.FORCED: "debug.FreeOSMemory",
    ReturnReason.UNKNOWN: "not known: it began before the recording",
}


class ArrayState(IntEnum):
    """The state in which a bucket array, or a large object from before the recording, was last seen."""

    MADE = 0
    HELD = 1
    FREED = 2
    PAGES_FREE = 3
    RETURNED = 4


class Part(StrEnum):
    """What a page of memory is for."""

    LARGE = "large objects"
    SMALL = "small objects"
    STACKS = "stacks"
    FREE = "free"
    RETURNED = "returned"
    FILES = "binary and libraries"
    C_HEAP = "C heap"
    ANONYMOUS = "other anonymous"
    PROCESS = "process"


NO_LIMIT = (1 << 63) - 1
"""The memory limit of a process that sets none. go: runtime/mgcpacer.go memoryLimit [1.19..1.27]"""

NO_GOAL = (1 << 64) - 1
"""The goal while GOGC is off. go: runtime/mgcpacer.go gcPercentHeapGoal [1.19..1.27]"""
