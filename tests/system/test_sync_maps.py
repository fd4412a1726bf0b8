"""sync.Maps have no Go map inside from Go 1.24 on: they are counted, and every report says that they are left out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mapprobe
from mapprobe.api.census import summary_of
from mapprobe.capture.recorder import record
from mapprobe.capture.session import Options
from mapprobe.recording.tables.census import SYNC_MAPS
from support.gobuild import Release, build_program
from support.heads import holding, telling

pytestmark = pytest.mark.system

HASH_TRIES = (1, 24)
ENTRIES = 5000
LINE = f"left out: 2 sync.Maps with {2 * ENTRIES:,} entries, no Go maps inside (internal/sync.HashTrieMap)"


@contextmanager
def hiding(release: Release, entries: int = ENTRIES) -> Iterator[int]:
    """Run a program with two sync.Maps of so many entries; give its PID."""
    with holding(build_program("hidden", release), f"-entries={entries}") as process:
        assert process.stdout
        yield int(process.stdout.readline())


def command(folder: Path, *words: str) -> str:
    """Return what a command says."""
    done = subprocess.run(
        [sys.executable, "-m", "mapprobe", *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_sync_maps_are_counted(every_release: Release) -> None:
    with hiding(every_release) as pid:
        found = summary_of(mapprobe.census(pid)).about["sync_maps"]

    expected = {"maps": 2, "entries": 2 * ENTRIES, "counted": True} if every_release >= HASH_TRIES else None
    assert found == expected


def test_empty_sync_maps_are_there_without_entries() -> None:
    with hiding((1, 27), 0) as pid:
        recording = mapprobe.census(pid)

    assert recording.table(SYNC_MAPS)["entries"].to_pylist().count(0) >= 2
    assert summary_of(recording).about["sync_maps"] is None


def test_nothing_is_said_where_there_are_none(every_release: Release) -> None:
    with telling("ints", every_release, "plain", 2000) as (pid, _):
        assert summary_of(mapprobe.census(pid)).about["sync_maps"] is None


def test_census_report_and_heap_say_so(tmp_path: Path) -> None:
    with hiding((1, 27)) as pid:
        census = command(tmp_path, "census", str(pid), "-o", "census")
        record(pid, tmp_path / "out", Options(duration=1.0, heap=True), lambda _: None)
    said = [
        census,
        *(command(tmp_path, *words) for words in (("report", "out"), ("report", "census"), ("heap", "out"))),
    ]

    assert [text for text in said if LINE not in text] == []
    document = json.loads(command(tmp_path, "report", "out", "--json"))
    assert document["recording"]["sync_maps"] == {"maps": 2, "entries": 2 * ENTRIES, "counted": True}
