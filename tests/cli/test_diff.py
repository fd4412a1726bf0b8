"""`mapprobe diff`: two times of a recording, two recordings, and wrong use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mapprobe
from support.commands import SAMPLE, run


def test_two_times_of_a_recording_differ_by_what_their_reports_say(folder: Path) -> None:
    found = json.loads(run(folder, "diff", "out", "--at", "1", "--at", "2", "--json").stdout)
    recording = mapprobe.open(folder / "out")
    for side, seconds in (("before", 1), ("after", 2)):
        assert found[side]["totals"] == recording.report(until_ns=seconds * 10**9)["totals"]


def test_one_time_is_held_against_the_end(folder: Path) -> None:
    done = run(folder, "diff", "out", "--at", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "main.(*Cache).Login" in done.stdout


def test_recordings_of_two_builds_are_matched_by_function(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE.parent / "go1.23-session-cache", tmp_path / "old")
    done = run(folder, "diff", str(tmp_path / "old"), "out", "--json")
    (login,) = (row for row in json.loads(done.stdout)["rows"] if row["function"] == "main.(*Cache).Login")
    assert (login["match"], login["before"]["retained_bytes"] > 0) == ("same", True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("out",), "give B, --at or --at twice"),
        (("out", "out", *("--at", "1") * 3), "give B, --at or --at twice"),
        (("out", "--at", "-1"), "no time of a recording"),
        (("out", "absent"), "no recording here"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(folder: Path, words: tuple[str, ...], why: str) -> None:
    done = run(folder, "diff", *words)
    (line,) = done.stderr.splitlines()
    assert why in line
    assert (done.returncode, done.stdout) == (2, "")
