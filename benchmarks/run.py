"""Run all benchmarks, or those that are named: print and store their figures, and write docs/performance.md."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

import census
import consumer
import cost
import growth
import startup
from figures import Figure, machine, table, told

import replay
from programs import ROOT

PAGE = ROOT / "docs" / "performance.md"
REASONS = ROOT / "docs" / "performance-reasons.md"
KEPT = ROOT / ".build" / "bench"
PARTS: dict[str, tuple[str, Callable[[], Iterator[Figure]]]] = {
    "cost": ("Cost of a hit", cost.figures),
    "shares": ("Cost of a recording that does not watch every operation", cost.shares),
    "heap": ("Cost of recording the heap", cost.heap),
    "consumer": ("Taking events in", consumer.figures),
    "replay": ("Replay and size", replay.figures),
    "growth": ("How it grows", growth.figures),
    "startup": ("Start-up", startup.figures),
    "census": ("A census", census.figures),
}
HEAD = """# Performance

Written by `make bench` on {machine}. The machine is shared, and its
speed differs by a factor of two from hour to hour: only ratios within one part, which is one run, mean something
elsewhere. Medians.
"""


def page() -> str:
    """Return the page with the stored figures of all parts."""
    parts = [HEAD.format(machine=machine())]
    for name, (title, _) in PARTS.items():
        if (path := KEPT / f"{name}.json").exists():
            kept = json.loads(path.read_text())
            figures = [Figure(**row) for row in kept["figures"]]
            parts.append(f"## {title}\n\n{kept['date']}\n\n{table(figures)}\n")
    if growth.PICTURE.exists():
        parts.append(f"![how time and memory grow]({growth.PICTURE.name})\n")
    return "\n".join([*parts, REASONS.read_text()])


def main() -> None:
    """Run the named parts, or all parts if none is named."""
    KEPT.mkdir(parents=True, exist_ok=True)
    missed = count = 0
    for name in sys.argv[1:] or PARTS:
        figures = list(told(PARTS[name][1]()))
        kept = {"date": str(datetime.date.today()), "figures": [asdict(figure) for figure in figures]}
        (KEPT / f"{name}.json").write_text(json.dumps(kept, indent=1))
        count, missed = count + len(figures), missed + sum(not figure.is_met for figure in figures)
    print(f"{count} figures, {missed} miss their goal")
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
