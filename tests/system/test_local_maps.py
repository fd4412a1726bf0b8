"""Maps in goroutines' frames, recorded: each is dead once a later event of its goroutine is in a shallower frame."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mapprobe
from support.gobuild import Release
from support.sessions import record_command

pytestmark = pytest.mark.system

Build = Callable[..., Path]
HOLDINGS = ["live_slots", "slots", "buckets", "allocated_bytes", "retained_bytes"]


def record(folder: Path, program: Path, *arguments: object) -> Any:
    command = record_command("-o", folder, "--", program, *arguments)
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return mapprobe.open(folder)


@pytest.fixture(scope="module", params=[1, 10])
def requests(request: pytest.FixtureRequest, release: Release, build: Build, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("requests") / "recording"
    return record(folder, build("requests", release), "-requests", 300, "-each", request.param)


@pytest.fixture(scope="module")
def recursion(release: Release, build: Build, tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("recursion") / "recording"
    return record(folder, build("recursion", release), "-rounds", 20)


def made_by(maps: pd.DataFrame, function: str) -> pd.DataFrame:
    """Return the maps that a function made."""
    return maps[maps["created_at"].fillna("").str.startswith(f"{function} ")]


def moments(recording: Any, count: int = 4) -> list[int]:
    """Return some moments at which a map was made [ns since the start]."""
    started_ns = recording.session.row["started_ns"]
    made_ns = sorted(when - started_ns for when in recording.replay().maps["created_ns"].to_pylist())
    return made_ns[len(made_ns) // count :: len(made_ns) // count]


def test_no_map_of_a_request_that_was_served_is_left(requests: Any) -> None:
    handled = made_by(requests.maps(), "main.handle")

    assert len(handled) == 300
    assert set(handled["state"]) == {"dead"}
    assert set(handled["exact"]) == {True}
    assert handled[HOLDINGS].to_numpy().sum() == 0
    assert handled[["inserts", "deletes"]].sum().tolist() == [300 * 100, 300 * 95]


def test_there_is_one_map_of_a_request_at_any_time(requests: Any) -> None:
    for until_ns in moments(requests):
        handled = made_by(requests.maps(until_ns), "main.handle")
        assert (handled["state"] != "dead").sum() <= 1


def test_no_map_of_a_recursion_that_has_returned_is_left(recursion: Any) -> None:
    deep = made_by(recursion.maps(), "main.deep")

    assert set(deep["state"]) == {"dead"}
    assert set(deep["exact"]) == {True}
    assert deep[HOLDINGS].to_numpy().sum() == 0


def test_each_map_of_a_recursion_is_one_through_every_move_of_its_stack(recursion: Any) -> None:
    """Of a recursion of so many frames each makes one; all but the last write to the one above too."""
    deep = made_by(recursion.maps(), "main.deep")
    frames = [11 + r * 37 % 400 for r in range(20)]
    entries = [1 + r % 30 for r in range(20)]

    assert len(deep) == 8 * sum(frames)
    expected = sum(f * n + (f - 1) for f, n in zip(frames, entries, strict=True))
    assert deep["inserts"].sum() == 8 * expected


def test_a_recursion_has_no_more_maps_than_frames_at_any_time(recursion: Any) -> None:
    for until_ns in moments(recursion):
        deep = made_by(recursion.maps(until_ns), "main.deep")
        assert (deep["state"] != "dead").sum() <= 8 * 410
