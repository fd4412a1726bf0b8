from __future__ import annotations

import dataclasses
import functools
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from mapprobe.errors import BinaryError, MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import KIND_ARRAY, KIND_INTERFACE, KIND_MAP, KIND_STRUCT
from mapprobe.go.types import TYPE_BYTES, MapType, TypeTable, read_map_type
from support.gobuild import STRIPPED, Release

CLASSIC, SWISS = (1, 23), (1, 27)
CLASSIC_REFLEXIVE_KEY = 4  # go: internal/abi/type.go MapType.ReflexiveKey [1.21..1.23]
MAP_TYPE_BYTES = 136
PIE = "-buildmode=pie"
UINT32, FLOAT64, STRING = 10, 14, 24
GO_KIND, GO_RUNTIME_TYPE = 0x2900, 0x2904  # go: cmd/internal/dwarf/dwarf.go DW_AT_go_kind DW_AT_go_runtime_type
IN_A_FOLDER = re.compile(r"[\w.]+/(?=[\w./]*\.\w)")
ON_THE_HEAP, BIAS = 0xC000000000, 0x555555000000
"""Where a process has a type that it made itself, and how far above its addresses a binary is loaded."""


@dataclasses.dataclass(frozen=True)
class Known:
    """A map type of a program below tests/programs; buckets are (classic, Swiss) [bytes]."""

    program: str
    key: str
    elem: str
    key_kind: int
    key_bytes: int
    elem_bytes: int
    buckets: tuple[int, int]
    is_indirect: tuple[bool, bool] = (False, False)
    has_pointers: tuple[bool, bool, bool] = (False, False, False)
    """Key, element, bucket."""

    @property
    def name(self) -> str:
        return f"map[{self.key}]{self.elem}"


KNOWN = [
    Known("structs", "main.place", "int", KIND_STRUCT, 24, 8, (272, 264), has_pointers=(True, False, True)),
    Known("structs", "main.pair", "int", KIND_STRUCT, 8, 8, (144, 136)),
    Known("structs", "main.id", "uint32", KIND_ARRAY, 16, 4, (176, 168)),
    Known("structs", "float64", "int", FLOAT64, 8, 8, (144, 136)),
    Known("interfaces", "interface {}", "int", KIND_INTERFACE, 16, 8, (208, 200), has_pointers=(True, False, True)),
    Known("interfaces", "main.length", "int", KIND_INTERFACE, 16, 8, (208, 200), has_pointers=(True, False, True)),
    Known("strings", "string", "struct {}", STRING, 16, 0, (144, 200), has_pointers=(True, False, True)),
    Known("strings", "string", "*main.session", STRING, 16, 8, (208, 200), has_pointers=(True, True, True)),
    Known("big", "uint32", "main.page", UINT32, 4, 200, (112, 136), (False, True), (False, False, True)),
    Known("big", "main.name", "uint32", KIND_ARRAY, 160, 4, (112, 136), (True, False), (False, False, True)),
    Known("big", "main.name", "*main.page", KIND_ARRAY, 160, 8, (144, 136), (True, False), (False, True, True)),
]


@dataclasses.dataclass(frozen=True)
class Target:
    path: Path
    binary: GoBinary
    types: TypeTable
    map_types: list[MapType]

    def named(self, name: str) -> MapType:
        (found,) = (map_type for map_type in self.map_types if map_type.name == name)
        return found


@functools.cache
def open_target(path: Path) -> Target:
    binary = GoBinary.open(path)
    types = TypeTable(binary)
    return Target(path, binary, types, types.map_types())


@pytest.fixture(params=KNOWN, ids=lambda known: f"{known.program} {known.name}")
def known(request: pytest.FixtureRequest) -> Known:
    return request.param


@pytest.fixture
def found(known: Known, release: Release, build: Callable[..., Path]) -> MapType:
    return open_target(build(known.program, release)).named(known.name)


@pytest.fixture
def structs(release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build("structs", release))


def described(target: Target) -> Iterator[tuple[int, str]]:
    """Yield addresses and names of the map types that the linker tells debuggers of."""
    with target.path.open("rb") as file:
        for unit in ELFFile(file).get_dwarf_info().iter_CUs():
            for die in unit.get_top_DIE().iter_children():
                kind, place = (die.attributes.get(number) for number in (GO_KIND, GO_RUNTIME_TYPE))
                if kind and kind.value == KIND_MAP and place and place.value:
                    addr = place.value if place.value >= target.binary.types else target.binary.types + place.value
                    yield addr, IN_A_FOLDER.sub("", die.attributes["DW_AT_name"].value.decode())


def test_key_and_element_are_named(known: Known, found: MapType) -> None:
    assert (found.key, found.elem) == (known.key, known.elem)


def test_key_and_element_have_their_sizes(known: Known, found: MapType) -> None:
    assert (found.key_bytes, found.elem_bytes) == (known.key_bytes, known.elem_bytes)


def test_key_has_its_kind(known: Known, found: MapType) -> None:
    assert found.key_kind == known.key_kind


def test_bucket_has_its_size(known: Known, found: MapType, release: Release) -> None:
    assert found.bucket_bytes == known.buckets[0 if release == CLASSIC else 1]


def test_values_over_128_bytes_are_stored_outside_their_slot(known: Known, found: MapType) -> None:
    assert (found.indirect_key, found.indirect_elem) == known.is_indirect
    assert known.is_indirect == (known.key_bytes > 128, known.elem_bytes > 128)


def test_pointers_are_known_to_be_there(known: Known, found: MapType) -> None:
    assert (found.key_has_pointers, found.elem_has_pointers, found.bucket_has_pointers) == known.has_pointers


