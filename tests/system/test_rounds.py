"""Attaching and detaching again and again, to a program that checks its own maps in the meantime.

MAPPROBE_ROUNDS says how often (`make rounds`: 1,000 times).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mapprobe
from mapprobe.capture.recorder import Options, record
from support.gobuild import Release
from support.sessions import BREAKPOINT, bpf_programs, read, recording

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(7200)]

ROUNDS = int(os.environ.get("MAPPROBE_ROUNDS", "3"))
ROUND = Options(duration=0.05, force=True)
PATIENCE = 60


@contextmanager
def working(program: Path) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_busy_program_is_right_after_many_rounds(
    release: Release, build: Callable[..., Path], tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    program = build("busy", release)
    points = [int(point["address"], 16) for point in mapprobe.inspect(str(program))["points"]]
    others, files = bpf_programs(), []
    with working(program) as busy, open(f"/proc/{busy.pid}/mem", "rb", buffering=0) as memory:
        with recording(busy.pid, "-o", tmp_path / "watched"):
            assert bpf_programs() - others
        for _ in range(ROUNDS):
            session = record(busy.pid, tmp_path / "recording", ROUND, lambda _: None)
            assert session["ended_by"] == "duration"
            assert [hex(addr) for addr in points if read(memory, addr) == BREAKPOINT] == []
            files.append(open_files())
        stdout, stderr = busy.communicate(timeout=PATIENCE)

    assert (busy.returncode, stderr) == (0, "")
    assert int(stdout) > 0
    assert set(files) == {files[0]}
    wait_until(lambda: bpf_programs() <= others)  # the kernel frees them a little later
