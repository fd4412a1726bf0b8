"""Strange function names: each format keeps them complete, and they change no other name."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pyarrow.parquet
import pytest

from mapprobe.report import markdown
from mapprobe.report.profiles import folded, pprof, speedscope
from mapprobe.report.table import write_csv, write_json, write_parquet
from mapprobe.text import as_cell
from support.budgets import NOTHING, checked
from support.samples import HOSTILE, inlined_frames, named, profile, report_on, shop

NAMES = (
    HOSTILE,
    "main.Käse[map[string]世界].func1·🧀",
    "main.\"it's\", 'quoted'\\",
    "main.two\nlines\r\n\tand a tab",
    "main.\x1b[31mred\x07",
    "=cmd|' /C calc'!A0",
    "main.\u202eright to left",
)
every_name = pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))


@every_name
def test_json_and_parquet_give_a_name_back_and_csv_a_safe_cell(name: str) -> None:
    report = report_on(named(shop(), name))
    as_json, as_csv, as_parquet = io.StringIO(), io.BytesIO(), io.BytesIO()
    write_json(report, as_json)
    write_csv(report, as_csv)
    write_parquet(report, as_parquet)
    rows = csv.DictReader(io.StringIO(as_csv.getvalue().decode(), newline=""))
    table = pyarrow.parquet.read_table(io.BytesIO(as_parquet.getvalue()))

    expected = [name, "main.site2", "main.site3"]
    assert [row["function"] for row in json.loads(as_json.getvalue())["rows"]] == expected
    assert [row["function"] for row in rows] == list(map(as_cell, expected))
    assert table["function"].to_pylist() == expected


@every_name
def test_profiles_give_a_name_back(name: str) -> None:
    of = profile(frames=inlined_frames({1: name}))
    as_pprof, as_speedscope, as_folded = io.BytesIO(), io.StringIO(), io.StringIO()
    pprof.write(of, as_pprof)
    speedscope.write(of, as_speedscope)
    folded.write(of, as_folded)
    message = pprof.message_class().FromString(gzip.decompress(as_pprof.getvalue()))

    assert name in message.string_table
    assert name in [frame["name"] for frame in json.loads(as_speedscope.getvalue())["shared"]["frames"]]
    retained = [int(line.rpartition(" ")[2]) for line in as_folded.getvalue().splitlines()]
    assert sum(retained) == of.values[:, 0].sum()
    assert all(line.isprintable() for line in as_folded.getvalue().splitlines())


@every_name
def test_a_row_of_markdown_stays_one(name: str) -> None:
    out = io.StringIO()
    markdown.write(checked(NOTHING, function=name), out)
    assert all(line.isprintable() for line in out.getvalue().split("\n"))
    rows = [line for line in out.getvalue().splitlines() if "KiB |" in line]

    assert len(rows) == 3
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
