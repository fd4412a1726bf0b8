"""A recording of known programs equals what their own memory says, to the last figure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mapprobe
from mapprobe.vocabulary import Inexact
from support import truth
from support.gobuild import STRIPPED, Release
from support.heads import agreement
from support.truth import MapTruth, Truth

pytestmark = pytest.mark.system

FIGURES = ["live_slots", "slots", "buckets", "retained_buckets"]
OPERATIONS = ["inserts", "updates", "deletes", "clears"]

STRIPPED_TOO = ("strings", "interfaces", "goroutines", "inlined", "session_cache")
CASES = [
    *((program, 1000, ()) for program in truth.PROGRAMS),
    *((program, 1_000_000, ()) for program in truth.LARGE),
    *((program, 1000, (STRIPPED,)) for program in STRIPPED_TOO),
    ("session_cache", 1_000_000, (STRIPPED,)),
]

SHAPES = {
    "map[main.id]uint32": "map[[16]uint8]uint32",
    "map[int8]*main.node": "map[int8]*uint8",
    "map[main.quad]int": "map[[4]uint8]int",
    "map[main.octet]*main.node": "map[[8]uint8]*uint8",
    "map[main.triple]int": "map[[3]uint8]int",
    "map[main.label]int": "map[[2]string]int",
    "map[*main.node]int": "map[*uint8]int",
    "map[main.holder]*main.node": "map[struct { main.node *main.node }]*uint8",
    "map[complex128]*main.node": "map[complex128]*uint8",
    "map[main.point]int": "map[struct { main.x float64; main.y float64 }]int",
}
"""Types of maps that only generic code writes, and what up to Go 1.20 it names of them."""


def case_id(case: tuple[str, int, tuple[str, ...]]) -> str:
    program, ops, flags = case
    return f"{program}-{ops}{'-stripped' if flags else ''}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording of a program, and what the program said."""

    program: str
    truth: Truth
    recording: Any

    def is_exact(self, m: MapTruth) -> bool:
        """True if the events of a map explain all of it."""
        return m.name not in truth.NOT_EXACT.get(self.program, ())


KNOWN: dict[object, Recorded] = {}
"""Pytest sets a fixture of so many parameters up several times."""


def parameter(case: tuple[str, int, tuple[str, ...]]) -> Any:
    return pytest.param(case, id=case_id(case), marks=pytest.mark.alone if case[1] > 1000 else ())


@pytest.fixture(scope="module", params=map(parameter, CASES))
def recorded(
    request: pytest.FixtureRequest,
    release: Release,
    build: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Recorded:
    case = release, *request.param
    if case not in KNOWN:
        KNOWN[case] = record(*case, build, tmp_path_factory.mktemp("record") / "recording")
    return KNOWN[case]


def record(
    release: Release, program: str, ops: int, flags: tuple[str, ...], build: Callable[..., Path], folder: Path
) -> Recorded:
    command = [str(build(program, release, *flags)), *truth.arguments(program, ops)]
    mapprobe_record = [sys.executable, "-m", "mapprobe", "record", "-o", str(folder), "--", *command]
    done = subprocess.run(
        mapprobe_record, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return Recorded(program, truth.parse(done.stdout), mapprobe.open(folder))


@pytest.fixture(scope="module")
def maps(recorded: Recorded) -> pd.DataFrame:
    """The last generation at each registered address, in the order of the truth."""
    rows = recorded.recording.retention(by="map").assign(map_addr=lambda rows: rows["map"].map(as_address))
    last = rows.sort_values("generation").drop_duplicates("map_addr", keep="last").set_index("map_addr")
    return last.reindex([m.map_addr for m in recorded.truth.maps])


@pytest.fixture(scope="module")
def sites(recorded: Recorded) -> pd.DataFrame:
    """What the lines of each function did together, by the name that Go prints."""
    rows = recorded.recording.retention(by="site", view="fill")
    return rows.groupby(rows["function"].map(truth.printed)).sum(numeric_only=True)


@pytest.fixture(scope="module")
def verification(recorded: Recorded) -> dict[str, Any]:
    document: dict[str, Any] = recorded.recording.verify()
    return document


def as_address(text: str) -> int:
    return int(text, 16)


def described(m: object) -> str:
    return " ".join(map(str, astuple(m)))  # type: ignore[call-overload]


def test_nothing_was_lost(recorded: Recorded) -> None:
    assert recorded.recording.session.lost == 0


def test_each_registered_map_was_seen_with_its_type(recorded: Recorded, release: Release, maps: pd.DataFrame) -> None:
    written = [i for i, m in enumerate(recorded.truth.maps) if m.buckets]
    expected = [recorded.truth.maps[i].type for i in written]
    if release < (1, 21):
        expected = [SHAPES.get(name, name) for name in expected]

    assert maps["type"].iloc[written].tolist() == expected


def test_each_registered_map_is_alive(recorded: Recorded, maps: pd.DataFrame) -> None:
    states = zip(recorded.truth.maps, maps["state"], strict=True)
    wrong = [described(m) for m, state in states if m.buckets and state != "alive"]
    assert wrong == []


def test_each_registered_map_is_exact_if_its_events_explain_it(recorded: Recorded, maps: pd.DataFrame) -> None:
    wrong = [
        described(m)
        for m, exact in zip(recorded.truth.maps, maps["exact"], strict=True)
        if m.buckets and bool(exact) != recorded.is_exact(m)
    ]
    assert wrong == []


def test_each_registered_map_on_a_stack_is_the_first_there(recorded: Recorded, maps: pd.DataFrame) -> None:
    generations = zip(recorded.truth.maps, maps["generation"], strict=True)
    assert [described(m) for m, generation in generations if m.local and generation != 1] == []


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_of_each_map_are_those_in_its_memory(recorded: Recorded, maps: pd.DataFrame, figure: str) -> None:
    found = maps[figure].fillna(0).astype("int64")  # a map that was never written need not have been seen
    wrong = {
        described(m): value for m, value in zip(recorded.truth.maps, found, strict=True) if value != getattr(m, figure)
    }
    assert wrong == {}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_of_each_function_are_those_it_counted(
    recorded: Recorded, sites: pd.DataFrame, operation: str
) -> None:
    functions = recorded.truth.functions
    found = sites[operation].reindex(list(functions), fill_value=0)

    assert found.to_dict() == {name: getattr(counted, operation) for name, counted in functions.items()}


def test_replayed_maps_are_those_in_memory(verification: dict[str, Any]) -> None:
    assert verification["mismatches"] == []
    assert verification["headers_equal"] == verification["checked"] > 0
    assert verification["buckets_equal"] == verification["buckets"]


def test_a_census_at_the_end_and_the_replay_say_the_same_of_each_map(recorded: Recorded) -> None:
    both, wrong = agreement(recorded.recording)

    assert wrong == []
    assert both > 0


def test_a_census_finds_no_map_that_the_probes_did_not_see(recorded: Recorded) -> None:
    maps = recorded.recording.replay().maps.to_pandas()

    assert maps.query(f"inexact == {Inexact.UNTOUCHED:d}").to_dict("records") == []


def test_each_registered_map_was_verified(recorded: Recorded, verification: dict[str, Any]) -> None:
    skipped = {as_address(row["map"]) for row in verification["skipped"]}
    written = {m.map_addr: m for m in recorded.truth.maps if m.buckets}
    assert skipped & set(written) == {a for a, m in written.items() if m.local or not recorded.is_exact(m)}
