"""A browser, and a recording to show in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from mapprobe.analysis.overview import Overview
from support.host import NOT_RUN, insists
from support.samples import overview_of, shop


@pytest.fixture(scope="module")
def seen() -> Overview:
    return overview_of(shop())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None and not insists():
        pytest.skip(f"{NOT_RUN}: no chromium")
    assert path, "no chromium: make setup installs it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
