"""The cost of probing a process is measured, stored, and kept to a limit if one is given."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mapprobe
from mapprobe import vocabulary
from mapprobe.api.recording import Recording
from mapprobe.capture import overhead, session
from mapprobe.capture.recorder import Options, record
from mapprobe.errors import HostError
from mapprobe.recording.tables import schema
from mapprobe.report import table
from mapprobe.vocabulary import EventKind, Inexact
from support.gobuild import Release
from support.sessions import serving

pytestmark = [pytest.mark.system, pytest.mark.alone]

OPERATIONS = (EventKind.ASSIGN, EventKind.DELETE)


@pytest.fixture(scope="module", params=[(1, 23), (1, 27)], ids=["1.23", "1.27"])
def release(request: pytest.FixtureRequest) -> Release:
    return request.param


@pytest.fixture(scope="module")
def held(release: Release, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A service that costs far more than it may."""
    folder = tmp_path_factory.mktemp("held") / "recording"
    with serving(build("session_cache", release)) as service:
        record(service.pid, folder, Options(duration=6, max_overhead=0.3), lambda _: None)
        service.end()
    return mapprobe.open(folder)


@contextmanager
def making(program: Path) -> Iterator[int]:
    """Give the process of a program that makes maps all the time."""
    maker = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert maker.stdout
        assert maker.stdout.readline() == "ready\n"
        yield maker.pid
    finally:
        maker.kill()
        maker.communicate()


def windows(recording: Recording) -> np.ndarray:
    """Return from when to when operations were not watched, ``(n, 2)`` [ns]."""
    gaps = not_watched(recording)
    gaps = gaps[gaps["kind"].isin(OPERATIONS)]
    return np.unique(gaps[["from_ns", "to_ns"]].to_numpy(), axis=0)


def not_watched(recording: Recording) -> pd.DataFrame:
    """Return when which points were not watched, with the kind of each."""
    kind_of = recording.table(schema.POINTS).to_pandas().drop_duplicates("point").set_index("point")["kind"]
    gaps = recording.table(schema.GAPS).to_pandas()
    gaps = gaps[gaps["reason"] == vocabulary.NOT_WATCHED]
    return gaps.assign(kind=gaps["point"].map(kind_of))


def test_what_it_cost_is_stored(held: Recording) -> None:
    row = held.session.row

    assert row["max_overhead"] == 0.3
    assert 0 < row["cost_ns"] < row["cpu_ns"]


def test_no_operation_is_recorded_while_they_are_not_watched(held: Recording) -> None:
    events = held.events().read_pandas()
    gaps = windows(held)

    assert len(gaps) > 0
    for start, end in gaps:
        amid = events[(events["time_ns"] > start) & (events["time_ns"] < end)]
        assert not amid["kind"].isin(OPERATIONS).any()


def test_operations_are_recorded_before_and_after(held: Recording) -> None:
    when = held.events().read_pandas().query("kind in @OPERATIONS")["time_ns"]

    assert when.min() < windows(held)[0, 0]
    assert when.max() > windows(held)[0, 1]


def test_nothing_is_lost_between_windows(held: Recording) -> None:
    points = held.table(schema.POINTS).to_pandas().drop_duplicates("point", keep="last")

    assert points["hits"].sum() == held.event_count


def test_maps_are_as_their_memory_is_and_marked(held: Recording) -> None:
    verified = held.verify()

    assert verified["mismatches"] == []
    assert verified["buckets_equal"] == verified["buckets"] > 0
    inexact = set(held.replay().maps["inexact"].to_pylist())
    assert inexact <= {Inexact.NOT_WATCHED, Inexact.BEFORE_RECORDING, Inexact.HEADER_MISMATCH, Inexact.UNTOUCHED}


def test_operations_have_no_upper_bound(held: Recording) -> None:
    bounds = held.report()["bounds"]

    assert bounds["inserts"][1] is None


def test_the_report_says_when_operations_were_not_watched(held: Recording) -> None:
    found = held.report()["recording"]["not_watched"]

    started_ns = held.session.row["started_ns"]
    assert [[round(end * 1e9) + started_ns for end in ends] for ends in found] == windows(held).tolist()
    shown = StringIO()
    table.write(held.report_data(), shown)
    assert f", {len(found)} times (--max-overhead)" in shown.getvalue()


def test_without_a_limit_operations_are_watched_all_the_time(
    release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=1), lambda _: None)
        service.end()
    recorded = mapprobe.open(tmp_path / "recording")

    assert len(windows(recorded)) == 0
    assert recorded.session.row["max_overhead"] is None
    assert recorded.session.row["cost_ns"] > 0


