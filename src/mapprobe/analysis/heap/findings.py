"""Findings of `mapprobe heap`: what keeps a part of a process's memory, until when, and what to do, in words.

There is one function for each part of the memory; the functions for maps are in `map_findings`. Pure: figures in, words
out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mapprobe.analysis.heap.lives import Collections
from mapprobe.analysis.heap.waterfall import Name, Waterfall
from mapprobe.recording.sites import CallSite
from mapprobe.units import human_bytes
from mapprobe.vocabulary import NO_LIMIT

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


NOBODYS = ("(", "before the recording", "out of sight")
"""How a call site begins that is no place in the source: what was not recorded is charged to it."""


class Holder(StrEnum):
    """Who keeps the memory."""

    MAPS = "maps hold it"
    GROWING = "entries of maps that only grow"
    PRESIZED = "maps were made far too large"
    EMPTY = "empty maps are kept"
    COLLECTOR = "the collector has not run"
    SCAVENGER = "the scavenger keeps it"
    RETURNED = "returned to the kernel, still resident"
    STACKS = "stacks of goroutines"
    RUNTIME = "the runtime's own"
    FOREIGN = "it is not the heap"
    FILES = "the binary and its libraries"
    NOBODY = "it is in use"
    GONE = "nothing any more"
    CONTRADICTION = "the figures contradict each other"


@dataclass(frozen=True, slots=True)
class Finding:
    """Who keeps a part of the memory, and what to do.

    Attributes
    ----------
    bytes
        How much of it.
    says, until, advice
        Sentences: what was found; until when it stays so (empty: for good); what gives it back.
    parts
        The parts of the waterfall that it is about.
    """

    holder: Holder
    bytes: int
    says: str
    until: str
    advice: list[str]
    parts: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Heap:
    """What a verdict is made from.

    Attributes
    ----------
    figures
        The last row of `tables.heap.FIGURES`.
    """

    fall: Waterfall
    figures: dict[str, int]
    collections: Collections
    release: tuple[int, int]

    @property
    def since(self) -> int:
        """What was allocated since the last collection and isn't known to be a map's that lives: at most garbage."""
        since = self.figures["heap_live_bytes"] - self.figures["heap_marked_bytes"]
        return max(0, min(since, self.fall[Name.DROPPED] + self.fall[Name.OTHER]))


def size(amount: float) -> str:
    """Return an amount of memory in words."""
    return human_bytes(round(amount))


def out_of(fall: Waterfall, amount: float) -> str:
    """Return an amount of memory and all that is resident, in words; what was never written to may be more."""
    if amount > fall.rss_bytes:
        return f"{size(amount)}, more than the {size(fall.rss_bytes)} that are resident,"
    return f"{size(amount)} of {size(fall.rss_bytes)}"


def share(part: float, whole: float) -> str:
    """Return what part of a whole something is: 94 %, 0.4 %."""
    found = 100 * part / max(1, whole)
    return f"{found:.0f} %" if abs(found) >= 10 else f"{found:.1f} %"


def place(site: CallSite) -> str:
    """Return a call site in words."""
    return f"{site.function} {site.file.rpartition('/')[2]}:{site.line}".removesuffix(" :0")


def is_recorded(site: CallSite) -> bool:
    """True for a place in the source; not for what stands for all that nobody saw."""
    return site.line > 0 and not site.function.startswith(NOBODYS)


def largest_site(sites: list[tuple[CallSite, int]]) -> tuple[CallSite, int] | None:
    """Return the call site that has most, of those that were recorded."""
    return next(((site, amount) for site, amount in sites if is_recorded(site)), None)


def collector(heap: Heap, amount: int) -> Finding:
    """Say what the next collection frees, and when it comes."""
    fall, figures, collections = heap.fall, heap.figures, heap.collections
    garbage, since = fall[Name.DROPPED], heap.since
    says = f"{out_of(fall, garbage)} are buckets of maps that nothing refers to any more, or that maps have left behind"
    if since > garbage:
        allocated = f"{out_of(fall, since)} were allocated since the last collection"
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
        until = f"GOGC is off: one runs as {size(ready)} near the memory limit of {size(limit)}"
        advice.append("set GOGC, or a lower GOMEMLIMIT")
    else:
        live, goal = figures["heap_live_bytes"], figures["goal_bytes"]
        until = f"one runs as the heap grows from {size(live)} to {size(goal)}, or {FORCED_SECONDS} s after the last"
        advice.append(f"a GOGC below {percent} lets it run earlier")
    parts = (Name.DROPPED, Name.OTHER) if amount > garbage else (Name.DROPPED,)
    return Finding(Holder.COLLECTOR, amount, says, until, advice, parts)


def scavenger(heap: Heap) -> Finding:
    """Say what is free and not returned, and until when."""
    fall, figures, release = heap.fall, heap.figures, heap.release
    says = f"{out_of(fall, fall[Name.FREE])} are free and not returned to the system"
    heeds = release >= LIMITED_FROM
    limited = "lets it return what is above 95 % of the limit" if heeds else "lets allocations at the limit return it"
    advice = ["debug.FreeOSMemory returns it at once", f"GOMEMLIMIT {limited}"]
    kept = figures["heap_in_use_bytes"] + figures["heap_free_bytes"]
    ready, limit, goal = figures["mapped_ready_bytes"], figures["memory_limit_bytes"], scavenger_goal(figures)
    if heeds and limit != NO_LIMIT and ready > LIMIT_SHARE * limit:
        most = size(LIMIT_SHARE * limit)
        until = f"it returns what is above {most}, 95 % of the memory limit; {size(ready)} are mapped"
    elif goal is None:
        until = "it does nothing before the second collection"
    elif kept <= goal:
        until = f"as long as in use and free together, {size(kept)}, are no more than its goal of {size(goal)}"
    else:
        until = f"it returns up to {size(kept - goal)} in the background, down to its goal of {size(goal)}"
        until += ", with 1 % of the CPU"
        if release >= WAITS_FROM:
            until += f"; what the last collection freed after the next one, {FORCED_SECONDS} s later at most"
    return Finding(Holder.SCAVENGER, fall[Name.FREE], says, until, advice, (Name.FREE,))


def scavenger_goal(figures: dict[str, int]) -> float | None:
    """Return what the background scavenger lets the heap keep [bytes], None before the second collection.

    go: runtime/mgcscavenge.go gcPaceScavenger [1.19..1.27]
    """
    last_goal, last_in_use = figures["last_goal_bytes"], figures["last_in_use_bytes"]
    if not last_goal or not last_in_use or figures["collections"] < 2:
        return None
    goal = min(figures["goal_bytes"], figures["memory_limit_bytes"])
    return last_in_use * (goal / last_goal) * SLACK


def returned(fall: Waterfall) -> Finding:
    """Say what was returned and is still counted as resident.

    go: runtime/mem_linux.go sysUnusedOS madvdontneed [1.21..1.27]
    """
    amount = fall[Name.RETURNED]
    says = f"{out_of(fall, amount)} were returned to the kernel and are still resident (MADV_FREE): it takes them when "
    says += "it needs memory, until then they are counted"
    advice = [
        "nothing is wrong: other processes get this memory as soon as they need it",
        "GODEBUG=madvdontneed=1, which is the default since Go 1.16, lets the resident memory fall at once",
    ]
    return Finding(Holder.RETURNED, amount, says, "", advice, (Name.RETURNED,))


def stacks(fall: Waterfall) -> Finding:
    """Say what goroutines' stacks take."""
    says = f"{out_of(fall, fall[Name.STACKS])} are stacks of goroutines, and buffers of the collector"
    advice = [
        "a goroutine profile says how many there are and where they wait (go tool pprof)",
        "stacks that are used to less than a quarter shrink in a collection",
    ]
    return Finding(Holder.STACKS, fall[Name.STACKS], says, "", advice, (Name.STACKS,))


