"""Events of the ring become rows of the recording: no event is lost, no stack or type is looked up twice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapprobe.capture.intake import BATCH_ROWS, Code, Intake
from mapprobe.capture.kernel.ring import EVENT, Events
from mapprobe.go.types import MapType
from mapprobe.live.snapshot.reader import header_columns
from mapprobe.recording import files
from mapprobe.recording.folder import create
from mapprobe.recording.symbols import Interner
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from mapprobe.vocabulary import EventKind, Implementation
from support.session_row import SESSION_ROW

NAMES = ("name", "key", "elem")
TEXT = (0x1000, 0x2000)
BIAS = 0x500000
MAP, OTHER = 0xC000010000, 0xC000020000
INTS, STRINGS = BIAS + 0x8000, BIAS + 0x9000
STACK, LONGER, ODD = 11, 12, 13
STACKS = {STACK: [0x1010, 0x1020, 0], LONGER: [0x1010, 0x1020, 0x1030], ODD: [0x1010, 0x9999, 0x1020]}
SIZES: dict[str, Any] = {
    c.name: c.type == pa.bool_() or 8 for c in schema.TYPES.columns if c.name not in ("type_id", "type_addr", *NAMES)
}


class Functions:
    def expand(self, pc: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(function=f"main.at{pc:x}", file="main.go", line=1, inlined=False)]


class Types:
    def map_type(self, addr: int) -> Any:
        return MapType(type_addr=addr, **dict.fromkeys(NAMES, f"map at {addr:x}"), **SIZES)


class Taken:
    """An intake, what it wrote, and which stacks it asked for."""

    def __init__(self, folder: Path, implementation: Implementation = Implementation.SWISS) -> None:
        create(folder, force=True)
        self.folder, self.asked = folder, list[int]()
        self.writer = Writer(folder)
        read: Any = None
        functions: Any = Functions()
        types: Any = Types()
        interner = Interner(self.writer, functions)
        code = Code(range(*TEXT), types, read)
        self.intake = Intake(self.writer, interner, code, implementation, self._stacks, BIAS)

    def _stacks(self, digests: Iterable[int]) -> np.ndarray:
        self.asked += digests
        return np.array([[pc + BIAS if pc else 0 for pc in STACKS[digest]] for digest in digests], np.uint64)

    def add(self, rows: np.ndarray) -> None:
        self.intake.add(Events.of(rows))

    def table(self, table: schema.Table) -> pa.Table:
        self.intake.flush()
        with self.writer:
            self.writer.append(schema.SESSION, SESSION_ROW)
        return files.read_table(self.folder, table)


def events(*rows: dict[str, Any]) -> np.ndarray:
    out = np.zeros(len(rows), EVENT)
    for n, row in enumerate(rows):
        whole = {"time_ns": n + 1, "map_addr": MAP, "type_addr": INTS, "kind": EventKind.ASSIGN, "stack": STACK} | row
        for name, value in whole.items():
            out[n][name] = value
    return out


@pytest.fixture
def taken(tmp_path: Path) -> Taken:
    return Taken(tmp_path / "r")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32), rows=st.integers(1, 60), implementation=st.sampled_from(Implementation))
def test_every_field_is_recorded_as_it_came(
    tmp_path: Path, seed: int, rows: int, implementation: Implementation
) -> None:
    draw = np.random.default_rng(seed)
    came = np.frombuffer(draw.bytes(rows * EVENT.itemsize), EVENT).copy()
    came["type_addr"] = draw.choice(np.array([0, INTS, STRINGS], np.uint64), rows)
    came["stack"] = draw.choice(np.array([STACK, LONGER], np.uint64), rows)
    came["header"] = came["header"][draw.integers(0, 3, rows) % rows]
    taken = Taken(tmp_path / "r", implementation)
    taken.add(came)

    found = taken.table(schema.EVENTS)

    same = ("time_ns", "kind", "point", "map_addr", "stack_offset", "hash", "key_type", "goid", "tid", "depth")
    expected = {name: came[name] for name in same} | header_columns(implementation, came["header"])
    for name, column in expected.items():
        assert found[name].to_pylist() == column.tolist(), name
    assert (np.array(found["type_id"]) == -1).tolist() == (came["type_addr"] == 0).tolist()
    assert (np.array(found["stack_id"])[1:] == np.array(found["stack_id"])[:-1]).tolist() == (
        came["stack"][1:] == came["stack"][:-1]
    ).tolist()


def test_a_stack_is_asked_for_once(taken: Taken) -> None:
    taken.add(events({}, {"stack": LONGER}, {}))
    taken.intake.flush()
    taken.add(events({}, {"stack": LONGER}))

    assert taken.table(schema.EVENTS)["stack_id"].to_pylist() == [1, 2, 1, 1, 2]
    assert taken.asked == [STACK, LONGER]


def test_a_stack_ends_at_the_first_frame_outside_the_code(taken: Taken) -> None:
    taken.add(events({"stack": ODD}))

    assert taken.table(schema.STACKS)["pcs"].to_pylist() == [[], [0x1010]]


def test_more_events_than_a_batch_holds_come_out_in_order(taken: Taken) -> None:
    rows = np.repeat(events({}), 2 * BATCH_ROWS + 5)
    rows["time_ns"] = np.arange(len(rows))
    taken.add(rows[:7])
    taken.add(rows[7:])

    assert np.array_equal(taken.table(schema.EVENTS)["time_ns"], rows["time_ns"])
    assert taken.intake.events == len(rows)


def test_a_map_that_was_filled_before_is_due(taken: Taken) -> None:
    taken.add(events({"header": [3, 0, 0, 0, 0, 0]}, {"map_addr": OTHER, "header": [0, 0, 0, 0, 0, 0]}))
    taken.intake.flush()

    assert taken.intake.due == {MAP: 0}
    assert taken.intake.maps == {MAP: 0, OTHER: 0}


def test_a_map_that_is_made_or_cloned_is_not_due(taken: Taken) -> None:
    full = {"header": [3, 0, 0, 0, 0, 0]}
    taken.add(events({"kind": EventKind.CREATE} | full, {"map_addr": OTHER, "kind": EventKind.CLONE} | full, full))
    taken.intake.flush()

    assert taken.intake.due == {}


def test_a_map_that_was_seen_is_not_due_again(taken: Taken) -> None:
    taken.add(events({}))
    taken.intake.flush()
    taken.add(events({"header": [3, 0, 0, 0, 0, 0]}))
    taken.intake.flush()

    assert taken.intake.due == {}


def test_a_map_on_a_stack_is_not_remembered(taken: Taken) -> None:
    taken.add(events({"stack_offset": 80}))
    taken.intake.flush()

    assert taken.intake.maps == {}


def test_the_type_of_a_maps_last_event_is_remembered(taken: Taken) -> None:
    taken.add(events({}, {"type_addr": STRINGS}, {}, {"type_addr": 0}, {"map_addr": OTHER, "type_addr": 0}))
    taken.intake.flush()

    assert taken.intake.maps == {MAP: 0, OTHER: -1}
    assert [found.name for found in taken.intake.map_types] == ["map at 8000", "map at 9000"]
