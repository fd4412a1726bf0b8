"""Codes and words that tables, the core and reports share: families of maps, kinds of events, states, reasons.

The core has `EventKind` and `Inexact` too (src/core/core.h; tests/test_core.py holds them equal).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Implementation(StrEnum):
    """The family of Go map."""

    CLASSIC = "classic"
    SWISS = "swiss"


class EventKind(IntEnum):
    """What an event says happened."""

    ASSIGN = 1
    DELETE = 2
    CLEAR = 3
    CREATE = 4
    GROW = 5
    OVERFLOW = 6
    EXIT = 7
    CLONE = 8


class HeapKind(IntEnum):
    """What an event of the heap says happened."""

    SPAN_ALLOCATED = 16
    SPAN_FREED = 17
    SCAVENGE = 18
    RETURNED = 19
    ARRAY_MADE = 20
    CYCLE_STARTED = 21
    CYCLE_MARKED = 22
    CYCLE_SWEEPS = 23


class MapState(StrEnum):
    """Whether a map still lived when it was last looked at."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """Where the figures of a map come from."""

    REPLAYED = "replayed"
    """Every operation on it was followed."""
    READ = "read"
    """Its memory was read when the recording ended."""
    BOUNDED = "bounded"
    """Its memory was read while it was written: its figures have bounds."""
    BEFORE = "before"
    """Nothing was done to it in the recording: a census read its memory."""


class View(StrEnum):
    """Who is charged for a slot that holds nothing."""

    GROWTH = "growth"
    FILL = "fill"
    DRAIN = "drain"


class Inexact(IntEnum):
    """Why a map's figures are not exact (0: they are)."""

    EXACT = 0
    BEFORE_RECORDING = 1
    HEADER_MISMATCH = 2
    EVENTS_LOST = 3
    GROWTH_ONLY = 4
    OUT_OF_SIGHT = 5
    CUT_OFF = 6
    UNEQUAL_KEYS = 7
    NOT_WATCHED = 8
    NEVER_STILL = 9
    SIZE_NOT_KNOWN = 10
    UNTOUCHED = 11
    EQUAL_HASHES = 12
    TOO_LARGE = 13


INEXACT_REASONS = {
    Inexact.EXACT: "",
    Inexact.BEFORE_RECORDING: "the map was filled before the recording began",
    Inexact.HEADER_MISMATCH: "its header changed in a way that no recorded event explains",
    Inexact.EVENTS_LOST: "events were lost while it lived",
    Inexact.GROWTH_ONLY: "only growth was recorded, not every operation",
    Inexact.OUT_OF_SIGHT: "it was made out of sight, or is a clone of what is not exact",
    Inexact.CUT_OFF: "the recording is damaged: its last events are missing",
    Inexact.UNEQUAL_KEYS: "it grew with keys that are not equal to themselves (NaN), which moves them at random",
    Inexact.NOT_WATCHED: "not everything was watched all the time while it lived (--max-overhead)",
    Inexact.NEVER_STILL: "it was written each time a census read it: its figures are those of a read during writes",
    Inexact.SIZE_NOT_KNOWN: "a census found several types that it may be of, whose buckets differ in size",
    Inexact.UNTOUCHED: "nothing was done to it in the recording: its figures are those of a census at the end",
    Inexact.EQUAL_HASHES: "its keys may share a hash, and which of them an operation was on is not known",
    Inexact.TOO_LARGE: "it was made for more entries than this machine has memory for, or its creation is damaged",
}
