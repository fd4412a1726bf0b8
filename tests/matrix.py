"""Every release with every linkage, live: record, replay, compare with the truth, verify (`make matrix`)."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import agreement
import toolchains
import truth
from gobuild import LINKAGES, Release, link_program

SCENARIOS = ("strings", "interfaces", "sliding", "goroutines", "session_cache")
OPERATIONS = 1000


def knows(release: Release, linkage: str) -> bool:
    """True if a release can be built so."""
    return LINKAGES[linkage].first <= release <= LINKAGES[linkage].last


def scenarios(release: Release) -> list[str]:
    """Return the scenarios that can be compiled with a release."""
    return [program for program in SCENARIOS if truth.can_be_built(program, release)]


def outcome(program: str, release: Release, linkage: str) -> list[str]:
    """Return what is wrong with a recording of a program, nothing if it is exact."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            binary = link_program(program, release, linkage)
        except subprocess.CalledProcessError as error:
            return [f"can't be built: {error}"]
        try:
            said, recording = agreement.record(
                binary, truth.arguments(program, OPERATIONS), Path(scratch) / "recording"
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
    console, wrong = Console(), []
    table = Table("linkage", *(f"go{a}.{b}" for a, b in releases), title="scenarios exact, every bucket equal")
    for linkage in chosen.linkage:
        cells = []
        for release in releases:
            if not knows(release, linkage):
                cells.append("")
                continue
            found = {
                program: outcome(program, release, linkage)
                for program in scenarios(release)
                if program in chosen.scenario
            }
            wrong += [f"go{release[0]}.{release[1]} {linkage} {p}: {why}" for p in found for why in found[p][:3]]
            cells.append(f"{sum(not why for why in found.values())} of {len(found)}")
            console.print(f"go{release[0]}.{release[1]} {linkage}: {cells[-1]}", style="dim")
        table.add_row(linkage, *cells)
    console.print(table)
    for line in wrong:
        console.print(line, style="red", markup=False)
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
