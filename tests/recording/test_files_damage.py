"""Recordings of which bits, bytes or files are not as they were written: everything is told, or changes nothing."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest

import mapprobe
from mapprobe.errors import MapprobeError, RecordingError
from mapprobe.recording import checks, files
from mapprobe.recording.folder import RECORDED, table_path
from mapprobe.recording.session import Left
from mapprobe.recording.tables import schema
from mapprobe.report.certainty import faults_of
from support.sealing import seal
from support.traces import EXPECTED, SAMPLES, TRACES

FLIPS = 1250
"""Of each sample."""
CUTS = 40
"""Of each file."""
ROWS = 400
"""In a batch, so that tables have several."""
OTHERS = [
    table
    for table in RECORDED
    if table not in (schema.SESSION, schema.EVENTS)
    and any(table_path(TRACES / sample, table).is_file() for sample in SAMPLES)
]


@pytest.fixture(scope="module", params=SAMPLES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample recording with checksums."""
    return sealed(request.param, tmp_path_factory.mktemp("whole") / "recording")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(whole, tmp_path / "recording"))


def sealed(sample: str, folder: Path, **how: bool) -> Path:
    shutil.copytree(TRACES / sample, folder, ignore=lambda *_: {EXPECTED})
    seal(folder, rows=ROWS, **how)
    return folder


class Figures:
    """What is read from a recording: faults and tables, or the error that refuses it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole = self._read(RECORDED)

    def outcome(self, changed: Path) -> str:
        """Return how the recording is read since a file of it was changed: other tables read as before."""
        table = next(table for table in RECORDED if table_path(self._folder, table) == changed)
        tables = RECORDED if table is schema.SESSION else (table,)
        found = self._read(tables)
        if isinstance(found, MapprobeError):
            return "refused"
        assert not isinstance(self._whole, MapprobeError)
        faults, rows = found
        if faults:
            return "told"
        return "unchanged" if all(rows[name].equals(self._whole[1][name]) for name in rows) else "SILENT"

    def _read(self, tables: Iterable[schema.Table]) -> tuple[list[str], dict[str, pa.Table]] | MapprobeError:
        try:
            session = checks.session(self._folder)
            left = checks.events_left(self._folder) if schema.EVENTS in tables else Left(session.events)
            rows = {table.name: files.read_table(self._folder, table) for table in tables}
            return faults_of(session.document(left)), rows
        except MapprobeError as error:
            return error


def test_a_sealed_recording_reads_as_the_sample_it_was_made_of(whole: Path) -> None:
    recording = mapprobe.open(whole)

    assert recording.faults == []
    assert recording.event_count == recording.session.events


def test_no_flipped_bit_changes_a_value_in_silence(folder: Path) -> None:
    expected, draw = Figures(folder), random.Random(1)
    paths = sorted(path for path in folder.iterdir() if path.stat().st_size)
    counts = Counter[str]()
    for _ in range(FLIPS):
        path = draw.choices(paths, [path.stat().st_size for path in paths])[0]
        image = path.read_bytes()
        place, bit = draw.randrange(len(image)), 1 << draw.randrange(8)
        path.write_bytes(image[:place] + bytes([image[place] ^ bit]) + image[place + 1 :])

        counts[expected.outcome(path)] += 1

        path.write_bytes(image)
    print(f"{FLIPS:,} flips of one bit: {dict(counts)}")  # noqa: T201
    assert counts["SILENT"] == 0
    assert counts["told"]
    assert counts["refused"]


def test_no_shortened_file_changes_a_value_in_silence(folder: Path) -> None:
    expected, counts = Figures(folder), Counter[str]()
    for path in sorted(folder.iterdir()):
        image = path.read_bytes()
        for length in range(0, len(image), max(1, len(image) // CUTS)):
            path.write_bytes(image[:length])

            counts[expected.outcome(path)] += 1

        path.write_bytes(image)
    print(f"{counts.total():,} cuts: {dict(counts)}")  # noqa: T201
    assert counts["SILENT"] == 0


@pytest.mark.parametrize("table", OTHERS, ids=lambda table: table.name)
def test_a_table_that_is_missing_or_of_another_recording_is_refused_by_name(
    folder: Path, table: schema.Table, tmp_path: Path
) -> None:
    path = table_path(folder, table)
    if path.is_file():
        path.unlink()
        with pytest.raises(RecordingError, match=f"{table.name}.arrow is missing"):
            files.read_table(folder, table)

    put_foreign(folder, table, tmp_path)
    with pytest.raises(RecordingError, match=f"{table.name}.arrow is of another recording"):
        files.read_table(folder, table)


def put_foreign(folder: Path, table: schema.Table, tmp_path: Path) -> None:
    """Put the file of another recording of the same content in the place of a table."""
    other = next(sample for sample in SAMPLES if table_path(TRACES / sample, table).is_file())
    source = sealed(other, tmp_path / "other")
    shutil.copy(table_path(source, table), table_path(folder, table))


def without_its_third(image: bytes, batches: list[tuple[int, int]]) -> bytes:
    return image[: batches[2][0]] + image[batches[2][1] :]


def with_two_swapped(image: bytes, batches: list[tuple[int, int]]) -> bytes:
    (a, b), (c, d) = batches[1:3]
    return image[:a] + image[c:d] + image[a:b] + image[d:]


@pytest.mark.parametrize("change", [without_its_third, with_two_swapped])
def test_events_are_read_to_the_first_batch_that_is_out_of_place(
    folder: Path, change: Callable[[bytes, list[tuple[int, int]]], bytes]
) -> None:
    path = table_path(folder, schema.EVENTS)
    path.write_bytes(change(path.read_bytes(), messages(path)))
    recording = mapprobe.open(folder)

    found = recording.report()["recording"]

    assert recording.faults == [f"damaged: {found['damaged']}"]
    assert recording.left.stopped in (1, 2)
    assert recording.event_count < recording.session.events
    assert not recording.retention(by="map").query("state != 'dead'")["exact"].any()


def messages(path: Path) -> list[tuple[int, int]]:
    """Return where each batch of a stream begins and ends [bytes]."""
    found = list[tuple[int, int]]()
    with pa.OSFile(str(path)) as source:
        pa.ipc.read_message(source)  # the schema
        while True:
            start = source.tell()
            try:
                pa.ipc.read_message(source)
            except EOFError:
                return found
            found.append((start, source.tell()))


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_unfinished_recording_is_told_from_a_damaged_one(sample: str, tmp_path: Path) -> None:
    folder = sealed(sample, tmp_path / "recording", is_finished=False)
    path = table_path(folder, schema.EVENTS)
    path.write_bytes(path.read_bytes()[:-100])
    recording = mapprobe.open(folder)

    about = recording.report()["recording"]

    assert "unfinished" in about
    assert "damaged" not in about
    assert recording.event_count > 0


def test_a_damaged_recording_is_not_packed(folder: Path) -> None:
    path = table_path(folder, schema.EVENTS)
    _, end = messages(path)[1]
    image = bytearray(path.read_bytes())
    image[end - 64] ^= 1
    path.write_bytes(image)

    with pytest.raises(RecordingError, match=r"events.arrow is damaged behind its first 1 batches"):
        mapprobe.open(folder).pack()

    assert path.read_bytes() == bytes(image)


def test_a_packed_recording_is_sealed_again(folder: Path) -> None:
    recording = mapprobe.open(folder)
    expected = recording.report()

    recording.pack()

    assert mapprobe.open(folder).report() == expected
    assert mapprobe.open(folder).faults == []
