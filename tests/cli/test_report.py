"""`mapprobe report`: its formats and filters by the command line."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import mapprobe
from mapprobe.recording import files, stored_results
from mapprobe.recording.folder import table_path
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.schema import MEASURES
from mapprobe.report.formats import FORMATS
from mapprobe.report.profiles.pprof import message_class
from support.commands import SAMPLE, run
from support.gobuild import build_program

SHOWN = ("table", "json", "csv", "folded", "speedscope")


@pytest.mark.parametrize("form", SHOWN)
def test_a_format_of_text_goes_to_stdout(folder: Path, form: str) -> None:
    done = run(folder, "report", "out", "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert "main.(*Cache).Login" in done.stdout


def test_pprof_goes_to_a_file(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "maps.pb.gz"
    assert run(folder, "report", "out", "--format", "pprof", "-o", str(path)).returncode == 0
    message = message_class().FromString(gzip.decompress(path.read_bytes()))
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


READ = {
    "report out": 0,
    "report out --json": 0,
    "check out --max-retained 0": 1,
    "check out --max-retained 0 --json": 1,
    "diff out --at 1": 0,
    "verify out": 0,
    "replay out": 0,
    "pack out": 0,
    "inspect {go}": 0,
    "doctor {go}": None,
    "--help": None,
    "--version": None,
}
"""Commands, and how each ends; None: that is for the host, or for typer, to say."""
UNWRITABLE = {"/dev/full": "No space left", "absent/file": "No such file", "out": "Is a directory"}


@pytest.mark.parametrize("words", READ)
def test_a_reader_that_has_enough_is_no_error(folder: Path, words: str) -> None:
    go = build_program("strings", (1, 27))
    command = [sys.executable, "-m", "mapprobe", *words.format(go=go).split()]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        complaint = process.stderr.read()
    assert "Traceback" not in complaint
    assert "Exception" not in complaint
    if READ[words] is not None:
        assert process.returncode == READ[words]


@pytest.mark.parametrize("words", [words for words in READ if words != "doctor {go}"])
def test_a_full_stdout_is_one_line_and_exit_2(folder: Path, words: str) -> None:
    go = build_program("strings", (1, 27))
    command = [sys.executable, "-m", "mapprobe", *words.format(go=go).split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert line.startswith("mapprobe: stdout: No space left")
    assert done.returncode == 2


@pytest.mark.parametrize("form", list(FORMATS))
@pytest.mark.parametrize("path", UNWRITABLE)
def test_a_file_that_can_not_be_written_is_one_line_and_exit_2(folder: Path, form: str, path: str) -> None:
    done = run(folder, "report", "out", "--format", str(form), "-o", path)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"mapprobe: {path}: {UNWRITABLE[path]}")
    assert (done.returncode, done.stdout) == (2, "")


def test_letters_that_a_terminal_has_not_are_escaped(folder: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "mapprobe", "check", "out", "--max-retained", "1TiB", "--site", "Käse"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"K\\xe4se" in done.stdout


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recording of which half of the events is left."""
    folder = shutil.copytree(SAMPLE, tmp_path_factory.mktemp("cut") / "cut")
    os.truncate(folder / "events.arrow", (folder / "events.arrow").stat().st_size // 2)
    return folder


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the recording of a process that did nothing with maps meanwhile."""
    folder = shutil.copytree(SAMPLE, tmp_path_factory.mktemp("nothing") / "nothing")
    for table in (schema.EVENTS, schema.SNAPSHOT_MAPS, schema.SNAPSHOT_BUCKETS):
        table_path(folder, table).unlink()
    row = files.read_table(folder, schema.SESSION).to_pylist()[-1] | {"events": 0}
    stored_results.write_table(folder, schema.SESSION, pa.Table.from_pylist([row], schema=schema.SESSION.schema))
    return folder


@pytest.mark.parametrize("form", list(FORMATS))
def test_a_recording_of_nothing_is_reported(nothing: Path, tmp_path: Path, form: str) -> None:
    done = run(tmp_path, "report", str(nothing), "--format", str(form), "-o", "report")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    assert (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("words", "status"), [("diff {} --at 1", 0), ("check {} --max-retained 0", 0), ("verify {}", 1), ("pack {}", 0)]
)
def test_commands_have_an_answer_to_a_recording_of_nothing(nothing: Path, words: str, status: int) -> None:
    done = run(nothing.parent, *words.format("nothing").split())
    assert (done.returncode, done.stderr) == (status, "")
    assert done.stdout


@pytest.mark.parametrize("form", list(FORMATS))
def test_a_recording_that_was_cut_off_is_reported_and_says_so(cut: Path, tmp_path: Path, form: str) -> None:
    done = run(tmp_path, "report", str(cut), "--format", str(form), "-o", "report")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (0, "")
    assert re.search(r"damaged: the last events are missing: [\d,]+ of [\d,]+ are left", line)
    assert (tmp_path / "report").stat().st_size > 0
    if form == "table":
        assert "not exact" in (tmp_path / "report").read_text()
