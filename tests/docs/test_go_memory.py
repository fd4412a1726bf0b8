"""docs/go-memory.md: each statement names the test that shows it, and everything that it names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from support.claims import Claim, lacking, ranged, read_claims
from support.gobuild import Release
from support.toolchains import ROOT

PAGE = (ROOT / "docs" / "go-memory.md").read_text()
TESTS = ast.parse((ROOT / "tests" / "system" / "test_go_memory.py").read_text())

NAMED = re.compile(r"\btest_go_memory\.py::(\w+)")
SOURCE = re.compile(r"`go: ([^`]+)`")
SHOWN = rf"(?:{NAMED.pattern}|{SOURCE.pattern})"
ENDING = re.compile(rf"\((?:{SHOWN},\s)*{SHOWN}\)$")
LAST_CELL = re.compile(rf"\| (?:{SHOWN}, )*{SHOWN} \|$")
CLAIMS = [claim for text in SOURCE.findall(PAGE) for claim in read_claims("go-memory", text)]
RANGED = ranged(CLAIMS)


def statements() -> Iterator[str]:
    """Yield each item of a list, on one line."""
    for item in re.findall(r"^- (.+(?:\n  .+)*)", PAGE, re.MULTILINE):
        yield re.sub(r"\s+", " ", item)


def rows() -> Iterator[str]:
    """Yield each row of a table but its heads."""
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        yield from table.splitlines()[2:]


@pytest.mark.parametrize("statement", list(statements()))
def test_a_statement_says_what_shows_it(statement: str) -> None:
    assert ENDING.search(statement)


@pytest.mark.parametrize("row", list(rows()))
def test_a_row_says_what_shows_it(row: str) -> None:
    assert LAST_CELL.search(row)


def test_the_page_names_each_test_and_no_other() -> None:
    there = [node.name for node in TESTS.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]

    assert len(there) == len(set(there))
    assert set(NAMED.findall(PAGE)) == set(there)


def test_what_was_read_in_the_sources_says_for_which_releases() -> None:
    assert len(CLAIMS) > 5
    assert [claim for claim in CLAIMS if not claim.ends or not claim.names] == []


@pytest.mark.toolchain
@pytest.mark.parametrize(("claim", "release"), [pytest.param(*case, id=name) for name, case in RANGED.items()])
def test_claimed_source_holds_the_claimed_names(claim: Claim, release: Release) -> None:
    assert lacking(claim, release) == []
