"""The command line: an error is one line and an exit code; JSON is one document."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import mapprobe
from mapprobe.cli.main import app
from support.gobuild import build_program

COMMANDS = list(typer.main.get_command(app).commands)
RELEASE = (1, 27)
NO_PID = Path("/proc/sys/kernel/pid_max").read_text().strip()
"""PIDs stay below this one."""

AS_NOBODY = """
import contextlib, io, os
import mapprobe.cli.main, mapprobe.capture.recorder
with contextlib.redirect_stdout(io.StringIO()):
    mapprobe.cli.main.app(["doctor"], standalone_mode=False)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
mapprobe.cli.main.main()
"""
"""The command line without root, once all it imports is loaded from wherever only root may read."""

UNUSABLE = {
    "inspect a pipe": ("inspect pipe", "no Go program"),
    "inspect a PID that is not there": ("inspect {no_pid}", "no such process"),
    "inspect a PID that no kernel gives": ("inspect 99999999999999999999", "no such process"),
    "inspect a process that is not Go": ("inspect {own_pid}", "no Go program"),
    "inspect an executable that is not Go": ("inspect {python}", "no Go program"),
    "inspect an absent binary": ("inspect absent", "no such file"),
    "inspect a folder": ("inspect folder", "is a directory"),
    "inspect a text": ("inspect thesis.txt", "no Go program"),
    "inspect nothing": ("inspect empty", "no Go program"),
    "inspect half a binary": ("inspect half", "damaged"),
    "replay a folder without a recording": ("replay folder", "no recording here"),
    "report a folder without a recording": ("report folder", "no recording here"),
    "verify a folder without a recording": ("verify folder", "no recording here"),
    "report an absent folder": ("report absent", "no recording here"),
    "report a file": ("report thesis.txt", "no recording here"),
    "report a recording that never began": ("report begun", "cut before its first batch"),
}
UNUSABLE_FOR_ROOT = {
    "record a PID that is not there": ("record {no_pid} -o out", "no such process"),
    "record a process that is not Go": ("record {own_pid} -o out", "no Go program"),
    "record an absent command": ("record -o out -- absent", "no such program"),
    "record a command that is not Go": ("record -o out -- {python}", "no Go program"),
    "record over a recording": ("record -o begun -- {go}", "--force"),
    "record over other files": ("record -o . --force -- {go}", "not a recording"),
    "record over a file": ("record -o thesis.txt --force -- {go}", "not a recording"),
    "record below a file": ("record -o thesis.txt/out -- {go}", "choose another folder"),
}
CASES = [
    *(pytest.param(*case, id=name) for name, case in UNUSABLE.items()),
    *(pytest.param(*case, id=name, marks=pytest.mark.system) for name, case in UNUSABLE_FOR_ROOT.items()),
]

MISUSED = [
    ("report folder --bogus", "No such option: --bogus"),
    ("bogus", "No such command 'bogus'"),
    ("report", "Missing argument 'DIR'"),
    ("record -o out", "Missing argument"),
    ("record 1", "Missing option '--out'"),
    ("report folder --by colour", "Invalid value for '--by'"),
    ("report folder --view colour", "Invalid value for '--view'"),
    ("report folder --format colour", "Invalid value for '--format'"),
    ("report folder --top 0", "Invalid value for '--top'"),
    ("record 1 -o out --stack-depth 1", "Invalid value for '--stack-depth'"),
    ("record 1 -o out --duration soon", "Invalid value for '--duration'"),
    ("record 1 -o out --duration 0", "0.0 is no time to record"),
    ("record 1 -o out --duration nan", "nan is no time to record"),
    *((f"record 1 -o out --max-size={size}", f"{size} is no size") for size in ("huge", "0", "-5GiB", "inf", "nan")),
]


def run(command, folder, how=("-m", "mapprobe"), **places):
    """Run the command line in a folder; {places} of the command are filled in."""
    words = [word.format(**places) for word in command.split()]
    return subprocess.run(
        [sys.executable, *how, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def go():
    return build_program("strings", RELEASE)


@pytest.fixture
def folder(tmp_path, go):
    """A folder of things that are not what they should be."""
    for name in ("folder", "begun"):
        (tmp_path / name).mkdir()
    (tmp_path / "begun" / "session.arrow").touch()
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "thesis.txt").write_text("ten years of work")
    half = go.stat().st_size // 2
    (tmp_path / "half").write_bytes(go.read_bytes()[:half])
    return tmp_path


@pytest.mark.parametrize(("command", "why"), CASES)
def test_what_is_unusable_is_one_line_and_exit_2(command, why, folder, go):
    done = run(command, folder, no_pid=NO_PID, own_pid=os.getpid(), python=sys.executable, go=go)

    (line,) = done.stderr.splitlines()
    assert line.startswith("mapprobe: ")
    assert why in line
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(("command", "why"), MISUSED)
def test_wrong_use_is_named_and_exit_2(command, why, tmp_path):
    done = run(command, tmp_path)

    (line,) = done.stderr.splitlines()
    assert why in line
    assert (done.returncode, done.stdout) == (2, "")


def test_without_a_command_there_is_help_and_exit_2(tmp_path):
    done = run("", tmp_path)

    assert "Commands:" in done.stderr
    assert (done.returncode, done.stdout) == (2, "")


def test_version(tmp_path):
    assert run("--version", tmp_path).stdout == f"mapprobe {mapprobe.__version__}\n"


@pytest.mark.system
def test_a_refused_recording_leaves_nothing_behind(folder):
    run("record -o out -- {python}", folder, python=sys.executable)

    assert not (folder / "out").exists()


@pytest.mark.system
def test_files_that_are_no_recording_are_kept_even_by_force(folder, go):
    run("record -o . --force -- {go}", folder, go=go)

    assert (folder / "thesis.txt").read_text() == "ten years of work"


def test_a_name_with_control_characters_reaches_no_terminal(tmp_path):
    folder = tmp_path / "\x1b]0;owned\x07"
    folder.mkdir()

    done = run(f"report {folder.name}", tmp_path)

    assert done.returncode == 2
    assert "\\x1b]0;owned\\x07" in done.stderr
    assert not {"\x1b", "\x07"} & set(done.stderr)


def test_recording_without_root_is_one_line_and_exit_3(tmp_path):
    done = run("record -o out -- true", tmp_path, how=("-c", AS_NOBODY))

    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert "CAP_BPF" in line
    assert "run it with sudo" in line


def test_doctor_without_root_says_what_mends_it_and_exits_3(tmp_path):
    done = run("doctor --json", tmp_path, how=("-c", AS_NOBODY))

    (rights,) = (check for check in json.loads(done.stdout)["checks"] if check["what"] == "rights to read processes")
    assert (done.returncode, rights["ok"]) == (3, False)
    assert rights["remedy"].startswith("run it with sudo")


def test_a_binary_that_may_not_be_read_is_one_line_and_exit_2(tmp_path):
    (tmp_path / "secret").touch(mode=0)
    done = run("inspect secret", tmp_path, how=("-c", AS_NOBODY))

    (line,) = done.stderr.splitlines()
    assert "permission denied" in line.lower()
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.system
def test_doctor_prints_one_json_document(tmp_path):
    done = run("doctor --json", tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert set(json.loads(done.stdout)) == {"checks", "notes", "ok"}


def test_doctor_examines_a_target(tmp_path, go):
    *_, target = json.loads(run("doctor --json {go}", tmp_path, go=go).stdout)["checks"]

    assert (target["what"], target["ok"], target["remedy"]) == ("target", True, "")


def test_doctor_of_an_unusable_target_says_what_to_give(folder):
    done = run("doctor --json thesis.txt", folder)

    document = json.loads(done.stdout)
    assert (document["ok"], document["checks"][-1]["remedy"]) == (False, "give the PID or path of a Go program")


@pytest.mark.system
def test_doctor_of_an_unusable_target_is_exit_2(folder):
    assert run("doctor thesis.txt", folder).returncode == 2


def test_inspect_prints_one_json_document(tmp_path, go):
    done = run("inspect --json {go}", tmp_path, go=go)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["binary"] == str(go)


def test_inspect_shows_a_reader_the_same_points(tmp_path, go):
    points = json.loads(run("inspect --json {go}", tmp_path, go=go).stdout)["points"]

    shown = run("inspect {go}", tmp_path, go=go).stdout
    assert [point["address"] for point in points if point["address"] not in shown] == []


def test_help_names_every_command(tmp_path):
    done = run("--help", tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert [name for name in COMMANDS if f"  {name} " not in done.stdout] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_its_options(name, tmp_path):
    done = run(f"{name} --help", tmp_path)

    options = [option for p in typer.main.get_command(app).commands[name].params for option in p.opts]
    assert (done.returncode, done.stderr) == (0, "")
    assert [option for option in options if option.startswith("--") and option not in done.stdout] == []
