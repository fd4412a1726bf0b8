"""The heap of live programs as recorded, compared with what the programs say of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mapprobe.analysis.heap.findings import Holder
from mapprobe.analysis.heap.waterfall import Name
from mapprobe.report.page import html
from mapprobe.report.profiles import perfetto
from support import toolchains
from support.gobuild import Release, link_program, release_id
from support.memory import Memory, Statistics, Watched, recorded
from support.waiting import wait_until

pytestmark = pytest.mark.system

SPAN = 32 << 10
MIB = 1 << 20
ENTRIES = 200_000
TOLERANCE = 0.03


@pytest.fixture(scope="session", name="release")
def _release(every_release: Release) -> Release:
    return every_release


class Session:
    """The program was told to fill, drain and rebuild its map, and what it said on the way."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self.statistics: list[Statistics] = []
        with Memory(program) as memory:
            memory.do("hold 30")
            watched = Watched(memory, folder, *options)
            memory.do(f"fill {ENTRIES}")
            self.filled = memory.arrays()
            memory.do("gc")
            memory.do("drain 10")
            memory.do("rebuild")
            self.rebuilt = memory.arrays()
            memory.do("gc")
            memory.do("give")
            self.statistics.append(at_rest(memory, watched))
            self.recording = watched.end()
            # the recorder reads and doesn't write: nothing may have changed meanwhile
            self.statistics.append(memory.statistics())
        self.heap = self.recording.heap


def at_rest(memory: Memory, watched: Watched) -> Statistics:
    """Return what the program says of itself when that has come to be the same from sample to sample."""
    said = [memory.statistics()]

    def rests() -> bool:
        watched.wait_for_sample()
        said.append(memory.statistics())
        return said[-1] == said[-2]

    wait_until(rests)
    return said[-1]


MAIN_ONLY = pytest.mark.releases(*toolchains.MAIN)
"""The facts of every release are held by others."""
LARGE = pytest.param(("--large-objects",), id="large-objects", marks=MAIN_ONLY)


