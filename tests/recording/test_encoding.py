"""Encoded events are equal after decoding; a damaged or cut off file only ends the reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapprobe.recording import archive, files, packing
from mapprobe.recording.encoding import Decoder, Encoder, EncodingError, encoded_schema
from mapprobe.recording.folder import create, table_path
from mapprobe.recording.packing import COMMON, MOST_ROWS, pack, unpack
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import EventKind
from support.sealing import unseal
from support.session_row import SESSION_ROW
from support.traces import SAMPLES, TRACES

FULL_EVERY = 32
MOST_BYTES = 14
"""An event, as a recorder writes it."""


def drawn(seed: int, rows: int, maps: int, odd: float) -> pa.RecordBatch:
    """Return packed events of a few maps; with a chance of `odd` a value may be any."""
    draw = np.random.default_rng(seed)
    columns = {}
    which = draw.integers(0, maps, rows)
    for n, column in enumerate(schema.EVENTS.columns):
        dtype = column.type.to_pandas_dtype()
        many = draw.integers(0, np.iinfo(dtype).max, rows, dtype, endpoint=True)
        of_map = np.random.default_rng(n).integers(0, np.iinfo(dtype).max, maps, dtype)[which]
        few = of_map if column.name in COMMON else draw.integers(0, 3, rows, dtype)
        columns[column.name] = np.where(draw.random(rows) < odd, many, few)
    columns["time_ns"] = np.cumsum(columns["time_ns"].astype(np.uint64))
    return pack(columns)


def decoded(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    decoder = Decoder()
    return [packed for batch in batches for packed in decoder.decode(batch)]


def encoded(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    encoder = Encoder()
    return [encoder.encode(batch) for batch in batches]


def mended(batch: pa.RecordBatch, **columns: object) -> pa.RecordBatch:
    """Return an encoded batch with other columns."""
    fields = encoded_schema()
    arrays = [
        pa.array([columns[f.name]], f.type) if f.name in columns else batch.column(f.name) for f in fields
    ]  # fmt: skip
    return pa.record_batch(arrays, schema=fields)


@given(
    seed=st.integers(0, 1 << 32),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    maps=st.integers(1, 12),
    odd=st.sampled_from([0, 0.02, 0.3, 1]),
)
def test_decoded_events_are_those_that_were_encoded(seed: int, sizes: list[int], maps: int, odd: float) -> None:
    batches = [drawn(seed + n, size, maps, odd) for n, size in enumerate(sizes)]

    found = decoded(encoded(batches))

    assert len(found) == len(batches)
    for batch, expected in zip(found, batches, strict=True):
        batch.validate(full=True)
        assert batch.schema.equals(expected.schema, check_metadata=True)
        assert batch.equals(expected)


@pytest.mark.parametrize("odd", [0, 0.001, 1])
def test_whole_batches_are_encoded(odd: float) -> None:
    batches = [drawn(n, MOST_ROWS, maps, odd) for n, maps in enumerate([1, 3, 3000, 70_000, 3])]

    for batch, expected in zip(decoded(encoded(batches)), batches, strict=True):
        assert batch.equals(expected)


def test_a_batch_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too many events"):
        Encoder().encode(drawn(1, MOST_ROWS + 1, 1, 0))


def test_a_part_of_a_batch_and_headers_that_stand_twice_are_encoded() -> None:
    packed = drawn(5, 100, 5, 0.1)
    header = packed.column("header")
    twice = pa.DictionaryArray.from_arrays(
        pa.array(
            [n + len(header.dictionary) * (row % 2) for row, n in enumerate(header.indices.to_pylist())], pa.uint16()
        ),
        pa.concat_arrays([header.dictionary, header.dictionary]),
    )
    columns = [twice if name == "header" else packed.column(name) for name in packed.schema.names]
    for batch in (packed.slice(30, 50), pa.record_batch(columns, schema=packed.schema)):
        (found,) = decoded(encoded([batch]))
        assert unpack(found).equals(unpack(batch))


def test_reading_begins_at_any_full_batch_and_nowhere_else() -> None:
    batches = [drawn(n % 5, 20, 4, 0.05) for n in range(2 * FULL_EVERY + 5)]
    stored = encoded(batches)

    assert [n for n, batch in enumerate(stored) if batch.column("is_full")[0].as_py()] == [
        0,
        FULL_EVERY,
        2 * FULL_EVERY,
    ]
    assert [batch.equals(batches[FULL_EVERY + n]) for n, batch in enumerate(decoded(stored[FULL_EVERY:]))].count(
        False
    ) == 0
    for first in (1, FULL_EVERY - 1, FULL_EVERY + 1):
        with pytest.raises(EncodingError):
            decoded(stored[first:])


def test_a_batch_that_leans_on_too_many_others_is_damaged() -> None:
    batches = [mended(b, is_full=n == 0) for n, b in enumerate(encoded([drawn(1, 3, 1, 0)] * (FULL_EVERY + 1)))]

    assert len(decoded(batches[:-1])) == FULL_EVERY
    with pytest.raises(EncodingError):
        decoded(batches)


@settings(max_examples=300)
@given(seed=st.integers(0, 1 << 32), odd=st.sampled_from([0, 0.02, 0.3]))
def test_flipped_and_cut_bytes_end_in_events_or_in_damage(seed: int, odd: float) -> None:
    draw = np.random.default_rng(seed)
    stored = encoded([drawn(seed + n, int(draw.integers(1, 60)), 1 + n * 3, odd) for n in range(3)])
    which = int(draw.integers(0, len(stored)))
    raw = bytearray(stored[which].column("encoded")[0].as_py())
    for _ in range(draw.integers(0, 4)):
        raw[draw.integers(0, len(raw))] ^= 1 << draw.integers(0, 8)
    if draw.random() < 0.3:
        place = draw.integers(0, min(len(raw), 80) // 4)
        raw[4 * place : 4 * place + 4] = int(draw.choice([0, 1, 65536, 0xFFFFFFFF])).to_bytes(4, "little")
    raw = raw[: draw.integers(0, len(raw)) if draw.random() < 0.1 else len(raw)]
    stored[which] = mended(stored[which], encoded=bytes(raw))

    decoder = Decoder()
    try:
        for batch in stored:
            for packed in decoder.decode(batch):
                packed.validate(full=True)
                assert len(unpack(packed)) == len(packed)
    except EncodingError:
        with pytest.raises(EncodingError):
            list(decoder.decode(mended(stored[-1], is_full=False)))


@pytest.mark.parametrize("change", [{"rows": 3}, {"rows": MOST_ROWS + 1}, {"hashes": b""}, {"encoded": b""}])
def test_a_batch_whose_parts_do_not_fit_is_damaged(change: dict[str, object]) -> None:
    (stored,) = encoded([drawn(1, 10, 2, 0)])

    with pytest.raises(EncodingError):
        decoded([mended(stored, **change)])


def turns(maps: int, rows: int, *, is_swiss: bool) -> dict[str, np.ndarray]:
    """Return columns of inserts into and deletes from many maps by turns, as a program's one thread does them."""
    draw = np.random.default_rng(1)
    which = draw.integers(0, maps, rows)
    insert = draw.random(rows) < 0.5
    order = np.argsort(which, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(which[order])) + 1]
    change = np.where(insert[order], 1, -1)
    before = np.cumsum(change) - change
    count = np.empty(rows, np.uint64)
    count[order] = before - np.repeat(before[starts], np.diff(np.r_[starts, rows])) + 100
    columns = {name: np.zeros(rows, np.uint64) for name in schema.EVENTS.names}
    columns |= {"time_ns": np.cumsum(draw.integers(900, 3000, rows)), "kind": np.where(insert, 1, 2), "count": count}
    columns |= {"point": np.where(insert, 7, 9), "stack_id": np.where(insert, 3, 4), "goid": np.ones(rows)}
    columns |= {"hash": draw.integers(0, 1 << 64, rows, np.uint64), "tid": np.full(rows, 77)}
    columns |= {"map_addr": 0xC000000000 + 48 * which.astype(np.uint64), "log2_size": count // 14}
    columns |= {"seed": draw.integers(0, 1 << 32, maps, np.uint64)[which]}
    columns |= {"array_addr": 0xC001000000 + 4096 * which.astype(np.uint64) + 256 * (count // 14)}
    columns |= {} if is_swiss else {"evacuated": count % 14, "overflow_count": count % 3}
    return columns


@pytest.mark.parametrize("is_swiss", [True, False])
def test_recorded_events_of_many_maps_are_small(tmp_path: Path, is_swiss: bool) -> None:
    columns, rows = turns(10_000, 4 * MOST_ROWS, is_swiss=is_swiss), 4 * MOST_ROWS
    batches = [pack({k: v[at : at + MOST_ROWS] for k, v in columns.items()}) for at in range(0, rows, MOST_ROWS)]

    path = written(tmp_path / "r", batches)

    assert path.stat().st_size <= MOST_BYTES * rows
    assert all(a.equals(b) for a, b in zip(files.stored_batches(tmp_path / "r", schema.EVENTS), batches, strict=True))


def test_a_lost_event_costs_an_exception() -> None:
    columns = turns(1, 4000, is_swiss=True)
    lost = np.arange(4000) != 2000
    (whole,) = encoded([pack(columns)])
    (odd,) = encoded([pack({name: column[lost] for name, column in columns.items()})])

    sizes = [len(batch.column("encoded")[0].as_py()) for batch in (whole, odd)]
    assert abs(sizes[1] - sizes[0]) < 16


def written(folder: Path, batches: list[pa.RecordBatch]) -> Path:
    """Write a recording of packed batches; return its file of events."""
    create(folder, force=True)
    with Writer(folder) as writer:
        writer.append(schema.SESSION, SESSION_ROW)
        for batch in batches:
            writer.append_batch(schema.EVENTS, batch)
    return table_path(folder, schema.EVENTS)


def test_a_recording_cut_anywhere_gives_its_complete_batches(tmp_path: Path) -> None:
    batches = [drawn(n, 30, 4, 0.05) for n in range(4)]
    path = written(tmp_path / "r", batches)
    whole = path.read_bytes()
    seen = set()
    for length in range(0, len(whole) + 1, 3):
        path.write_bytes(whole[:length])
        found = list(files.stored_batches(tmp_path / "r", schema.EVENTS))
        assert all(a.equals(b) for a, b in zip(found, batches, strict=False))
        seen.add(len(found))
    assert seen == set(range(len(batches) + 1))


def test_a_recording_of_which_a_batch_is_damaged_ends_before_it(tmp_path: Path) -> None:
    batches = [drawn(n, 30, 4, 0.05) for n in range(4)]
    path = written(tmp_path / "r", batches)
    unseal(tmp_path / "r")
    stored = encoded(batches)
    stored[2] = mended(stored[2], encoded=b"nothing")
    with pa.ipc.new_stream(path, encoded_schema()) as stream:
        for batch in stored:
            stream.write_batch(batch)

    assert len(list(files.stored_batches(tmp_path / "r", schema.EVENTS))) == 2


def test_no_batch_behind_a_damaged_one_is_read_even_if_it_is_full(tmp_path: Path) -> None:
    batches = [drawn(n, 30, 4, 0.05) for n in range(40)]
    path = written(tmp_path / "r", batches)
    unseal(tmp_path / "r")
    stored = encoded(batches)
    assert any(batch.column("is_full")[0].as_py() for batch in stored[3:])
    stored[2] = mended(stored[2], encoded=b"nothing")
    with pa.ipc.new_stream(path, encoded_schema()) as stream:
        for batch in stored:
            stream.write_batch(batch)

    assert len(list(files.stored_batches(tmp_path / "r", schema.EVENTS))) == 2


def test_several_rows_of_one_batch_are_several_batches(tmp_path: Path) -> None:
    batches = [drawn(n, 30, 4, 0.05) for n in range(4)]
    path = written(tmp_path / "r", batches)
    unseal(tmp_path / "r")
    joined = pa.Table.from_batches(encoded(batches)).combine_chunks()
    with pa.ipc.new_stream(path, encoded_schema()) as stream:
        stream.write_table(joined)

    found = list(files.stored_batches(tmp_path / "r", schema.EVENTS))
    assert all(a.equals(b) for a, b in zip(found, batches, strict=True))


@pytest.mark.parametrize("sample", SAMPLES)
def test_older_recordings_give_the_same_events_once_they_are_encoded(tmp_path: Path, sample: str) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    for file in (TRACES / sample).glob("*.arrow"):
        (folder / file.name).write_bytes(file.read_bytes())
    path = table_path(folder, schema.EVENTS)
    with pa.OSFile(str(path)) as file:
        assert packing.STEP in pa.ipc.open_stream(file).schema.names
    before = files.read_table(folder, schema.EVENTS)

    archive.pack_events(folder)

    with pa.OSFile(str(path)) as file:
        assert pa.ipc.open_stream(file).schema.equals(encoded_schema())
    assert files.read_table(folder, schema.EVENTS).equals(before)
    assert EventKind.ASSIGN in before["kind"].to_pylist()
