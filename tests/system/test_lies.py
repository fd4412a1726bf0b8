"""A census of processes whose memory lies ends in bounded time and memory, and finds the maps that do not lie."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import mapprobe
from mapprobe.recording.tables import census
from support.gobuild import Release, link_program
from support.heads import holding, wrong_lengths

pytestmark = pytest.mark.system

SWISS = (
    "length40", "length22", "depth255", "anylength", "used60", "self", "wild", "mask", "capacity", "tabledepth",
    "shared", "flicker",
)  # fmt: skip
CLASSIC = (
    "log28", "log34", "log60", "log255", "used60", "cyclic", "selfcycle", "longchain", "oldself", "evacuated", "wild",
    "listed", "shared", "flicker",
)  # fmt: skip
CASES = [*(((1, 27), lie) for lie in SWISS), *(((1, 23), lie) for lie in CLASSIC)]
MOST_CPU_SECONDS, MOST_BYTES = 10, 4 << 30
CENSUS = "import sys, mapprobe; mapprobe.census(int(sys.argv[1]), sys.argv[2])"


def limit() -> None:
    """Let a census have no more time of a processor than a census may take, and no more memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))


@pytest.mark.parametrize(("release", "lie"), CASES)
def test_a_census_of_a_process_that_lies_finds_the_maps_that_do_not(release: Release, lie: str, tmp_path: Path) -> None:
    with holding(link_program("lies", release, "plain"), lie) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        command = [sys.executable, "-c", CENSUS, str(process.pid), str(tmp_path / "out")]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = mapprobe.open(tmp_path / "out")

    assert wrong_lengths(said, found) == {}
    assert sum(found.table(census.CENSUS)["allocated_bytes"].to_pylist()) < 1 << 30
