"""Attaching to a process that has run for a while: what it did before is unknown, and is marked as such."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mapprobe
from mapprobe.capture.kernel import links, probe
from mapprobe.capture.recorder import record
from mapprobe.capture.session import Options
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import Inexact
from support.gobuild import STRIPPED, Release
from support.sessions import recording, serving
from support.truth import Truth

pytestmark = [pytest.mark.system, pytest.mark.alone]

SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class Attached:
    """A recording of the end of a program's life, and what the program said about all of it."""

    recording: Any
    truth: Truth
    rows: pd.DataFrame


@pytest.fixture(scope="module", params=[(), (STRIPPED,)], ids=["plain", "stripped"])
def attached(
    request: pytest.FixtureRequest,
    release: Release,
    build: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Attached:
    folder = tmp_path_factory.mktemp("attach") / "recording"
    with serving(build("session_cache", release, *request.param)) as service:
        with recording(service.pid, "-o", folder, "--duration", SECONDS) as recorder:
            recorder.wait(timeout=60)
        assert recorder.returncode == 0
        service.process.send_signal(signal.SIGCONT)  # it was never stopped: this changes nothing
        told = service.end()
    found = mapprobe.open(folder)
    rows = found.retention(by="map").set_index("map")
    return Attached(found, told, rows)


def addr_of(attached: Attached, name: str) -> str:
    (found,) = [m for m in attached.truth.maps if m.name == name]
    return hex(found.map_addr)


@pytest.mark.parametrize("name", ["sessions", "requests"])
def test_a_map_that_was_filled_before_is_not_exact(attached: Attached, name: str) -> None:
    assert not attached.rows.loc[addr_of(attached, name), "exact"]


def test_a_map_that_was_filled_before_is_read_when_it_is_first_seen(attached: Attached) -> None:
    snapshot = attached.recording.table(schema.SNAPSHOT_MAPS).to_pandas()
    early = snapshot[~snapshot["at_end"] & snapshot["skipped"].isna()]

    assert int(addr_of(attached, "sessions"), 16) in set(early["map_addr"])


def test_a_map_that_was_filled_before_is_measured_by_its_memory(attached: Attached) -> None:
    (sessions,) = [m for m in attached.truth.maps if m.name == "sessions"]
    row = attached.rows.loc[addr_of(attached, "sessions")]

    # the rush made its buckets, long before; a quiet service adds none
    assert (row["state"], row["buckets"], row["slots"]) == ("alive", sessions.buckets, sessions.slots)
    assert row["retained_bytes"] > 0


def test_what_a_map_held_before_is_charged_to_nobody_that_was_seen(attached: Attached) -> None:
    sites = attached.recording.retention(by="site", view="fill")
    nobody = sites[sites.function.str.startswith(("(not recorded)", "before the recording, "))]

    assert nobody.retained_bytes.sum() > 0


def test_operations_are_counted_from_the_attach_on(attached: Attached) -> None:
    done = attached.recording.retention(by="site").groupby("function").sum(numeric_only=True)["inserts"]
    told = attached.truth.functions["main.(*Cache).Login"].inserts

    assert 0 < done["main.(*Cache).Login"] < told


def test_maps_that_were_filled_before_are_carried_on_in_every_bucket(attached: Attached) -> None:
    verified = attached.recording.verify()

    assert verified["mismatches"] == []
    assert {addr_of(attached, name) for name in ("sessions", "requests")}.isdisjoint(
        skipped["map"] for skipped in verified["skipped"]
    )


def test_who_empties_what_was_filled_before_is_known(attached: Attached) -> None:
    sites = attached.recording.retention(by="site", view="drain").set_index("function")

    assert sites.loc["main.(*Cache).Logout", "retained_bytes"].sum() > 0


class OneByOne:
    """In the place of the threads that detach the points at once: one point after the other, and time between them."""

    def __init__(self, _: int) -> None:
        self.pause = threading.Event()

    def __enter__(self) -> OneByOne:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, close: Callable[[int], None], links: list[int]) -> list[None]:
        for link in links:
            close(link)
            self.pause.wait(0.2)
        return []


def test_what_happens_while_points_are_taken_away_is_no_loss(
    release: Release, build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "ThreadPoolExecutor", OneByOne)
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=1.0), lambda _: None)
        service.end()
    recorded = mapprobe.open(tmp_path / "recording")

    assert set(recorded.replay().maps["inexact"].to_pylist()) == {Inexact.BEFORE_RECORDING, Inexact.UNTOUCHED}
    points = recorded.table(schema.POINTS).to_pandas().drop_duplicates("point", keep="last")
    assert points["hits"].sum() == recorded.event_count


def test_what_happens_while_points_are_put_in_is_left_out(
    release: Release, build: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in, attached_ns = probe.Probe._uprobe, []

    def put_in_slowly(self: probe.Probe, program: int, path: str, offset: int, pid: int, where: str) -> int:
        link = put_in(self, program, path, offset, pid, where)
        if pid != os.getpid():
            threading.Event().wait(0.05)  # the service goes on
            attached_ns.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        return link

    monkeypatch.setattr(probe.Probe, "_uprobe", put_in_slowly)
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=0.5), lambda _: None)
        service.end()
    recorded = mapprobe.open(tmp_path / "recording")

    assert 0 < attached_ns[-1] <= min(recorded.events().read_all()["time_ns"].to_pylist())
    points = recorded.table(schema.POINTS).to_pandas().drop_duplicates("point", keep="last")
    assert points["hits"].sum() == recorded.event_count


def test_maps_that_were_filled_before_are_read_however_short_the_recording_is(
    release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    with serving(build("session_cache", release)) as service:
        record(service.pid, tmp_path / "recording", Options(duration=0.7), lambda _: None)
        service.end()

    verified = mapprobe.open(tmp_path / "recording").verify()
    assert verified["skipped"] == verified["mismatches"] == []
    assert verified["buckets"] > 0
