"""A program that got one order after another while its heap was recorded, and what it reported at each step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mapprobe.recording import files
from mapprobe.recording.tables.heap import CYCLES, FIGURES, RETURNS
from support.memory import PATIENCE_SECONDS, Memory, Statistics, Watched
from support.waiting import wait_until

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """What the program was told, when, and how its map and its heap were then."""

    began_ns: int
    ended_ns: int
    said: str
    arrays: list[int]
    buckets: int
    statistics: Statistics

    @property
    def numbers(self) -> list[int]:
        return [int(word) for word in self.said.split()]


class Told:
    """A recording of the program, and its steps by name; `end` ends both."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.steps: dict[str, Step] = {}
        self._memory = Memory(program)
        self._folder = folder
        self._watched = Watched(self._memory, folder, "--large-objects")

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        self._watched.__exit__()
        self._memory.__exit__()

    def __getitem__(self, name: str) -> Step:
        return self.steps[name]

    def tell(self, name: str, line: str) -> Step:
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        said = self._memory.do(line)
        ended = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        memory = self._memory
        step = Step(began, ended, said, memory.arrays(), int(memory.do("buckets")), memory.statistics())
        assert name not in self.steps
        self.steps[name] = step
        return step

    def wait_for_figures(self, condition: Callable[[dict[str, Any]], bool], line: str = "stats") -> None:
        """Wait until what the recorder reads of its heap from now on is so, and tell it the line meanwhile.

        A program that sleeps soundly returns nothing.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

        def holds() -> bool:
            self._memory.do(line)
            row = files.read_table(self._folder, FIGURES).to_pylist()[-1]
            return bool(row["time_ns"] > now and condition(row))

        wait_until(holds, PATIENCE_SECONDS)

    def let_pass(self, seconds: float, line: str = "stats") -> None:
        """Give what should not happen the time to happen."""
        then = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(seconds * NANOSECONDS)
        self.wait_for_figures(lambda row: row["time_ns"] > then, line)

    def end(self) -> Told:
        recording = self._watched.end()
        self.arrays: pd.DataFrame = recording.heap.arrays()
        self.large_objects: pd.DataFrame = recording.heap.large_objects()
        self.figures: pd.DataFrame = recording.heap.figures().astype({"time_ns": "int64"})
        self.returns: pd.DataFrame = files.read_table(self._folder, RETURNS).to_pandas().sort_values("time_ns")
        self.cycles: pd.DataFrame = files.read_table(self._folder, CYCLES).to_pandas().sort_values("time_ns")
        return self

    def lives_at(self, name: str) -> pd.DataFrame:
        """Return what became of the arrays, large objects all of them, that the map had after a step."""
        step, rows = self[name], self.arrays
        then = rows.own_span & rows.addr.isin(step.arrays) & (rows.allocated_ns < step.ended_ns)
        found = rows[then & ~(rows.freed_ns <= step.ended_ns)]
        assert sorted(found.addr) == sorted(step.arrays)
        return found

    def were_freed_during(self, rows: pd.DataFrame, name: str) -> bool:
        step = self[name]
        return bool(((rows.freed_ns > step.began_ns) & (rows.freed_ns <= step.ended_ns)).all())

    def between(self, table: pd.DataFrame, after: str, until: str) -> pd.DataFrame:
        """Return what of a table was between the ends of two steps."""
        return table[(table.time_ns > self[after].ended_ns) & (table.time_ns <= self[until].ended_ns)]

    def during(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        step = self[name]
        return table[(table.time_ns >= step.began_ns) & (table.time_ns <= step.ended_ns)]
