"""The core packs events as numpy does, whatever the ring holds, and refuses invalid input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe import _core, arrays
from mapprobe.capture.intake import Code, Intake
from mapprobe.capture.kernel.ring import BUSY, DISCARD, EVENT, WORDS, Events, complete_events
from mapprobe.recording import packing
from mapprobe.recording.packing import COMMON
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import EventKind, Implementation
from support import reference_packing as reference

LARGEST = (1 << 64) - 1
FEW = 60


class Written:
    """What an intake hands to its writer."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []

    def append_batch(self, _: schema.Table, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)


class Interned:
    """Ids in order of appearance."""

    def __init__(self) -> None:
        self.map_types: list[int] = []
        self.stacks: list[int] = []

    def type_id(self, addr: int) -> int:
        self.map_types.append(addr)
        return len(self.map_types) - 1

    def stack_ids(self, stacks: list[list[int]]) -> list[int]:
        first = len(self.stacks) + 1
        self.stacks += [pcs[0] for pcs in stacks]
        return list(range(first, first + len(stacks)))


class Types:
    def map_type(self, addr: int) -> int:
        return addr


def intake(implementation: Implementation) -> tuple[Any, Written, Interned]:
    written, interned = Written(), Interned()
    nowhere: Any = None
    made: Any = Intake
    everywhere = range(1 << 62)
    made_up: Any = Types()

    def stacks(digests: list[int]) -> np.ndarray:
        return np.array([[digest] for digest in digests], np.uint64)

    return made(written, interned, Code(everywhere, made_up, nowhere), implementation, stacks), written, interned


def drawn(seed: int, rows: int, variety: int) -> np.ndarray:
    """Return events of which everything but hash and time takes few values, at times any."""
    draw = np.random.default_rng(seed)
    out = np.frombuffer(draw.bytes(rows * EVENT.itemsize), EVENT).copy()
    odd = draw.random(rows) < 0.1
    for name, choice in {
        "map_addr": [0, 1, 0xC000010000, 0xC000020000, LARGEST],
        "type_addr": [0, 5, 6],
        "key_type": [0, 0, 1, LARGEST],
        "goid": [1, 2, 1 << 40],
        "stack_offset": [0, 0, 0, 80, (1 << 32) - 1],
        "stack": [0, 11, 12, 13],
        "kind": list(EventKind),
    }.items():
        values = np.array(choice[: variety + 1], EVENT[name])[draw.integers(0, min(variety + 1, len(choice)), rows)]
        out[name] = np.where(odd & (name not in ("stack", "type_addr", "kind")), out[name], values)
    out["header"] = np.where(odd[:, None], out["header"], out["header"][draw.integers(0, variety, rows) % rows])
    out["header"][:, 0] = np.where(odd, out["header"][:, 0], draw.integers(0, 3, rows))
    out["time_ns"] = np.where(odd, out["time_ns"], np.cumsum(draw.integers(0, 1 << draw.integers(1, 40), rows)))
    return out


@given(
    seed=st.integers(0, 1 << 32),
    sizes=st.lists(st.integers(1, FEW), min_size=1, max_size=5),
    variety=st.integers(1, 6),
    implementation=st.sampled_from(Implementation),
)
def test_batches_and_maps_are_those_of_the_reference(
    seed: int, sizes: list[int], variety: int, implementation: Implementation
) -> None:
    ours, written, interned = intake(implementation)
    theirs = reference.Taken(implementation)
    for number, size in enumerate(sizes):
        rows = drawn(seed + number, size, variety)
        cut = seed % (size + 1)
        ours.add(Events.of(rows[:cut]))
        ours.add(Events.of(rows[cut:]))
        ours.flush()
        theirs.take(rows)

        assert ours.maps == theirs.maps
        assert ours.due == theirs.due
    assert len(written.batches) == len(theirs.batches)
    for batch, expected in zip(written.batches, theirs.batches, strict=True):
        batch.validate(full=True)
        assert batch.equals(expected)
        assert batch.schema.equals(expected.schema, check_metadata=True)
        assert packing.unpack(batch).equals(reference.unpack(batch))
    assert interned.stacks == theirs.stacks[1:]
    assert interned.map_types == theirs.types[1:]
    assert ours.events == sum(sizes)


@pytest.mark.parametrize("implementation", Implementation)
def test_a_whole_batch_of_other_headers_and_stacks_each_is_that_of_the_reference(
    implementation: Implementation,
) -> None:
    ours, written, _ = intake(implementation)
    theirs = reference.Taken(implementation)
    draw = np.random.default_rng(1)
    rows = np.frombuffer(draw.bytes(packing.MOST_ROWS * EVENT.itemsize), EVENT).copy()
    rows["type_addr"] = np.arange(len(rows)) % 3000
    rows["stack"] = np.arange(len(rows)) // 2
    rows["map_addr"][::2] = 1 << 40
    ours.add(Events.of(rows))
    ours.flush()
    theirs.take(rows)

    assert written.batches[0].equals(theirs.batches[0])
    assert ours.maps == theirs.maps


