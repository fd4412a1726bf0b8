"""A place to probe in a map function: what its event means, and where the values of the event stand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mapprobe.go.dataflow.locations import Location
from mapprobe.vocabulary import EventKind


class Cost(StrEnum):
    """What the kernel does with the probed instruction: emulate it, or single-step it (20 times dearer)."""

    EMULATED = "emulated"
    STEPPED = "stepped"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the values stand that a point sees; None where the point does not see them.

    Attributes
    ----------
    hash
        The key's hash; at a clone the original map.
    key
        A pointer to the key; given only in functions for keys of any type.
    """

    hash: Location | None = None
    map: Location | None = None
    type: Location | None = None
    key: Location | None = None
    hint: Location | None = None


@dataclass(frozen=True, slots=True)
class ProbePoint:
    """One place to probe.

    Attributes
    ----------
    kind
        What an event of the point says happened.
    code
        The instruction's bytes.
    frame_is_set_up
        [RBP + 8] is the return address; else it is on top of the stack, and RBP is still the caller's.
    places
        Where the values stand that the point sees.
    prunes_tombstones
        The function prunes tombstones before it grows a table.
    """

    kind: EventKind
    function: str
    vaddr: int
    file_offset: int
    instruction: str
    code: bytes
    cost: Cost
    frame_is_set_up: bool
    places: Places = Places()
    prunes_tombstones: bool = False
