"""Findings of `mapprobe heap` about maps: what the maps of a process keep of its memory, in words.

Pure: figures in, words out.
"""

from __future__ import annotations

from dataclasses import replace

from mapprobe.analysis.heap.findings import Finding, Holder, largest_site, out_of, place, share, size
from mapprobe.analysis.heap.map_types import MapType, Part
from mapprobe.analysis.heap.waterfall import Name, Waterfall
from mapprobe.recording.sites import CallSite

HEADER_BYTES = 48
"""Bytes that a map takes beside its buckets: the size of its header.

go: runtime/map.go hmap [1.18..1.23], internal/runtime/maps/map.go Map [1.24..1.27]
"""
UNHEARD = "neither a collection nor GOGC, GOMEMLIMIT or debug.FreeOSMemory gives these buckets back"
LARGE_SHARE = 20
"""Memory in use names a type if the type's entries are more than 1/20 of all memory."""
MOST_NAMED = 3
"""Most lines of advice on memory in use."""


def maps_in_words(count: int) -> str:
    """Return a number of maps in words."""
    return f"{count:,} map{'' if count == 1 else 's'}"


def retained(fall: Waterfall, amount: int, left: dict[str, int]) -> Finding:
    """Say which maps have buckets that hold nothing: their type, and the call site with its share.

    The map to rebuild is named by its call site if that site is charged more than half of the bytes, else by its type.

    Parameters
    ----------
    left
        For each type what rebuilding its maps gives back [bytes].
    """
    says = f"{out_of(fall, amount)} are buckets of maps that hold nothing"
    what = ""
    kind = max(fall.maps.types, key=lambda kind: left[kind.name], default=None)
    if kind and left[kind.name]:
        theirs = left[kind.name]
        says += f", {size(theirs)} of it ({share(theirs, amount)}) in {maps_in_words(kind.maps)} of type {kind.name}"
        says += f" with {kind.live_slots:,} entries"
        what = f"the map of type {kind.name}" if kind.maps == 1 else f"the maps of type {kind.name}"
    filled, grown = largest_site(fall.maps.sites), largest_site(_all_grown(fall.maps.types))
    for top, verb in ((filled, "by"), (grown, "grown by")):
        if top and 2 * top[1] > fall.maps.retained:
            says += f"; {_charged(fall, top)} {verb} {place(top[0])}"
            what = f"the map of {place(top[0])}"
            break
    else:
        says += f"; {_charged(fall, filled)} by {place(filled[0])}" if filled else ""
    rebuild = f"rebuild {what}: copy the live entries into a new map, and drop the old one"
    unnamed = "rebuild the maps that retain the most: mapprobe report --by map names them"
    return Finding(
        Holder.MAPS, amount, says + _untouched(fall), "", [rebuild if what else unnamed, UNHEARD], (Name.RETAINED,)
    )


def _charged(fall: Waterfall, top: tuple[CallSite, int]) -> str:
    return f"{size(top[1])} of it ({share(top[1], fall.maps.retained)})"


def _all_grown(types: list[MapType]) -> list[tuple[CallSite, int]]:
    """Return call sites by the retained bytes that they allocated, over all types."""
    sums: dict[CallSite, int] = {}
    for kind in types:
        for site, amount in kind.grown_by:
            sums[site] = sums.get(site, 0) + amount
    return sorted(sums.items(), key=lambda pair: -pair[1])


def _untouched(fall: Waterfall) -> str:
    """Say how much of the heap takes no memory if that is much, as it may include buckets of maps."""
    untouched = -fall[Name.UNTOUCHED]
    if 10 * untouched < fall.rss_bytes:
        return ""
    return f"; {size(untouched)} of the heap were never written to and are not in memory, perhaps some of these buckets"


def presized(fall: Waterfall) -> Finding:
    """Say which maps were made with a far too large hint."""
    amount, kind, part = _largest(fall, "presized")
    says = f"{out_of(fall, amount)} are buckets of maps made with room for far more than they ever held"
    says += f": {kind.name}, {maps_in_words(part.maps)} with {part.buckets:,} buckets, "
    seen = f"held no more than {part.most_entries:,} entries"
    says += f"{seen} and never grew"
    says += "" if part.is_sure else " in the recording, and their buckets show no trace of more"
    top = largest_site(kind.grown_by)
    if top:
        says += f"; {size(top[1])} of it ({share(top[1], kind.retained_bytes)}) made by {place(top[0])}"
    advice = ["make it without a hint, or with a smaller one: make(map[K]V, n) allocates room for n entries at once"]
    if not part.is_sure:
        advice.append("if the program empties it with clear, make a new map instead: clear keeps all buckets")
    return Finding(Holder.PRESIZED, amount, says + _untouched(fall), "", [*advice, UNHEARD], (Name.RETAINED,))