@given(seed=st.integers(0, 1 << 32), rows=st.integers(0, 50))
def test_records_are_taken_as_by_the_reference(seed: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    records = draw.integers(0, LARGEST, (rows, 1 + WORDS), np.uint64)
    flags = np.array([0, 0, 0, 0, 0, DISCARD, DISCARD, BUSY], np.uint64)
    offsets = draw.integers(0, 9, rows, np.uint64) << np.uint64(32)
    records[:, 0] = np.uint64(EVENT.itemsize) | flags[draw.integers(0, 7 + seed % 2, rows)] | offsets

    events, used = complete_events(records)
    expected, expected_used = reference.complete_events(records)

    assert used == expected_used
    assert np.array_equal(events.rows, expected)


@given(seed=st.integers(0, 1 << 32), rows=st.integers(0, FEW), few=st.integers(1, 5), is_mixed=st.booleans())
def test_distinct_rows_are_found_in_order_of_appearance(seed: int, rows: int, few: int, is_mixed: bool) -> None:
    draw = np.random.default_rng(seed)
    dtypes = [np.uint64, np.int64, np.uint32, np.int32, np.uint16, np.uint8, np.bool_]
    columns = [draw.integers(0, few, rows).astype(dtype) for dtype in dtypes[: 1 + seed % len(dtypes)]]
    first, number = map(np.frombuffer, _core.distinct_rows(columns, rows, arrays.MIX * is_mixed), [np.int64, np.int32])

    combinations = list(zip(*(column.tolist() for column in columns), strict=True))
    distinct = list(dict.fromkeys(combinations))
    assert [combinations[n] for n in first] == distinct
    assert [distinct[n] for n in number] == combinations


@given(seed=st.integers(0, 1 << 32), rows=st.integers(1, FEW))
def test_numbers_and_times_are_those_of_the_reference(seed: int, rows: int) -> None:
    draw = np.random.default_rng(seed)
    columns = {}
    for column in schema.EVENTS.columns:
        dtype = column.type.to_pandas_dtype()
        many = draw.integers(0, np.iinfo(dtype).max, rows, dtype, endpoint=True)
        columns[column.name] = many[:3][draw.integers(0, min(3, rows), rows)] if column.name in COMMON else many
    packed = packing.pack(columns)

    assert packed.equals(reference.pack(columns))
    for part in (packed, packed.slice(rows // 3, rows // 2)):
        assert packing.unpack(part).equals(reference.unpack(part))
        assert np.array_equal(packing.times(part), reference.times(part))
        for name in packing.HALVED:
            assert np.array_equal(packing.whole(part, name), reference.whole(part, name))


def test_events_of_points_are_left_out_while_these_were_not_watched() -> None:
    rows = np.zeros(6, EVENT)
    rows["point"], rows["time_ns"] = [0, 0, 0, 1, 1, 1], [4, 5, 6, 9, 10, 11]
    first, last = np.array([5, 0], np.uint64), np.array([LARGEST, 10], np.uint64)

    events, outside = Events.of(rows).watched(first, last)

    assert events["time_ns"].tolist() == [5, 6, 9, 10]
    assert outside.tolist() == [1, 1]
    same, none = events.watched(first, last)
    assert same is events
    assert none.tolist() == [0, 0]


ROW = np.zeros(1, EVENT)
U16, U32, U64 = (np.array([0, 3], dtype) for dtype in (np.uint16, np.uint32, np.uint64))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: _core.take_records(bytes(256), 0, 3, 120),
        lambda: _core.take_records(bytes(256), 8, 2, 120),
        lambda: _core.take_records(bytes(256), -8, 1, 120),
        lambda: _core.take_records(bytes(256), 264, 0, 120),
        lambda: _core.take_records(bytes(256), 0, 1 << 60, 120),
        lambda: _core.take_records(bytes(256), 0, 1, 0),
        lambda: _core.take_records(bytes(256), 0, 1, 121),
        lambda: _core.find_outside(ROW, np.zeros(0, np.uint64), np.zeros(0, np.uint64)),
        lambda: _core.find_outside(ROW, np.zeros(2, np.uint64), np.zeros(1, np.uint64)),
        lambda: _core.find_outside(bytes(119), np.zeros(1, np.uint64), np.zeros(1, np.uint64)),
        lambda: _core.pack_events(_core.new_packer(True), np.zeros(packing.MOST_ROWS + 1, EVENT)),
        lambda: _core.pack_events(_core.new_packer(True), bytes(121)),
        lambda: _core.pack_events(ROW, ROW),
        lambda: _core.take_packed(_core.new_packer(False), b"", bytes(4)),
        lambda: _core.take_packed(_core.new_packer(False), bytes(4), b""),
        lambda: _core.seen_maps(_core.new_packer(False), 1),
        lambda: _core.seen_maps(_core.new_packer(False), -1),
        lambda: _core.distinct_rows([U64], 3, 1),
        lambda: _core.distinct_rows([U64] * 33, 2, 1),
        lambda: _core.distinct_rows([np.zeros(2, EVENT)], 2, 1),
        lambda: _core.distinct_rows(U64, 2, 1),
        lambda: _core.distinct_rows([U64, None], 2, 1),
        lambda: _core.sum_steps(U32, np.zeros(3, np.uint32), U16),
        lambda: _core.join_halves(U32, np.zeros(0, np.uint32), U16),
        lambda: _core.join_halves(U32, np.zeros(4, np.uint32), U16[:1]),
        lambda: _core.gather(U64, U16),
        lambda: _core.gather(ROW, U16),
    ],
)
def test_what_is_not_there_is_refused(ask: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        ask()
