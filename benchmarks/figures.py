"""Figures of benchmarks, each with its goal and a figure to compare it with, as lines and as a table in Markdown."""

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
        The name of the figure.
    value, unit
        The measured value.
    goal
        The most that the value should be, or the least if `more_is_better`; None: there is no goal.
    peer
        Other figures of the same run to compare with, in words.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    peer: str = ""

    @property
    def is_met(self) -> bool:
        """True if the goal is met, or there is none."""
        return self.goal is None or (self.value >= self.goal if self.more_is_better else self.value <= self.goal)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the figure's row: name, value, goal, whether the goal is met, and peer."""
        goal = ""
        if self.goal is not None:
            goal = f"{'at least' if self.more_is_better else 'at most'} {self.goal:,.4g}"
        met = "" if self.goal is None else "yes" if self.is_met else "**no**"
        return self.what, f"{self.value:,.4g} {self.unit}", goal, met, self.peer


HEADINGS = ("figure", "found", "goal", "met", "beside it")


def told(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Print and yield each figure when it is measured."""
    for figure in figures:
        what, found, goal, met, peer = figure.cells()
        print(f"{what:58} {found:>18}  {goal:18} {met.strip('*'):4} {peer}", flush=True)
        yield figure


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [HEADINGS, ("---", "---:", "---:", "---", "---"), *(figure.cells() for figure in figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def machine() -> str:
    """Return the machine on which the figures were measured, in words."""
    names = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return (
        f"{os.cpu_count()} CPUs ({names[0] if names else platform.machine()}), Linux {platform.release().split('-')[0]}"
    )
