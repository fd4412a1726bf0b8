"""Scenes for docs/go-memory.md: what live programs are told to do with their maps and heaps."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from support import toolchains
from support.gobuild import Release
from support.memory import Memory
from support.told import Told

RELEASES = list(toolchains.RELEASES)
CLASSIC = [release for release in RELEASES if release < (1, 24)]
SWISS = [release for release in RELEASES if release >= (1, 24)]
MIB = 1 << 20
ENTRIES = 150_000  # no release is in the middle of growth then
LIMIT_MIB, NO_LIMIT_MIB = 400, (1 << 43) - 1
LIMIT_BYTES = LIMIT_MIB * MIB
NOTHING_HAPPENS_SECONDS = 2
WAKES_THE_SCAVENGER = "gc"
"""It sleeps a thousand times as long as it worked, or as the system held it up in that."""
PAGE = 4 << 10
CHUNK = 4 << 20
"""What the scavenger counts pages in. go: runtime/mpagealloc.go pallocChunkBytes [1.19..1.27]"""
STORY = {
    "started": "percent -1",
    "filled": f"fill {ENTRIES}",
    "filled, collected": "gc",
    "drained": "drain 10",
    "drained, collected": "gc",
    "drained, collected again": "gc",
    "drained, given back": "give",
    "drained, percent 1": "percent 1",
    "drained, percent 1, collected": "gc",
    "drained, percent off": "percent -1",
    "drained, limit 1": "limit 1",
    "drained, limit 1, collected": "gc",
    "drained, no limit": f"limit {NO_LIMIT_MIB}",
    "refilled": f"fill {ENTRIES}",
    "emptied": "drain 0",
    "emptied, collected": "gc",
    "filled to clear": f"fill {ENTRIES}",
    "cleared": "clear",
    "cleared, collected": "gc",
    "filled to rebuild": f"fill {ENTRIES}",
    "drained to rebuild": "drain 10",
    "rebuilt": "rebuild",
    "rebuilt, collected": "gc",
    "filled to drop": f"fill {ENTRIES}",
    "dropped": "drop",
    "dropped, collected": "gc",
    "older": "hold 8",
    "newer": "bulky 40",
    "older, let go": "let-go",
    "older, collected": "gc",
    "newer, drained": "drain-bulky 40",
    "all given back": "give",
}


def story(told: Told, _: Release) -> None:
    """A map is filled, drained, refilled, cleared, rebuilt and dropped; no collection that it does not ask for."""
    for name, line in STORY.items():
        told.tell(name, line)


def small(told: Told, _: Release) -> None:
    """A map is filled with entries of 16 bytes."""
    told.tell("filled", "fill-small 20000")


def kept(figures: Any) -> int:
    """Return what the heap keeps of what the system gave it [bytes]."""
    return int(figures["heap_in_use_bytes"] + figures["heap_free_bytes"])


def goal(figures: Any) -> float:
    """Return what docs/go-memory.md says that the background scavenger lets the heap keep [bytes]."""
    return float(1.1 * figures["last_in_use_bytes"] * figures["goal_bytes"] / figures["last_goal_bytes"])


def is_at_goal(figures: Any) -> bool:
    return kept(figures) <= goal(figures) + PAGE


def idle(told: Told, release: Release) -> None:
    """The map, which stands highest of all, is dropped, and the heap is half as large then."""
    # the scavenger goes by how the goal has changed: there must be one
    for line in ["percent -1", "hold 10", f"fill {ENTRIES}", "rebuild", "gc", "percent 1000"]:
        told.tell(line, line)
    told.tell("full", "gc")
    told.tell("dropped", "drop")
    told.tell("collected", "gc")
    if release == (1, 19):
        told.wait_for_figures(is_at_goal)
    told.let_pass(NOTHING_HAPPENS_SECONDS)
    told.tell("waited", "stats")
    told.tell("collected again", "gc")
    told.let_pass(NOTHING_HAPPENS_SECONDS, WAKES_THE_SCAVENGER)
    told.tell("returned", "stats")


def asked(told: Told, _: Release) -> None:
    """The program asks for what is free and garbage: so little of the heap that the background scavenger leaves it."""
    for line in ["percent -1", "hold 240", f"fill {ENTRIES}", "gc", "drop"]:
        told.tell(line, line)
    told.tell("given back", "give")


def of_full_chunks(told: Told) -> pd.DataFrame:
    """Return what went back of the chunks that the arrays of `idle` filled."""
    filled: Counter[int] = Counter()
    for start, size in told.lives_at("full")[["addr", "bytes"]].astype(int).itertuples(index=False):
        for chunk in range(start // CHUNK, (start + size - 1) // CHUNK + 1):
            filled[chunk] += min(start + size, (chunk + 1) * CHUNK) - max(start, chunk * CHUNK)
    full = [chunk for chunk, size in filled.items() if size > 0.99 * CHUNK]
    found = told.returns[(told.returns.addr // CHUNK).isin(full) & (told.returns.time_ns > told["dropped"].ended_ns)]
    assert found.bytes.sum() >= 0.7 * len(full) * CHUNK > 0
    return found


def limited(told: Told, release: Release) -> None:
    """30 MiB are free, in one piece, and too small for what is allocated then: up to between 95 % and the limit."""
    for line in ["percent -1", f"limit {LIMIT_MIB}", "gc", "hold 30", "fill 20000", "let-go"]:
        told.tell(line, line)
    told.tell("collected", "gc")
    # the heap's own structures were larger
    told.tell("above 95 %", "reserve 338" if release == (1, 19) else "reserve 348")
    told.let_pass(NOTHING_HAPPENS_SECONDS)
    told.tell("waited", "stats")
    told.tell("collected again", "gc")
    if release >= (1, 22):
        told.wait_for_figures(lambda row: row["mapped_ready_bytes"] <= 0.95 * LIMIT_BYTES, WAKES_THE_SCAVENGER)
    else:
        told.let_pass(NOTHING_HAPPENS_SECONDS)
    told.tell("back at 95 %", "stats")
    told.tell("at the limit", "reserve 36")


def marks(memory: Memory) -> dict[str, int]:
    """Return how many keys and elements of each kind stand in the buckets of the marked maps."""
    names = ("number", "element", "pointer", "length", "pointed")
    return dict(zip(names, map(int, memory.do("marks").split()), strict=True))


def resident_bytes(memory: Memory, kind: str) -> int:
    rows = Path(f"/proc/{memory.process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) << 10 for row in rows if row.startswith(f"{kind}:"))


def given_back(program: Path, godebug: str) -> tuple[int, int]:
    """Return by how much resident memory shrinks when 64 MiB are given back, and what the system may take."""
    with Memory(program, os.environ | {"GODEBUG": godebug}) as memory:
        memory.do("hold 64")
        before = resident_bytes(memory, "Rss")
        memory.do("let-go")
        memory.do("give")
        assert memory.statistics().released > 60 * MIB
        return before - resident_bytes(memory, "Rss"), resident_bytes(memory, "LazyFree")
