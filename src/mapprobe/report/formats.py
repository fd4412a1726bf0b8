"""The formats of a report: the data that each is made from, and the module that writes it.

A new format is a row of this table, and a module with `write(data, out)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module


class Source(StrEnum):
    """The data that a format is made from."""

    REPORT = "report"
    """Rows of one grouping, in one view or in several."""
    PROFILE = "profile"
    """Stacks and what each is charged; the user can't choose another grouping."""
    OVERVIEW = "overview"
    """All groupings, and their figures over time."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes
    ----------
    made_from
        What the writer takes.
    module, function
        The writer, below `mapprobe.report`; imported when needed, so that no other format's libraries are loaded.
    is_text
        The format can be shown on a terminal.
    takes_text
        The writer takes a file of text, else a file of bytes.
    is_whole
        The format has every row up to `analysis.report.MOST_ROWS`, else only the top rows.
    has_views
        The format shows several views one below another.
    """

    made_from: Source
    module: str
    function: str = "write"
    is_text: bool = True
    takes_text: bool = False
    is_whole: bool = False
    has_views: bool = False

    def writer(self) -> Callable[..., None]:
        """Return the function that writes the format."""
        found: Callable[..., None] = getattr(import_module(f"mapprobe.report.{self.module}"), self.function)
        return found


TABLE = "table"
JSON = "json"
FORMATS = {
    TABLE: Format(Source.REPORT, "table", takes_text=True, has_views=True),
    JSON: Format(Source.REPORT, "table", "write_json", takes_text=True, is_whole=True),
    "csv": Format(Source.REPORT, "table", "write_csv", is_whole=True),
    "parquet": Format(Source.REPORT, "table", "write_parquet", is_text=False, is_whole=True),
    "pprof": Format(Source.PROFILE, "profiles.pprof", is_text=False),
    "folded": Format(Source.PROFILE, "profiles.folded", takes_text=True),
    "speedscope": Format(Source.PROFILE, "profiles.speedscope", takes_text=True),
    "html": Format(Source.OVERVIEW, "page.html"),
    "perfetto": Format(Source.OVERVIEW, "profiles.perfetto", is_text=False),
}
