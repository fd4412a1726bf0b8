"""Maps that the collector has freed hold nothing, and maps that the program still has are not taken for freed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import mapprobe
from support import truth
from support.gobuild import Release
from support.sessions import record_command

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def rows(release: Release, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The maps of a program that lets go of nearly all it makes, with those that it keeps marked."""
    folder = tmp_path_factory.mktemp("deaths") / "recording"
    program = build("generations", release)
    command = record_command("-o", folder, "--", program, *truth.arguments("generations", 200_000))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept = {hex(m.map_addr) for m in truth.parse(done.stdout).maps}
    found = mapprobe.open(folder).retention(by="map")
    last = found["generation"] == found.groupby("map")["generation"].transform("max")
    return found.assign(is_kept=found["map"].isin(kept) & last, is_last=last)


def test_maps_that_the_program_keeps_are_alive(rows: pd.DataFrame) -> None:
    assert set(rows.loc[rows["is_kept"], "state"]) == {"alive"}


def test_maps_that_were_collected_are_dead(rows: pd.DataFrame) -> None:
    collected = rows[rows["is_last"] & ~rows["is_kept"]]

    assert (collected["state"] == "dead").mean() > 0.5


def test_dead_maps_hold_nothing(rows: pd.DataFrame) -> None:
    dead = rows[rows["state"] == "dead"]

    assert len(dead) > 0
    assert dead[["live_slots", "slots", "buckets", "allocated_bytes", "retained_bytes"]].to_numpy().sum() == 0


def test_dead_maps_keep_their_counts(rows: pd.DataFrame) -> None:
    assert rows.loc[rows["state"] == "dead", "inserts"].min() > 0
