"""Packing events loses nothing, and damage is reported."""

import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import arrays
from mapprobe.errors import RecordingError
from mapprobe.recording import archive, files, packing
from mapprobe.recording.folder import create, table_path
from mapprobe.recording.packing import COMMON, common_columns, pack, select, times, unpack
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from support.sealing import unseal
from support.session_row import SESSION_ROW

ROWS = 40
LARGEST = {column.name: np.iinfo(column.type.to_pandas_dtype()).max for column in schema.EVENTS.columns}


def events(seed: int, rows: int = ROWS, few: int = 3) -> dict[str, np.ndarray]:
    """Return columns of events whose common columns take few values, the largest that their type holds among them."""
    draw = np.random.default_rng(seed)
    columns = {}
    for column in schema.EVENTS.columns:
        dtype = column.type.to_pandas_dtype()
        choice = np.array([0, 1, LARGEST[column.name], 7][:few], dtype)
        many = draw.integers(0, LARGEST[column.name], rows, dtype=dtype, endpoint=True)
        columns[column.name] = choice[draw.integers(0, few, rows)] if column.name in COMMON else many
    return columns


def as_batch(columns: dict[str, np.ndarray]) -> pa.RecordBatch:
    return pa.record_batch([pa.array(columns[name]) for name in schema.EVENTS.names], schema=schema.EVENTS.schema)


@given(seed=st.integers(0, 1 << 32), rows=st.integers(1, ROWS), few=st.integers(1, 4))
def test_packed_events_are_the_same_when_they_are_unpacked(seed: int, rows: int, few: int) -> None:
    columns = events(seed, rows, few)

    assert unpack(pack(columns)).equals(as_batch(columns))


def test_times_that_run_back_are_kept() -> None:
    columns = events(1, rows=3) | {"time_ns": np.array([5, 3, 9], np.uint64)}

    assert times(pack(columns)).tolist() == [5, 3, 9]


def test_a_high_half_that_comes_once_takes_one_more_row() -> None:
    small = np.arange(ROWS, dtype=np.uint64)
    columns = events(2, few=1) | {"time_ns": small + np.uint64(1 << 40), "count": small, "goid": small}

    assert len(pack(columns).column("header").dictionary) == 2
    assert unpack(pack(columns)).equals(as_batch(columns))


def test_columns_that_events_share_are_stored_once() -> None:
    small = np.arange(ROWS, dtype=np.uint64)
    columns = events(2) | {"time_ns": small, "count": small, "goid": small}
    distinct = set(zip(*(columns[name].tolist() for name in COMMON), strict=True))

    assert len(pack(columns).column("header").dictionary) == len(distinct)


def test_headers_of_one_digest_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MIX", np.uint64(0))
    columns = events(3)

    assert unpack(pack(columns)).equals(as_batch(columns))


def test_selected_events_keep_their_times_and_headers() -> None:
    columns = events(4)
    is_kept = np.arange(ROWS) % 3 == 1

    kept = unpack(select(pack(columns), is_kept))

    assert kept.equals(as_batch({name: column[is_kept] for name, column in columns.items()}))


def test_a_part_of_a_batch_has_its_own_headers() -> None:
    columns = events(5)

    number, (addrs,) = common_columns(pack(columns).slice(10, 20), ["map_addr"])

    assert np.array_equal(addrs[number], columns["map_addr"][10:30])


def test_a_batch_whose_headers_have_nulls_is_not_used(tmp_path: Path) -> None:
    create(tmp_path / "r", force=False)
    with Writer(tmp_path / "r") as writer:
        writer.append(schema.SESSION, SESSION_ROW)
    unseal(tmp_path / "r")
    whole = pack(events(6))
    header = whole.column("header")
    fields = [pa.array([None] * len(field), field.type) for field in header.dictionary.flatten()]
    struct = pa.StructArray.from_arrays(fields, fields=list(header.dictionary.type))
    broken = pa.DictionaryArray.from_arrays(header.indices, struct)
    columns = [broken if name == "header" else whole.column(name) for name in whole.schema.names]
    with pa.ipc.new_stream(table_path(tmp_path / "r", schema.EVENTS), whole.schema) as stream:
        stream.write_batch(whole)
        stream.write_batch(pa.record_batch(columns, schema=whole.schema))

    assert [batch.num_rows for batch in files.stored_batches(tmp_path / "r", schema.EVENTS)] == [ROWS]


def recorded(folder: Path, *sizes: int) -> pa.Table:
    """Write events in batches of these sizes, and return them."""
    create(folder, force=False)
    drawn = [events(seed, size) for seed, size in enumerate(sizes)]
    with Writer(folder) as writer:
        writer.append(schema.SESSION, SESSION_ROW)
        for columns in drawn:
            writer.append_batch(schema.EVENTS, pack(columns))
    return pa.Table.from_batches([as_batch(columns) for columns in drawn])


@pytest.mark.parametrize("sizes", [[1], [40, 3, 50], [packing.MOST_ROWS], [packing.MOST_ROWS, 5], [60_000, 60_000]])
def test_packed_recordings_hold_the_same_events_in_whole_batches(tmp_path: Path, sizes: list[int]) -> None:
    came = recorded(tmp_path / "r", *sizes)

    told: list[int] = []
    archive.pack_events(tmp_path / "r", told.append)

    assert files.read_table(tmp_path / "r", schema.EVENTS).equals(came)
    full, rest = divmod(sum(sizes), packing.MOST_ROWS)
    assert told == [packing.MOST_ROWS] * full + [rest] * bool(rest)


def test_what_is_left_of_a_recording_that_was_cut_off_is_packed(tmp_path: Path) -> None:
    came = recorded(tmp_path / "r", 1000, 1000)
    path = table_path(tmp_path / "r", schema.EVENTS)
    path.write_bytes(path.read_bytes()[:-100])

    archive.pack_events(tmp_path / "r")

    assert files.read_table(tmp_path / "r", schema.EVENTS).equals(came.slice(0, 1000))


def test_events_of_a_recording_without_depths_come_from_no_known_frame(tmp_path: Path) -> None:
    came = recorded(tmp_path / "r", 100)
    unseal(tmp_path / "r")
    (whole,) = files.stored_batches(tmp_path / "r", schema.EVENTS)
    lacking = whole.drop_columns(["depth"])
    with pa.ipc.new_stream(table_path(tmp_path / "r", schema.EVENTS), lacking.schema) as stream:
        stream.write_batch(lacking)

    found = files.read_table(tmp_path / "r", schema.EVENTS)
    assert set(found["depth"].to_pylist()) == {0}
    assert found.drop_columns(["depth"]).equals(came.drop_columns(["depth"]))


@pytest.fixture
def no_room() -> Iterator[None]:
    """No file may grow over 1 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_events_that_can_not_be_written_stay_as_they_were(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    came = recorded(tmp_path / "r", 4000)
    request.getfixturevalue("no_room")

    with pytest.raises(RecordingError, match="free some room"):
        archive.pack_events(tmp_path / "r")

    assert files.read_table(tmp_path / "r", schema.EVENTS).equals(came)
    assert list((tmp_path / "r").glob("*.part")) == []
