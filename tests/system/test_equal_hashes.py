"""Different keys with the same hash, recorded with each release: the headers tell them apart."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mapprobe
from support import truth
from support.gobuild import Release
from support.sessions import record_command
from support.truth import Truth

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def recorded(
    every_release: Release, build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Truth]:
    folder = tmp_path_factory.mktemp("equal_hash") / "recording"
    command = [build("equal_hash", every_release), *truth.arguments("equal_hash", 3000)]
    done = subprocess.run(
        record_command("-o", folder, "--", *command), stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    return mapprobe.open(folder), truth.parse(done.stdout.decode())


def row_of(recorded: tuple[Any, Truth], name: str) -> pd.Series:
    recording, said = recorded
    (addr,) = (hex(m.map_addr) for m in said.maps if m.name == name)
    rows = recording.maps()
    return rows[rows["map"] == addr].iloc[-1]


def test_two_keys_of_one_hash_are_two_inserts(recorded: tuple[Any, Truth]) -> None:
    row = row_of(recorded, "two")

    assert [row[name] for name in ("inserts", "updates", "live_slots")] == [2, 0, 2]
    assert row["exact"]


@pytest.mark.parametrize("name", ["grown", "pairs", "drained"])
def test_maps_that_grow_with_keys_of_one_hash_are_exact(recorded: tuple[Any, Truth], name: str) -> None:
    assert row_of(recorded, name)["exact"]


def test_a_map_that_lost_one_of_two_keys_of_one_hash_is_not_exact(recorded: tuple[Any, Truth]) -> None:
    assert not row_of(recorded, "parted")["exact"]


def test_every_map_holds_what_its_memory_says(recorded: tuple[Any, Truth]) -> None:
    wrong = [m.name for m in recorded[1].maps if row_of(recorded, m.name)["live_slots"] != m.live_slots]
    assert wrong == []


def test_operations_are_those_that_the_program_counted(recorded: tuple[Any, Truth]) -> None:
    recording, said = recorded
    sites = recording.sites().groupby("function")[["inserts", "updates", "deletes"]].sum()

    counted = {name: [f.inserts, f.updates, f.deletes] for name, f in said.functions.items()}
    assert sites.loc[list(counted)].to_numpy().tolist() == list(counted.values())


def test_every_bucket_is_that_in_memory(recorded: tuple[Any, Truth]) -> None:
    document = recorded[0].verify()

    assert document["mismatches"] == []
    assert document["headers_equal"] == document["checked"] > 0
