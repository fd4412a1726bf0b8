"""The recorder's process stays small and clean: bcc compiles in a child, of which nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mapprobe
from mapprobe.capture.kernel.links import UPROBE_MULTI
from mapprobe.capture.kernel.loader import Loader
from mapprobe.capture.kernel.probe import OUTCOMES, Probe
from mapprobe.capture.kernel.programs import HEAP_RING_BYTES, RING_BYTES, Point, Programs, Target
from mapprobe.capture.recorder import record
from mapprobe.capture.session import Options
from mapprobe.errors import HostError
from mapprobe.go.binary import GoBinary
from mapprobe.go.pclntab import FunctionTable
from mapprobe.go.points.heap_points import find_heap_points
from mapprobe.go.points.map_points import find_points
from mapprobe.go.variables import goid_offset
from support.gobuild import Release
from support.sessions import Service, record_command, serving
from support.waiting import wait_until

pytestmark = pytest.mark.system

MOST_BYTES = 150 << 20
"""Of the recorder's memory, beside its rings: each is mapped twice, back to back."""
RINGS = 2 * (RING_BYTES + HEAP_RING_BYTES)
OBSERVED = """
import re, sys
from mapprobe.cli.main import main
sys.argv[0] = "mapprobe"
try:
    main()
finally:
    loaded = [name for name in ("bcc", "numba", "llvmlite", "pandas", "matplotlib") if name in sys.modules]
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
    print("peak", peak, *loaded, file=sys.stderr)
"""
QUICK_SECONDS = 1.0
"""Uprobes of perf_event take several seconds to detach; links some hundredths, but this host may be busy."""


@pytest.fixture
def service(release: Release, build: Callable[..., Path]) -> Iterator[Service]:
    with serving(build("session_cache", release)) as running:
        yield running


@pytest.mark.parametrize(
    ("command", "options", "rings"),
    [
        ("record", ("--duration", "1"), RINGS),
        ("record", ("--duration", "1", "--heap", "--max-overhead", "20%"), RINGS),
        ("census", (), 0),
    ],
)
def test_whoever_reads_a_process_is_small(
    service: Service, tmp_path: Path, command: str, options: tuple[str, ...], rings: int
) -> None:
    words = [command, str(service.pid), "-o", str(tmp_path / "recording"), *options]
    ran = subprocess.run([sys.executable, "-c", OBSERVED, *words], stderr=subprocess.PIPE, text=True, check=True)
    observed = re.search(r"^peak (\d+)(.*)$", ran.stderr, re.MULTILINE)
    assert observed
    assert observed[2] == ""
    assert int(observed[1]) << 10 <= MOST_BYTES + rings


def programs_for(service: Service, most: int | None = None, stack_depth: int = 2) -> Programs:
    """Return what is compiled for a service, with all points of its heap."""
    link = f"/proc/{service.pid}/exe"
    with GoBinary.open(link) as binary:
        functions = FunctionTable(binary)
        points: list[Point] = [*find_points(binary, functions)]
        points += find_heap_points(binary, functions, large_objects=True)
        target = Target(service.pid, link, (0, (1 << 64) - 1), goid_offset(binary, functions), 0)
    return Programs(target, points[:most], stack_depth)


@pytest.mark.parametrize("stack_depth", [2, 8, 32])
def test_stacks_of_each_depth_that_may_be_asked_for_can_be_recorded(service: Service, stack_depth: int) -> None:
    programs = programs_for(service, stack_depth=stack_depth)
    with Loader() as loader:
        programs.begin(loader)
        with Probe(programs, loader) as probe:
            wait_until(lambda: sum(len(events) for events in probe.drain()) > 0, timeout=30)
            assert probe.outcomes()[:, OUTCOMES.index("memory fault")].sum() == 0


def test_all_points_come_and_go_at_once(service: Service) -> None:
    programs = programs_for(service)
    with Loader() as loader:
        programs.begin(loader)
        with Probe(programs, loader, at_once=False) as probe:
            began = time.monotonic()
            probe.attach(range(len(programs.points)))
            assert service.probed() > 0
            probe.detach()
            took = time.monotonic() - began
            assert service.probed() == 0
    assert took < QUICK_SECONDS


def test_where_links_do_not_work_points_are_attached_one_by_one(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "_try_links", lambda *_: False)
    row = record(service.pid, tmp_path / "recording", Options(duration=0.7, max_overhead=0.9), lambda _: None)
    assert service.probed() == 0
    service.end()
    assert row["cost_ns"] is not None
    assert mapprobe.open(tmp_path / "recording").event_count == row["events"] > 0


def test_an_error_of_clang_is_shown(service: Service, tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int tried(void *ctx) { return no_such_thing; }")
    with Loader() as loader:
        loader.compile(str(source), [])
        with pytest.raises(HostError, match=r"bcc can't compile the probes \(.+\): see 'mapprobe doctor'"):
            loader.maps(["events"])


def test_a_program_that_is_not_there_is_refused(service: Service) -> None:
    with Loader() as loader:
        programs_for(service, 1).begin(loader)
        with pytest.raises(HostError, match=r"bcc can't load the probes \(.*no_such"):
            loader.load(["no_such"], UPROBE_MULTI)


def child_of(pid: int) -> int:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found[0]) if found else 0


@pytest.fixture
def starting(service: Service, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Give a recorder and its child, which compiles."""
    command = record_command(service.pid, "-o", tmp_path / "recording", "--duration", "60")
    recorder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield recorder, wait_until(lambda: child_of(recorder.pid), timeout=30)
    finally:
        end(recorder)


def end(recorder: subprocess.Popen[str]) -> None:
    recorder.kill()
    recorder.wait()
    assert recorder.stderr
    recorder.stderr.close()


def test_a_recorder_whose_child_is_killed_says_so(
    service: Service, starting: tuple[subprocess.Popen[str], int]
) -> None:
    recorder, child = starting
    os.kill(child, signal.SIGKILL)
    _, said = recorder.communicate(timeout=60)
    assert recorder.returncode == 3
    assert "bcc was killed before it could compile the probes" in said.splitlines()[-1]
    assert service.probed() == 0


def test_a_recorder_that_is_killed_leaves_no_child(starting: tuple[subprocess.Popen[str], int]) -> None:
    recorder, child = starting
    recorder.kill()
    recorder.wait()
    wait_until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


def test_no_child_is_left_while_it_records(service: Service, tmp_path: Path) -> None:
    command = record_command(service.pid, "-o", tmp_path / "recording", "--duration", "60")
    recorder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: service.probed() > 0, timeout=60)
        assert child_of(recorder.pid) == 0
        recorder.terminate()
        _, said = recorder.communicate(timeout=60)
        assert recorder.returncode == 0, said
    finally:
        end(recorder)
