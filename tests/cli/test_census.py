from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from support.commands import run
from support.gobuild import Release
from support.heads import crowd

pytestmark = pytest.mark.system
COUNTS = {"entries": 20_000, "middle": 20, "small": 300, "like": 100}


def test_census_shows_types_and_maps(release: Release, tmp_path: Path) -> None:
    with crowd(release, **COUNTS) as (pid, _):
        done = run(tmp_path, "census", str(pid), "--top", "5")

    assert done.returncode == 0, done.stderr
    assert "map[uint64]uint64" in done.stdout
    assert "would come back if they were rebuilt" in done.stdout
    assert "types: " in done.stdout
    assert not list(tmp_path.iterdir())


def test_census_prints_one_document(release: Release, tmp_path: Path) -> None:
    with crowd(release, **COUNTS) as (pid, said):
        done = run(tmp_path, "census", str(pid), "--json", "--freeze", "--top", "7")
    found = json.loads(done.stdout)

    assert (found["schema"], len(found["maps"]), found["recording"]["pid"]) == ("mapprobe.census/1", 7, pid)
    assert found["totals"]["maps"] >= said["written"]
    assert found["census"]["paused_ns"] > 0
    assert sum(row["retained_bytes"] for row in found["types"]) == found["totals"]["retained_bytes"]
    assert found["maps"][0]["naming"] in ("exact", "only")


def test_a_census_that_is_kept_is_a_recording(release: Release, tmp_path: Path) -> None:
    with crowd(release, **COUNTS) as (pid, _):
        kept = run(tmp_path, "census", str(pid), "-o", "before")
        again = run(tmp_path, "census", str(pid), "-o", "before")
        run(tmp_path, "census", str(pid), "-o", "after")

    assert kept.returncode == 0
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    totals = [json.loads(run(tmp_path, "report", name, "--json").stdout)["totals"] for name in ("before", "after")]
    changed = json.loads(run(tmp_path, "diff", "before", "after", "--json").stdout)
    assert totals[0] == totals[1]
    assert not any(row["change"]["retained_bytes"] for row in changed["rows"])
    assert run(tmp_path, "check", "after", "--max-retained", "1TiB", "--per", "total").returncode == 0
    assert run(tmp_path, "check", "after", "--max-retained", "1KiB", "--per", "total").returncode == 1


def test_census_watches_until_it_is_interrupted(release: Release, wait_until: Callable[..., object]) -> None:
    with crowd(release, **COUNTS) as (pid, _):
        command = [sys.executable, "-m", "mapprobe", "census", str(pid), "--watch", "100ms"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            seen = wait_until(lambda: "nothing has changed" in process.stdout.readline(), 60)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

    assert (seen, process.returncode) == (True, 130)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("census", "4194304"), "no such process"),
        (("census", "1", "--watch", "soon"), "soon is no time"),
        (("census", "1", "--watch", "10s", "--json"), "leave out --out and --json"),
        (("census", "nginx"), "nginx: not a PID: see 'pgrep -a nginx'"),
        (("census", "99999999999"), "99999999999: not a PID"),
        (("census", sys.executable), "no Go program"),
    ],
)
def test_census_refuses_what_it_cannot_do(words: tuple[str, ...], why: str, tmp_path: Path) -> None:
    done = run(tmp_path, *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_large_read_is_announced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path, command = os.readlink("/proc/self/exe"), import_module("mapprobe.cli.census")
    for least in (1 << 60, 1):
        monkeypatch.setattr(command, "LARGE_BYTES", least)
        command._announce(os.getpid())

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"mapprobe: reading the memory of {path} ({os.getpid()}), ")
