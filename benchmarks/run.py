"""All benchmarks in one run: printed as they come, and written to docs/performance.md with the machine."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterator

import consumer
import cost
import growth
import replay
import startup
from figures import Figure, machine, table, told

from programs import ROOT

PAGE = ROOT / "docs" / "performance.md"
REASONS = ROOT / "docs" / "performance-reasons.md"
PARTS: dict[str, tuple[str, Callable[[], Iterator[Figure]]]] = {
    "cost": ("Cost on the target", cost.figures),
    "consumer": ("Taking events in", consumer.figures),
    "replay": ("Replay and size", replay.figures),
    "growth": ("How it grows", growth.figures),
    "startup": ("Start-up", startup.figures),
}


def main() -> None:
    """Run the parts that are named, all of them if none is."""
    wanted = sys.argv[1:] or list(PARTS)
    found = {name: list(told(PARTS[name][1]())) for name in wanted}
    missed = sum(not figure.is_met for figures in found.values() for figure in figures)
    print(f"{sum(map(len, found.values()))} figures, {missed} miss their goal")
    if set(wanted) != set(PARTS):
        return
    head = (
        f"# Performance\n\nWritten by `make bench` on {datetime.date.today()}: {machine()}. The machine is shared: only"
    )
    parts = [f"{head}\nratios within this run mean something elsewhere. Medians.\n"]
    parts += [f"## {PARTS[name][0]}\n\n{table(figures)}\n" for name, figures in found.items()]
    parts += ["![how time and memory grow](performance-growth.svg)\n", REASONS.read_text()]
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
