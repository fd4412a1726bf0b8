"""A report compared with a census of the same process, which was stopped at the moment of the report: map by map.

On the public tables alone (`mapprobe.Recording.maps`). Maps without buckets hold nothing, and are left out on both
sides: a census can't tell one from other zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mapprobe

MOST_DIFFERENT = 0.001
"""Of totals, and of what is unknown: what the process does between two instructions may be that much."""
FIGURES = ("retained_bytes", "allocated_bytes", "live_slots", "buckets")
SHOWN = 5

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """What came of it.

    Attributes
    ----------
    reported, counted
        Totals of the maps that are alive by the report, and by the census: ``maps`` and `FIGURES`.
    equal, bounded, different
        Maps that both have: all figures equal; within the bounds that the report states; neither.
    unknown, unknown_bytes
        Maps of which the report can't say whether they live, and what they take at most.
    examples
        The first of those that are different, or that only one side has.
    """

    reported: dict[str, int]
    counted: dict[str, int]
    equal: int
    bounded: int
    different: int
    only_reported: int
    only_counted: int
    unknown: int
    unknown_bytes: int
    examples: list[str]

    @property
    def off(self) -> dict[str, float]:
        """How far each total of the report is from the census's, as a share of that."""
        return {
            name: abs(self.reported[name] - counted) / max(1, counted)
            for name, counted in self.counted.items()
            if name in ("maps", "retained_bytes", "allocated_bytes")
        }

    @property
    def wrong(self) -> list[str]:
        """What speaks against the report; nothing if it is true."""
        found = [f"{self.different} maps are different"] if self.different else []
        for name, share in self.off.items():
            if share > MOST_DIFFERENT:
                found.append(f"{name}: {self.reported[name]:,}, the still process has {self.counted[name]:,}")
        if self.unknown_bytes > MOST_DIFFERENT * max(1, self.reported["allocated_bytes"]):
            found.append(f"{self.unknown} maps are unknown, {self.unknown_bytes:,} B at most")
        return found + (self.examples if found else [])


def hold(recording: mapprobe.Recording, census: mapprobe.Recording) -> Held:
    """Hold a recording's report against a census of the process as it stood at its end."""
    reports, counts = _rows(recording), _rows(census)
    ours, theirs = _alive(reports), _alive(counts)
    judged = {addr: _judge(ours[addr], theirs[addr]) for addr in ours.keys() & theirs.keys()}
    different = [addr for addr, verdict in judged.items() if verdict == "different"]
    only_ours, only_theirs = sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())
    states = {row["map"]: row["state"] for row in reports}  # the last generation's
    unknown = [row for row in reports if row["state"] == "unknown"]
    examples = [_difference(ours[addr], theirs[addr]) for addr in sorted(different)[:SHOWN]]
    examples += [f"only in the report: {_told(ours[addr])}" for addr in only_ours[:SHOWN]]
    examples += [
        f"only in the census: {_told(theirs[addr])}; in the report {states.get(addr, 'nothing')}"
        for addr in only_theirs[:SHOWN]
    ]
    verdicts = list(judged.values())
    return Held(
        reported=_totals(ours),
        counted=_totals(theirs),
        equal=verdicts.count("equal"),
        bounded=verdicts.count("bounded"),
        different=len(different),
        only_reported=len(only_ours),
        only_counted=len(only_theirs),
        unknown=len(unknown),
        unknown_bytes=sum(_range(row, "allocated_bytes")[1] for row in unknown),
        examples=examples,
    )


def _rows(recording: mapprobe.Recording) -> list[Row]:
    rows: list[Row] = recording.maps(frame="arrow").to_pylist()
    return sorted(rows, key=lambda row: (row["map"], row["generation"]))


def _alive(rows: list[Row]) -> dict[str, Row]:
    return {row["map"]: row for row in rows if row["state"] == "alive" and row["allocated_bytes"]}


def _totals(rows: Mapping[str, Row]) -> dict[str, int]:
    return {"maps": len(rows)} | {name: sum(row[name] for row in rows.values()) for name in FIGURES}


def _range(row: Row, name: str) -> tuple[int, int]:
    """Return the least and the most that a figure of the report may be."""
    value = row[name]
    least, most = row.get(f"least_{name}"), row.get(f"most_{name}")
    return value if least is None else least, value if most is None else most


def _judge(ours: Row, theirs: Row) -> str:
    if all(ours[name] == theirs[name] for name in FIGURES):
        return "equal"
    ranges = {name: _range(ours, name) for name in FIGURES}
    return "bounded" if all(low <= theirs[n] <= high for n, (low, high) in ranges.items()) else "different"


def _difference(ours: Row, theirs: Row) -> str:
    figures = ", ".join(
        f"{ours[name]:,} {name}, not {theirs[name]:,}" for name in FIGURES if ours[name] != theirs[name]
    )
    return f"{_told(ours)}: {figures}"


def _told(row: Row) -> str:
    exact = "exact" if row["exact"] else row.get("why") or "not exact"
    return f"{row['map']} {row['type']}, generation {row['generation']}, {exact}"
