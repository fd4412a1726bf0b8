"""Findings of `mapprobe heap`: what keeps a part of a process's memory, until when, and what to do, in words.

Each part of the memory has one function; the functions for maps are in `map_findings`. Pure: figures in, words out.
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
"""Factor by which the heap may exceed its goal before the background scavenger returns memory.
go: runtime/mgcscavenge.go retainExtraPercent [1.19..1.27]"""
LIMIT_SHARE = 0.95
"""Share of the memory limit down to which the background scavenger returns memory, from `LIMITED_FROM` on.
go: runtime/mgcscavenge.go reduceExtraPercent [1.19..1.27]"""
FORCED_SECONDS = 120
"""Seconds without a collection after which the runtime forces one. go: runtime/proc.go forcegcperiod [1.19..1.27]"""
LIMITED_FROM = (1, 22)
"""First release whose scavenger follows the memory limit: before, its goal was 95 times the limit.
go: runtime/mgcscavenge.go gcPaceScavenger memoryLimitGoal [1.19..1.27]"""
WAITS_FROM = (1, 21)
"""First release that returns memory freed by a sweep in the background only after the next collection.
go: runtime/mgcscavenge.go nextGen [1.21..1.27]"""


NOBODYS = ("(", "before the recording", "out of sight")
"""Beginnings of the names of call sites that are no place in the source, but stand for what was not recorded."""


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
        The size of the part.
    says, until, advice
        Sentences: what was found; until when the memory stays (empty: for good); what gives the memory back.
    parts
        The parts of the waterfall that the finding explains.
    """

    holder: Holder
    bytes: int
    says: str
    until: str
    advice: list[str]
    parts: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Heap:
    """The figures that a verdict is based on.

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
        """Bytes allocated since the last collection, without those known to be of living maps: the most garbage."""
        since = self.figures["heap_live_bytes"] - self.figures["heap_marked_bytes"]
        return max(0, min(since, self.fall[Name.DROPPED] + self.fall[Name.OTHER]))


def size(amount: float) -> str:
    """Return an amount of memory in words."""
    return human_bytes(round(amount))


def out_of(fall: Waterfall, amount: float) -> str:
    """Return an amount of memory beside all resident memory, in words; an amount never written to may be larger."""
    if amount > fall.rss_bytes:
        return f"{size(amount)}, more than the {size(fall.rss_bytes)} that are resident,"
    return f"{size(amount)} of {size(fall.rss_bytes)}"


def share(part: float, whole: float) -> str:
    """Return the share of a part in a whole, in words: 94 %, 0.4 %."""
    found = 100 * part / max(1, whole)
    return f"{found:.0f} %" if abs(found) >= 10 else f"{found:.1f} %"


def place(site: CallSite) -> str:
    """Return a call site in words."""
    return f"{site.function} {site.file.rpartition('/')[2]}:{site.line}".removesuffix(" :0")


def is_recorded(site: CallSite) -> bool:
    """True for a place in the source, False for a name that stands for what was not recorded."""
    return site.line > 0 and not site.function.startswith(NOBODYS)


def largest_site(sites: list[tuple[CallSite, int]]) -> tuple[CallSite, int] | None:
    """Return the recorded call site with the largest amount."""
    return next(((site, amount) for site, amount in sites if is_recorded(site)), None)


def collector(heap: Heap, amount: int) -> Finding:
    """Say what the next collection frees, and when it comes."""
    fall, figures, collections = heap.fall, heap.figures, heap.collections
    garbage, since = fall[Name.DROPPED], heap.since
    says = f"{out_of(fall, garbage)} are buckets of maps that nothing refers to, or arrays left behind by growing maps"
    if since > garbage:
        allocated = f"{out_of(fall, since)} were allocated since the last collection"
        says = f"{allocated}, only the next one tells how much of it is garbage; " + (says if garbage else "")
    if len(collections.number) and collections.number[-1] >= 0:
        seconds = (fall.at_ns - int(collections.sweeps_ns[-1])) / 1e9
        last = f"collection {collections.number[-1]} was {seconds:,.1f} s before"
    elif figures["collections"]:
        last = f"collection {figures['collections']}, the last one, was before the recording"
    else:
        last = "no collection has run yet"
    says = f"{says.removesuffix('; ')}; {last}"
    percent, limit, ready = figures["gc_percent"], figures["memory_limit_bytes"], figures["mapped_ready_bytes"]
    advice = ["runtime.GC collects it, debug.FreeOSMemory also returns it"]
    if percent < 0 and limit == NO_LIMIT:
        until = "GOGC is off and there is no memory limit: no collection runs by itself"
        advice.append("set GOGC, or GOMEMLIMIT")
    elif percent < 0:
        mapped = f"when mapped memory, {size(ready)}, nears the memory limit of {size(limit)}"
        until = f"GOGC is off: a collection runs {mapped}"
        advice.append("set GOGC, or a lower GOMEMLIMIT")
    else:
        live, goal = figures["heap_live_bytes"], figures["goal_bytes"]
        until = f"a collection runs when the heap has grown from {size(live)} to {size(goal)}, "
        until += f"or {FORCED_SECONDS} s after the last one"
        advice.append(f"a GOGC below {percent} makes collections run earlier")
    parts = (Name.DROPPED, Name.OTHER) if amount > garbage else (Name.DROPPED,)
    return Finding(Holder.COLLECTOR, amount, says, until, advice, parts)


def scavenger(heap: Heap) -> Finding:
    """Say how much memory is free and not returned, and until when."""
    fall, figures, release = heap.fall, heap.figures, heap.release
    says = f"{out_of(fall, fall[Name.FREE])} are free and not returned to the system"
    heeds = release >= LIMITED_FROM
    limited = "makes it return memory above 95 % of the limit" if heeds else "makes allocations at the limit return it"
    advice = ["debug.FreeOSMemory returns it at once", f"GOMEMLIMIT {limited}"]
    kept = figures["heap_in_use_bytes"] + figures["heap_free_bytes"]
    ready, limit, goal = figures["mapped_ready_bytes"], figures["memory_limit_bytes"], scavenger_goal(figures)
    if heeds and limit != NO_LIMIT and ready > LIMIT_SHARE * limit:
        most = size(LIMIT_SHARE * limit)
        until = f"it returns memory above {most}, 95 % of the memory limit; {size(ready)} are mapped"
    elif goal is None:
        until = "it does nothing before the second collection"
    elif kept <= goal:
        until = f"as long as used and free memory together, {size(kept)}, are no more than its goal of {size(goal)}"
    else:
        until = f"it returns up to {size(kept - goal)} in the background, down to its goal of {size(goal)}"
        until += ", with 1 % of the CPU"
        if release >= WAITS_FROM:
            until += "; it returns memory that the last collection freed only after the next one, "
            until += f"at most {FORCED_SECONDS} s later"
    return Finding(Holder.SCAVENGER, fall[Name.FREE], says, until, advice, (Name.FREE,))


def scavenger_goal(figures: dict[str, int]) -> float | None:
    """Return how much memory the background scavenger leaves to the heap [bytes], None before the second collection.

    go: runtime/mgcscavenge.go gcPaceScavenger [1.19..1.27]
    """
    last_goal, last_in_use = figures["last_goal_bytes"], figures["last_in_use_bytes"]
    if not last_goal or not last_in_use or figures["collections"] < 2:
        return None
    goal = min(figures["goal_bytes"], figures["memory_limit_bytes"])
    return last_in_use * (goal / last_goal) * SLACK


def returned(fall: Waterfall) -> Finding:
    """Say how much memory was returned and still counts as resident.

    go: runtime/mem_linux.go sysUnusedOS madvdontneed [1.21..1.27]
    """
    amount = fall[Name.RETURNED]
    says = f"{out_of(fall, amount)} were returned to the kernel and are still resident (MADV_FREE): the kernel takes "
    says += "these pages when it needs memory, and counts them until then"
    advice = [
        "nothing is wrong: other processes get this memory as soon as they need it",
        "GODEBUG=madvdontneed=1, which is the default since Go 1.16, lets the resident memory fall at once",
    ]
    return Finding(Holder.RETURNED, amount, says, "", advice, (Name.RETURNED,))


def stacks(fall: Waterfall) -> Finding:
    """Say how much memory the stacks of goroutines take."""
    says = f"{out_of(fall, fall[Name.STACKS])} are stacks of goroutines, and buffers of the collector"
    advice = [
        "a goroutine profile says how many there are and where they wait (go tool pprof)",
        "stacks that are used to less than a quarter shrink in a collection",
    ]
    return Finding(Holder.STACKS, fall[Name.STACKS], says, "", advice, (Name.STACKS,))


def runtime(fall: Waterfall) -> Finding:
    """Say how much memory the runtime takes for itself."""
    says = f"{out_of(fall, fall[Name.RUNTIME])} are the runtime's own: data about the heap, threads and profiles"
    advice = ["it grows with the heap and with the number of threads, and most of it is never given back"]
    return Finding(Holder.RUNTIME, fall[Name.RUNTIME], says, "", advice, (Name.RUNTIME,))


def foreign(fall: Waterfall) -> Finding:
    """Say how much memory is not Go's."""
    says = f"{out_of(fall, fall[Name.FOREIGN])} are neither Go's heap nor its own structures"
    advice = [
        "look for its owner in C code (malloc), syscall.Mmap and memory-mapped files",
        "GOGC, GOMEMLIMIT and debug.FreeOSMemory don't reach it",
    ]
    return Finding(Holder.FOREIGN, fall[Name.FOREIGN], says, "", advice, (Name.FOREIGN,))


def files(fall: Waterfall) -> Finding:
    """Say how much memory mapped files take."""
    says = f"{out_of(fall, fall[Name.FILES])} are pages of the binary, its libraries and other files that are mapped"
    advice = ["nothing is wrong: the kernel drops pages of files when it needs memory, and reads them again"]
    return Finding(Holder.FILES, fall[Name.FILES], says, "", advice, (Name.FILES,))


def gone(fall: Waterfall, after_ns: int) -> Finding:
    """Say how much memory a process had shortly before it ended, if its pages were not read.

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
        "'mapprobe record --heap -- CMD' holds a command at its exit, and reads its memory then",
        "'mapprobe record --heap PID --duration' reads the memory of a process before it ends",
    ]
    return Finding(Holder.GONE, 0, says, "", advice, ())


def contradiction(fall: Waterfall, wrong: dict[Name, int]) -> Finding:
    """Say which parts have impossible figures."""
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