@pytest.fixture(scope="module", params=[pytest.param((), id="arrays"), LARGE])
def session(
    request: pytest.FixtureRequest,
    release: Release,
    build: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Session:
    program = build("memory", release, "-ldflags=-s -w")
    return Session(program, tmp_path_factory.mktemp("heap") / "recording", *request.param)


def last_at(rows: pd.DataFrame, addrs: list[int]) -> pd.DataFrame:
    """Return what was allocated last at each address: others may have stood there before."""
    rows = rows[rows.addr.isin(addrs)].sort_values("allocated_ns", na_position="first")
    return rows.drop_duplicates("addr", keep="last")


def test_figures_are_those_of_memstats(session: Session) -> None:
    figures = session.heap.figures().iloc[-1]
    for said in session.statistics:
        assert abs(figures.heap_in_use_bytes - said.in_use) <= SPAN
        assert abs(figures.heap_released_bytes - said.released) <= SPAN
        assert abs(figures.heap_free_bytes + figures.heap_released_bytes - said.idle) <= SPAN
        assert figures.collections == said.collections
        assert figures.lost == 0


def test_goal_is_what_memstats_says(session: Session) -> None:
    figures, said = session.heap.figures().iloc[-1], session.statistics[-1]
    assert figures.goal_bytes == pytest.approx(said.next_goal, rel=0.01)


def test_every_large_array_is_followed_from_allocation_to_return(session: Session) -> None:
    rows = session.heap.arrays()
    # those of the rush that are still large when the map is small again were freed, and went somewhere
    large = rows[rows.own_span]
    assert set(session.filled) <= set(large.addr)
    before = last_at(large, session.filled)
    assert before.freed_ns.notna().all()
    # what did not go back, or to another object, is what the runtime still has: FreeOSMemory leaves some where the
    # background scavenger is at work
    kept = before[before.returned_ns.isna() & before.reused_ns.isna()]
    assert kept.bytes.sum() <= session.heap.figures().iloc[-1].heap_free_bytes + SPAN
    assert before.map_addr.nunique() == 1
    assert set(before.function) == {"main.fill"}


def test_arrays_are_freed_by_the_collection_after_the_rebuild(session: Session) -> None:
    rows = session.heap.arrays()
    last = session.statistics[0].collections
    freed = last_at(rows[rows.own_span], session.filled).freed_in
    assert freed.between(last - 1, last).all()  # the program asked for two: one may find what the first one left


def test_nothing_of_what_lives_was_freed(session: Session) -> None:
    alive = last_at(session.heap.arrays(), session.rebuilt)
    assert set(alive.addr) == set(session.rebuilt)
    assert alive.freed_ns.isna().all()


def test_freed_arrays_went_back_when_the_program_asked(session: Session) -> None:
    rows = session.heap.arrays()
    large = rows[rows.own_span & rows.freed_ns.notna() & rows.reused_ns.isna()]
    kept = large.bytes.sum() - large.returned_bytes.sum()
    assert kept <= session.heap.figures().iloc[-1].heap_free_bytes + SPAN
    assert large.returned_bytes.sum() >= 0.5 * large.bytes.sum()
    marks = [mark["kind"] for mark in session.heap.document()["marks"]]
    assert "forced return" in marks
    assert marks.count("collection") >= 3


@pytest.mark.parametrize("session", [LARGE], indirect=True)
def test_large_objects_in_use_are_those_that_the_runtime_counts(session: Session) -> None:
    rows = session.heap.large_objects()
    figures = session.heap.figures().iloc[-1]
    assert rows[rows.freed_ns.isna()].bytes.sum() == pytest.approx(figures.heap_in_use_bytes, abs=MIB)
    assert rows[rows.freed_ns.isna()].bytes.sum() >= 30 * MIB


KNOWN = {"hold": 40, "reserve": 50, "foreign": 30}


@pytest.fixture(scope="module", params=[pytest.param("cgo", marks=MAIN_ONLY), "stripped"])
def parts(release: Release, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    program = link_program("memory", release, request.param)
    folder = tmp_path_factory.mktemp("parts") / "recording"
    lines = [f"fill {ENTRIES}", "drain 10", "gc", *(f"{what} {mib}" for what, mib in KNOWN.items())]
    return recorded(program, folder, [], lines)


def test_waterfall_adds_up_to_resident_memory(parts: Any) -> None:
    fall = parts.heap.data().fall
    assert sum(step.bytes for step in fall.steps) == fall.rss_bytes
    assert abs(fall[Name.UNEXPLAINED]) <= TOLERANCE * fall.rss_bytes


def test_parts_are_what_the_program_did(parts: Any) -> None:
    fall = parts.heap.data().fall
    slack = TOLERANCE * fall.rss_bytes
    # what the runtime has mapped for itself and not written to yet is not told from this
    assert -7 * MIB <= fall[Name.FOREIGN] - KNOWN["foreign"] * MIB <= MIB
    assert abs(fall[Name.OTHER] - (KNOWN["hold"] + KNOWN["reserve"]) * MIB) <= slack
    assert abs(fall[Name.UNTOUCHED] + KNOWN["reserve"] * MIB) <= slack
    maps = parts.retention(by="map")
    assert fall[Name.RETAINED] == maps.retained_bytes.sum()
    assert fall[Name.LIVE] == (maps.allocated_bytes - maps.retained_bytes).sum()


def test_timeline_sums_to_resident_memory(parts: Any) -> None:
    rows = parts.heap.over_time()
    sums = rows[[name for name in rows.columns if name.endswith("_bytes")]].drop(
        columns=["rss_bytes", "goal_bytes", "memory_limit_bytes"]
    )
    assert (sums.sum(axis=1) == rows.rss_bytes).all()
    assert rows.retained_bytes.max() > 5 * MIB


def test_page_and_trace_show_the_memory_of_the_process(parts: Any) -> None:
    seen = parts.overview()
    heap = parts.heap_beside(seen)
    page, trace = io.BytesIO(), io.BytesIO()
    html.write(seen, page, heap)
    perfetto.write(seen, trace, heap)
    assert b'"name":"never written to","bytes":-' in page.getvalue()
    assert b"memory of the process: rss_bytes" in trace.getvalue()


FILL = ("hold 10", f"fill {ENTRIES}")
SCENARIOS = {
    "drained map kept": (Holder.MAPS, [*FILL, "drain 10", "give"]),
    "drained map rebuilt, before collection": (Holder.COLLECTOR, [*FILL, "gc", "drain 10", "rebuild"]),
    "drained map rebuilt, after collection": (Holder.SCAVENGER, ["percent 400", *FILL, "drain 10", "rebuild", "gc"]),
    "map dropped": (Holder.COLLECTOR, [*FILL, "gc", "drop"]),
    "map dropped, given back": (Holder.NOBODY, ["hold 60", *FILL, "drop", "give"]),
    "GOGC=off": (Holder.COLLECTOR, ["percent -1", *FILL, "let-go", "drop"]),
    "memory limit": (Holder.COLLECTOR, ["percent -1", "limit 4000", *FILL, "drop"]),
    "C memory": (Holder.FOREIGN, ["hold 10", "foreign 40"]),
    "in use": (Holder.NOBODY, ["hold 60", "gc", "give"]),
}


@pytest.fixture(params=list(SCENARIOS))
def scenario(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("release", toolchains.MAIN, ids=release_id)
def test_verdict(scenario: str, release: Release, tmp_path: Path) -> None:
    expected, lines = SCENARIOS[scenario]
    program = link_program("memory", release, "cgo" if scenario == "C memory" else "stripped")
    recording = recorded(program, tmp_path / "recording", [], lines)
    found = recording.heap.data()
    assert found.verdict.holder is expected, found
    assert abs(found.fall[Name.UNEXPLAINED]) <= TOLERANCE * found.fall.rss_bytes
    if scenario == "drained map kept":
        assert "main.fill" in found.verdict.says
    if scenario == "memory limit":
        assert "memory limit" in found.verdict.until
    if scenario == "GOGC=off":
        assert "GOGC is off" in found.verdict.until