def empty(fall: Waterfall) -> Finding:
    """Say which types have many empty maps."""
    amount, kind, part = _largest(fall, "empty")
    every = "all empty" if part.maps == kind.maps else f"{part.maps:,} of them empty"
    says = f"{out_of(fall, amount)} are buckets of empty maps: {kind.name}, {maps_in_words(kind.maps)}, "
    says += f"{every}, {size(part.retained_bytes)}, and {HEADER_BYTES} B for the header of each"
    top = largest_site(fall.maps.sites)
    if top:
        says += f"; {size(top[1])} of it ({share(top[1], fall.maps.retained)}) by {place(top[0])}"
    advice = [
        "drop each map when its last entry is deleted, also from the map that holds it: a rebuild gives less back",
        "nothing else gives them back: no collection, no GOGC, GOMEMLIMIT or debug.FreeOSMemory",
    ]
    return Finding(Holder.EMPTY, amount, says, "", advice, (Name.RETAINED,))


def _largest(fall: Waterfall, which: str) -> tuple[int, MapType, Part]:
    """Return the bytes retained by all such maps, the type that retains most of them, and its part."""
    parts: dict[str, Part] = {kind.name: getattr(kind, which) for kind in fall.maps.types}
    kind = max(fall.maps.types, key=lambda kind: parts[kind.name].retained_bytes)
    return sum(part.retained_bytes for part in parts.values()), kind, parts[kind.name]


def growing(fall: Waterfall, kind: MapType, *, has_rest: bool) -> Finding:
    """Say that the entries of a type's maps only grow, where, and how fast.

    Parameters
    ----------
    has_rest
        Objects that the entries refer to may be all of the other heap in use.
    """
    says = f"{out_of(fall, kind.live_bytes)} are live entries of {kind.name}, whose entries only grow: "
    says += f"{kind.live_slots:,} in {maps_in_words(kind.maps)}, {grew(kind)}"
    advice = ["no rebuild gives anything back: expire entries, or limit their number"]
    parts: tuple[Name, ...] = (Name.LIVE,)
    if kind.refers and fall[Name.OTHER] > 0:
        says += (
            f"; what they refer to ({kind.elem}) is {'' if has_rest and kind.elem[:1] == '*' else 'in '}the rest of "
        )
        says += "the heap: "
        says += f"{size(fall[Name.OTHER])} of {Name.OTHER}"
        advice.append("a heap profile says who allocated these objects (go tool pprof)")
        parts += (Name.OTHER,) if has_rest else ()
    return Finding(Holder.GROWING, kind.live_bytes, says, "", advice, parts)


def grew(kind: MapType) -> str:
    """Say by how much, how fast and where the entries of a type grow."""
    growth = kind.growth
    if not growth:
        return ""
    rate = f"{growth.rate:,.0f}" if growth.rate >= 10 else f"{growth.rate:.1f}"
    says = f"{growth.entries:,} more than {growth.seconds:,.1f} s before ({rate} a second)"
    if growth.inserts:
        says += f", {growth.deletes:,} deleted" if growth.deletes else ", none deleted"
    for sites, verb in ((kind.inserted_by, "inserted by"), (kind.grown_by, "grown by")):
        if top := largest_site(sites):
            return f"{says}, {verb} {place(top[0])}"
    return says


def in_use(fall: Waterfall, live: int, other: int, kinds: list[MapType]) -> Finding:
    """Say how much memory is in use: live entries of maps that don't only grow, and other heap.

    Parameters
    ----------
    live, other
        Bytes of both that are in no other finding, including bytes never written to.
    kinds
        Types of maps whose live entries are not in another finding.
    """
    # buckets of maps made too large are among what was never written to: the rest of it is other heap
    written = fall[Name.UNTOUCHED] + sum(kind.presized.retained_bytes for kind in fall.maps.types)
    used = max(0, live + other + (min(0, written) if other else 0))
    says = f"{out_of(fall, used)} are live entries of maps and other heap in use"
    largest = max(kinds, key=lambda kind: kind.live_bytes, default=None)
    if largest and LARGE_SHARE * largest.live_bytes > fall.rss_bytes:
        says += f", {size(largest.live_bytes)} of it {largest.live_slots:,} entries of {largest.name}"
    advice = ["a heap profile says who allocated it (go tool pprof)"]
    for kind in kinds:
        if kind.growth and kind.refers:
            told = f"{kind.live_slots:,} entries, {grew(kind)}"
            advice.insert(0, f"what {kind.name} refers to is part of it, and its entries only grow: {told}")
    parts = tuple(name for name, amount in ((Name.LIVE, live), (Name.OTHER, other)) if amount > 0)
    return Finding(Holder.NOBODY, used, says, "", advice[-MOST_NAMED:], parts)


def little_to_give(found: Finding) -> Finding:
    """Add to a finding of memory in use that little of it could be given back."""
    return replace(found, says=f"{found.says}; little could be given back")


def nobody_knows(found: Finding, at_most: int | None) -> Finding:
    """Add to a finding of memory in use that it may include buckets that hold nothing.

    Parameters
    ----------
    at_most
        The most bytes that unknown maps retain, and that other maps retain beyond the known; None: any number.
    """
    how_much = "nobody knows how much" if at_most is None else f"at most {size(at_most)}"
    says = f"{found.says}; how much of it maps retain is not known: {how_much}"
    advice = "a census reads what every map holds: mapprobe census PID, or record without --no-census"
    return replace(found, says=says, advice=[advice, *found.advice])
