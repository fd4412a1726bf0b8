"""The field at an offset of a type, compared with the types of a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mapprobe.errors import MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.types import TypeTable, map_type_at
from support.gobuild import Release

ROOM = 80 * 8
SIGNS, COUNTS = ROOM, ROOM + 16
WORD = 8


def struct_named(binary: GoBinary, types: TypeTable, name: str) -> int:
    """Return the address of a type by its name."""
    for addr in range(binary.types, binary.etypes, WORD):
        try:
            if types.type_name(addr) == name:
                return addr
        except (MapprobeError, ValueError):
            continue
    raise AssertionError(name)


def test_the_map_at_an_offset_is_that_of_the_source(every_release: Release, build: Callable[..., Path]) -> None:
    binary = GoBinary.open(build("crowd", every_release))
    types = TypeTable(binary)
    shelf = struct_named(binary, types, "main.shelf")
    found = {}
    for offset in range(COUNTS + 40):
        addr = map_type_at(types, binary.read, shelf, offset)
        if addr is not None:
            found[offset] = types.map_type(addr).name

    signs, counts = "map[uint16]int32", "map[uint16]uint32"
    assert found == {SIGNS: signs, SIGNS + 8: signs, COUNTS: counts, COUNTS + 8: counts}


def test_a_type_without_an_end_is_damaged(release: Release, build: Callable[..., Path]) -> None:
    binary = GoBinary.open(build("crowd", release))
    types = TypeTable(binary)
    shelf = struct_named(binary, types, "main.shelf")

    def within_itself(addr: int, length: int) -> bytes:
        raw = binary.read(addr, length)
        return (
            raw
            if addr == shelf or length != 24 * 4
            else b"".join(raw[n : n + 8] + shelf.to_bytes(8, "little") + bytes(8) for n in range(0, length, 24))
        )

    with pytest.raises(MapprobeError, match="no end"):
        map_type_at(types, within_itself, shelf, 0)
