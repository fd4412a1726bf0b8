"""CSV and Parquet as DuckDB, pandas and polars read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from mapprobe.analysis.certainty import apart
from mapprobe.analysis.report import Report, limited
from mapprobe.analysis.retention import GROUPINGS, aggregate, totals
from mapprobe.report.table import write_csv, write_parquet
from mapprobe.vocabulary import View
from support.recordings import TYPES
from support.samples import ABOUT, shop

READERS: dict[str, Callable[[Path], Any]] = {
    "duckdb": lambda path: duckdb.sql(f"select sum(retained_bytes) from '{path}'").fetchall()[0][0],
    "pandas parquet": lambda path: pd.read_parquet(path)["retained_bytes"].sum(),
    "pandas csv": lambda path: pd.read_csv(path)["retained_bytes"].sum(),
    "polars parquet": lambda path: pl.read_parquet(path)["retained_bytes"].sum(),
    "polars csv": lambda path: pl.read_csv(path)["retained_bytes"].sum(),
}


@pytest.fixture(params=[(by, top) for by in GROUPINGS for top in (1, 100)], ids=str)
def report(request: pytest.FixtureRequest) -> Report:
    """Give a report by each grouping, whole and cut."""
    by, top = request.param
    recording = shop()
    replayed = recording.settled()
    rows = aggregate(replayed, TYPES, recording.sites, "swiss", by, View.FILL)
    return limited(Report(ABOUT, by, "fill", totals(replayed), rows, {}, {}, apart(replayed)), top)


@pytest.mark.parametrize(("write", "ending"), [(write_csv, "csv"), (write_parquet, "parquet")])
def test_who_reads_it_gets_the_totals(
    report: Report, write: Callable[[Report, Any], None], ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"report.{ending}"
    with path.open("wb") as file:
        write(report, file)
    sums = {name: int(read(path)) for name, read in READERS.items() if ending in name or name == "duckdb"}
    assert sums == dict.fromkeys(sums, report.totals["retained_bytes"])
