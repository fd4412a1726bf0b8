"""A recording as data frames of pandas, polars and Arrow, in a notebook, and as files of its overview."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mapprobe
from mapprobe.api.frames import frame_of
from mapprobe.api.recording import Recording
from mapprobe.errors import MapprobeError
from mapprobe.replay.stepping import MEASURES
from support.traces import SAMPLES, TRACES

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table}
TABLES = ("retention", "maps", "sites", "timeline", "events")
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module", params=SAMPLES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of a shipped recording."""
    return Path(shutil.copytree(TRACES / request.param, tmp_path_factory.mktemp("frames") / request.param))


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    return mapprobe.open(folder)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("library", FRAMES)
def test_a_frame_is_of_the_library_that_is_asked_for(recording: Recording, name: str, library: str) -> None:
    assert type(getattr(recording, name)(frame=library)) is FRAMES[library]


@pytest.mark.parametrize("name", TABLES)
def test_frames_of_all_libraries_are_equal(recording: Recording, name: str) -> None:
    read = getattr(recording, name)
    rows = read(frame="arrow").to_pylist()

    assert read(frame="polars").to_dicts() == rows
    assert pa.Table.from_pandas(read(frame="pandas"), preserve_index=False).to_pylist() == rows


def test_events_are_read_batch_by_batch_unless_a_frame_is_asked_for(recording: Recording) -> None:
    assert isinstance(recording.events(), pa.RecordBatchReader)
    assert len(recording.events(frame="polars")) == recording.event_count


@pytest.mark.parametrize("by", ["site", "map"])
def test_the_timeline_ends_with_the_report(recording: Recording, by: str) -> None:
    frame = recording.timeline(by)
    (last,) = frame[frame.series == "total"].tail(1)[list(MEASURES)].to_dict("records")

    totals = recording.report(by)["totals"]
    assert last == {name: totals[name] for name in MEASURES}


@pytest.mark.parametrize("by", ["site", "map"])
def test_any_moment_of_the_timeline_is_the_report_at_it(recording: Recording, by: str) -> None:
    frame = recording.timeline(by, points=12, top=1000)
    for at_ns in frame.time_ns.unique()[1::4]:
        here = frame[(frame.time_ns == at_ns) & ~frame.series.isin(["other", "total"])]
        report = recording.retention(by, until_ns=int(at_ns))
        columns = [*MEASURES]
        held = report[columns].fillna(0).astype("int64")  # of what nobody knows nothing is drawn
        expected = sorted(row for row in map(tuple, held.to_numpy().tolist()) if any(row))
        assert sorted(row for row in map(tuple, here[columns].to_numpy().tolist()) if any(row)) == expected


def test_a_timeline_at_a_time_ends_there(recording: Recording) -> None:
    middle = int(recording.timeline().time_ns.median())
    frame = recording.timeline(until_ns=middle)

    assert frame.time_ns.max() == middle
    last = frame[frame.series == "total"].retained_bytes.iloc[-1]
    assert last == recording.report(until_ns=middle)["totals"]["retained_bytes"]


def test_a_timeline_has_as_many_points_and_rows_as_are_asked_for(recording: Recording) -> None:
    frame = recording.timeline(points=20, top=3)

    assert frame.time_ns.nunique() == 20
    assert set(frame.groupby("time_ns").size()) == {5}


@pytest.mark.parametrize("wrong", [{"by": "colour"}, {"points": 1}, {"frame": "spark"}])
def test_what_there_is_none_of_is_named(recording: Recording, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        recording.timeline(**wrong)


def test_polars_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MapprobeError, match="polars: not installed: pip install polars"):
        frame_of(pa.table({}), "polars")


def test_a_notebook_shows_what_was_recorded_before_a_replay(folder: Path, tmp_path: Path) -> None:
    results = shutil.ignore_patterns("maps.arrow", "charges.arrow", "peaks.arrow", "stack_operations.arrow")
    shown = mapprobe.open(shutil.copytree(folder, tmp_path / "copy", ignore=results))._repr_html_()

    assert "session_cache" in shown
    assert "replay()" in shown


def test_a_notebook_shows_who_retains_the_most_after_it(recording: Recording) -> None:
    recording.replay()
    shown = recording._repr_html_()

    first = recording.sites().iloc[0]
    assert first.function in shown
    assert "would come back" in shown


def test_a_notebook_shows_names_as_they_are(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recording.session.row, "binary", f"/srv/{HOSTILE}")

    assert HOSTILE not in recording._repr_html_()


@pytest.mark.parametrize("at", [[], ["--at", "1.1"]])
@pytest.mark.parametrize(("form", "begins"), [("html", b"<!doctype html>"), ("perfetto", b"\x0a")])
def test_the_command_writes_the_overview(folder: Path, tmp_path: Path, form: str, begins: bytes, at: list[str]) -> None:
    command = [sys.executable, "-m", "mapprobe", "report", folder, "--format", form, "-o", tmp_path / "out", *at]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "out").read_bytes().startswith(begins)
