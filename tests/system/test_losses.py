"""A ring that is far too small: losses are counted and located in time, and no map claims to be exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

import mapprobe
from mapprobe.capture.recorder import Options, record
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind
from support import truth
from support.gobuild import Release

pytestmark = [pytest.mark.system, pytest.mark.alone]

SMALL = 64 << 10
LARGE = 64 << 20
OPERATIONS = {EventKind.ASSIGN, EventKind.DELETE}


def recorded(program: Path, folder: Path, ring_bytes: int) -> Any:
    command = [str(program), *truth.arguments(program.name, 200_000)]
    record(command, folder, Options(ring_bytes=ring_bytes), lambda _: None)
    return mapprobe.open(folder)


@pytest.fixture(scope="module")
def lossy(release: Release, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return recorded(build("ints", release), tmp_path_factory.mktemp("losses") / "recording", SMALL)


def hits(recording: Any) -> dict[str, int]:
    """Return how often each operation's probe was hit, whatever became of the event."""
    rows = recording.table(schema.POINTS).to_pylist()
    last = {row["point"]: row for row in rows}
    return {r["function"]: r["hits"] + r["lost"] for r in last.values() if r["kind"] in OPERATIONS}


def test_events_were_lost(lossy: Any) -> None:
    assert lossy.session.lost > 0


def test_recorded_and_lost_make_what_was_executed(
    lossy: Any, release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    whole = recorded(build("ints", release), tmp_path / "recording", LARGE)

    assert whole.session.lost == 0
    assert hits(lossy) == hits(whole)


def test_recorded_events_are_those_that_were_sent(lossy: Any) -> None:
    points = lossy.table(schema.POINTS)
    last = points.slice(len(points) // 2)

    assert lossy.event_count == pc.sum(pc.if_else(pc.equal(last["kind"], EventKind.EXIT), 0, last["hits"])).as_py()


def test_gaps_hold_every_lost_event(lossy: Any) -> None:
    gaps = lossy.table(schema.GAPS)

    assert pc.sum(gaps["lost"]).as_py() == lossy.session.lost
    assert set(gaps["reason"].to_pylist()) == {"ring full"}


def test_gaps_lie_within_the_recording(lossy: Any) -> None:
    gaps, row = lossy.table(schema.GAPS), lossy.session.row

    assert row["started_ns"] <= pc.min(gaps["from_ns"]).as_py()
    assert pc.max(gaps["to_ns"]).as_py() <= row["ended_ns"]


def test_maps_that_lived_during_a_gap_are_not_exact(lossy: Any) -> None:
    rows = lossy.retention(by="map")
    written = rows[(rows["state"] == "alive") & (rows["inserts"] > 100)]

    assert len(written) > 0
    assert not written["exact"].any()


def test_the_report_says_that_events_were_lost(lossy: Any) -> None:
    assert lossy.report()["recording"]["lost_events"] == lossy.session.lost


def test_what_the_program_did_lies_within_the_bounds(
    release: Release, build: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = recorded(build("ints", release), tmp_path / "recording", SMALL).report_data()
    told = truth.parse(capfd.readouterr().out)

    for name in ("inserts", "updates", "deletes"):
        done = sum(getattr(function, name) for function in told.functions.values())
        least, most = report.bounds.get(name, (report.totals[name], report.totals[name]))
        assert least <= done <= most, name


def test_maps_that_are_touched_after_the_load_are_right_again(
    release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    """A rush overflows the ring; a quiet service follows, with a few operations on each map."""
    command = [str(build("session_cache", release)), "-ops", "60000", "-seconds", "8"]
    record(command, tmp_path / "recording", Options(ring_bytes=SMALL), lambda _: None)
    found = mapprobe.open(tmp_path / "recording")
    rows, verified = found.retention(by="map"), found.verify()
    busy = set(rows[(rows["state"] == "alive") & (rows["inserts"] > 100)]["map"])

    assert found.session.lost > 0
    assert not rows[rows["map"].isin(busy)]["exact"].any()
    assert verified["mismatches"] == []
    assert busy
    assert busy.isdisjoint(skipped["map"] for skipped in verified["skipped"])
