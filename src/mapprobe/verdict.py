"""What keeps the memory of a process, in words: its maps, its collector, its scavenger, or nothing of the heap.

The largest part that could be given back decides; what is too small to matter
is none. Pure: figures in, words out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mapprobe.heaped import NO_LIMIT
from mapprobe.lives import Collections
from mapprobe.sites import NOT_RECORDED
from mapprobe.units import human_bytes
from mapprobe.waterfall import Name, Waterfall

SHARE, LEAST = 0.05, 1 << 20
"""A part matters from so large a share of all memory on, and so many bytes."""
SLACK = 1.10
"""How much more than its goal the heap may keep. go: runtime/mgcscavenge.go retainExtraPercent [1.19..1.27]"""
LIMIT_SHARE = 0.95
"""Of the memory limit, down to which the background scavenger returns memory, from `LIMITED_FROM` on.
go: runtime/mgcscavenge.go reduceExtraPercent [1.19..1.27]"""
FORCED_SECONDS = 120
"""After so long without a collection there is one. go: runtime/proc.go forcegcperiod [1.19..1.27]"""
LIMITED_FROM = (1, 22)
"""Before, the background scavenger takes 95 times the limit for its goal.
go: runtime/mgcscavenge.go gcPaceScavenger memoryLimitGoal [1.19..1.27]"""
WAITS_FROM = (1, 21)
"""Since then what a sweep freed is returned in the background only after the next collection.
go: runtime/mgcscavenge.go nextGen [1.21..1.27]"""


class Holder(StrEnum):
    """Who keeps the memory."""

    MAPS = "maps hold it"
    COLLECTOR = "the collector has not run"
    SCAVENGER = "the scavenger keeps it"
    FOREIGN = "it is not the heap"
    NOBODY = "it is in use"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who keeps the memory, and what to do.

    Attributes
    ----------
    bytes
        How much of it.
    says, until, advice
        Sentences: what was found; until when it stays so (empty: for good); what gives it back.
    """

    holder: Holder
    bytes: int
    says: str
    until: str
    advice: list[str]


def verdict(fall: Waterfall, figures: dict[str, int], collections: Collections, release: tuple[int, int]) -> Verdict:
    """Return who keeps most of what could be given back.

    Parameters
    ----------
    figures
        The last row of `heaped.FIGURES`.
    """
    garbage, since = fall[Name.DROPPED], _since(fall, figures)
    amounts = {
        Holder.MAPS: fall[Name.RETAINED],
        Holder.COLLECTOR: max(garbage, since if figures["gc_percent"] < 0 else 0),
        Holder.SCAVENGER: fall[Name.FREE],
        Holder.FOREIGN: fall[Name.FOREIGN],
    }
    holder = max(amounts, key=lambda name: amounts[name])
    if amounts[holder] < max(LEAST, SHARE * fall.rss_bytes):
        return _in_use(fall)
    about = {
        Holder.MAPS: lambda: _maps(fall),
        Holder.COLLECTOR: lambda: _collector(fall, figures, collections, garbage, since),
        Holder.SCAVENGER: lambda: _scavenger(fall, figures, release),
        Holder.FOREIGN: lambda: _foreign(fall),
    }
    says, until, advice = about[holder]()
    return Verdict(holder, amounts[holder], says, until, advice)


def _since(fall: Waterfall, figures: dict[str, int]) -> int:
    """Return what was allocated since the last collection and isn't known to be a map's that lives: at most garbage."""
    since = figures["heap_live_bytes"] - figures["heap_marked_bytes"]
    return max(0, min(since, fall[Name.DROPPED] + fall[Name.OTHER]))


def _size(amount: float) -> str:
    return human_bytes(round(amount))


def _maps(fall: Waterfall) -> tuple[str, str, list[str]]:
    maps = fall.maps
    says = f"{_size(maps.retained)} of {_size(fall.rss_bytes)} are buckets of maps that hold nothing"
    advice = ["a collection does not give them back, nor does GOGC, GOMEMLIMIT or debug.FreeOSMemory"]
    known = [(site, amount) for site, amount in maps.sites if site != NOT_RECORDED]
    if not known:
        advice.insert(0, "rebuild the maps that retain the most: mapprobe report --by map names them")
    else:
        site, amount = known[0]
        where = f"{site.function} {site.file.rpartition('/')[2]}:{site.line}".removesuffix(" :0")
        says += f", {_size(amount)} of them by {where}"
        advice.insert(0, f"rebuild the map of {where}: copy what lives into a new one, and drop the old one")
    return says, "", advice


