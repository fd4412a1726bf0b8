"""The verdict on who keeps the memory of a process: a finding for every part over a tenth of it, the largest first.

Figures that contradict each other give no verdict. Pure: figures in, words out.
"""

from __future__ import annotations

from collections.abc import Iterable

from mapprobe.analysis.heap import findings as about
from mapprobe.analysis.heap import map_findings as of_maps
from mapprobe.analysis.heap.findings import Finding, Heap
from mapprobe.analysis.heap.map_types import MapType
from mapprobe.analysis.heap.waterfall import Name, Waterfall

SHARE = 0.10
"""Share of all memory from which on a part is named."""
ROUNDING_BYTES, ROUNDING_SHARE = 64 << 10, 0.01
"""How far below 0 a part may be: figures are read one after the other, in whole pages and spans of 8 KiB."""
UNEXPLAINED_SHARE = 0.03
"""Share of the resident memory that parts may miss: a process allocates while its pages are counted."""
LARGEST_ELEMENT_BYTES = 256
"""Most bytes of other heap for each entry of a growing map that count as objects to which the entries refer."""


def verdict(heap: Heap) -> list[Finding]:
    """Return who keeps each part over `SHARE` of the memory, the largest first.

    The list is never empty; figures that contradict each other are its only finding.
    """
    fall = heap.fall
    if wrong := contradictions(fall):
        return [about.contradiction(fall, wrong)]
    named = [finding for finding in _all(heap) if finding.bytes >= SHARE * fall.rss_bytes]
    named = named or [_in_use(heap, [])]
    return sorted(named, key=lambda finding: -finding.bytes)


def contradictions(fall: Waterfall) -> dict[Name, int]:
    """Return the parts that have impossible figures, and their bytes: such figures contradict each other.

    The part of memory never written to is negative by definition.
    """
    rounding = max(ROUNDING_BYTES, ROUNDING_SHARE * fall.rss_bytes)
    unexplained = max(ROUNDING_BYTES, UNEXPLAINED_SHARE * fall.rss_bytes)
    wrong = {}
    for step in fall.steps:
        if step.name is Name.UNEXPLAINED:
            is_wrong = abs(step.bytes) > unexplained
        else:
            is_wrong = step.name is not Name.UNTOUCHED and step.bytes < -rounding
        if is_wrong:
            wrong[step.name] = step.bytes
    return wrong


def _all(heap: Heap) -> Iterable[Finding]:
    """Yield a finding for each part, whatever its size."""
    fall = heap.fall
    yield from _retained(fall)
    grows = [kind for kind in fall.maps.types if kind.growth and kind.live_bytes >= SHARE * fall.rss_bytes]
    for kind in grows:
        yield of_maps.growing(fall, kind, has_rest=_has_rest(fall, kind))
    if garbage := _garbage(heap):
        yield about.collector(heap, garbage)
    yield about.scavenger(heap)
    parts = (about.returned, about.stacks, about.runtime, about.foreign, about.files)
    yield from (part(fall) for part in parts)
    yield _in_use(heap, grows)


def _garbage(heap: Heap) -> int:
    """Return how much may be garbage [bytes]: without GOGC everything allocated since the last collection."""
    return max(heap.fall[Name.DROPPED], heap.since if heap.figures["gc_percent"] < 0 else 0)


def _has_rest(fall: Waterfall, kind: MapType) -> bool:
    """True if the objects to which a type's entries refer may be all of the other heap."""
    return kind.refers and fall[Name.OTHER] <= LARGEST_ELEMENT_BYTES * kind.live_slots


def _retained(fall: Waterfall) -> Iterable[Finding]:
    """Yield why buckets hold nothing: a finding for each large cause, and one for all others."""
    left = {kind.name: kind.retained_bytes for kind in fall.maps.types}
    rest = fall[Name.RETAINED]
    for which, say in (("presized", of_maps.presized), ("empty", of_maps.empty)):
        amounts = {kind.name: getattr(kind, which).retained_bytes for kind in fall.maps.types}
        if sum(amounts.values()) >= max(1, SHARE * fall.rss_bytes):
            yield say(fall)
            rest -= sum(amounts.values())
            left = {name: size - amounts[name] for name, size in left.items()}
    if rest > 0:
        yield of_maps.retained(fall, rest, left)


def _in_use(heap: Heap, grows: list[MapType]) -> Finding:
    """Return the finding for the rest: live entries and other heap in no other finding, as far as they are resident."""
    fall = heap.fall
    live = fall[Name.LIVE] - sum(kind.live_bytes for kind in grows)
    other = fall[Name.OTHER] + fall[Name.DROPPED] - _garbage(heap)
    is_told = any(_has_rest(fall, kind) for kind in grows)
    rest = [kind for kind in fall.maps.types if kind not in grows]
    found = of_maps.in_use(fall, live, 0 if is_told else other, rest)
    retained, more = fall.maps.unsure.retained, fall.maps.unsure.more
    unknown = None if retained is None or more is None else retained + more
    is_little = unknown is not None and unknown < SHARE * fall.rss_bytes
    return of_maps.little_to_give(found) if is_little else of_maps.nobody_knows(found, unknown)
