"""The program tests/programs/memory: it is told what to do with its heap while it is recorded."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mapprobe
from mapprobe.recording import files
from mapprobe.recording.tables.heap import FIGURES
from support.waiting import until_attached, wait_until

PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the program says of itself: fields of runtime.MemStats."""

    in_use: int
    idle: int
    released: int
    collections: int
    next_goal: int
    heap_sys: int
    stacks_in_use: int


class Memory:
    """The program, and what it said last; a context manager that ends it."""

    def __init__(self, program: Path, environment: dict[str, str] | None = None) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([str(program)], text=True, env=environment, **pipes)  # type: ignore[call-overload]

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def do(self, line: str) -> str:
        """Let it do something, and return what it says."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        said: str = self.process.stdout.readline()
        assert said.startswith(f"{line}:"), said or f"ended with {self.process.wait(PATIENCE_SECONDS)}"
        return said.partition(":")[2].strip()

    def statistics(self) -> Statistics:
        return Statistics(*map(int, self.do("stats").split()))

    def arrays(self) -> list[int]:
        return [int(addr, 16) for addr in self.do("arrays").split()]


class Watched:
    """A recorder attached to the program: `end` gives the recording."""

    def __init__(self, memory: Memory, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "mapprobe", "record", "--heap", *options, str(memory.process.pid)]
        self._folder = folder
        self._recorder = subprocess.Popen([*command, "-o", str(folder)], stderr=subprocess.PIPE, text=True)
        assert self._recorder.stderr
        self.said = until_attached(self._recorder.stderr)
        self.wait_for_sample()

    def __exit__(self, *_: object) -> None:
        """End the recorder where the recording didn't come to its end."""
        self._recorder.kill()
        self._recorder.communicate()

    def wait_for_sample(self) -> None:
        """Wait until the runtime's figures were read once more."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)

        def is_sampled() -> bool:
            table = files.read_table(self._folder, FIGURES)
            return len(table) > 0 and table["time_ns"][-1].as_py() > now

        wait_until(is_sampled)

    def end(self) -> Any:
        self.wait_for_sample()
        self._recorder.send_signal(signal.SIGINT)
        _, said = self._recorder.communicate(timeout=PATIENCE_SECONDS)
        assert self._recorder.returncode == 130, said
        return mapprobe.open(self._folder)


def recorded(program: Path, folder: Path, before: Iterable[str], during: Iterable[str]) -> Any:
    """Return a recording of the program that did some things before it and some in it."""
    with Memory(program) as memory:
        for line in before:
            memory.do(line)
        watched = Watched(memory, folder)
        for line in during:
            memory.do(line)
        return watched.end()