def _collector(
    fall: Waterfall, figures: dict[str, int], collections: Collections, garbage: int, since: int
) -> tuple[str, str, list[str]]:
    says = f"{_size(garbage)} are buckets of maps that nothing refers to any more, or that maps have left behind"
    if since > garbage:
        allocated = f"{_size(since)} were allocated since the last collection"
        says = f"{allocated}, what of it is garbage only the next one tells; " + (says if garbage else "")
    if len(collections.number) and collections.number[-1] >= 0:
        seconds = (fall.at_ns - int(collections.sweeps_ns[-1])) / 1e9
        last = f"collection {collections.number[-1]} was {seconds:,.1f} s before"
    elif figures["collections"]:
        last = f"collection {figures['collections']}, the last one, was before the recording"
    else:
        last = "none has run yet"
    says = f"{says.removesuffix('; ')}; {last}"
    percent, limit, ready = figures["gc_percent"], figures["memory_limit_bytes"], figures["mapped_ready_bytes"]
    advice = ["runtime.GC collects it, debug.FreeOSMemory also returns it"]
    if percent < 0 and limit == NO_LIMIT:
        until = "GOGC is off and there is no memory limit: none runs by itself"
        advice.append("set GOGC, or GOMEMLIMIT")
    elif percent < 0:
        until = f"GOGC is off: one runs as {_size(ready)} near the memory limit of {_size(limit)}"
        advice.append("set GOGC, or a lower GOMEMLIMIT")
    else:
        live, goal = figures["heap_live_bytes"], figures["goal_bytes"]
        until = f"one runs as the heap grows from {_size(live)} to {_size(goal)}, or {FORCED_SECONDS} s after the last"
        advice.append(f"a GOGC below {percent} lets it run earlier")
    return says, until, advice


def _scavenger(fall: Waterfall, figures: dict[str, int], release: tuple[int, int]) -> tuple[str, str, list[str]]:
    says = f"{_size(fall[Name.FREE])} of {_size(fall.rss_bytes)} are free and not returned to the system"
    heeds = release >= LIMITED_FROM
    limited = "lets it return what is above 95 % of the limit" if heeds else "lets allocations at the limit return it"
    advice = ["debug.FreeOSMemory returns it at once", f"GOMEMLIMIT {limited}"]
    kept = figures["heap_in_use_bytes"] + figures["heap_free_bytes"]
    ready, limit, goal = figures["mapped_ready_bytes"], figures["memory_limit_bytes"], scavenger_goal(figures)
    if heeds and limit != NO_LIMIT and ready > LIMIT_SHARE * limit:
        most = _size(LIMIT_SHARE * limit)
        until = f"it returns what is above {most}, 95 % of the memory limit; {_size(ready)} are mapped"
    elif goal is None:
        until = "it does nothing before the second collection"
    elif kept <= goal:
        until = f"as long as in use and free together, {_size(kept)}, are no more than its goal of {_size(goal)}"
    else:
        until = f"it returns up to {_size(kept - goal)} in the background, down to its goal of {_size(goal)}"
        until += ", with 1 % of the CPU"
        if release >= WAITS_FROM:
            until += f"; what the last collection freed after the next one, {FORCED_SECONDS} s later at most"
    return says, until, advice


def scavenger_goal(figures: dict[str, int]) -> float | None:
    """Return what the background scavenger lets the heap keep [bytes], None before the second collection.

    go: runtime/mgcscavenge.go gcPaceScavenger [1.19..1.27]
    """
    last_goal, last_in_use = figures["last_goal_bytes"], figures["last_in_use_bytes"]
    if not last_goal or not last_in_use or figures["collections"] < 2:
        return None
    goal = min(figures["goal_bytes"], figures["memory_limit_bytes"])
    return last_in_use * (goal / last_goal) * SLACK


def _foreign(fall: Waterfall) -> tuple[str, str, list[str]]:
    says = f"{_size(fall[Name.FOREIGN])} of {_size(fall.rss_bytes)} are neither Go's heap nor its own structures"
    advice = [
        "look for it in C code (malloc), syscall.Mmap and memory-mapped files",
        "GOGC, GOMEMLIMIT and debug.FreeOSMemory don't reach it",
    ]
    return says, "", advice


def _in_use(fall: Waterfall) -> Verdict:
    used = fall[Name.LIVE] + fall[Name.OTHER] + fall[Name.STACKS] + fall[Name.UNTOUCHED]
    what = f"{_size(used)} of {_size(fall.rss_bytes)} are live entries of maps and other heap in use"
    says = f"{what}; little could be given back"
    advice = ["a heap profile says who allocated it (go tool pprof)"]
    return Verdict(Holder.NOBODY, used, says, "", advice)
