"""However a recording ends, it opens, nothing stays attached, and the target runs on undisturbed."""

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
from support.waiting import wait_until

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


def test_a_target_that_has_ended_holds_nothing(service: Service, folder: Path) -> None:
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


DIES_AT_THE_LAST_READ = """
import os, signal, sys
from pathlib import Path
from mapprobe.capture.recorder import Options, record
from mapprobe.live.process import Command
begin, pids = Command.start, []
Command.start = lambda command: (pids.append(command.pid), begin(command))
def die():
    state = open(f"/proc/{pids[0]}/stat").read().rsplit(")", 1)[1].split()[0]
    print(pids[0], state, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
record(sys.argv[2:], Path(sys.argv[1]), Options(), print, at_end=die)
"""


def test_a_command_that_is_held_at_its_exit_ends_if_the_recorder_is_killed(
    release: Release, build: Callable[..., Path], folder: Path
) -> None:
    command = [build("session_cache", release), "-seconds", "1"]
    script = [sys.executable, "-c", DIES_AT_THE_LAST_READ, folder, *command]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as recorder:
        assert recorder.stdout
        line = next(line for line in recorder.stdout if len(line.split()) == 2 and line.split()[1] in "Tt")
        assert recorder.wait(PATIENCE) == -signal.SIGKILL
    pid = int(line.split()[0])

    wait_until(lambda: not is_running(pid), PATIENCE)


def is_running(pid: int) -> bool:
    """True if a process is there, and has not ended: nobody may have asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
