from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from iced_x86 import Decoder

from mapprobe.errors import BinaryError
from mapprobe.go.binary import GoBinary
from mapprobe.go.dataflow.emulation import is_emulated
from mapprobe.go.dataflow.locations import FrameSlot, Register
from mapprobe.go.pclntab import Function, FunctionTable
from mapprobe.go.points.map_points import find_points
from mapprobe.go.points.probe_point import Cost, ProbePoint
from mapprobe.go.variables import goid_offset
from mapprobe.vocabulary import EventKind
from support import toolchains
from support.gobuild import STRIPPED, Release, go_environment

CLASSIC, SWISS = (1, 23), (1, 27)
MAPS = "internal/runtime/maps."
PIE, NOT_INLINED = "-buildmode=pie", "-gcflags=all=-l"
BUILDS = [
    ("range_clear",),
    ("range_clear", STRIPPED),
    ("range_clear", PIE),
    ("range_clear", NOT_INLINED),
    ("structs",),
    ("session_cache",),
]
WITH_SYMBOLS = [build for build in BUILDS if STRIPPED not in build]
HASHING = {
    CLASSIC: r"runtime\.map(assign|delete)(_\w+)?",
    SWISS: r"runtime\.mapassign(_\w+)?|internal/runtime/maps\.\(\*Map\)\.Delete",
}
ANY_KEY = ("runtime.mapassign", "runtime.mapdelete", f"{MAPS}(*Map).Delete")
OBJDUMP_NAMES = {"mov": "movl", "nop": "nopl", "push": "pushq"}


@dataclasses.dataclass(frozen=True)
class Target:
    path: Path
    release: Release
    binary: GoBinary
    functions: FunctionTable
    points: list[ProbePoint]

    def of(self, *kinds: EventKind) -> list[ProbePoint]:
        return [point for point in self.points if point.kind in kinds]

    def tool(self, name: str, *arguments: str) -> str:
        go = toolchains.goroot(self.release) / "bin" / "go"
        command = [go, "tool", name, *arguments]
        return subprocess.run(
            command, env=go_environment(self.release), check=True, capture_output=True, text=True
        ).stdout


@functools.cache
def open_target(path: Path, release: Release) -> Target:
    binary = GoBinary.open(path)
    functions = FunctionTable(binary)
    return Target(path, release, binary, functions, find_points(binary, functions))


@pytest.fixture(params=BUILDS, ids=" ".join)
def target(request: pytest.FixtureRequest, release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build(request.param[0], release, *request.param[1:]), release)


@pytest.fixture(params=WITH_SYMBOLS, ids=" ".join)
def unstripped(request: pytest.FixtureRequest, release: Release, build: Callable[..., Path]) -> Target:
    """Targets that Go's own tools can read."""
    return open_target(build(request.param[0], release, *request.param[1:]), release)


@pytest.fixture
def plain(release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build("range_clear", release), release)


def test_each_function_that_hashes_has_one_hash_point(unstripped: Target) -> None:
    symbols = {
        line.split(maxsplit=2)[2] for line in unstripped.tool("nm", str(unstripped.path)).splitlines() if " T " in line
    }

    there = {name for name in symbols if re.fullmatch(HASHING[unstripped.release], name)}

    assert there
    assert sorted(p.function for p in unstripped.of(EventKind.ASSIGN, EventKind.DELETE)) == sorted(there)


def test_hash_point_knows_hash_map_and_type(target: Target) -> None:
    points = target.of(EventKind.ASSIGN, EventKind.DELETE)

    assert all(point.places.hash and point.places.map and point.places.type for point in points)
    assert all(len({point.places.hash, point.places.map, point.places.type}) == 3 for point in points)


def test_key_is_located_where_keys_of_any_type_come_along(target: Target) -> None:
    located = {point.function for point in target.points if point.places.key}

    assert located == {point.function for point in target.points if point.function in ANY_KEY}


def test_deletes_are_told_from_assignments(target: Target) -> None:
    assert all("ssign" in point.function for point in target.of(EventKind.ASSIGN))
    assert all("elete" in point.function for point in target.of(EventKind.DELETE))


def test_stripping_changes_no_point(release: Release, build: Callable[..., Path]) -> None:
    plain, stripped = (open_target(build("range_clear", release, *flags), release) for flags in ((), (STRIPPED,)))

    def seen(target: Target) -> list[ProbePoint]:
        return [dataclasses.replace(point, file_offset=0) for point in target.points]

    assert seen(plain) == seen(stripped)


def test_no_point_but_that_of_exit_is_a_functions_first_instruction(target: Target) -> None:
    entries = [p.kind for p in target.points if target.functions.at(p.vaddr - 1) != target.functions.at(p.vaddr)]

    assert entries == [EventKind.EXIT]