@pytest.mark.parametrize("program", ["structs", "interfaces", "strings", "kinds", "nans"])
def test_keys_that_may_differ_from_themselves_are_those_that_the_compiler_says(
    program: str, build: Callable[..., Path]
) -> None:
    """Classic map types have a flag for it; Swiss ones have the same keys."""
    classic, swiss = open_target(build(program, CLASSIC)), open_target(build(program, SWISS))
    said = {t.name: bool(classic.binary.word(t.type_addr + 84) & CLASSIC_REFLEXIVE_KEY) for t in classic.map_types}

    assert {t.name: t.key_reflexive for t in classic.map_types} == said
    assert set(said.values()) == {True, False}
    assert {t.name: t.key_reflexive for t in swiss.map_types if t.name in said}.items() <= said.items()


def test_keys_that_may_share_a_hash_have_an_interface_inside(build: Callable[..., Path], release: Release) -> None:
    programs = [open_target(build(program, release)) for program in ("equal_hash", "interfaces", "structs", "nans")]
    may_meet = {t.name: t.keys_may_meet for target in programs for t in target.map_types if "main." in t.name}

    assert {name for name, may in may_meet.items() if may} == {
        "map[main.context]string", "map[main.context]int", "map[main.couple]int",
    }  # fmt: skip


def test_eight_slots_fill_a_bucket_but_for_control_bytes_and_overflow(structs: Target, release: Release) -> None:
    extra = 8 + (8 if release == CLASSIC else 0)

    assert [t.bucket_bytes for t in structs.map_types] == [extra + 8 * t.slot_bytes for t in structs.map_types]


def test_slot_holds_key_and_element(structs: Target) -> None:
    direct = [t for t in structs.map_types if not (t.indirect_key or t.indirect_elem)]

    assert [t.name for t in direct if t.slot_bytes < t.key_bytes + t.elem_bytes] == []


def test_map_types_that_debuggers_are_told_of_are_listed(structs: Target) -> None:
    told = set(described(structs))

    assert told
    assert told - {(t.type_addr, t.name) for t in structs.map_types} == set()


def test_name_is_made_of_key_and_element(structs: Target) -> None:
    assert [t.name for t in structs.map_types] == [f"map[{t.key}]{t.elem}" for t in structs.map_types]


@pytest.mark.parametrize("flags", [(STRIPPED,), (PIE,), (STRIPPED, PIE)], ids=" ".join)
def test_build_changes_no_map_type_but_its_address(
    flags: tuple[str, ...], structs: Target, release: Release, build: Callable[..., Path]
) -> None:
    def seen(target: Target) -> list[tuple]:
        return sorted((t.name, t.key_bytes, t.elem_bytes, t.bucket_bytes) for t in target.map_types)

    assert seen(open_target(build("structs", release, *flags))) == seen(structs)


def test_map_type_is_found_by_its_address(structs: Target) -> None:
    assert [structs.types.map_type(t.type_addr) for t in structs.map_types] == structs.map_types


def test_address_that_is_no_map_type_is_an_error(structs: Target) -> None:
    key = structs.binary.word(structs.named("map[float64]int").type_addr + TYPE_BYTES)

    assert structs.types.type_name(key) == "float64"
    with pytest.raises(MapprobeError, match="not a map type"):
        structs.types.map_type(key)


@pytest.mark.parametrize("end", ["types", "etypes"])
def test_address_outside_of_all_types_is_an_error(end: str, structs: Target) -> None:
    addr = structs.binary.types - 8 if end == "types" else structs.binary.etypes

    with pytest.raises(BinaryError, match="is no type of it"):
        structs.types.map_type(addr)


def test_map_type_made_at_run_time_is_named_by_key_and_element(structs: Target) -> None:
    """As reflect.MapOf makes it: on the heap, of types that the binary has."""
    ours = structs.named("map[main.place]int")
    made = structs.binary.read(ours.type_addr, MAP_TYPE_BYTES)

    def read(addr: int, length: int) -> bytes:
        start = addr - ON_THE_HEAP
        return made[start : start + length] if start >= 0 else structs.binary.read(addr, length)

    found = read_map_type(structs.types, ON_THE_HEAP, read, 0)

    assert found == dataclasses.replace(ours, type_addr=ON_THE_HEAP)


def test_types_of_a_process_are_those_of_its_file(structs: Target) -> None:
    binary = structs.binary

    def read(addr: int, length: int) -> bytes:
        """Read memory in which what points to a type is moved with the types."""
        raw = bytearray(binary.read(addr - BIAS, length))
        for place in range(0, length - 7, 8):
            word = int.from_bytes(raw[place : place + 8], "little")
            if binary.types <= word < binary.etypes:
                raw[place : place + 8] = (word + BIAS).to_bytes(8, "little")
        return bytes(raw)

    found = [read_map_type(structs.types, t.type_addr + BIAS, read, BIAS) for t in structs.map_types]
    assert found == structs.map_types


def test_type_name_at_the_end_of_its_segment_is_an_error(structs: Target, tmp_path: Path) -> None:
    binary, place = structs.binary, structs.named("map[main.place]int")
    last = len(binary.rest(binary.types)) - 1
    image = bytearray(structs.path.read_bytes())
    struct.pack_into("<i", image, binary.file_offset(place.type_addr) + 40, last)
    (tmp_path / "program").write_bytes(image)

    with pytest.raises(BinaryError, match="the type name at"):
        TypeTable(GoBinary.open(tmp_path / "program")).map_types()
