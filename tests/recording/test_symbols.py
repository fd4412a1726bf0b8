"""Types and stacks get one id each, and their rows are written before any row names the id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapprobe.go.types import MapType
from mapprobe.recording import files
from mapprobe.recording.folder import create
from mapprobe.recording.symbols import Interner
from mapprobe.recording.tables import schema
from mapprobe.recording.writer import Writer
from support.session_row import SESSION_ROW

STACKS = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), max_size=6)


class Functions:
    def expand(self, pc: int) -> list[SimpleNamespace]:
        outer = SimpleNamespace(function=f"main.at{pc}", file="main.go", line=pc, inlined=False)
        return [SimpleNamespace(function="main.small", file="main.go", line=1, inlined=True), outer]


def interner(folder: Path) -> tuple[Interner, Writer]:
    create(folder, force=True)
    writer, functions = Writer(folder), Functions()
    return Interner(writer, functions), writer  # type: ignore[arg-type]


def rows(folder: Path, writer: Writer, table: schema.Table) -> list[dict[str, Any]]:
    with writer:
        writer.append(schema.SESSION, SESSION_ROW)
    found: list[dict[str, Any]] = files.read_table(folder, table).to_pylist()
    return found


def map_type(addr: int, name: str) -> MapType:
    return MapType(addr, name, "int", "int", 2, 8, 8, 16, 136, False, False, False, False, False, True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=STACKS, second=STACKS)
def test_an_id_names_the_row_of_its_stack(
    tmp_path: Path, first: list[Sequence[int]], second: list[Sequence[int]]
) -> None:
    interned, writer = interner(tmp_path / "r")
    ids = interned.stack_ids(first) + interned.stack_ids(second)

    kept = rows(tmp_path / "r", writer, schema.STACKS)
    assert [row["stack_id"] for row in kept] == list(range(len(kept)))
    assert kept[0]["pcs"] == []
    assert [tuple(kept[n]["pcs"]) for n in ids] == [*first, *second]
    assert 0 not in ids
    assert len(kept) == 1 + len({*first, *second})


def test_frames_of_an_address_are_written_once_inlined_ones_first(tmp_path: Path) -> None:
    interned, writer = interner(tmp_path / "r")
    interned.stack_ids([(7, 9)])
    interned.stack_ids([(7,)])

    kept = rows(tmp_path / "r", writer, schema.FRAMES)
    expected = [(7, 0, "main.small"), (7, 1, "main.at6"), (9, 0, "main.small"), (9, 1, "main.at8")]
    assert [(row["pc"], row["depth"], row["function"]) for row in kept] == expected


def test_types_of_one_name_at_two_addresses_are_two(tmp_path: Path) -> None:
    interned, writer = interner(tmp_path / "r")
    types = [map_type(1, "map[a.T]int"), map_type(2, "map[a.T]int"), map_type(1, "map[a.T]int")]

    assert [interned.type_id(of) for of in types] == [0, 1, 0]
    assert interned.map_types == types[:2]
    assert [row["name"] for row in rows(tmp_path / "r", writer, schema.TYPES)] == ["map[a.T]int"] * 2
