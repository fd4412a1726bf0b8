"""The heap's side of a recording beside its overview: there, or why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

import mapprobe
from mapprobe.api.heap import END_ONLY, GONE
from mapprobe.api.recording import Recording
from mapprobe.errors import RecordingError
from mapprobe.recording import files
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.census import CENSUS
from mapprobe.recording.tables.heap import FIGURES, RESIDENCE
from mapprobe.report.page.html import NOT_RECORDED
from mapprobe.vocabulary import HeapKind
from support.heaps import FREE, RSS, figures_of, residence_of
from support.toolchains import ROOT

SAMPLE = ROOT / "traces" / "go1.27-session-cache"
END_NS = 1_000_000_000


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "recording"))


def with_heap_points(folder: Path) -> None:
    """Let a recording be one that was made with --heap."""
    points = files.read_table(folder, schema.POINTS)
    more = points.slice(len(points) - 1).to_pylist()[0] | {"point": len(points), "kind": HeapKind.RETURNED}
    more = pa.Table.from_pylist([more], schema=points.schema)
    files.write_table(folder, schema.POINTS, pa.concat_tables([points, more]))


@pytest.fixture
def recording(bare: Path) -> Recording:
    with_heap_points(bare)
    files.write_table(bare, FIGURES, figures_of(END_NS, 5))
    files.write_table(bare, RESIDENCE, residence_of(END_NS))
    return mapprobe.open(bare)


def test_a_recording_without_a_heap_says_how_to_record_it(bare: Path) -> None:
    found = mapprobe.open(bare)
    assert found.heap_beside(found.overview()) == NOT_RECORDED


def test_a_heap_of_which_nothing_could_be_read_is_not_one_that_was_not_recorded(bare: Path) -> None:
    with_heap_points(bare)
    found = mapprobe.open(bare)

    assert found.heap_beside(found.overview()) == f"not known: {GONE}"
    with pytest.raises(RecordingError, match=GONE):
        found.heap.data()


def test_without_a_census_what_lives_is_an_estimate(recording: Recording) -> None:
    parts = {part["name"]: part["exact"] for part in recording.heap.document()["parts"]}

    assert not recording.table(CENSUS)
    assert not parts["live entries of maps"]
    assert not parts["retained buckets of maps"]


def test_what_is_known_of_the_end_is_not_said_of_an_earlier_time(recording: Recording) -> None:
    assert recording.heap_beside(recording.overview(until_ns=1_100_000_000)) == END_ONLY


def test_of_a_process_that_was_gone_no_parts_are_known(recording: Recording) -> None:
    files.write_table(recording.path, RESIDENCE, residence_of(END_NS, at_end=False))
    found = mapprobe.open(recording.path)

    why = found.heap_beside(found.overview())
    assert isinstance(why, str)
    assert GONE in why


def test_an_overview_is_made_once(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = recording.heap.document("drain")
    seen = recording.overview("drain")
    monkeypatch.delattr(Recording, "overview")

    found = recording.heap_beside(seen)
    assert found == expected
    parts = {part["name"]: part["bytes"] for part in found["parts"]}
    assert (found["view"], found["rss_bytes"], parts["free, not returned"]) == ("drain", RSS, FREE)
    assert parts["retained buckets of maps"] == seen.totals["retained_bytes"]
