"""The pages of docs/: generated pages are up to date, commands print what is shown, links work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.pages import DOCS, GENERATED, REPLAYED, Command, commands, listed, modules, of_traces, pattern
from support.toolchains import ROOT

PAGES = sorted(DOCS.glob("*.md"))
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
OTHERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DECISIONS]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_as_it_would_be_now(name: str) -> None:
    assert (DOCS / name).read_text() == GENERATED[name](), "make docs"


@pytest.mark.parametrize("name", REPLAYED)
def test_a_page_about_sample_recordings_says_what_they_replay_to(name: str, tmp_path: Path) -> None:
    assert (DOCS / name).read_text() == of_traces((DOCS / name).read_text(), tmp_path), "make docs"


def test_the_readme_leads_to_every_page() -> None:
    linked = LINK.findall((ROOT / "README.md").read_text()) + LINK.findall((DOCS / "performance.md").read_text())
    linked += LINK.findall((DOCS / "how-it-works.md").read_text())

    assert {page.name for page in PAGES} <= {Path(link).name for link in linked}


@pytest.mark.parametrize("page", [*OTHERS, *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_architecture_leads_to_every_decision() -> None:
    linked = {Path(link).name for link in LINK.findall((DOCS / "architecture.md").read_text())}

    assert {page.name for page in DECISIONS} <= linked


def test_the_architecture_has_every_module_in_its_package() -> None:
    assert listed((DOCS / "architecture.md").read_text()) == modules()


def test_commands_are_read_with_what_they_printed() -> None:
    page = "text\n```console go1.27\n$ one\nsaid\n\nmore\n$ two\n```\n```\n$ none\n```\n"

    assert list(commands(page)) == [Command("one", (1, 27), "said\n\nmore\n"), Command("two", (1, 27), "")]


@pytest.mark.parametrize(
    ("shown", "said", "is_the_same"),
    [
        ("1 of 2\n", "1   of 2\n", True),
        ("1 of 2\n", "1 of 3\n", False),
        ("… of 2\n", "17 of 2\n", True),
        ("1.… KiB\n", "1.25 KiB\n", True),
        ("1.… KiB\n", "2.25 KiB\n", False),
        ("...\nlast\n", "first\n\nlast\n", True),
        ("...\nlast\n", "last\n", True),
        ("first\n", "first\nlast\n", False),
    ],
)
def test_what_varies_may_vary(shown: str, said: str, is_the_same: bool) -> None:
    assert bool(pattern(shown).fullmatch(said)) == is_the_same
