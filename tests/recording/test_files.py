import os
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from mapprobe.errors import RecordingError
from mapprobe.recording import files, stored_results
from mapprobe.recording.folder import create, table_path
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from support.session_row import SESSION_ROW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    create(path, force=False)
    with Writer(path) as writer:
        writer.append(schema.SESSION, SESSION_ROW)
        for first in (0, 100, 200):
            ids = list(range(first, first + 100))
            writer.append(schema.STACKS, {"stack_id": ids, "pcs": [[i, i + 1] for i in ids]})
    return path


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A recording of before there were checksums."""
    path = tmp_path / "older"
    path.mkdir()
    stacks = pa.table({"stack_id": range(300), "pcs": [[i, i + 1] for i in range(300)]}, schema=schema.STACKS.schema)
    for table, rows in ((schema.SESSION, pa.table(SESSION_ROW, schema=schema.SESSION.schema)), (schema.STACKS, stacks)):
        with pa.ipc.new_stream(table_path(path, table), table.schema) as stream:
            stream.write_table(rows, 100)
    return path


def test_what_was_appended_reads_back(folder):
    stacks = files.read_table(folder, schema.STACKS)

    assert stacks["stack_id"].to_pylist() == list(range(300))
    assert stacks["pcs"][7].as_py() == [7, 8]


def test_a_table_that_was_never_written_reads_as_empty(folder):
    assert files.read_table(folder, schema.GAPS).num_rows == 0


def test_a_stream_cut_anywhere_gives_its_complete_batches(older):
    path = table_path(older, schema.STACKS)
    whole = path.read_bytes()
    seen = set()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])

        rows = files.read_table(older, schema.STACKS).num_rows

        assert rows in (0, 100, 200, 300)
        seen.add(rows)
    assert seen == {0, 100, 200, 300}


def test_a_folder_that_is_no_recording_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="no recording here"):
        files.read_table(tmp_path, schema.EVENTS)


def test_another_schema_version_is_refused(folder):
    path = table_path(folder, schema.STACKS)
    path.write_bytes(path.read_bytes().replace(b"mapprobe.version", b"mapprobe.versiox"))

    with pytest.raises(RecordingError, match="has schema"):
        files.read_table(folder, schema.STACKS)


def test_an_existing_recording_is_kept_unless_forced(folder):
    with pytest.raises(RecordingError, match="--force"):
        create(folder, force=False)

    create(folder, force=True)

    assert list(folder.iterdir()) == []


def test_a_folder_with_other_files_is_never_removed(tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")

    with pytest.raises(RecordingError, match="not a recording"):
        create(tmp_path, force=True)

    assert (tmp_path / "thesis.txt").exists()


def test_what_a_recorder_left_that_was_killed_early_is_overwritten(folder):
    table_path(folder, schema.SESSION).unlink()
    table_path(folder, schema.GAPS).write_bytes(b"")

    create(folder, force=True)

    assert list(folder.iterdir()) == []


def test_tables_of_others_are_never_removed(tmp_path):
    path = table_path(tmp_path, schema.TYPES)
    table = pa.table({"mine": [1]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)

    with pytest.raises(RecordingError, match="not a recording"):
        create(tmp_path, force=True)

    assert path.exists()


def test_a_table_written_whole_carries_its_metadata(older):
    data = files.read_table(older, schema.STACKS)

    stored_results.write_table(older, schema.STACKS, data, {"fingerprint": "abc"})

    assert files.read_table(older, schema.STACKS).equals(data)
    assert stored_results.table_metadata(older, schema.STACKS)["fingerprint"] == "abc"


def test_a_batch_that_lacks_values_is_as_good_as_cut_off(older):
    path = table_path(older, schema.STACKS)
    first, second, third = files.batches(older, schema.STACKS)
    holes = pa.array([None, *range(1, len(second))], pa.uint32())
    with pa.ipc.new_stream(path, schema.STACKS.schema) as stream:
        stream.write_batch(first)
        stream.write_batch(pa.record_batch([holes, second["pcs"]], schema=schema.STACKS.schema))
        stream.write_batch(third)

    assert files.read_table(older, schema.STACKS).num_rows == first.num_rows


def test_a_table_that_was_written_whole_is_whole(older):
    data = files.read_table(older, schema.STACKS)

    stored_results.write_table(older, schema.STACKS, data)

    assert stored_results.whole_table(older, schema.STACKS, {}) == data


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
    with Writer(folder) as writer:
        writer.append(older, {"size": [3, 4]})
    rows = files.read_table(folder, table).to_pylist()
    assert rows == [{"size": n, "least": n, "kind": 7, "why": None} for n in (3, 4)]


def test_a_column_without_a_default_is_never_lacking(folder):
    table = schema.Table("shrunk", "a row", (schema.Column("a", schema.I64, "a"), schema.Column("b", schema.I64, "b")))
    with Writer(folder) as writer:
        writer.append(schema.Table(table.name, table.row, table.columns[:1]), {"a": [1]})
    with pytest.raises(RecordingError, match="foreign columns"):
        files.read_table(folder, table)


def test_tables_that_are_written_together_are_none_of_them_if_a_value_fits_no_column(folder):
    stacks = {"stack_id": [7], "pcs": [[1]]}
    other = folder.with_name("other")
    create(other, force=False)
    with Writer(other) as writer, pytest.raises((ValueError, OverflowError)):
        writer.append_all([(schema.STACKS, stacks), (schema.STACKS, stacks | {"stack_id": [-1]})])

    assert list(other.iterdir()) == []


def test_only_the_owner_may_read_a_recording(tmp_path):
    path = tmp_path / "recording"
    before = os.umask(0)
    try:
        create(path, force=False)
        with Writer(path) as writer:
            writer.append(schema.SESSION, SESSION_ROW)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}


def test_files_that_no_recording_has_are_never_removed(folder):
    (folder / "precious.txt").write_text("ten years of work")

    with pytest.raises(RecordingError, match=r"has 'precious.txt', which no recording has"):
        create(folder, force=True)

    assert (folder / "precious.txt").exists()
    assert table_path(folder, schema.SESSION).exists()


@pytest.mark.parametrize("force", [True, False])
def test_a_link_to_a_recording_is_not_followed(folder, force):
    link = folder.with_name("link")
    link.symlink_to(folder)

    with pytest.raises(RecordingError, match="is a link"):
        create(link, force=force)

    assert table_path(folder, schema.SESSION).exists()


def test_a_link_in_the_place_of_a_table_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("mine")
    path = tmp_path / "recording"
    create(path, force=False)
    table_path(path, schema.SESSION).symlink_to(target)

    with pytest.raises(RecordingError, match="File exists"), Writer(path) as writer:
        writer.append(schema.SESSION, SESSION_ROW)

    assert target.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody")
def test_what_root_records_for_a_user_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_GID", "65533")
    path = tmp_path / "recording"
    create(path, force=False)
    with Writer(path) as writer:
        writer.append(schema.SESSION, SESSION_ROW)

    owners = {(found.st_uid, found.st_gid) for found in (path.stat(), table_path(path, schema.SESSION).stat())}
    assert owners == {(65534, 65533)}
