"""A command that mapprobe starts: its streams and its exit status are its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import mapprobe
from mapprobe.capture.recorder import Options, record
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind
from support import truth
from support.gobuild import Release
from support.sessions import record_command

pytestmark = pytest.mark.system


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(record_command(*arguments), input=stdin, capture_output=True, text=True, check=False)


def test_stdout_is_the_commands_own(release: Release, build: Callable[..., Path], tmp_path: Path) -> None:
    program = build("strings", release)
    done = run("-o", tmp_path / "recording", "--", program, *truth.arguments("strings", 100))

    assert truth.parse(done.stdout).operations > 0
    assert len(done.stdout.splitlines()) == 1


def test_stdin_is_the_commands_own(release: Release, build: Callable[..., Path], tmp_path: Path) -> None:
    # session_cache serves until its stdin closes
    done = run("-o", tmp_path / "recording", "--", build("session_cache", release), "-ops", "300", stdin="a word")

    assert (done.returncode, mapprobe.open(tmp_path / "recording").session.row["ended_by"]) == (0, "exit")


def test_exit_status_is_kept_and_shown(release: Release, build: Callable[..., Path], tmp_path: Path) -> None:
    done = run("-o", tmp_path / "recording", "--", build("strings", release), "-no-such-flag")

    assert done.returncode == 0
    assert mapprobe.open(tmp_path / "recording").session.row["exit_status"] == 2
    assert "exit status was 2" in done.stderr


def test_growth_alone_is_seen_without_operations(release: Release, build: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    done = run("-o", folder, "--probes", "growth", "--", build("ints", release), *truth.arguments("ints", 20_000))
    recording = mapprobe.open(folder)
    kinds = set(recording.events().read_all()["kind"].to_pylist())
    rows = recording.retention(by="map").set_index("map")
    told = {hex(m.map_addr): m for m in truth.parse(done.stdout).maps if m.buckets and hex(m.map_addr) in rows.index}

    assert kinds.isdisjoint({EventKind.ASSIGN, EventKind.DELETE})
    assert not rows["exact"].any()
    assert (rows["growths"].sum() > 0, rows["inserts"].sum()) == (True, 0)
    assert told
    assert {addr: rows.loc[addr, "live_slots"] for addr in told} == {a: m.live_slots for a, m in told.items()}
    assert recording.table(schema.POINTS)["kind"].to_pylist().count(EventKind.ASSIGN) == 0


def test_a_recorder_is_urgent_from_the_start_and_its_command_is_not(
    release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    """Beside six busy loops a recorder of usual priority came to attach its probes after 20 to 40 s."""
    seen: list[tuple[int, int]] = []

    def look(line: str) -> None:
        if line.startswith("looking at"):
            pid = int(line.rpartition("(")[2].rstrip(")"))
            seen.append((os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, pid)))

    before = os.getpriority(os.PRIO_PROCESS, 0)
    record([str(build("strings", release)), *truth.arguments("strings", 10)], tmp_path / "recording", Options(), look)

    ((recorder, command),) = seen
    assert recorder < before == command
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
