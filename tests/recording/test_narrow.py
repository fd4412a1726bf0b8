"""Columns of int64 that take as few bytes as their values need, and tables that are read as such columns."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import mapprobe
from mapprobe.analysis.report import limited
from mapprobe.recording import checks, files, stored_results
from mapprobe.recording.folder import table_path
from mapprobe.recording.narrow import gathered, kept, narrowed
from mapprobe.recording.tables import schema
from mapprobe.recording.tables.result import Replayed
from mapprobe.recording.writer import Writer
from support.sealing import unseal
from support.traces import SAMPLES, TRACES

SAMPLE = next(iter(SAMPLES))
WIDE = pa.schema([pa.field("count", pa.int64()), pa.field("name", pa.string())], metadata={"a": "b"})


def batch(counts: list[int | None]) -> pa.RecordBatch:
    names = [f"n{n}" for n in range(len(counts))]
    return pa.record_batch([pa.array(counts, pa.int64()), pa.array(names)], schema=WIDE)


@pytest.mark.parametrize(
    ("batches", "kind"),
    [
        ([], pa.int8()),
        ([[]], pa.int8()),
        ([[None]], pa.int8()),
        ([[0, 127], [-128, None]], pa.int8()),
        ([[0], [128], [1]], pa.int16()),
        ([[1 << 15], [1]], pa.int32()),
        ([[5], [-(1 << 31) - 1], [1 << 31]], pa.int64()),
    ],
)
def test_a_table_is_as_narrow_as_its_values_allow(batches: list[list[int | None]], kind: pa.DataType) -> None:
    parts = [batch(counts) for counts in batches]

    found = gathered(iter(parts), WIDE)

    assert (found["count"].type, found["name"].type) == (kind, pa.string())
    assert found.schema.metadata == WIDE.metadata
    assert found.cast(WIDE).equals(pa.Table.from_batches(parts, WIDE))


def test_a_table_of_which_all_is_kept_is_not_copied() -> None:
    table = pa.Table.from_batches([batch([1, 2])], WIDE)
    assert kept(table, pa.chunked_array([[True, True]])) is table
    assert kept(table, pa.chunked_array([[False, True]]))["count"].to_pylist() == [2]


def test_a_result_that_is_read_again_is_narrow_and_the_same(tmp_path: Path) -> None:
    path = shutil.copytree(TRACES / SAMPLE, tmp_path / "r")
    first = mapprobe.open(path).replay()

    again = stored_results.replayed(path, stored_results.fingerprint(path))

    assert isinstance(again, Replayed)
    for table, found, kind in zip(first.tables(), again.tables(), schema.REPLAYED, strict=True):
        assert found.cast(kind.schema).equals(table.cast(kind.schema))
        assert found.nbytes <= table.nbytes <= table.cast(kind.schema).nbytes


def test_hashes_that_are_not_known_take_no_memory(tmp_path: Path) -> None:
    rows = 200_000
    columns = {name: np.zeros(rows) for name in ("map_addr", "time_ns", "bucket", "control", "part", "home")}
    shutil.copytree(TRACES / SAMPLE, tmp_path / "r")
    table_path(tmp_path / "r", schema.SNAPSHOT_BUCKETS).unlink()
    with Writer(tmp_path / "r") as writer:
        writer.append(schema.SNAPSHOT_BUCKETS, columns | {"hashes": [None] * rows, "key_types": [None] * rows})
    unseal(tmp_path / "r")
    before = pa.total_allocated_bytes()

    found = checks.lean_buckets(tmp_path / "r")

    assert pa.total_allocated_bytes() - before < rows * 64  # a list of eight that is null takes as much
    assert found.equals(files.read_table(tmp_path / "r", schema.SNAPSHOT_BUCKETS))


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("top", [1, 2, 1000])
def test_a_report_of_the_top_maps_has_the_rows_and_sums_of_all(sample: str, top: int, tmp_path: Path) -> None:
    recording = mapprobe.open(shutil.copytree(TRACES / sample, tmp_path / "r"))
    (whole,) = recording.reports("map", ("fill",))

    (found,) = recording.reports("map", ("fill",), top=top)

    expected = limited(whole, top)
    assert found.rows.equals(expected.rows)
    assert found.others == expected.others


def test_a_narrowed_table_is_the_same() -> None:
    table = pa.Table.from_batches([batch([1, 2, None])], WIDE)
    assert narrowed(table).cast(WIDE).equals(table)
    assert narrowed(table)["count"].type == pa.int8()
