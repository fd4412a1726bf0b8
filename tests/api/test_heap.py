"""The heap of the sample recordings: its figures stay the same, and damage gives a result or one clear error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import mapprobe
from mapprobe.errors import MapprobeError, RecordingError
from mapprobe.recording import files, stored_results
from mapprobe.recording.folder import table_path
from mapprobe.recording.tables.heap import ARRAYS, CYCLES, FIGURES, HEAP_TABLES, RESIDENCE, RETURNS, SPANS
from mapprobe.recording.tables.schema import Table
from support.traces import EXPECTED, HEAP_SAMPLES, SAMPLES, TRACES, expected_of_heap

MOST = (1 << 64) - 1
QUOTE = "'"


CASES = [(name, table) for name in HEAP_SAMPLES for table in HEAP_TABLES if table_path(TRACES / name, table).is_file()]
"""Of one recording every large object is known, of the other those that were there at the start: none."""


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(TRACES / name, tmp_path / name, ignore=lambda *_: {EXPECTED}))


@pytest.fixture(params=HEAP_SAMPLES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copied(request.param, tmp_path)


def test_all_tables_are_in_some_recording() -> None:
    assert {table for _, table in CASES} == set(HEAP_TABLES)


def test_a_shipped_recording_says_what_it_did_when_it_was_made(folder: Path) -> None:
    expected = json.loads((TRACES / folder.name / EXPECTED).read_text())

    assert json.loads(json.dumps(expected_of_heap(folder), default=str)) == expected


def test_a_recording_without_the_heap_says_so(tmp_path: Path) -> None:
    plain = shutil.copytree(TRACES / next(iter(SAMPLES)), tmp_path / "recording")

    with pytest.raises(RecordingError, match=r"nothing of the heap is in it: record with --heap$"):
        _ = mapprobe.open(plain).heap


def outcome(folder: Path) -> str:
    """Return what went wrong with the heap's side, nothing if it gave a report whose parts add up."""
    try:
        heap = mapprobe.open(folder).heap
        document: Any = heap.document()
        heap.arrays()
    except MapprobeError as error:
        return str(error)
    assert sum(part["bytes"] for part in document["parts"]) == document["rss_bytes"]
    return ""


@pytest.mark.parametrize("how", ["missing", "garbage", "cut"])
@pytest.mark.parametrize(("name", "table"), CASES, ids=lambda part: part.name if isinstance(part, Table) else part)
def test_a_damaged_table_is_a_result_or_one_clear_error(tmp_path: Path, name: str, table: Table, how: str) -> None:
    folder = copied(name, tmp_path)
    path = table_path(folder, table)
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(b"garbage" * 100 if how == "garbage" else content[: len(content) // 2])
    said = outcome(folder)

    if table in (FIGURES, RESIDENCE):
        assert how == "cut" or "record" in said
    assert "\n" not in said


def rewritten(folder: Path, table: Table, column: str, value: object) -> None:
    """Let one value of a table be another."""
    data = files.read_table(folder, table)
    number = data.column_names.index(column)
    values = [*data[column].to_pylist()[:-1], value]
    stored_results.write_table(
        folder, table, data.set_column(number, data.schema.field(number), pa.array(values, data.schema.types[number]))
    )


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (SPANS, "stack_id", 1 << 31),
        (SPANS, "bytes", MOST),
        (ARRAYS, "state", 99),
        (ARRAYS, "stack_id", 1 << 31),
        (CYCLES, "phase", 77),
        (RETURNS, "reason", 200),
        (RESIDENCE, "part", "no such part"),
        (FIGURES, "heap_in_use_bytes", MOST),
    ],
    ids=lambda part: part.name if isinstance(part, Table) else str(part),
)
def test_values_that_no_recorder_writes_are_one_clear_error(
    tmp_path: Path, table: Table, column: str, value: object
) -> None:
    folder = copied(next(name for name, there in CASES if there is table), tmp_path)
    rewritten(folder, table, column, value)

    assert outcome(folder) == f"recording {folder}: {table.name}.arrow is damaged: record again"


@pytest.mark.parametrize(
    ("table", "column"), [(SPANS, "time_ns"), (CYCLES, "time_ns"), (RETURNS, "addr"), (SPANS, "addr")]
)
def test_absurd_times_and_addresses_are_a_result_or_one_clear_error(tmp_path: Path, table: Table, column: str) -> None:
    folder = copied(next(name for name, there in CASES if there is table), tmp_path)
    rewritten(folder, table, column, MOST)

    assert "\n" not in outcome(folder)


def test_findings_are_a_frame_and_what_a_notebook_shows(folder: Path) -> None:
    recording = mapprobe.open(folder)
    assert "not replayed yet" in recording.heap._repr_html_()

    document: Any = recording.heap.document()
    assert recording.heap.findings().holder.tolist() == [row["holder"] for row in document["findings"]]
    shown = recording.heap._repr_html_()
    assert all(f"<b>{row['holder'].replace(QUOTE, '&#x27;')}</b>" in shown for row in document["findings"])
    old = {name: row for name, row in document["findings"][0].items() if name not in ("share", "parts")}
    assert document["verdict"] == old
