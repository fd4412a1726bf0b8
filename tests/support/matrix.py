"""Every release with every linkage, live: record, replay, compare with the truth, verify (`make matrix`)."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from support import agreement, toolchains, truth
from support.gobuild import LINKAGES, Release, link_program

SCENARIOS = ("strings", "interfaces", "sliding", "goroutines", "session_cache")
OPERATIONS = 1000


def knows(release: Release, linkage: str) -> bool:
    """True if a release can be built so."""
    return LINKAGES[linkage].first <= release <= LINKAGES[linkage].last


def scenarios(release: Release) -> list[str]:
    """Return the scenarios that can be compiled with a release."""
    return [program for program in SCENARIOS if truth.can_be_built(program, release)]


@dataclass(frozen=True, slots=True)
class Case:
    """One field of the table is the cases of a linkage and a release."""

    linkage: str
    release: Release
    program: str

    def __str__(self) -> str:
        """Return what it is called."""
        return f"go{self.release[0]}.{self.release[1]} {self.linkage} {self.program}"


def outcome(case: Case) -> list[str]:
    """Return what is wrong with a recording of a program, nothing if it is exact."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            binary = link_program(case.program, case.release, case.linkage)
        except subprocess.CalledProcessError as error:
            return [f"can't be built: {error}"]
        try:
            said, recording = agreement.record(
                binary, truth.arguments(case.program, OPERATIONS), Path(scratch) / "recording"
            )
        except AssertionError as error:
            return [str(error).strip()]
        return agreement.differences(said, recording)


def main() -> int:
    """Print the table, and under it what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--linkage", nargs="*", default=list(LINKAGES), choices=LINKAGES)
    parser.add_argument("--release", nargs="*", default=[f"{a}.{b}" for a, b in toolchains.RELEASES])
    parser.add_argument("--scenario", nargs="*", default=list(SCENARIOS), choices=truth.PROGRAMS)
    chosen = parser.parse_args()
    releases = [r for r in toolchains.RELEASES if f"{r[0]}.{r[1]}" in chosen.release]
    cases = [
        Case(linkage, release, program)
        for linkage in chosen.linkage
        for release in releases
        if knows(release, linkage)
        for program in scenarios(release)
        if program in chosen.scenario
    ]
    console = Console()
    with ProcessPoolExecutor() as pool, Progress(console=console) as progress:
        found = dict(zip(cases, progress.track(pool.map(outcome, cases), total=len(cases)), strict=True))
    console.print(table(found, releases))
    for case, wrong in found.items():
        for why in wrong[:3]:
            console.print(f"{case}: {why}", style="red", markup=False)
    return any(found.values())


def table(found: dict[Case, list[str]], releases: list[Release]) -> Table:
    """Return how many scenarios of each linkage and release are exact."""
    shown = Table("linkage", *(f"go{a}.{b}" for a, b in releases), title="scenarios exact, every bucket equal")
    for linkage in dict.fromkeys(case.linkage for case in found):
        cells = []
        for release in releases:
            of = [wrong for case, wrong in found.items() if (case.linkage, case.release) == (linkage, release)]
            cells.append(f"{sum(not wrong for wrong in of)} of {len(of)}" if of else "")
        shown.add_row(linkage, *cells)
    return shown


if __name__ == "__main__":
    raise SystemExit(main())
