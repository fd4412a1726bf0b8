"""The notebooks of docs/ run, and print what they printed when they were written."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from support.notebooks import DOCS, NOTEBOOKS, run, said

pytestmark = [
    pytest.mark.filterwarnings("default"),  # what the kernel's client warns of is not ours
    pytest.mark.parametrize("name", NOTEBOOKS),
]


def test_a_notebook_prints_what_it_printed_before(name: str, tmp_path: Path) -> None:
    assert said(run(name, tmp_path)) == said(nbformat.read(DOCS / name, as_version=4))


def test_a_notebook_is_kept_with_what_it_says(name: str) -> None:
    assert any(outputs for _, outputs in said(nbformat.read(DOCS / name, as_version=4)))
