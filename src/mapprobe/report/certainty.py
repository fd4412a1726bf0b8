"""How certain totals are: as members of JSON documents, and in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mapprobe.analysis.certainty import Apart
from mapprobe.units import human_bytes

Bounds = dict[str, tuple[int, int | None]]
"""Least and most of some totals, None: any number."""


def faults_of(recording: Mapping[str, object]) -> list[str]:
    """Return what is wrong with a recording, in words: it is unfinished, or its events are damaged.

    Parameters
    ----------
    recording
        The ``recording`` object of mapprobe.report/1.
    """
    return [f"{name}: {recording[name]}" for name in ("unfinished", "damaged") if name in recording]


def unsure_of(bounds: Bounds, apart: Apart) -> dict[str, object]:
    """Return the members ``bounds``, ``dead`` and ``unknown`` of a document, without empty ones."""
    found = bounds_of(bounds, apart)
    said: dict[str, object] = {"bounds": {name: list(ends) for name, ends in found.items()}} if found else {}
    return said | apart_of(apart)


def bounds_of(bounds: Bounds, apart: Apart) -> Bounds:
    """Return the least and the most of each total that is not known; None: any number.

    Parameters
    ----------
    bounds
        Bounds of the operations (`provenance.bounds`).
    """
    bytes_of = {name: getattr(apart, name) for name in ("allocated_bytes", "retained_bytes")}
    return bounds | {name: ends for name, ends in bytes_of.items() if ends[0] != ends[1]}


def apart_of(apart: Apart) -> dict[str, object]:
    """Return the members ``dead`` and ``unknown`` for maps that are in no total, without empty ones."""
    found: dict[str, object] = {}
    if apart.dead or apart.uncollected_bytes:
        found["dead"] = {"maps": apart.dead, "uncollected_bytes": apart.uncollected_bytes}
    if apart.unknown:
        most = {"most_allocated_bytes": apart.unknown_allocated_bytes}
        found["unknown"] = {"maps": apart.unknown} | most | {"most_retained_bytes": apart.unknown_retained_bytes}
    return found


def left_apart(apart: Apart) -> list[str]:
    """Return in words how many maps are in no total, and how many bytes they have."""
    said = []
    if apart.dead:
        rest = f", {human_bytes(apart.uncollected_bytes)} of them not collected yet" if apart.uncollected_bytes else ""
        said.append(f"and {apart.dead:,} {noun(apart.dead)} that died{rest}")
    if apart.unknown:
        most = apart.unknown_allocated_bytes
        holds = "nobody knows what they hold" if most is None else f"at most {human_bytes(most)}"
        said.append(f"and {apart.unknown:,} {noun(apart.unknown)} that may be alive or dead: {holds}")
    return said


def held_at_the_end(apart: Apart) -> str:
    """Return what maps held at the end of a process that ended before its memory was read, in words."""
    said = "the process ended by itself: it holds nothing now"
    if not apart.unknown:
        return f"{said}, and no map is known to have existed at its end"
    allocated, retained = apart.unknown_allocated_bytes, apart.unknown_retained_bytes
    if allocated is None:
        return f"{said}; nobody knows what {_had(apart.unknown)} at its end"
    rest = "" if retained is None else f", of which at most {human_bytes(retained)} would have come back"
    return f"{said}; {_had(apart.unknown)} at most {human_bytes(allocated)} of buckets at its end{rest}"


def _had(count: int) -> str:
    return f"its {count:,} {noun(count)} held"


def noun(count: int) -> str:
    """Return the word for this many maps."""
    return "map" if count == 1 else "maps"


def between(least: int, most: int | None) -> str:
    """Return bounds of a number of bytes in words; a most of None is any number."""
    if least == most:
        return human_bytes(least)
    rest = "" if most is None else f", at most {human_bytes(most)}"
    return f"at least {human_bytes(least)}{rest}"
