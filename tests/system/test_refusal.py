"""Processes that run Go in other ways than as an ordinary executable are read, or refused in a line that says why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mapprobe
from mapprobe.api.doctor import inspect
from mapprobe.capture.recorder import record
from mapprobe.capture.session import Options
from mapprobe.errors import MapprobeError, TargetError
from mapprobe.live.process import Process
from support.disguises import with_another_magic, without_build_info
from support.gobuild import Release, build_library, link_program
from support.heads import differences, holding, telling
from support.truth import arguments, parse

pytestmark = pytest.mark.system

LOADS = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).Serve(1 << 12), flush=True); input()"
OPS = 2000


@contextmanager
def loading(library: Path) -> Iterator[int]:
    """Let Python load a Go library and fill a map there; give its PID."""
    with holding(Path(sys.executable), "-c", LOADS, str(library)) as process:
        assert process.stdout
        assert process.stdout.readline() == "500\n"
        yield process.pid


def refusal(look: Callable[[], object]) -> str:
    """Return what is said of a process that is refused."""
    with pytest.raises(TargetError) as caught:
        look()
    return str(caught.value)


def test_library_in_another_program_is_named(release: Release, tmp_path: Path) -> None:
    library = Path(shutil.copy(build_library("library", release), tmp_path / "libsvc.so"))
    with loading(library) as pid, Process(pid) as process:
        who = process.name()
        library.unlink()
        said = {
            refusal(lambda: mapprobe.census(pid)),
            refusal(lambda: inspect(pid)),
            refusal(lambda: record(pid, tmp_path / "out", Options(), print)),
        }

    what = f"{who} maps a Go library, libsvc.so: only executables are supported"
    assert said == {f"process {pid} ({who}): {what}"}


def test_emulator_is_named(tmp_path: Path) -> None:
    emulator = shutil.copy(os.path.realpath(sys.executable), tmp_path / "qemu-x86_64")
    with holding(Path(emulator), "-S", "-c", "print(flush=True); input()") as process:
        assert process.stdout
        process.stdout.readline()
        said = refusal(lambda: mapprobe.census(process.pid))

    assert said.endswith(": qemu-x86_64 emulates a program: only those that this CPU runs itself are supported")


def test_core_file_is_named(release: Release, tmp_path: Path) -> None:
    with telling("ints", release, "plain", OPS) as (pid, _):
        command = ["gcore", "-o", str(tmp_path / "core"), str(pid)]
        subprocess.run(command, check=True, capture_output=True)
    core = tmp_path / f"core.{pid}"
    expected = f"{core}: a core file: give the PID of the process while it runs"

    for look in (lambda: inspect(str(core)), lambda: record([str(core)], tmp_path / "out", Options(), print)):
        with pytest.raises(MapprobeError) as caught:
            look()
        assert str(caught.value) == expected
    command = [sys.executable, "-m", "mapprobe", "census", str(core)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"mapprobe: {expected}\n")


def test_maps_of_a_program_in_disguise_are_found(release: Release, tmp_path: Path) -> None:
    original = bytearray(link_program("ints", release, "plain").read_bytes())
    path = tmp_path / "ints"
    path.write_bytes(without_build_info(bytearray(with_another_magic(original))))
    path.chmod(0o755)
    with holding(path, *arguments("ints", OPS), "-wait") as process:
        assert process.stdout
        said = parse(process.stdout.readline())

        assert differences(said, mapprobe.census(process.pid)) == []
