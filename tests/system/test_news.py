"""A recording reports its progress from its first line on, and a terminal shows a status line."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gobuild import Release, build_program
from support.sessions import record_command, recording, serving

pytestmark = pytest.mark.system

FIRST_LINE = """
import sys
from pathlib import Path
from mapprobe.capture.recorder import Options, record

def tell(line):
    heavy = {"bcc", "mapprobe.capture.session", "numba", "pandas", "pyarrow", "rich"}
    print(line, *sorted(heavy & set(sys.modules)), sep="|")
    raise SystemExit

record(int(sys.argv[1]), Path(sys.argv[2]), Options(), tell)
"""
PATIENCE = 60
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours, and where the cursor goes."""


@pytest.fixture
def pid(release: Release) -> Iterator[int]:
    with serving(build_program("session_cache", release)) as service:
        yield service.pid


def test_the_first_line_waits_for_nothing_that_is_long_to_load(pid: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_LINE, str(pid), str(tmp_path / "out")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == f"looking at {os.readlink(f'/proc/{pid}/exe')} ({pid})\n"


def test_each_part_that_may_be_long_has_a_line(pid: int, tmp_path: Path) -> None:
    done = subprocess.run(
        record_command(pid, "-o", tmp_path / "out", "--duration", 0.5), capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    begins = [" ".join(line.split()[1:3]) for line in done.stderr.splitlines()]
    assert begins[:3] == ["looking at", "recording " + os.readlink(f"/proc/{pid}/exe"), "reading the"]


def test_no_read_is_announced_for_a_process_that_has_ended(pid: int, tmp_path: Path) -> None:
    with recording(pid, "-o", tmp_path / "out") as recorder:
        os.kill(pid, 9)
        _, said = recorder.communicate(timeout=PATIENCE)

    assert "ended by exit" in said
    assert "reading" not in said


def shown(*arguments: object) -> str:
    """Return all that a recorder shows on a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = record_command(*arguments)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=theirs, stdout=theirs, env=environment) as recorder:
        os.close(theirs)
        found = b""
        try:
            while part := os.read(ours, 1 << 16):
                found += part
        except OSError:  # the last of those that had it has closed the terminal
            pass
        os.close(ours)
    assert recorder.returncode == 0, found.decode()
    return ESCAPES.sub("", found.decode())


def test_a_terminal_shows_each_step(pid: int, tmp_path: Path) -> None:
    found = shown(pid, "-o", tmp_path / "out", "--duration", 1.5)

    steps = ["looking at the program", "finding probe points", "census of the start", "compiling probes"]
    steps += ["recording 0:00:0", "census of the end", "reading maps", "taking probes out"]
    places = [found.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    assert re.search(r"[\d,]+ events, 0 lost, [\d.]+ [KM]?i?B, probing takes [\d.]+%", found)


def test_a_command_has_the_terminal_for_itself(release: Release, tmp_path: Path) -> None:
    found = shown("-o", tmp_path / "out", "--", build_program("ints", release), "-ops", "20000")

    (said,) = (line for line in found.splitlines() if line.startswith('{"go"'))
    before, _, after = found.partition(said)
    assert "compiling probes" in before
    assert "recording 0:" not in found
    assert "taking probes out" in after
