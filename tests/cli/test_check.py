"""`mapprobe check`: exit codes, files, and wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

import mapprobe
from mapprobe.errors import MapprobeError
from support.commands import run


def test_a_budget_that_is_kept_is_exit_0(folder: Path) -> None:
    done = run(folder, "check", "out", "--max-retained", "64MiB")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_budget_that_is_exceeded_is_exit_1_with_the_call_sites(folder: Path) -> None:
    done = run(folder, "check", "out", "--max-retained", "50KiB", "--site", "main/*", "--site", "main[.].*")
    assert done.returncode == 1
    assert "main.(*Cache).Login" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "1 of 1 limits exceeded" in line


def test_other_call_sites_do_not_count(folder: Path) -> None:
    assert run(folder, "check", "out", "--max-retained", "0", "--site", "flag.*").returncode == 0


def test_a_budget_at_an_earlier_time_is_of_what_stood_then(folder: Path) -> None:
    assert run(folder, "check", "out", "--max-retained", "50KiB", "--at", "0").returncode == 0


def test_it_writes_files_for_ci(folder: Path, tmp_path: Path) -> None:
    junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
    words = ("check", "out", "--max-retained-share", "0.5", "--junit", str(junit), "--markdown", str(markdown))
    assert run(folder, *words).returncode == 1
    assert JUnitXml.fromfile(str(junit)).failures > 0
    assert markdown.read_text(encoding="utf-8").startswith("### mapprobe check: over the budget")


def test_limits_stand_in_a_file(folder: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text('view = "drain"\n[[limit]]\nname = "all"\nper = "total"\nmax_retained = "1KiB"\n')
    done = run(folder, "check", "out", "--limits", str(limits), "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["view"], document["limits"][0]["name"]) == (1, "drain", "all")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "nothing to check"),
        (("--max-retained", "much"), "much is no size"),
        (("--max-retained-share", "2"), "Invalid value for '--max-retained-share'"),
        (("--max-retained", "1", "--site", "(a"), "no regular expression"),
        (("--limits", "absent.toml"), "absent.toml: No such file"),
        (("--limits", "out/events.arrow"), "no text"),
        (("--max-retained", "1TB", "--junit", "absent/junit.xml"), "absent/junit.xml: No such file"),
        (("--max-retained", "1", "--at", "-1"), "no time of a recording"),
        (("--max-retained", "1", "--at", "nan"), "no time of a recording"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(folder: Path, words: tuple[str, ...], why: str) -> None:
    done = run(folder, "check", "out", *words)
    (line,) = done.stderr.splitlines()
    assert why in line
    assert (done.returncode, done.stdout) == (2, "")


def test_the_same_is_one_call_away(folder: Path) -> None:
    words = ("--max-retained", "50KiB", "--site", "Login", "--view", "drain", "--at", "2", "--json")
    document = json.loads(run(folder, "check", "out", *words).stdout)
    limit = {"site": "Login", "max_retained": "50KiB"}
    assert mapprobe.open(folder / "out").check([limit], view="drain", until_ns=2 * 10**9) == document


def test_limits_in_a_file_are_one_call_away_too(folder: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text('view = "drain"\n[[limit]]\nper = "total"\nmax_retained = "1KiB"\n')
    document = json.loads(run(folder, "check", "out", "--limits", str(limits), "--json").stdout)
    assert mapprobe.open(folder / "out").check(limits) == document


@pytest.mark.parametrize(
    ("limits", "why"),
    [([], "there are none"), ([{"max": 1}], "limit 1: max is not known"), ("absent.toml", "No such file")],
)
def test_limits_that_are_none_are_an_error(folder: Path, limits: object, why: str) -> None:
    with pytest.raises(MapprobeError, match=why):
        mapprobe.open(folder / "out").check(limits)
