"""The cookbook's commands, run as the page shows them, print what the page shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support.pages import DOCS, Command, commands, pattern, run

pytestmark = [pytest.mark.system, pytest.mark.alone]

PAGE = (DOCS / "cookbook.md").read_text()
CASES = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]


def differs(command: Command, folder: Path) -> str:
    """Return what a command printed if that is not what the page shows."""
    said = run(command, folder)
    return "" if pattern(command.shown).fullmatch(said) else f"$ {command.line}\n{said}\nshown:\n{command.shown}"


@pytest.mark.parametrize("case", CASES, ids=[case.partition("\n")[0] for case in CASES])
def test_each_command_of_a_case_prints_what_is_shown(case: str, tmp_path: Path) -> None:
    folder = shutil.copytree(DOCS / "cookbook", tmp_path / "cookbook")

    for command in commands(case):
        assert not (found := differs(command, folder)), found


def test_there_are_three_cases() -> None:
    assert len(CASES) == 3
