"""The truth about the programs below tests/programs: the last line of their stdout describes their own maps.

::

    {"go": "go1.27.3", "implementation": "swiss",
     "maps": [{"name", "map": "0x...", "type", "length", "live_slots", "slots",
               "buckets", "retained_buckets", "growing", "local"}],
     "functions": {"main.fill": {"inserts", "updates", "deletes", "clears"}}}
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

PATHS = (
    "kinds",
    "empty_elems",
    "literals",
    "reflection",
    "copies",
    "syncmap",
    "iterating",
    "stacks",
    "nested",
    "panics",
    "nans",
    "equal_hash",
    "linkname",
    "lengths",
)
"""Programs that each take some way to a map that others do not take."""

LARGE = (
    "strings",
    "ints",
    "structs",
    "interfaces",
    "big",
    "fill_drain",
    "sliding",
    "many",
    "goroutines",
    "range_clear",
)
"""Programs that are worth a million operations."""

PROGRAMS = (
    *LARGE,
    "hints",
    "inlined",
    "generations",
    "session_cache",
    *PATHS,
)
"""All programs that print the truth."""
NEEDS = {"session_cache": (1, 21), "copies": (1, 21)}
"""The oldest release that can compile a program; the others do with any."""

NOT_EXACT = {"nans": {"floats", "singles", "complexes", "values", "points"}, "equal_hash": {"parted"}}
"""Maps of a program that no events explain: those that grow with NaN among their keys, or lose one key of two that have
one hash."""


@dataclass(frozen=True, slots=True)
class MapTruth:
    """One map as the program's memory holds it at the end; a local one stands on a goroutine's stack."""

    name: str
    map_addr: int
    type: str
    length: int
    live_slots: int
    slots: int
    buckets: int
    retained_buckets: int
    growing: bool
    local: bool


@dataclass(frozen=True, slots=True)
class FunctionTruth:
    """What one function did, as the program counted."""

    inserts: int
    updates: int
    deletes: int
    clears: int

    @property
    def operations(self) -> int:
        """All of it together."""
        return self.inserts + self.updates + self.deletes + self.clears


@dataclass(frozen=True, slots=True)
class Truth:
    """All that a program says at its end."""

    go_version: str
    implementation: str
    maps: tuple[MapTruth, ...]
    functions: dict[str, FunctionTruth]

    @property
    def operations(self) -> int:
        """Operations of all counted functions."""
        return sum(function.operations for function in self.functions.values())


def parse(stdout: str) -> Truth:
    """Read the truth from the output of a program, of which it is the last line."""
    document = json.loads(stdout.splitlines()[-1])
    return Truth(
        go_version=document["go"],
        implementation=document["implementation"],
        maps=tuple(map_truth(row) for row in document["maps"]),
        functions={name: FunctionTruth(**counts) for name, counts in document["functions"].items()},
    )


def map_truth(row: dict[str, object]) -> MapTruth:
    """Read one map, whose address JSON holds as text."""
    address = int(str(row.pop("map")), 16)
    return MapTruth(map_addr=address, **row)  # type: ignore[arg-type]


def printed(function: str) -> str:
    """Return the name of a function as Go prints it: without the shapes of a generic one.

    go: runtime/symtab.go funcNameForPrint [1.21..1.27]
    """
    head, bracket, rest = function.partition("[")
    return f"{head}[...]{rest.rpartition(']')[2]}" if bracket else function


def can_be_built(program: str, release: tuple[int, int]) -> bool:
    """True if a release of Go compiles a program."""
    return release >= NEEDS.get(program, release)


def arguments(program: str, ops: int) -> list[str]:
    """Return the arguments that make a program do about `ops` operations and end by itself."""
    own = ["-seconds", "0"] if program == "session_cache" else []
    return ["-ops", str(ops), *own]


def run(binary: Path, ops: int) -> Truth:
    """Run a program and return the truth about it."""
    command = [str(binary), *arguments(binary.name, ops)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return parse(done.stdout)
