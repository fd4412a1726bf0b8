"""The cost of probing for servers under load: their throughput without, with and without a recorder (`make overhead`).

A tool that prints ratios and asserts nothing. Each server is loaded for a while without a recorder, then with one that
may take a share of its CPU time, then without again, a round; of several rounds the median counts. Operations a second
also fall where the recorder, or anybody else, takes cores from the server; operations in a second of the server's own
CPU time fall by what probing takes of it, on a host where others are busy too.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from mapprobe.capture.overhead import CPU_CLOCK
from servers.loads import Load
from servers.programs import SERVERS, mortal, serving

NAMES = ("nats", "caddy", "prometheus")
PROBES = ("ops", "growth", "light")
ROUNDS, SECONDS, WARM_SECONDS = 5, 10.0, 5.0
SHARE = "2%"
PATIENCE = 300
ATTACHED = "mapprobe: recording "


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a round.

    Attributes
    ----------
    asked
        Operations of the load, each second.
    cpu
        Cores that the server had.
    """

    asked: float
    cpu: float

    @property
    def efficiency(self) -> float:
        """Operations of the load in a second of the server's CPU time."""
        return self.asked / self.cpu


@dataclass(frozen=True, slots=True)
class Round:
    """One round: without a recorder, with one, without it.

    Attributes
    ----------
    cost
        Share of the server's CPU time that probing took, as the recorder says; None: it could not tell.
    detached
        What it said if it detached for good, else empty.
    events
        That were recorded.
    """

    before: Part
    probed: Part
    after: Part
    cost: float | None
    detached: str
    events: int

    @property
    def ratio_of_cpu(self) -> float:
        """Operations in a second of the server's CPU time with a recorder, as a share of those without."""
        return 2 * self.probed.efficiency / (self.before.efficiency + self.after.efficiency)

    @property
    def ratio(self) -> float:
        """Operations with a recorder, as a share of those without."""
        return 2 * self.probed.asked / (self.before.asked + self.after.asked)

    @property
    def drift(self) -> float:
        """Operations after, as a share of those before: how much the host and the server change by themselves."""
        return self.after.asked / self.before.asked


def watched(pid: int, load: Load, seconds: float) -> Part:
    """Return what the load and the server did for some seconds."""
    done, cpu, begun = sum(load.done), _cpu_seconds(pid), time.monotonic()
    load.over.wait(seconds)
    took = time.monotonic() - begun
    return Part((sum(load.done) - done) / took, (_cpu_seconds(pid) - cpu) / took)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, more finely than /proc has it."""
    return time.clock_gettime_ns(~pid << 3 | CPU_CLOCK) / 1e9


def probed(pid: int, load: Load, probes: str, share: str, seconds: float) -> tuple[Part, float | None, str, int]:
    """Record a server; return what was done while its probes were in, what they cost, and whether they were let go.

    That begins after the census of the start, and ends before that of the end.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "mapprobe", "record", str(pid), "-o", f"{scratch}/recording", "--json"]
        command += ["--probes", probes, "--max-overhead", share, "--duration", str(seconds)]
        with subprocess.Popen(
            mortal(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as recorder:
            assert recorder.stderr
            assert recorder.stdout
            timer = threading.Timer(PATIENCE, recorder.kill)
            timer.start()
            said, part = "", None
            for line in recorder.stderr:
                said += line
                if line.startswith(ATTACHED):
                    part = watched(pid, load, seconds)
            document = recorder.stdout.read()
            timer.cancel()
    if recorder.returncode or part is None:
        raise RuntimeError(said or f"the recorder ended with {recorder.returncode}")
    row = json.loads(document)
    cost = None if row["cost_ns"] is None else row["cost_ns"] / max(1, row["cpu_ns"])
    detached = re.findall(r"detached for good after \d+ s", said)
    return part, cost, detached[0] if detached else "", row["events"]


def rounds(name: str, probes: str, share: str, count: int, seconds: float) -> Iterator[Round]:
    """Run a server under its load, and yield each round."""
    with tempfile.TemporaryDirectory() as scratch, serving(SERVERS[name], Path(scratch)) as (pid, load):
        load.over.wait(WARM_SECONDS)
        for _ in range(count):
            before = watched(pid, load, seconds)
            part, *found = probed(pid, load, probes, share, seconds)
            load.over.wait(1)
            yield Round(before, part, watched(pid, load, seconds), *found)


COLUMNS = (
    "server", "probes", "ops/s without", "with", "without", "ratio", "by CPU", "drift", "cost", "detached", "events",
    "cores",
)  # fmt: skip


def row_of(name: str, probes: str, found: Sequence[Round]) -> list[str]:
    """Return what the table shows of some rounds: the median of each figure."""
    middle = statistics.median
    asked = (middle(getattr(turn, part).asked for turn in found) for part in ("before", "probed", "after"))
    costs = [turn.cost for turn in found if turn.cost is not None]
    detached = sum(bool(turn.detached) for turn in found)
    return [
        name,
        probes,
        *(f"{figure:,.0f}" for figure in asked),
        f"{middle(turn.ratio for turn in found):.3f}",
        f"{middle(turn.ratio_of_cpu for turn in found):.3f}",
        f"{middle(turn.drift for turn in found):.3f}",
        f"{middle(costs):.1%} (most {max(costs):.1%})" if costs else "not known",
        f"{detached} of {len(found)}",
        f"{middle(turn.events for turn in found):,.0f}",
        f"{middle(turn.before.cpu for turn in found):.2f}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each server and each way to probe it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="*", default=list(NAMES), help=", ".join(SERVERS))
    parser.add_argument("--probes", choices=PROBES, action="append")
    parser.add_argument("--max-overhead", default=SHARE)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(*COLUMNS, title=f"--max-overhead {given.max_overhead}, {given.rounds} rounds of {given.seconds:g} s")
    for name in given.servers:
        for probes in given.probes or PROBES:
            found = []
            for turn in rounds(name, probes, given.max_overhead, given.rounds, given.seconds):
                found.append(turn)
                cost = "not known" if turn.cost is None else f"{turn.cost:.1%}"
                ratios = f"{turn.ratio:.3f}, by CPU {turn.ratio_of_cpu:.3f}"
                console.print(f"{name} {probes}: {ratios}, probing took {cost} {turn.detached}", style="dim")
            table.add_row(*row_of(name, probes, found))
    console.print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
