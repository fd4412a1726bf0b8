"""Recordings that something happened to: every outcome is a result that says what is missing, or one clear error."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

import mapprobe
from mapprobe import schema, store
from mapprobe.errors import MapprobeError, RecordingError
from remake_traces import EXPECTED, SAMPLES, TRACES

GARBAGE = b"garbage" * 100
FLIPS = 10


@pytest.fixture(params=SAMPLES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a shipped recording."""
    return Path(shutil.copytree(TRACES / request.param, tmp_path / "recording", ignore=lambda *_: {EXPECTED}))


def outcome(folder: Path) -> str:
    """Return what went wrong with a recording, nothing if it gave a report and a verification."""
    for table in schema.REPLAYED:
        store.table_path(folder, table).unlink(missing_ok=True)
    try:
        recording = mapprobe.open(folder)
        recording.report()
        recording.verify()
    except MapprobeError as error:
        return str(error)
    return ""


def damage(path: Path, how: str) -> None:
    match how:
        case "missing":
            path.unlink()
        case "garbage":
            path.write_bytes(GARBAGE)
        case _:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("how", ["missing", "garbage"])
@pytest.mark.parametrize("table", [schema.EVENTS, schema.STACKS, schema.TYPES], ids=lambda table: table.name)
def test_a_recording_of_which_nothing_can_be_used_is_one_error(folder: Path, table: schema.Table, how: str) -> None:
    damage(store.table_path(folder, table), how)

    with pytest.raises(RecordingError, match="files of it are missing or damaged"):
        mapprobe.open(folder).report()


@pytest.mark.parametrize("table", [schema.EVENTS, schema.STACKS, schema.TYPES], ids=lambda table: table.name)
def test_maps_of_a_recording_that_lacks_its_end_are_not_exact(folder: Path, table: schema.Table) -> None:
    damage(store.table_path(folder, table), "cut")
    recording = mapprobe.open(folder)

    try:
        rows = recording.retention(by="map")
    except RecordingError:
        assert recording.event_count == 0  # the cut left not one whole batch
        return
    assert recording.event_count < recording.session.events
    assert not rows.loc[rows["state"] != "dead", "exact"].any()


def test_a_recording_counts_the_events_that_it_still_has(folder: Path) -> None:
    damage(store.table_path(folder, schema.EVENTS), "cut")
    recording = mapprobe.open(folder)

    assert recording.event_count == recording.events().read_all().num_rows


@pytest.mark.parametrize("table", schema.REPLAYED, ids=lambda table: table.name)
def test_a_replay_of_which_a_part_was_cut_is_repeated(folder: Path, table: schema.Table) -> None:
    expected = mapprobe.open(folder).report()
    path = store.table_path(folder, table)
    path.write_bytes(path.read_bytes()[:-64])

    assert mapprobe.open(folder).report() == expected


@pytest.mark.parametrize("table", [t for t in schema.RECORDED if t is not schema.GAPS], ids=lambda table: table.name)
def test_flipped_bytes_end_in_a_result_or_one_error(folder: Path, table: schema.Table) -> None:
    path = store.table_path(folder, table)
    whole, chance = path.read_bytes(), random.Random(table.name)
    for _ in range(FLIPS):
        flipped = bytearray(whole)
        for _ in range(chance.choice([1, 4, 64])):
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        assert "\n" not in outcome(folder)
