"""The data of the profilers' formats: stacks as locations, and what each stack is charged for maps of each type.

The frames are those of the reports by stack (without the runtime's), grouped by instruction: a call and the calls
inlined into it share one location. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mapprobe.analysis.retention import by_charge
from mapprobe.arrays import I64
from mapprobe.recording.sites import NOT_RECORDED, CallSite, Sites, innermost_runtime, is_runtime, logical_frames
from mapprobe.recording.tables.result import Replayed
from mapprobe.vocabulary import View

VALUES = {
    "retained_bytes": ("retained_bytes", "bytes"),
    "allocated_bytes": ("allocated_bytes", "bytes"),
    "live_bytes": ("needed_bytes", "bytes"),
    "retained_buckets": ("retained_buckets", "count"),
}
"""Sample types, each with its measure and unit. Live bytes are the bytes that a fresh map for the entries needs."""
MOST_SAMPLES = 10_000
"""Pairs of stack and type that get a sample of their own by default; the rest is one sample."""


@dataclass(frozen=True, slots=True)
class Location:
    """An instruction on a stack.

    Attributes
    ----------
    pc
        Return address in the binary; 0: no instruction.
    frames
        Innermost first; several where calls were inlined.
    """

    pc: int
    frames: tuple[CallSite, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples of the four `VALUES`, the most retained bytes first.

    Attributes
    ----------
    recording
        The ``recording`` object of mapprobe.report/1.
    view
        Who is charged.
    locations
        The distinct locations.
    stacks
        For each sample the indices of its `locations`, innermost first.
    types
        The map type of each sample, empty in the sample that stands for the rest.
    values
        int64, ``(samples, len(VALUES))``; each column sums to the totals.
    left_out
        How many samples the last one stands for; 0: only for itself.
    """

    recording: dict[str, object]
    view: str
    locations: list[Location]
    stacks: list[list[int]]
    types: list[str]
    values: I64
    left_out: int

    def frames(self, sample: int) -> list[CallSite]:
        """Return the frames of a sample, innermost first."""
        return [frame for row in self.stacks[sample] for frame in self.locations[row].frames]


def profile_of(
    recording: dict[str, object],
    replayed: Replayed,
    tables: Mapping[str, pa.Table],
    sites: Sites,
    view: View,
    top: int = MOST_SAMPLES,
) -> Profile:
    """Return the profile of a recording.

    Parameters
    ----------
    recording
        The ``recording`` object of mapprobe.report/1.
    tables
        The recording's ``stacks``, ``frames`` and ``types``.
    sites
        The recording's call sites.
    top
        How many samples to keep; all other samples are added up in one more.
    """
    by_pc = logical_frames(tables["frames"])
    rows: dict[Location, int] = {}
    pcs = tables["stacks"]["pcs"].to_pylist()
    charges = by_charge(replayed, tables["types"], np.arange(len(sites.stacks)), view)
    charges = charges.filter(pa.array(_values(charges).any(axis=1)))
    kept, rest = charges.slice(0, top), charges.slice(top)
    stacks = [
        [rows.setdefault(location, len(rows)) for location in _locations(stack, pcs, by_pc, sites)]
        for stack in kept["group"].to_pylist()
    ]
    types, values = kept["type"].to_pylist(), _values(kept)
    if len(rest):
        stacks.append([rows.setdefault(_placeholder(f"(other: {len(rest):,} more)"), len(rows))])
        types.append("")
        values = np.vstack([values, _values(rest).sum(axis=0)])
    return Profile(recording, str(view), list(rows), stacks, types, values, len(rest))


def _locations(stack: int, pcs: list[list[int]], by_pc: Mapping[int, list[CallSite]], sites: Sites) -> list[Location]:
    """Return the locations of a stack. A stack for maps from before the recording has those of their growth stack."""
    if stack < len(pcs):
        return locations_of(pcs[stack], by_pc)
    grown_by = next(by for (by, _), number in sites.before.items() if number == stack)
    grown = locations_of(pcs[grown_by], by_pc) if grown_by else []
    return [Location(0, (sites.stacks[stack][0],)), *grown]


def locations_of(pcs: list[int], by_pc: Mapping[int, list[CallSite]]) -> list[Location]:
    """Return the locations of a stack, innermost first, without the runtime's frames (see `sites.resolve`)."""
    logical = [(pc, frame) for pc in pcs for frame in by_pc.get(pc, ())]
    outside = [(pc, frame) for pc, frame in logical if not is_runtime(frame)]
    if not outside:
        inner = innermost_runtime([frame for _, frame in logical])
        outside = logical[len(logical) - len(inner) :]
    if not outside:
        return [_placeholder(NOT_RECORDED.function)]
    locations: list[Location] = []
    last = None
    for pc, frame in outside:
        if pc == last:
            locations[-1] = Location(pc, (*locations[-1].frames, frame))
        else:
            locations.append(Location(pc, (frame,)))
        last = pc
    return locations


def _placeholder(name: str) -> Location:
    return Location(0, (CallSite(name, "", 0, ""),))


def _values(charges: pa.Table) -> I64:
    return np.column_stack([np.asarray(charges[measure], np.int64) for measure, _ in VALUES.values()])
