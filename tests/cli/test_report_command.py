"""`mapprobe report`: its formats and filters by the command line."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run

import mapprobe
from mapprobe.report.pprof import message_class
from mapprobe.schema import MEASURES

SHOWN = ("table", "json", "csv", "folded", "speedscope")


@pytest.mark.parametrize("form", SHOWN)
def test_a_format_of_text_goes_to_stdout(folder: Path, form: str) -> None:
    done = run(folder, "report", "out", "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert "main.(*Cache).Login" in done.stdout


def test_pprof_goes_to_a_file(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "maps.pb.gz"
    assert run(folder, "report", "out", "--format", "pprof", "-o", str(path)).returncode == 0
    message = message_class("Profile").FromString(gzip.decompress(path.read_bytes()))
    retained = mapprobe.open(folder / "out").report()["totals"]["retained_bytes"]
    assert sum(sample.value[0] for sample in message.sample) == retained


def test_the_three_views_are_shown_at_once(folder: Path) -> None:
    said = run(folder, "report", "out", "--view", "all").stdout
    assert [f"(view {view})" in said for view in ("growth", "fill", "drain")] == [True] * 3


def test_functions_and_packages_are_chosen(folder: Path) -> None:
    words = ("--function", "Login", "--function", "*Logout", "--package", "main", "--json")
    found = json.loads(run(folder, "report", "out", *words).stdout)
    assert {row["function"] for row in found["rows"]} == {"main.(*Cache).Login", "main.(*Cache).Logout"}
    left_out = found["not_matching"]["inserts"]
    assert sum(row["inserts"] for row in found["rows"]) + left_out == found["totals"]["inserts"]


def test_the_top_is_that_of_every_format(folder: Path) -> None:
    found = json.loads(run(folder, "report", "out", "--by", "map", "--top", "1", "--json").stdout)
    (row,), others = found["rows"], found["other"]
    sums = {name: row[name] + others[name] for name in MEASURES if name in others}
    assert sums == {name: found["totals"][name] for name in sums}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--view", "all", "--json"), "json has one view"),
        (("--format", "folded", "--function", "Login"), "folded has all stacks"),
        (("--function", "(a"), "no regular expression"),
        (("--at", "inf"), "no time of a recording"),
    ],
)
def test_what_a_format_can_not_show_is_refused(folder: Path, words: tuple[str, ...], why: str) -> None:
    done = run(folder, "report", "out", *words)
    (line,) = done.stderr.splitlines()
    assert why in line
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("words", ["report out", "check out --max-retained 0"])
def test_a_reader_that_has_enough_is_no_error(folder: Path, words: str) -> None:
    command = [sys.executable, "-m", "mapprobe", *words.split()]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        complaint = process.stderr.read()
    assert "Traceback" not in complaint
    assert process.returncode == (1 if "check" in words else 0)