def test_point_lies_in_its_function(target: Target) -> None:
    assert [target.functions.at(point.vaddr).name for point in target.points] == [p.function for p in target.points]


def test_only_the_exit_is_stepped(target: Target) -> None:
    assert [point.kind for point in target.points if point.cost is Cost.STEPPED] == [EventKind.EXIT]


def test_code_equals_the_bytes_in_the_file(target: Target) -> None:
    image = target.path.read_bytes()

    assert all(image[p.file_offset : p.file_offset + len(p.code)] == p.code for p in target.points)


def test_no_point_is_a_padding_nop(target: Target) -> None:
    """Some kernels refuse to probe them."""
    assert all(p.code == b"\x90" for p in target.points if "nop" in p.instruction or "xchg" in p.instruction)


def test_gos_own_disassembler_sees_the_same_instruction(unstripped: Target) -> None:
    names = "|".join(re.escape(point.function) for point in unstripped.points)
    listing = unstripped.tool("objdump", "-s", rf"^({names})(\.abi0)?$", str(unstripped.path))
    seen = {
        int(fields[1], 16): (fields[2], fields[3].lower())
        for fields in map(str.split, listing.splitlines())
        if len(fields) > 3 and fields[1].startswith("0x")
    }

    names_of_ours = (point.instruction.split()[0] for point in unstripped.points)
    expected = {
        p.vaddr: (p.code.hex(), OBJDUMP_NAMES.get(n, n)) for p, n in zip(unstripped.points, names_of_ours, strict=True)
    }
    assert {addr: seen.get(addr) for addr in expected} == expected


def test_creation_with_hint_knows_map_type_and_hint(target: Target) -> None:
    maker = "runtime.makemap" if target.release == CLASSIC else f"{MAPS}NewMap"

    (point,) = (p for p in target.of(EventKind.CREATE) if p.function == maker)

    assert point.places.map
    assert point.places.type
    assert point.places.hint


def test_creation_of_a_small_map_knows_its_address_only(plain: Target) -> None:
    (point,) = (p for p in plain.of(EventKind.CREATE) if p.function == "runtime.makemap_small")

    assert point.places.map == Register("ax")
    assert (point.places.type, point.places.hint) == (None, None)


def test_clear_knows_map_and_type(plain: Target) -> None:
    (point,) = plain.of(EventKind.CLEAR)

    assert point.function == ("runtime.mapclear" if plain.release == CLASSIC else f"{MAPS}(*Map).Clear")
    assert point.places.map
    assert point.places.type


def test_program_that_clears_nothing_has_no_clear_point(release: Release, build: Callable[..., Path]) -> None:
    assert open_target(build("structs", release), release).of(EventKind.CLEAR) == []


@pytest.mark.parametrize("flags", [(), (STRIPPED,), (PIE,), (NOT_INLINED,)], ids=" ".join)
@pytest.mark.parametrize(
    ("release", "cloners"),
    [
        ((1, 21), ["runtime.mapclone2"]),
        ((1, 23), ["runtime.mapclone2"]),
        ((1, 24), []),
        ((1, 25), [f"{MAPS}(*Map).Clone"]),
        ((1, 27), [f"{MAPS}(*Map).Clone"]),
    ],
)
def test_clone_knows_map_type_and_original(
    release: Release, flags: tuple[str, ...], cloners: list[str], build: Callable[..., Path]
) -> None:
    points = open_target(build("copies", release, *flags), release).of(EventKind.CLONE)

    assert [point.function for point in points] == cloners
    assert all(point.places.map and point.places.type and point.places.hash for point in points)


def test_growth_is_seen_at_the_push_behind_the_stack_check(target: Target) -> None:
    points = target.of(EventKind.GROW, EventKind.OVERFLOW)

    assert points
    assert all(point.code == b"\x55" and not point.frame_is_set_up for point in points)


@pytest.mark.parametrize("name", ["runtime.hashGrow", "runtime.(*hmap).newoverflow"])
def test_growth_is_seen_where_the_function_pushes_nothing(name: str, build: Callable[..., Path]) -> None:
    old = open_target(build("range_clear", (1, 19)), (1, 19))
    (point,) = (p for p in old.of(EventKind.GROW, EventKind.OVERFLOW) if p.function == name)

    assert (point.cost, point.frame_is_set_up) == (Cost.EMULATED, True)
    assert point.places.map
    assert point.places.type


