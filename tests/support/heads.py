"""A process that holds maps, and a census of it: shared by the system tests of the census."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS, CENSUS_ABOUT
from mapprobe.vocabulary import Implementation, Inexact
from support import truth
from support.gobuild import Release, link_program
from support.truth import Truth

FIGURES = {"live_slots": "live_slots", "buckets": "buckets", "retained_buckets": "retained_buckets"}


@contextmanager
def holding(binary: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that says what it holds and waits; it is ended afterwards."""
    pipe = subprocess.PIPE
    with subprocess.Popen([binary, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def telling(program: str, release: Release, linkage: str, ops: int) -> Iterator[tuple[int, Truth]]:
    """Run a program that tells the truth about its maps and waits; give its PID and that."""
    binary = link_program(program, release, linkage)
    with holding(binary, *truth.arguments(program, ops), "-wait") as process:
        assert process.stdout
        yield process.pid, truth.parse(process.stdout.readline())


@contextmanager
def crowd(release: Release, linkage: str = "plain", **counts: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run the program crowd with so many objects of each kind; give its PID and what it says."""
    arguments = [f"-{name}={count}" for name, count in counts.items()]
    with holding(link_program("crowd", release, linkage), *arguments) as process:
        assert process.stdout
        yield process.pid, json.loads(process.stdout.readline())


def rows_of(recording: Any) -> dict[int, dict[str, Any]]:
    """Return what a census found, by address, each with the name of its type."""
    names = recording.table(schema.TYPES)["name"].to_pylist()
    rows = [row for row in recording.table(CENSUS).to_pylist() if row["at_end"]]
    return {row["map_addr"]: row | {"type": names[row["type_id"]] if row["type_id"] >= 0 else ""} for row in rows}


def about(recording: Any) -> dict[str, Any]:
    """Return what a census says of itself."""
    (row,) = recording.table(CENSUS_ABOUT).to_pylist()
    found: dict[str, Any] = row
    return found


MADE_BY_REFLECT = {"composed"}
"""Maps of types that no binary has: before Go 1.22 nothing in the heap says how large their buckets are."""


def differences(said: Truth, recording: Any) -> list[str]:
    """Return what is not as a program says of its own maps: those on a goroutine's stack are not looked for."""
    rows, found = rows_of(recording), list[str]()
    keeps_types = recording.session.go_release >= (1, 22)
    for m in said.maps:
        row = rows.get(m.map_addr)
        if m.local or not m.buckets or (row is None and m.name in MADE_BY_REFLECT and not keeps_types):
            continue
        if row is None:
            found.append(f"{m.name}: not found")
            continue
        found += [
            f"{m.name}: {row[ours]} {ours}, not {getattr(m, theirs)}"
            for ours, theirs in FIGURES.items()
            if row[ours] != getattr(m, theirs)
        ]
        if row["state"] != "alive" or not row["settled"]:
            found.append(f"{m.name}: {row['state']}, settled: {row['settled']}")
        if row["type"] and not may_be(row["type"], m.type):
            found.append(f"{m.name}: {row['type']}, not {m.type}")
    return found


AGREED = ("live_slots", "buckets", "retained_buckets", "allocated_bytes")


def agreement(recording: Any) -> tuple[int, list[str]]:
    """Return how many maps both a recording's replay and its census of the end have, and where they disagree.

    Maps that were touched after the census was begun are left out, and those that it was torn from.
    """
    (about_end,) = (row for row in recording.table(CENSUS_ABOUT).to_pylist() if row["at_end"])
    rows, found, both = rows_of(recording), list[str](), 0
    names = recording.table(schema.TYPES)["name"].to_pylist()
    is_classic = recording.session.implementation is Implementation.CLASSIC
    for m in recording.replay().maps.to_pylist():
        row = rows.get(m["map_addr"])
        is_still = m["last_ns"] < about_end["started_ns"] and m["inexact"] != Inexact.UNTOUCHED
        if m["state"] != "alive" or not m["buckets"] or not is_still or (row and not row["settled"]):
            continue
        both += 1
        if row is None:
            found.append(f"{m['map_addr']:#x}: not in the census")
            continue
        # of a classic map that was read nobody knows which overflow buckets came with its array
        names_of = AGREED[:-1] if m["inexact"] and is_classic else AGREED
        found += [f"{m['map_addr']:#x}: {row[n]} {n}, replayed {m[n]}" for n in names_of if row[n] != m[n]]
        really = names[m["type_id"]] if m["type_id"] >= 0 else ""
        if row["type"] and really and not may_be(row["type"], really):
            found.append(f"{m['map_addr']:#x}: {row['type']}, replayed {really}")
    return both, found


def wrong_lengths(said: dict[str, Any], recording: Any) -> dict[int, tuple[int, int | None]]:
    """Return length and live slots of those maps of a crowd whose are not the same; an empty one need not be found."""
    rows = rows_of(recording)
    lengths = {int(addr): length for addr, length in said["list"].items()}
    found = {addr: rows[addr]["live_slots"] if addr in rows else None for addr in lengths}
    return {addr: (n, found[addr]) for addr, n in lengths.items() if found[addr] != n and (n or found[addr])}


def may_be(named: str, really: str) -> bool:
    """True if a type is among those that are named, or may be among those that are not."""
    return " more" in named or really in named.split(" or ") or "made at run time" in named or is_named(really)


def is_named(name: str) -> bool:
    """True of a map type with a name of its own, which other types may have key and element in common with."""
    return not name.startswith("map[")
