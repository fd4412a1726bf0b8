"""What a benchmark found: a figure, what it should be, and what it stands beside; as a line and as a row of a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes
    ----------
    what
        What was measured.
    value, unit
        What was found.
    goal
        The most it should be, or the least where `more_is_better`; None: there is no goal.
    peer
        What stood beside it in the same run, in words.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    peer: str = ""

    @property
    def is_met(self) -> bool:
        """True if there is no goal, or it is met."""
        return self.goal is None or (self.value >= self.goal if self.more_is_better else self.value <= self.goal)

    def cells(self) -> tuple[str, ...]:
        """Return what, value, goal, whether it is met, and peer."""
        goal = ""
        if self.goal is not None:
            goal = f"{'at least' if self.more_is_better else 'at most'} {self.goal:,.4g}"
        met = "" if self.goal is None else "yes" if self.is_met else "**no**"
        return self.what, f"{self.value:,.4g} {self.unit}", goal, met, self.peer


HEADINGS = ("figure", "found", "goal", "met", "beside it")


def told(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Yield the figures, each printed as it comes."""
    for figure in figures:
        what, found, goal, met, peer = figure.cells()
        print(f"{what:58} {found:>18}  {goal:18} {met.strip('*'):4} {peer}", flush=True)
        yield figure


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [HEADINGS, ("---", "---:", "---:", "---", "---"), *(figure.cells() for figure in figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """Return what the figures were found on."""
    names = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return (
        f"{os.cpu_count()} CPUs ({names[0] if names else platform.machine()}), Linux {platform.release().split('-')[0]}"
    )