def test_growth_arguments_stand_where_gos_abi_puts_them(target: Target) -> None:
    found = {p.function: (str(p.places.map), str(p.places.type)) for p in target.of(EventKind.GROW, EventKind.OVERFLOW)}

    assert found == (
        {"runtime.hashGrow": ("bx", "ax"), "runtime.(*hmap).newoverflow": ("ax", "bx")}
        if target.release == CLASSIC
        else {
            f"{MAPS}(*Map).growToTable": ("ax", "bx"),
            f"{MAPS}(*table).grow": ("cx", "bx"),
            f"{MAPS}(*table).split": ("cx", "bx"),
        }
    )


def test_slots_are_given_only_where_the_frame_is_set_up(target: Target) -> None:
    for point in target.points:
        places = (point.places.hash, point.places.map, point.places.type, point.places.key, point.places.hint)

        assert point.frame_is_set_up or not any(isinstance(place, FrameSlot) for place in places)


def test_exit_is_the_function_that_enters_the_kernel(target: Target) -> None:
    (point,) = target.of(EventKind.EXIT)
    function = target.functions.at(point.vaddr)

    assert point.vaddr == function.entry
    assert b"\x0f\x05" in target.binary.read(function.entry, function.end - function.entry)


def test_tombstones_are_pruned_by_the_swiss_fast_variants_only(target: Target) -> None:
    pruning = {point.function for point in target.points if point.prunes_tombstones}

    fast = {p.function for p in target.of(EventKind.ASSIGN) if "_fast" in p.function}
    assert pruning == (fast if target.release == SWISS else set())


def compiler_of(release: Release) -> Target:
    """The compiler is built with a profile, which moves the runtime's code about."""
    return open_target(toolchains.goroot(release) / "pkg" / "tool" / "linux_amd64" / "compile", release)


def test_profile_guided_build_has_a_hash_point_in_each_function_that_hashes(release: Release) -> None:
    present = [
        *(f"runtime.mapassign{variant}" for variant in ("", "_fast32", "_fast64", "_fast64ptr", "_faststr")),
        *(("runtime.mapdelete",) if release == CLASSIC else (f"{MAPS}(*Map).Delete",)),
    ]

    assert set(present) <= {p.function for p in compiler_of(release).points if p.places.hash}


def test_clear_that_a_profile_inlined_has_its_own_point() -> None:
    found = {point.function for point in compiler_of(SWISS).of(EventKind.CLEAR)}

    assert found == {"runtime.mapclear", f"{MAPS}(*Map).Clear"}


def test_creation_that_a_profile_inlined_is_seen_with_its_hint() -> None:
    (point,) = (p for p in compiler_of(SWISS).of(EventKind.CREATE) if p.function == "runtime.makemap")

    assert point.places.type
    assert point.places.hint


def test_growth_that_a_profile_inlined_is_seen_at_its_caller() -> None:
    found = {point.function for point in compiler_of(SWISS).of(EventKind.GROW)}

    assert found == {f"{MAPS}(*Map).growToTable", f"{MAPS}(*table).rehash"}


def test_creation_that_is_not_inlined_is_seen_where_it_allocates(build: Callable[..., Path]) -> None:
    found = {p.function for p in open_target(build("range_clear", SWISS, NOT_INLINED), SWISS).of(EventKind.CREATE)}

    assert found == {f"{MAPS}NewMap", f"{MAPS}NewEmptyMap"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [("74 00", True), ("0f 85 00 00 00 00", True), ("eb 00", True), ("e8 00 00 00 00", True), ("55", True),
     ("41 57", True), ("90", True), ("66 90", False), ("0f 1f 44 00 00", False), ("0f 05", False), ("ff d1", False),
     ("e3 00", False), ("c3", False), ("48 89 e5", False), ("ff 75 08", False)],
)  # fmt: skip
def test_kernel_emulates_jumps_direct_calls_pushes_and_one_byte_nops(code: str, expected: bool) -> None:
    (instruction,) = Decoder(64, bytes.fromhex(code))

    assert is_emulated(instruction) is expected


def test_function_that_hashes_in_no_known_way_is_an_error_that_names_it(plain: Target) -> None:
    other = plain.functions.find("runtime.makemap_small")

    class Misled(FunctionTable):
        def find(self, name: str) -> Function | None:
            found = super().find(name)
            return dataclasses.replace(other, name=name) if name == "runtime.mapassign" else found

    with pytest.raises(BinaryError, match=r"range_clear: runtime\.mapassign: "):
        find_points(plain.binary, Misled(plain.binary))


def test_goid_has_the_offset_of_the_release(target: Target) -> None:
    assert goid_offset(target.binary, target.functions) == (160 if target.release == CLASSIC else 152)


def test_goid_elsewhere_than_the_release_has_it_is_an_error(plain: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain.binary, "facts", dataclasses.replace(plain.binary.facts, goid=8))

    with pytest.raises(BinaryError, match="goid is at offset 1"):
        goid_offset(plain.binary, plain.functions)