def runtime(fall: Waterfall) -> Finding:
    """Say what the runtime takes for itself."""
    says = f"{out_of(fall, fall[Name.RUNTIME])} are the runtime's own: what describes the heap, threads and profiles"
    advice = ["it grows with the heap and with the number of threads, and most of it is never given back"]
    return Finding(Holder.RUNTIME, fall[Name.RUNTIME], says, "", advice, (Name.RUNTIME,))


def foreign(fall: Waterfall) -> Finding:
    """Say what is not Go's."""
    says = f"{out_of(fall, fall[Name.FOREIGN])} are neither Go's heap nor its own structures"
    advice = [
        "look for it in C code (malloc), syscall.Mmap and memory-mapped files",
        "GOGC, GOMEMLIMIT and debug.FreeOSMemory don't reach it",
    ]
    return Finding(Holder.FOREIGN, fall[Name.FOREIGN], says, "", advice, (Name.FOREIGN,))


def files(fall: Waterfall) -> Finding:
    """Say what files take that are mapped."""
    says = f"{out_of(fall, fall[Name.FILES])} are pages of the binary, its libraries and other files that are mapped"
    advice = ["nothing is wrong: the kernel drops pages of files when it needs memory, and reads them again"]
    return Finding(Holder.FILES, fall[Name.FILES], says, "", advice, (Name.FILES,))


def gone(fall: Waterfall, after_ns: int) -> Finding:
    """Say what a process had shortly before it was gone; what its pages held nobody read.

    Parameters
    ----------
    after_ns
        How long after the start of the recording the last figures were read.
    """
    unsure, maps = fall.maps.unsure, fall.maps
    allocated, retained = (
        None if more is None else known + more
        for known, more in ((maps.live + maps.retained, unsure.allocated), (maps.retained, unsure.retained))
    )
    buckets = (
        "nobody knows how much of that was buckets of maps"
        if allocated is None
        else (f"at most {size(allocated)} of that were buckets of maps")
    )
    if allocated is not None and retained is not None:
        buckets += f", of which at most {size(retained)} held nothing"
    in_use = sum(fall[name] for name in (Name.LIVE, Name.RETAINED, Name.OTHER))
    says = "its memory was not read at the end, as the process, or its recorder, was gone; by the last figures, read "
    says += f"after {after_ns / 1e9:,.1f} s, {size(fall.rss_bytes)} were resident; {size(in_use)} were heap in use: "
    says += f"{buckets}; {size(fall[Name.FREE])} were free and not returned"
    advice = [
        "'mapprobe record --heap -- CMD' holds a command at its exit, and reads it then",
        "'mapprobe record --heap PID --duration' reads a process before it ends",
    ]
    return Finding(Holder.GONE, 0, says, "", advice, ())


def contradiction(fall: Waterfall, wrong: dict[Name, int]) -> Finding:
    """Say which parts can't be what they are said to be, and by how much."""
    told = [
        f"{human_bytes(amount)} ({share(amount, fall.rss_bytes)}) are {name}, where no more than rounding is possible"
        if name is Name.UNEXPLAINED
        else f"{name} would be {human_bytes(amount)} ({share(amount, fall.rss_bytes)})"
        for name, amount in wrong.items()
    ]
    says = f"{'; '.join(told)}; so none of the parts below is sure"
    advice = [
        "record again: the parts are read one after the other, and a busy process changes meanwhile",
        "mapprobe census --freeze stops the process while it is read: what maps hold is then exact",
    ]
    most = max(abs(amount) for amount in wrong.values())
    return Finding(Holder.CONTRADICTION, most, says, "", advice, tuple(wrong))
