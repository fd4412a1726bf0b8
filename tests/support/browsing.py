"""A page about a recording, written and opened in the browser that it is for."""

from __future__ import annotations

import io
from pathlib import Path

from playwright.sync_api import Browser, Page

from mapprobe.analysis.overview import Overview
from mapprobe.report.page.html import NOT_RECORDED, write

WIDTHS = {"wide": 1280, "narrow": 390}


def written(overview: Overview, heap: dict | str = NOT_RECORDED) -> bytes:
    out = io.BytesIO()
    write(overview, out, heap)
    return out.getvalue()


class Opened:
    """A page in a browser, and what went wrong there."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
