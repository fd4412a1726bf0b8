"""`Recording` as users have it: tables, stored and outdated replays, reports, other readers, torn files."""

import json
import shutil
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import mapprobe
from mapprobe import vocabulary
from mapprobe.errors import RecordingError
from mapprobe.recording import files, stored_results
from mapprobe.recording.folder import table_path
from mapprobe.recording.stored_results import RESULT_SOURCES
from mapprobe.recording.tables import schema
from mapprobe.report.table import SURENESS
from mapprobe.vocabulary import EventKind
from support import truth
from support.gobuild import build_program
from support.sealing import seal

pytestmark = pytest.mark.system

RELEASE = (1, 27)
BATCH_ROWS = 100
ABOUT = [
    *("go_version", "build_id", "binary", "pid", "implementation", "started", "ended", "events"),
    *("lost_events", "probes", "census"),
]
KEYS = {
    "map": ["map", "generation", "type", "implementation", "state", "exact", "created_at"],
    "site": ["function", "file", "line", "package"],
    "type": ["type"],
    "stack": ["stack"],
}
VIEWS = list(map(str, vocabulary.VIEWS))
CHARGED = [column.name for column in schema.HOLDINGS]


def said(*words):
    """Return what the command line did."""
    command = [sys.executable, "-m", "mapprobe", *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def binary():
    return build_program("strings", RELEASE)


@pytest.fixture(scope="module")
def recorded(binary, tmp_path_factory):
    """A recording, and what the program that was recorded said."""
    folder = tmp_path_factory.mktemp("record") / "recording"
    done = said("record", "-o", folder, "--", binary, *truth.arguments("strings", 1000))
    assert done.returncode == 0, done.stderr
    return folder, truth.parse(done.stdout)


@pytest.fixture(scope="module")
def recording(recorded):
    """The recording, for those that only look."""
    return mapprobe.open(recorded[0])


@pytest.fixture
def folder(recorded, tmp_path):
    """A copy of the recording, with its events in small batches and without a result."""
    path, _ = recorded
    results = [f"{table.name}.arrow" for table in schema.REPLAYED]
    copy = shutil.copytree(path, tmp_path / "copy", ignore=shutil.ignore_patterns(*results))
    seal(copy, rows=BATCH_ROWS)
    return copy


def unfinish(folder):
    """Leave of the session what a killed recorder leaves: its first row."""
    seal(folder, is_finished=False, rows=BATCH_ROWS)


def results(folder):
    """Return what tells one stored result from a later one."""
    stats = [table_path(folder, table).stat() for table in schema.REPLAYED]
    return [(file.st_ino, file.st_mtime_ns) for file in stats]


def assignments(replayed):
    return sum(pc.sum(replayed.maps[name], min_count=0).as_py() for name in ("inserts", "updates"))


def assign_events(events):
    return pc.sum(pc.equal(events["kind"], EventKind.ASSIGN), min_count=0).as_py()


def test_the_session_says_what_was_recorded(recording, recorded, binary):
    expected = {"binary": str(binary), "go_version": recorded[1].go_version, "lost_events": 0, "probes": "ops"}

    found = recording.session.document()
    assert {name: found[name] for name in expected} == expected


def test_the_session_counts_the_events_that_are_there(recording):
    assert recording.events().read_all().num_rows == recording.session.events > 0


def test_events_are_read_as_the_schema_says(recording):
    assert recording.events().schema.equals(schema.EVENTS.schema, check_metadata=True)


def test_batches_of_events_are_those_that_were_written(folder):
    rows = [batch.num_rows for batch in mapprobe.open(folder).events()]

    assert rows[:-1] == [BATCH_ROWS] * (len(rows) - 1)


def test_every_assignment_was_an_insert_or_an_update(recording):
    assert assignments(recording.replay()) == assign_events(recording.events().read_all())


@pytest.mark.parametrize("by", KEYS)
def test_a_frame_is_keys_then_measures(recording, by):
    expected = [*KEYS[by], *schema.MEASURES]

    assert list(recording.retention(by=by))[: len(expected)] == expected


@pytest.mark.parametrize("by", KEYS)
def test_measures_of_a_frame_are_integers(recording, by):
    measures = recording.retention(by=by)[list(schema.MEASURES)]

    assert {str(dtype) for dtype in measures.dtypes} == {"int64"}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("by", KEYS)
def test_every_frame_sums_to_the_totals(recording, by, view):
    totals = recording.report(by=by, view=view)["totals"]

    sums = recording.retention(by=by, view=view)[CHARGED].sum()
    assert sums.to_dict() == {name: totals[name] for name in CHARGED}


@pytest.mark.parametrize("by", KEYS)
def test_rows_of_a_report_are_those_of_the_frame(recording, by):
    rows = recording.report(by=by)["rows"]

    sureness = SURENESS if by == "map" else ()
    assert [list(row) for row in rows] == [[*KEYS[by], *schema.MEASURES, *sureness]] * len(recording.retention(by=by))


def test_a_report_is_the_document_of_the_contract(recording):
    report = recording.report(by="map", view="drain")

    assert list(report) == ["schema", "recording", "by", "view", "totals", "rows"]
    assert (report["schema"], report["by"], report["view"]) == ("mapprobe.report/1", "map", "drain")


def test_a_report_says_what_was_recorded(recording):
    assert list(recording.report()["recording"]) == ABOUT


def test_totals_are_the_measures_in_their_order(recording):
    assert tuple(recording.report()["totals"]) == schema.MEASURES


def test_a_report_survives_json(recording):
    report = recording.report(by="stack")

    assert json.loads(json.dumps(report)) == report


def test_a_grouping_that_is_none_is_refused(recording):
    with pytest.raises(ValueError, match="colour"):
        recording.report(by="colour")


def test_a_replay_is_kept(folder):
    replayed = mapprobe.open(folder).replay()

    kept = [files.read_table(folder, table) for table in schema.REPLAYED]
    narrow = zip(kept, astuple(replayed), strict=True)
    assert all(table.equals(data.cast(table.schema)) for table, data in narrow)


def test_every_module_that_a_replay_is_made_by_is_looked_at_for_changes():
    made_by = "mapprobe.replay.from_census, mapprobe.replay.replay, mapprobe.replay.balance, mapprobe.replay.last_read"
    loaded = f"import sys, {made_by}; print(*(m for m in sys.modules if m.startswith('mapprobe.')))"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    modules = {name.split(".")[1] for name in run.stdout.split()} - {"errors", "_core"}

    assert modules <= {name.removesuffix(".py") for name in RESULT_SOURCES}


@pytest.mark.parametrize("source", ["vocabulary.py", "replay/balance.py", "model/sizes.py", "recording/sites.py"])
def test_a_result_is_outdated_when_a_source_of_it_has_changed(source, monkeypatch):
    before, changed = stored_results.sources_digest.__wrapped__(), Path(mapprobe.__file__).parent / source
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path == changed))

    assert stored_results.sources_digest.__wrapped__() != before


