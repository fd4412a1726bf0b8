"""Programs whose binary was moved, replaced or deleted are read and probed through /proc."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mapprobe
from support import toolchains
from support.gobuild import Release
from support.sessions import ARGUMENTS, Service, record_command, serving

pytestmark = pytest.mark.system

IN_A_ROOM_OF_ITS_OWN = 'mount -t tmpfs none "$0" && cp "$1" "$0/program" && shift && exec "$0/program" "$@"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "recording"


@pytest.fixture
def program(release: Release, build: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy that may be lost."""
    return Path(shutil.copy(build("session_cache", release), tmp_path / "program"))


def is_recorded_exactly(service: Service, folder: Path, program: Path) -> None:
    done = subprocess.run(
        record_command(service.pid, "-o", folder, "--duration", "1"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert service.probed() == 0

    recording = mapprobe.open(folder)
    assert recording.session.row["build_id"] == mapprobe.inspect(str(program))["build_id"]
    verified = recording.verify()
    assert verified["buckets"] > 0
    assert verified["mismatches"] == []


def test_a_deleted_binary_is_recorded(
    program: Path, folder: Path, release: Release, build: Callable[..., Path]
) -> None:
    with serving(program) as service:
        program.unlink()
        is_recorded_exactly(service, folder, build("session_cache", release))


def test_a_replaced_binary_is_not_mistaken_for_the_running_one(
    program: Path, folder: Path, release: Release, build: Callable[..., Path]
) -> None:
    (other,) = set(toolchains.MAIN) - {release}
    with serving(program) as service:
        program.unlink()
        shutil.copy(build("session_cache", other), program)
        is_recorded_exactly(service, folder, build("session_cache", release))


def test_a_binary_in_another_mount_namespace_is_recorded(
    program: Path, folder: Path, tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    with serving_in_a_mount_namespace(program, tmp_path / "room", wait_until) as service:
        assert not (tmp_path / "room" / "program").exists()
        is_recorded_exactly(service, folder, program)


@contextmanager
def serving_in_a_mount_namespace(program: Path, room: Path, wait_until: Callable[..., object]) -> Iterator[Service]:
    room.mkdir()
    command = ["unshare", "--mount", "sh", "-c", IN_A_ROOM_OF_ITS_OWN, str(room), str(program), *ARGUMENTS]
    with serving(program, command) as service:
        wait_until(lambda: Path(f"/proc/{service.pid}/comm").read_text() == "program\n")
        yield service
