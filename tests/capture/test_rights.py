"""What lacks is found by trying, and named: in children that have given rights up."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mapprobe.capture.rights import ADMIN, held, lacking, naming_what_lacks, try_probe
from mapprobe.errors import HostError
from support.gobuild import Release
from support.sessions import serving

pytestmark = pytest.mark.system

WITHOUT = """
import ctypes, sys
from mapprobe.capture.rights import NUMBERS
PR_CAPBSET_DROP = 24
libc = ctypes.CDLL(None, use_errno=True)
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, data) == 0
for name in sys.argv.pop(1).split(","):
    libc.prctl(PR_CAPBSET_DROP, NUMBERS[name], 0, 0, 0)
    word, bit = divmod(NUMBERS[name], 32)
    for number in range(3):
        data[word * 3 + number] &= ~(1 << bit)
assert libc.capset(header, data) == 0
from mapprobe.cli.main import main
main()
"""


def run_without(names: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run mapprobe as root that has given capabilities up."""
    command = [sys.executable, "-c", WITHOUT, names, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_probe_in_this_process_is_tried() -> None:
    assert try_probe() in ("by a link", "by perf_event_open")
    assert held() >= {ADMIN}
    assert lacking() == []


def test_an_error_that_is_about_no_right_keeps_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapprobe.capture.rights.held", frozenset)

    with pytest.raises(HostError, match="apt-get install python3-bpfcc"), naming_what_lacks():
        raise HostError("bcc is not there", "apt-get install python3-bpfcc")
    with pytest.raises(HostError, match="CAP_BPF and CAP_PERFMON"), naming_what_lacks():
        raise HostError("bcc can't load the probes (Operation not permitted)", "see 'mapprobe doctor'")


CASES = [("CAP_BPF,CAP_SYS_ADMIN", "CAP_BPF"), ("CAP_PERFMON,CAP_SYS_ADMIN", "CAP_PERFMON")]


@pytest.mark.parametrize(("names", "named"), CASES)
def test_doctor_names_the_capability_that_lacks(names: str, named: str) -> None:
    found = run_without(names, "doctor", "--json")

    assert found.returncode == 3, found.stderr
    (lack,) = [check for check in json.loads(found.stdout)["checks"] if not check["ok"]]
    assert named in lack["remedy"]


@pytest.mark.parametrize(("names", "named"), CASES)
def test_record_names_the_capability_that_lacks(
    release: Release, build: Callable[..., Path], names: str, named: str, tmp_path: Path
) -> None:
    with serving(build("session_cache", release)) as service:
        found = run_without(names, "record", service.pid, "-o", tmp_path / "r", "--duration", "1")

    assert found.returncode == 3
    (line,) = found.stderr.splitlines()[-1:]
    assert named in line
    assert "Traceback" not in found.stderr


def test_what_probing_costs_is_unknown_where_run_times_are_not_measured(
    release: Release, build: Callable[..., Path], tmp_path: Path
) -> None:
    with serving(build("session_cache", release)) as service:
        found = run_without("CAP_SYS_ADMIN", "record", service.pid, "-o", tmp_path / "r", "--duration", "1")
        limited = run_without(
            "CAP_SYS_ADMIN", "record", service.pid, "-o", tmp_path / "l", "--duration", "1", "--max-overhead", "2%"
        )

    assert found.returncode == 0, found.stderr
    assert "can't be measured" in found.stderr
    assert limited.returncode == 3
    assert "CAP_SYS_ADMIN" in limited.stderr.splitlines()[-1]


def test_priority_is_a_wish(release: Release, build: Callable[..., Path], tmp_path: Path) -> None:
    with serving(build("session_cache", release)) as service:
        found = run_without("CAP_SYS_NICE", "record", service.pid, "-o", tmp_path / "r", "--duration", "1")

    assert found.returncode == 0, found.stderr
    assert "CAP_SYS_NICE" in found.stderr
    assert stat.S_IMODE(os.stat(tmp_path / "r").st_mode) == 0o700