def test_a_replay_that_was_kept_is_not_repeated(folder):
    mapprobe.open(folder).replay()
    before = results(folder)

    mapprobe.open(folder).report()

    assert results(folder) == before


def test_a_replay_is_repeated_when_forced(folder):
    mapprobe.open(folder).replay()
    before = results(folder)

    mapprobe.open(folder).replay(force=True)

    assert not set(results(folder)) & set(before)


def test_a_replay_is_repeated_after_a_table_changed(folder):
    mapprobe.open(folder).replay()
    fewer = files.read_table(folder, schema.EVENTS).slice(0, 5 * BATCH_ROWS)
    seal(folder, fewer, rows=BATCH_ROWS)

    assert assignments(mapprobe.open(folder).replay()) == assign_events(fewer)


@pytest.mark.parametrize("table", schema.REPLAYED, ids=lambda table: table.name)
def test_a_replay_is_repeated_if_a_part_of_its_result_is_missing(folder, table):
    expected = mapprobe.open(folder).report()
    table_path(folder, table).unlink()

    assert mapprobe.open(folder).report() == expected


def test_a_replay_up_to_a_moment_is_not_kept(folder):
    recording = mapprobe.open(folder)

    assert assignments(recording.replay(until_ns=0)) == 0
    # what the whole recording says of each map is asked for too, and that is kept
    kept = files.read_table(folder, schema.STACK_OPERATIONS)
    assert sum(kept["inserts"].to_pylist()) > 0


