"""Damaged recordings: every outcome is a result that says what is missing, or one clear error."""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import mapprobe
from mapprobe.errors import MapprobeError, RecordingError
from mapprobe.recording import files
from mapprobe.recording.folder import table_path
from mapprobe.recording.packing import pack
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind, Implementation, Inexact
from support.recordings import PLAIN_INSERT, Recording, spread
from support.sealing import seal
from support.traces import EXPECTED, SAMPLES, TRACES

GARBAGE = b"garbage" * 100
FULL_TABLE = 896
"""Entries of the largest Swiss table when it has to split."""
FLIPS = 10


@pytest.fixture(params=SAMPLES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a shipped recording."""
    return Path(shutil.copytree(TRACES / request.param, tmp_path / "recording", ignore=lambda *_: {EXPECTED}))


def outcome(folder: Path) -> str:
    """Return what went wrong with a recording, nothing if it gave a report and a verification."""
    for table in schema.REPLAYED:
        table_path(folder, table).unlink(missing_ok=True)
    try:
        recording = mapprobe.open(folder)
        recording.report()
        recording.verify()
    except MapprobeError as error:
        return str(error)
    return ""


def damage(path: Path, how: str) -> None:
    match how:
        case "missing":
            path.unlink()
        case "garbage":
            path.write_bytes(GARBAGE)
        case _:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("how", ["missing", "garbage"])
@pytest.mark.parametrize("table", [schema.EVENTS, schema.STACKS, schema.TYPES], ids=lambda table: table.name)
def test_a_recording_of_which_nothing_can_be_used_is_one_error(folder: Path, table: schema.Table, how: str) -> None:
    damage(table_path(folder, table), how)

    with pytest.raises(RecordingError, match="files of it are missing or damaged"):
        mapprobe.open(folder).report()


@pytest.mark.parametrize("table", [schema.EVENTS, schema.STACKS, schema.TYPES], ids=lambda table: table.name)
def test_maps_of_a_recording_that_lacks_its_end_are_not_exact(folder: Path, table: schema.Table) -> None:
    damage(table_path(folder, table), "cut")
    recording = mapprobe.open(folder)

    try:
        rows = recording.retention(by="map")
    except RecordingError:
        assert recording.event_count == 0  # the cut left not one whole batch
        return
    assert recording.event_count < recording.session.events
    assert not rows.loc[rows["state"] != "dead", "exact"].any()


def test_a_recording_counts_the_events_that_it_still_has(folder: Path) -> None:
    damage(table_path(folder, schema.EVENTS), "cut")
    recording = mapprobe.open(folder)

    assert recording.event_count == recording.events().read_all().num_rows


@pytest.mark.parametrize("table", schema.REPLAYED, ids=lambda table: table.name)
def test_a_replay_of_which_a_part_was_cut_is_repeated(folder: Path, table: schema.Table) -> None:
    expected = mapprobe.open(folder).report()
    path = table_path(folder, table)
    path.write_bytes(path.read_bytes()[:-64])

    assert mapprobe.open(folder).report() == expected


@pytest.mark.parametrize("table", [t for t in schema.RECORDED if t is not schema.GAPS], ids=lambda table: table.name)
def test_flipped_bytes_end_in_a_result_or_one_error(folder: Path, table: schema.Table) -> None:
    path = table_path(folder, table)
    whole, chance = path.read_bytes(), random.Random(table.name)
    for _ in range(FLIPS):
        flipped = bytearray(whole)
        for _ in range(chance.choice([1, 4, 64])):
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        assert "\n" not in outcome(folder)


@pytest.mark.parametrize("table", schema.REPLAYED, ids=lambda table: table.name)
def test_a_replay_of_which_a_figure_was_changed_is_repeated(folder: Path, table: schema.Table) -> None:
    expected = mapprobe.open(folder).report()
    path = table_path(folder, table)
    data = pa.ipc.open_stream(path.read_bytes()).read_all()
    number = len(table.columns) - 1
    field = data.schema.field(number)
    changed = data.set_column(number, field, pc.add(data.column(number), 1).cast(field.type))
    with pa.ipc.new_stream(path, changed.schema) as stream:
        stream.write_table(changed)

    assert mapprobe.open(folder).report() == expected


def test_events_end_before_the_batch_of_a_kind_that_is_not_there(folder: Path) -> None:
    path = table_path(folder, schema.EVENTS)
    first, second = list(files.batches(folder, schema.EVENTS))
    kinds = pa.array([len(EventKind) + 1] * len(second), pa.uint8())
    columns = {name: kinds if name == "kind" else second.column(name) for name in schema.EVENTS.names}
    with pa.ipc.new_stream(path, files.stored_schema(schema.EVENTS)) as stream:
        stream.write_batch(pack({name: first.column(name) for name in schema.EVENTS.names}))
        stream.write_batch(pack(columns))

    assert mapprobe.open(folder).event_count == len(first)


def test_a_map_whose_keys_all_have_one_hash_to_split_by_is_not_exact() -> None:
    recording = Recording(Implementation.SWISS)
    made = recording.create()
    made.insert(*range(FULL_TABLE))
    recording.send(made, EventKind.ASSIGN, made.header(), 1, hash=FULL_TABLE, point=PLAIN_INSERT)

    (row,) = recording.replay().maps.to_pylist()

    assert row["inexact"] == Inexact.HEADER_MISMATCH
    assert (row["inserts"], row["growths"]) == (FULL_TABLE, made.done["growths"])


@pytest.mark.parametrize("entries", [0, 5, 20])
def test_a_clone_of_a_map_that_was_made_for_entries_of_its_own_is_not_exact(entries: int) -> None:
    recording = Recording(Implementation.SWISS)
    made, presized = recording.create(), recording.create(hint=1000)
    made.insert(*spread(entries))
    recording.send(presized, EventKind.CLONE, {}, 1, hash=made.address)

    first, second = recording.replay().maps.to_pylist()

    assert (first["inexact"], second["inexact"]) == (Inexact.EXACT, Inexact.OUT_OF_SIGHT)
    assert second["live_slots"] == 0


@pytest.mark.parametrize("implementation", Implementation)
@pytest.mark.parametrize("bit", [36, 39])
def test_a_map_that_was_made_for_more_entries_than_there_is_memory_for_is_given_up_alone(
    implementation: Implementation, bit: int
) -> None:
    recording = Recording(implementation)
    before, flipped = recording.create(), recording.create(seen=False)
    before.insert(*spread(20))
    recording.send(flipped, EventKind.CREATE, {}, 2, hash=1 << bit | 5)
    flipped.insert(*spread(3))
    after = recording.create()
    after.insert(*spread(30))

    rows = recording.replay().maps.to_pylist()

    assert [row["inexact"] for row in rows] == [Inexact.EXACT, Inexact.TOO_LARGE, Inexact.EXACT]
    assert [row["inserts"] for row in rows] == [20, 2, 30]  # what the last did no later header says
    assert rows[1]["created_by"] == 2
    assert [rows[0]["live_slots"], rows[2]["live_slots"]] == [20, 30]


def test_an_empty_map_is_cleared_at_once_however_many_buckets_it_has() -> None:
    recording = Recording(Implementation.CLASSIC)
    presized = recording.create(hint=1 << 20)
    for _ in range(2000):
        recording.send(presized, EventKind.CLEAR, presized.header(), 1)
    began = time.process_time()

    (row,) = recording.replay().maps.to_pylist()

    assert (row["inexact"], row["clears"]) == (Inexact.EXACT, 2000)
    assert time.process_time() - began < 2


def test_events_later_than_any_clock_end_in_a_page(folder: Path) -> None:
    events = files.read_table(folder, schema.EVENTS)
    times = pa.array([*events["time_ns"].to_pylist()[:-1], (1 << 64) - 1], pa.uint64())
    seal(folder, events.set_column(0, events.schema.field(0), times))

    assert len(mapprobe.open(folder).timeline(points=10))


@pytest.mark.parametrize("addresses", [1 << 31, 1 << 33])
def test_a_recording_is_replayed_where_addresses_are_limited(folder: Path, addresses: int) -> None:
    script = f"import mapprobe; mapprobe.open({str(folder)!r}).report()"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (addresses, addresses))

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, preexec_fn=limit)

    assert (done.returncode, done.stderr) == (0, "")
