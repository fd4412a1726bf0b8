from pathlib import Path

import pyarrow as pa
import pytest

from mapprobe.errors import RecordingError
from mapprobe.recording import files
from mapprobe.recording.tables import schema
from support.session_row import SESSION_ROW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    files.create(path, force=False)
    with files.Writer(path) as writer:
        writer.append(schema.SESSION, SESSION_ROW)
        for first in (0, 100, 200):
            ids = list(range(first, first + 100))
            writer.append(schema.STACKS, {"stack_id": ids, "pcs": [[i, i + 1] for i in ids]})
    return path


def test_what_was_appended_reads_back(folder):
    stacks = files.read_table(folder, schema.STACKS)

    assert stacks["stack_id"].to_pylist() == list(range(300))
    assert stacks["pcs"][7].as_py() == [7, 8]


def test_a_table_that_was_never_written_reads_as_empty(folder):
    assert files.read_table(folder, schema.GAPS).num_rows == 0


def test_a_stream_cut_anywhere_gives_its_complete_batches(folder):
    path = files.table_path(folder, schema.STACKS)
    whole = path.read_bytes()
    seen = set()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])

        rows = files.read_table(folder, schema.STACKS).num_rows

        assert rows in (0, 100, 200, 300)
        seen.add(rows)
    assert seen == {0, 100, 200, 300}


def test_a_folder_that_is_no_recording_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="no recording here"):
        files.read_table(tmp_path, schema.EVENTS)


def test_another_schema_version_is_refused(folder):
    path = files.table_path(folder, schema.STACKS)
    path.write_bytes(path.read_bytes().replace(b"mapprobe.version", b"mapprobe.versiox"))

    with pytest.raises(RecordingError, match="has schema"):
        files.read_table(folder, schema.STACKS)


def test_an_existing_recording_is_kept_unless_forced(folder):
    with pytest.raises(RecordingError, match="--force"):
        files.create(folder, force=False)

    files.create(folder, force=True)

    assert list(folder.iterdir()) == []


def test_a_folder_with_other_files_is_never_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")

    with pytest.raises(RecordingError, match="not a recording"):
        files.create(tmp_path, force=True)

    assert (tmp_path / "thesis.txt").exists()


def test_what_a_recorder_left_that_was_killed_early_is_overwritten(folder):
    files.table_path(folder, schema.SESSION).unlink()
    files.table_path(folder, schema.GAPS).write_bytes(b"")

    files.create(folder, force=True)

    assert list(folder.iterdir()) == []


def test_tables_of_others_are_never_removed(tmp_path):
    path = files.table_path(tmp_path, schema.TYPES)
    table = pa.table({"mine": [1]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)

    with pytest.raises(RecordingError, match="not a recording"):
        files.create(tmp_path, force=True)

    assert path.exists()


def test_a_table_written_whole_carries_its_metadata(folder):
    data = files.read_table(folder, schema.STACKS)

    files.write_table(folder, schema.STACKS, data, {"fingerprint": "abc"})

    assert files.read_table(folder, schema.STACKS).equals(data)
    assert files.table_metadata(folder, schema.STACKS)["fingerprint"] == "abc"


def test_a_batch_that_lacks_values_is_as_good_as_cut_off(folder):
    path = files.table_path(folder, schema.STACKS)
    first, second, third = files.batches(folder, schema.STACKS)
    holes = pa.array([None, *range(1, len(second))], pa.uint32())
    with pa.ipc.new_stream(path, schema.STACKS.schema) as stream:
        stream.write_batch(first)
        stream.write_batch(pa.record_batch([holes, second["pcs"]], schema=schema.STACKS.schema))
        stream.write_batch(third)

    assert files.read_table(folder, schema.STACKS).num_rows == first.num_rows


def test_a_table_that_was_written_whole_is_whole(folder):
    data = files.read_table(folder, schema.STACKS)

    files.write_table(folder, schema.STACKS, data)

    assert files.whole_table(folder, schema.STACKS, {}) == data


def test_columns_that_an_older_recording_lacks_have_their_defaults(folder):
    table = schema.Table(
        "grown",
        "a row",
        (
            schema.Column("size", schema.I64, "a size"),
            schema.Column("least", schema.I64, "the same, or less", default=schema.Like("size")),
            schema.Column("kind", schema.U8, "a code", default=7),
            schema.Column("why", schema.TEXT, "a text", nullable=True),
        ),
    )
    older = schema.Table(table.name, table.row, table.columns[:1])
    with files.Writer(folder) as writer:
        writer.append(older, {"size": [3, 4]})
    rows = files.read_table(folder, table).to_pylist()
    assert rows == [{"size": n, "least": n, "kind": 7, "why": None} for n in (3, 4)]


def test_a_column_without_a_default_is_never_lacking(folder):
    table = schema.Table("shrunk", "a row", (schema.Column("a", schema.I64, "a"), schema.Column("b", schema.I64, "b")))
    with files.Writer(folder) as writer:
        writer.append(schema.Table(table.name, table.row, table.columns[:1]), {"a": [1]})
    with pytest.raises(RecordingError, match="foreign columns"):
        files.read_table(folder, table)


def test_tables_that_are_written_together_are_none_of_them_if_a_value_fits_no_column(folder):
    stacks = {"stack_id": [7], "pcs": [[1]]}
    other = folder.with_name("other")
    files.create(other, force=False)
    with files.Writer(other) as writer, pytest.raises((ValueError, OverflowError)):
        writer.append_all([(schema.STACKS, stacks), (schema.STACKS, stacks | {"stack_id": [-1]})])

    assert list(other.iterdir()) == []
