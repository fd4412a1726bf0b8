"""A census of maps that are written all the time, and the names that it finds for maps of named types."""

from __future__ import annotations

import json
from typing import Any

import pytest

import mapprobe
from mapprobe.vocabulary import Naming
from support.gobuild import Release, link_program
from support.heads import holding, rows_of

pytestmark = pytest.mark.system

ENTRIES = 1 << 21
MAPS = 5000
KEPT_FIGURES = ("allocated_bytes", "buckets", "type")


def retained(found: Any, addr: int) -> int:
    """Return what a map of a census retains [bytes]."""
    (row,) = found.maps().query(f"map == '{addr:#x}'")["retained_bytes"].tolist()
    return int(row)


@pytest.mark.parametrize("pause", ["1s", "50ms", "5ms", "0s"])
def test_a_drained_map_that_is_still_written_is_read_all_the_same(release: Release, pause: str) -> None:
    with holding(link_program("drained", release, "plain"), str(ENTRIES), pause) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        found, still = mapprobe.census(process.pid), mapprobe.census(process.pid, freeze=True)
    row, truth = rows_of(found)[said["map"]], rows_of(still)[said["map"]]

    assert {name: row[name] for name in KEPT_FIGURES} == {name: truth[name] for name in KEPT_FIGURES}
    assert said["kept"] <= row["live_least"] <= row["live_slots"] <= row["live_most"] <= said["kept"] + 1
    assert retained(found, said["map"]) == pytest.approx(retained(still, said["map"]), rel=1e-4)
    assert retained(found, said["map"]) > 60 << 20


def test_a_map_of_a_named_type_has_the_name_that_the_source_has(release: Release) -> None:
    with holding(link_program("named", release, "plain"), str(MAPS)) as process:
        assert process.stdout
        said = {int(addr): name for addr, name in json.loads(process.stdout.readline()).items()}
        rows = rows_of(mapprobe.census(process.pid))

    assert {addr: rows[addr]["type"] for addr in said} == said
    assert {rows[addr]["naming"] for addr in said} == {Naming.EXACT}


def test_a_map_whose_name_nothing_settles_has_all_that_it_may_have(release: Release) -> None:
    with holding(link_program("named", release, "plain"), "2") as process:
        assert process.stdout
        said = {int(addr): name for addr, name in json.loads(process.stdout.readline()).items()}
        rows = rows_of(mapprobe.census(process.pid))

    for addr, name in said.items():
        assert name in rows[addr]["type"].split(" or ")
        assert rows[addr]["type"] == name or rows[addr]["naming"] == Naming.CANDIDATES
