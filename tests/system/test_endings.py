"""However a recording ends, it opens, nothing stays attached, and the target goes on as if nothing had been."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mapprobe
from mapprobe.recording.tables import schema
from support.gobuild import Release
from support.sessions import Service, record_command, recording, serving

pytestmark = pytest.mark.system

PATIENCE = 30


@pytest.fixture
def service(release: Release, build: Callable[..., Path]) -> Iterator[Service]:
    with serving(build("session_cache", release)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recording"


def has_events(folder: Path) -> bool:
    path = folder / "events.arrow"
    return path.exists() and path.stat().st_size > 20_000


def last_session(folder: Path) -> dict[str, object]:
    return mapprobe.open(folder).session.row


@pytest.mark.parametrize(
    ("number", "status", "reason"), [(signal.SIGINT, 130, "interrupt"), (signal.SIGTERM, 0, "terminate")]
)
def test_a_signal_ends_the_recording_in_order(
    service: Service, folder: Path, number: signal.Signals, status: int, reason: str
) -> None:
    with recording(service.pid, "-o", folder) as recorder:
        assert service.probed() > 0
        recorder.send_signal(number)
        _, said = recorder.communicate(timeout=PATIENCE)

    assert (recorder.returncode, last_session(folder)["ended_by"]) == (status, reason), said
    assert service.probed() == 0
    assert service.end().operations > 0


def test_duration_ends_the_recording(service: Service, folder: Path) -> None:
    done = subprocess.run(record_command(service.pid, "-o", folder, "--duration", "0.5"), check=False)

    assert (done.returncode, last_session(folder)["ended_by"]) == (0, "duration")
    assert service.probed() == 0


def test_size_ends_the_recording(service: Service, folder: Path) -> None:
    done = subprocess.run(record_command(service.pid, "-o", folder, "--max-size", "20KiB"), check=False)

    assert (done.returncode, last_session(folder)["ended_by"]) == (0, "size")


def test_the_end_of_the_target_ends_the_recording(service: Service, folder: Path) -> None:
    with recording(service.pid, "-o", folder) as recorder:
        service.end()
        recorder.communicate(timeout=PATIENCE)

    assert (recorder.returncode, last_session(folder)["ended_by"]) == (0, "exit")


def test_a_target_that_has_ended_is_said_to_hold_nothing(service: Service, folder: Path) -> None:
    with recording(service.pid, "-o", folder) as recorder:
        service.end()
        _, said = recorder.communicate(timeout=PATIENCE)
    report = subprocess.run(
        [sys.executable, "-m", "mapprobe", "report", str(folder)], capture_output=True, text=True, check=True
    ).stdout

    assert "the process has ended: what its maps held then is known within bounds only" in said
    assert "the process ended by itself: it holds nothing now; " in report
    assert "may be alive or dead" not in report
    assert mapprobe.open(folder).report()["recording"]["process_ended"]


def test_of_a_target_that_has_ended_the_last_figures_of_its_heap_are_shown(service: Service, folder: Path) -> None:
    with recording(service.pid, "--heap", "-o", folder) as recorder:
        service.end()
        recorder.communicate(timeout=PATIENCE)
    heap = [sys.executable, "-m", "mapprobe", "heap", str(folder)]
    said = subprocess.run(heap, capture_output=True, text=True, check=True).stdout

    assert "its memory was not read at the end" in said
    # a map that was filled before may not have been read yet when the process ends: then nobody knows
    assert re.search("heap in use: (at most .* of that were|nobody knows how much of that was) buckets of maps", said)


def test_the_end_of_a_command_is_read(release: Release, build: Callable[..., Path], folder: Path) -> None:
    command = [str(build("strings", release)), "-ops", "2000"]
    subprocess.run(record_command("-o", folder, "--", *command), capture_output=True, check=True)
    report = mapprobe.open(folder).report()

    assert "process_ended" not in report["recording"]
    assert report["totals"]["maps"] > 0


def test_a_killed_target_ends_the_recording(service: Service, folder: Path, wait_until: Callable[..., object]) -> None:
    with recording(service.pid, "-o", folder) as recorder:
        wait_until(lambda: has_events(folder))
        service.process.kill()
        recorder.communicate(timeout=PATIENCE)

    assert (recorder.returncode, last_session(folder)["ended_by"]) == (0, "exit")
    skipped = mapprobe.open(folder).table(schema.SNAPSHOT_MAPS)["skipped"].to_pylist()
    assert "the process ended before its memory could be read" in skipped


def test_a_killed_recorder_leaves_a_recording_and_nothing_attached(
    service: Service, folder: Path, wait_until: Callable[..., object]
) -> None:
    with recording(service.pid, "-o", folder) as recorder:
        wait_until(lambda: has_events(folder))
        recorder.kill()
        recorder.communicate()

    wait_until(lambda: service.probed() == 0)
    found = mapprobe.open(folder)
    assert found.session.row["ended"] is None
    assert found.event_count > 0
    assert int(found.retention()["inserts"].sum()) > 0
    assert service.end().operations > 0


def test_a_full_disk_ends_the_recording_with_one_line(service: Service, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # room for the small tables and a first batch of events
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], check=True)
    try:
        with recording(service.pid, "-o", disk / "recording") as recorder:
            _, said = recorder.communicate(timeout=PATIENCE)

        assert recorder.returncode == 2
        assert len(said.splitlines()) == 1
        assert "No space left" in said
        assert service.probed() == 0
        assert mapprobe.open(disk / "recording").event_count > 0
    finally:
        subprocess.run(["umount", disk], check=True)
