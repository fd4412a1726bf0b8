"""Real servers under load: is the report true of the process at the moment of its last read? (`make servers`).

Each is attached to under full load and stopped (SIGSTOP) at the last read; a census of the still process is taken, and
the report is held against it, map by map. Before that it is counted under load, again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

import mapprobe
from servers import still
from servers.loads import Load
from servers.programs import SERVERS, Server, mortal, serving
from servers.still import Held

CENSUSES, RECORDINGS = 20, 5
WARM_SECONDS, SECONDS = 2.0, 10.0
PATIENCE = 300
UNTOUCHED = "never written to"
"""The part of `mapprobe heap` that is there to be taken off."""
ROUNDING_BYTES = 4096
"""What the kernel counts comes in pages."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with a server: how often it is counted and recorded, and for how long at a time."""

    censuses: int = CENSUSES
    recordings: int = RECORDINGS
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording of a server.

    Attributes
    ----------
    failed
        The traceback of the recorder, of the census of the still process, or of the report.
    said
        What the recorder told.
    parts
        Of `mapprobe heap`, by name [bytes]; ``rss`` is what they should sum to.
    cpu_s, peak_bytes
        Of the recorder.
    asked
        Operations that the load asked for meanwhile, each second.
    """

    failed: str
    said: list[str]
    held: Held | None
    parts: dict[str, int]
    cpu_s: float
    peak_bytes: int
    events: int
    asked: float

    @property
    def lacks(self) -> list[str]:
        """What the recorder said that it could not do."""
        return [line for line in self.said if line.startswith(("no ", "not "))]

    @property
    def contradictions(self) -> list[str]:
        """The parts of the memory that are negative, and what they sum to if that is not what there is."""
        if not self.parts:
            return []
        sizes = {name: size for name, size in self.parts.items() if name != "rss"}
        found = [f"{n}: {size:,} B" for n, size in sizes.items() if size < -ROUNDING_BYTES and n != UNTOUCHED]
        total = sum(sizes.values())
        return found + ([f"all: {total:,} B, not {self.parts['rss']:,}"] if total != self.parts["rss"] else [])

    @property
    def wrong(self) -> list[str]:
        """What speaks against it."""
        if self.failed or not self.held:
            return [self.failed]
        return self.lacks + [f"heap: {why}" for why in self.contradictions] + self.held.wrong


def counted(pid: int, times: int) -> list[str]:
    """Take censuses of a process that runs; return what each that failed ended with, and where."""
    failed = []
    for _ in range(times):
        try:
            mapprobe.census(pid).maps(frame="arrow")
        except Exception as error:
            (*_, last) = traceback.extract_tb(error.__traceback__)
            failed.append(f"{error!r} in {last.name}, {Path(last.filename).name}:{last.lineno}")
    return failed


def recorded(pid: int, load: Load, seconds: float) -> Recorded:
    """Record a process, which is stopped in the end, and hold the report against a census of it; let it go on."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "recording"
        before = sum(load.done)
        attach = [sys.executable, str(Path(__file__).parent / "attach.py"), str(pid), str(folder), str(seconds)]
        done = subprocess.run(
            mortal(attach), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=PATIENCE
        )
        asked = (sum(load.done) - before) / seconds
        found: dict[str, Any] = json.loads(done.stdout)
        failed, held, parts, events = found["failed"], None, dict[str, int](), 0
        try:
            if not failed:
                recording = mapprobe.open(folder)
                events = recording.event_count
                held, parts = still.hold(recording, mapprobe.census(pid)), heap_parts(recording)
        except Exception:
            failed = traceback.format_exc()
        finally:
            os.kill(pid, signal.SIGCONT)
    return Recorded(failed, found["said"], held, parts, found["cpu_s"], found["peak_bytes"], events, asked)


def heap_parts(recording: mapprobe.Recording) -> dict[str, int]:
    """Return the parts of the process's memory by name, and their sum as ``rss``."""
    document: dict[str, Any] = recording.heap.document()
    return {part["name"]: part["bytes"] for part in document["parts"]} | {"rss": document["rss_bytes"]}


def tried(server: Server, plan: Plan) -> Iterator[list[str] | Recorded]:
    """Run a server under its load; yield how censuses failed, then each recording."""
    with tempfile.TemporaryDirectory() as scratch, serving(server, Path(scratch)) as (pid, load):
        load.over.wait(WARM_SECONDS)
        yield counted(pid, plan.censuses)
        for _ in range(plan.recordings):
            yield recorded(pid, load, plan.seconds)
            load.over.wait(WARM_SECONDS)


COLUMNS = (
    "server", "asked/s", "events", "maps", "still", "equal", "bounded", "different", "only one has",
    "retained", "still", "most off", "unknown", "recorder",
)  # fmt: skip


def row_of(name: str, found: Recorded) -> list[str]:
    """Return what the table shows of a recording."""
    first = [name, f"{found.asked:,.0f}", f"{found.events:,}"]
    last = f"{found.cpu_s:.1f} s, {found.peak_bytes >> 20} MiB"
    if not (held := found.held):
        return [*first, *[""] * (len(COLUMNS) - 4), last]
    ours, theirs = held.reported, held.counted
    maps = [ours["maps"], theirs["maps"], held.equal, held.bounded, held.different]
    alone = f"{held.only_reported:,} + {held.only_counted:,}"
    retained = f"{ours['retained_bytes']:,}", f"{theirs['retained_bytes']:,}"
    off = f"{max(held.off.values()):.3%}"
    return [*first, *(f"{figure:,}" for figure in maps), alone, *retained, off, f"{held.unknown_bytes:,}", last]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each recording, and under them what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="*", default=list(SERVERS), help=", ".join(SERVERS))
    parser.add_argument("--censuses", type=int, default=CENSUSES)
    parser.add_argument("--recordings", type=int, default=RECORDINGS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args(arguments)
    plan = Plan(given.censuses, given.recordings, given.seconds)
    console, wrong = Console(width=None if sys.stdout.isatty() else 200), list[str]()
    table = Table(*COLUMNS, title="reports held against the still process")
    for name in given.servers:
        for found in tried(SERVERS[name], plan):
            if isinstance(found, Recorded):
                row = row_of(name, found)
                table.add_row(*row)
                wrong += [f"{name}: {why}" for why in found.wrong]
                console.print(f"{name}: recorded, {len(found.wrong)} things wrong", style="dim")
                # at once, too: a run that is broken off keeps what it found
                figures = ", ".join(f"{what} {figure}" for what, figure in zip(COLUMNS[1:], row[1:], strict=True))
                console.print(f"{name}: {figures}", style="dim", markup=False)
                for why in found.wrong:
                    console.print(f"{name}: {why}", style="red", markup=False)
            else:
                wrong += [f"{name}: census: {why} ({times} times)" for why, times in Counter(found).items()]
                console.print(f"{name}: {plan.censuses} censuses, {len(found)} tracebacks", style="dim")
    console.print(table)
    for line in wrong:
        console.print(line, style="red", markup=False)
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