def test_a_replay_up_to_a_moment_ends_there(folder):
    recording = mapprobe.open(folder)
    events = recording.events().read_all()
    moment = events["time_ns"][len(events) // 2].as_py()
    until_then = events.filter(pc.less_equal(events["time_ns"], moment))

    replayed = recording.replay(until_ns=moment - recording.session.row["started_ns"])

    assert assignments(replayed) == assign_events(until_then)


def test_pandas_reads_events(recording):
    frame = recording.events().read_pandas()

    assert (len(frame), list(frame)) == (recording.session.events, schema.EVENTS.names)


def test_polars_reads_events(recording):
    frame = polars.from_arrow(recording.events().read_all())

    assert (len(frame), frame.columns) == (recording.session.events, schema.EVENTS.names)


def test_duckdb_reads_events(recording):
    (row,) = duckdb.from_arrow(recording.events()).aggregate("count(*), count(distinct map_addr)").fetchall()

    addrs = recording.events().read_all()["map_addr"]
    assert row == (recording.session.events, len(addrs.unique()))


def test_a_recording_cut_anywhere_opens_and_uses_its_complete_batches(folder):
    unfinish(folder)
    path = table_path(folder, schema.EVENTS)
    whole = path.read_bytes()
    seen = set()
    for length in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        recording = mapprobe.open(folder)
        events = recording.events().read_all()

        assert len(events) == recording.event_count
        assert assignments(recording.replay()) == assign_events(events)
        seen.add(len(events))
    assert seen >= set(range(0, recording.event_count, BATCH_ROWS))


def test_a_recording_that_was_killed_says_that_it_did_not_end(folder):
    unfinish(folder)

    assert mapprobe.open(folder).session.document()["ended"] is None


@pytest.mark.parametrize("content", [b"", b"garbage" * 100], ids=["empty", "garbage"])
def test_a_session_that_is_none_is_refused_in_one_line(folder, content):
    table_path(folder, schema.SESSION).write_bytes(content)

    with pytest.raises(RecordingError, match=r"^recording .+: .*cut before its first batch.*$"):
        mapprobe.open(folder)


def test_a_session_that_is_missing_is_refused_in_one_line(folder):
    table_path(folder, schema.SESSION).unlink()

    with pytest.raises(RecordingError, match=r"^recording .+: no recording here: .+$"):
        mapprobe.open(folder)


@pytest.mark.parametrize("table", schema.RECORDED, ids=lambda table: table.name)
def test_a_table_of_foreign_columns_is_refused_in_one_line(folder, table):
    other = schema.STACKS if table is schema.SESSION else schema.SESSION
    shutil.copy(table_path(folder, other), table_path(folder, table))

    with pytest.raises(RecordingError, match=rf"^recording .+: {table.name}.arrow has foreign columns: .+$"):
        mapprobe.open(folder).replay()


@pytest.mark.parametrize("table", schema.RECORDED, ids=lambda table: table.name)
def test_a_table_of_another_version_is_refused_in_one_line(folder, table):
    later = table.schema.with_metadata({"mapprobe.version": "99"})
    with pa.ipc.new_stream(table_path(folder, table), later) as stream:
        stream.write_table(later.empty_table())

    with pytest.raises(RecordingError, match=rf"^recording .+: {table.name}.arrow has schema 99, .+$"):
        mapprobe.open(folder).replay()


@pytest.mark.parametrize("command", ["replay", "report", "verify"])
def test_a_command_prints_one_json_document(folder, command):
    done = said(command, "--json", folder)

    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)


def test_the_report_of_the_command_line_is_that_of_the_api(folder):
    done = said("report", "--json", "--by", "type", "--view", "drain", folder)

    assert json.loads(done.stdout) == mapprobe.open(folder).report(by="type", view="drain")


def test_a_report_that_cannot_be_written_is_named_and_exit_2(folder):
    done = said("report", folder, "--format", "csv", "-o", folder / "absent" / "report.csv")

    assert "report.csv: No such file" in done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (2, "")


def test_the_result_of_a_recording_that_can_not_be_written_is_kept_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPPROBE_CACHE", str(tmp_path / "cache"))
    expected = mapprobe.open(folder).report()
    for table in schema.REPLAYED:
        table_path(folder, table).unlink()
    for table in schema.REPLAYED:  # root may write anywhere, but not over a folder
        table_path(folder, table).with_suffix(".part").mkdir()

    found = mapprobe.open(folder).report()

    assert found == expected
    made_from = stored_results.fingerprint(folder)
    assert stored_results.is_replayed(folder, made_from)
    assert not table_path(folder, schema.MAPS).exists()


def test_a_result_that_can_be_kept_nowhere_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MAPPROBE_CACHE", str(tmp_path / "file"))
    for table in schema.REPLAYED:
        table_path(folder, table).unlink(missing_ok=True)
        table_path(folder, table).with_suffix(".part").mkdir()
    recording, told = mapprobe.open(folder), list[str]()
    recording.tell = told.append

    assert recording.report()["totals"]

    assert len(told) == 1
    assert "the result is not kept" in told[0]