def test_a_host_where_a_hit_can_not_be_measured_records_all_the_same(
    release: Release, build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> float:
        raise HostError("what a hit costs can't be measured", "record without --max-overhead")

    monkeypatch.setattr(session, "calibrate", refused)
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=0.2), lambda _: None)
        with pytest.raises(HostError, match="can't be measured"):
            record(service.pid, tmp_path / "held", Options(duration=0.2, max_overhead=0.05), lambda _: None)
        service.end()

    assert mapprobe.open(tmp_path / "recording").session.row["cost_ns"] is None


def test_the_calibrated_loop_hits_its_probe(
    release: Release, build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that never fires would make every cost too small: the kernel puts none into memory that is writable."""
    calibrate, found = session.calibrate, list[float]()
    monkeypatch.setattr(session, "calibrate", lambda attach: found.append(calibrate(attach)) or found[-1])
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=0.2), lambda _: None)
        service.end()

    assert found[0] > 50  # ns; a turn of the loop takes less than one, and no trap so little


@pytest.mark.parametrize("probes", ["ops", "growth", "light"])
def test_a_program_that_makes_maps_all_the_time_pays_no_more_than_it_may(
    probes: str, release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    options = Options(probes, duration=12, max_overhead=0.02, census=False)
    said = list[str]()
    with making(build("maker", release)) as pid:
        record(pid, tmp_path / "recording", options, said.append)
    recorded = mapprobe.open(tmp_path / "recording")
    row = recorded.session.row

    is_let_alone = row["detached_ns"] is not None
    assert is_let_alone == any("detached for good" in line for line in said)
    assert is_let_alone or row["cost_ns"] <= 0.03 * row["cpu_ns"]
    kinds = set(recorded.events().read_pandas()["kind"])
    shed = set(not_watched(recorded)["kind"])
    if probes == "light":
        assert kinds <= {EventKind.GROW, EventKind.CLEAR}
        assert EventKind.GROW in kinds
    else:
        assert EventKind.CREATE in kinds
        assert EventKind.CREATE in shed


def test_what_is_shed_sends_nothing(release: Release, build: Callable[..., Path], tmp_path: Path) -> None:
    with making(build("maker", release)) as pid:
        record(pid, tmp_path / "recording", Options("growth", duration=3, max_overhead=0.02, census=False), print)
    recorded = mapprobe.open(tmp_path / "recording")
    events, gaps = recorded.events().read_pandas(), not_watched(recorded)

    for gap in gaps[gaps["kind"] == EventKind.CREATE].itertuples():
        amid = events[(events["time_ns"] > gap.from_ns) & (events["time_ns"] < gap.to_ns)]
        assert not (amid["point"] == gap.point).any()


def test_who_is_over_the_limit_in_two_periods_running_is_let_alone(
    release: Release, build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hit is said to take ten seconds: one is too many."""
    monkeypatch.setattr(session, "calibrate", lambda _: 1e10)
    monkeypatch.setattr(overhead, "PERIOD_SECONDS", 0.5)
    said = list[str]()
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=3, max_overhead=0.02), said.append)
        assert service.probed() == 0
        service.end()
    recorded = mapprobe.open(tmp_path / "recording")
    row = recorded.session.row

    assert row["started_ns"] < row["detached_ns"] < row["ended_ns"]
    assert [line for line in said if "detached for good" in line]
    assert row["ended_by"] == "duration"
    points = set(recorded.table(schema.POINTS)["point"].to_pylist())
    gaps = not_watched(recorded)
    assert set(gaps["point"]) == points
    assert gaps["to_ns"].max() >= row["detached_ns"]
    assert recorded.events().read_pandas()["time_ns"].max() < row["detached_ns"]
    assert set(recorded.replay().maps["inexact"].to_pylist()) <= {
        Inexact.NOT_WATCHED, Inexact.BEFORE_RECORDING, Inexact.UNTOUCHED,
    }  # fmt: skip


def test_growth_and_clear_are_all_that_light_probes(
    build: Callable[..., Path], release: Release, tmp_path: Path
) -> None:
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options("light", duration=0.5), lambda _: None)
        service.end()
    recorded = mapprobe.open(tmp_path / "recording")

    kinds = set(recorded.table(schema.POINTS)["kind"].to_pylist())
    assert kinds == {EventKind.GROW, EventKind.CLEAR}
    assert recorded.session.row["probes"] == "light"
    assert recorded.report()["recording"]["probes"] == "light"
