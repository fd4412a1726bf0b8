from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from mapprobe.api.doctor import inspect
from mapprobe.errors import BinaryError, MapprobeError
from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import NEWEST
from mapprobe.go.types import TypeTable
from mapprobe.vocabulary import Implementation
from support import toolchains
from support.disguises import without_build_info
from support.gobuild import STRIPPED, Release, go_environment, versioned

SWISS = (1, 27)
PIE = "-buildmode=pie"
BUILDS = {"plain": (), "stripped": (STRIPPED,), "pie": (PIE,), "stripped pie": (STRIPPED, PIE)}
SYMBOLS = {
    "moduledata": "runtime.firstmoduledata",
    "text_start": "runtime.text",
    "types": "runtime.types",
    "etypes": "runtime.etypes",
    "gofunc": "go:func.*",
}
MACHINE, SECTION_OFFSET, SEGMENT_COUNT, SECTION_COUNTS, PROGRAM_HEADERS = 18, 40, 56, 60, 64
"""Where these stand in an ELF file. elf(5)"""
HEADER_LENGTHS = [1, 3, 4, 16, 63, 64, 65, 120, 400, 1000, 4096]


@dataclass(frozen=True)
class Target:
    path: Path
    release: Release
    flags: tuple[str, ...]
    binary: GoBinary
    segments: list[dict[str, int]]

    def tool(self, name: str, *arguments: str) -> str:
        go = toolchains.goroot(self.release) / "bin" / "go"
        command = [go, *name.split(), *arguments, self.path]
        return subprocess.run(
            command, env=go_environment(self.release), check=True, capture_output=True, text=True
        ).stdout


@functools.cache
def open_target(path: Path, release: Release, flags: tuple[str, ...] = ()) -> Target:
    with path.open("rb") as file:
        segments = [dict(segment.header) for segment in ELFFile(file).iter_segments("PT_LOAD")]
    return Target(path, release, flags, GoBinary.open(path), segments)


@pytest.fixture(params=BUILDS.values(), ids=BUILDS)
def target(request: pytest.FixtureRequest, release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build("range_clear", release, *request.param), release, request.param)


@pytest.fixture(params=[(), (PIE,)], ids=["plain", "pie"])
def unstripped(request: pytest.FixtureRequest, release: Release, build: Callable[..., Path]) -> Target:
    return open_target(build("range_clear", release, *request.param), release, request.param)


@pytest.fixture
def image(build: Callable[..., Path]) -> bytearray:
    """A program's bytes, to be damaged."""
    return bytearray(build("range_clear", SWISS).read_bytes())


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    """Give `written(content)`, which puts bytes into a file."""

    def write(content: bytes) -> Path:
        path = tmp_path / "program"
        path.unlink(missing_ok=True)  # what is mapped of the file before stays as it is
        path.write_bytes(content)
        return path

    return write


def refusal(path: Path) -> str:
    """Return what opening a file says, which is one line that begins with its path."""
    with pytest.raises(MapprobeError) as caught:
        GoBinary.open(path)
    where, _, what = str(caught.value).partition(": ")
    assert isinstance(caught.value, BinaryError)
    assert where == str(path)
    assert "\n" not in what
    return what


def without_sections(image: bytes) -> bytes:
    bare = bytearray(image)
    bare[SECTION_OFFSET : SECTION_OFFSET + 8] = bytes(8)
    bare[SECTION_COUNTS : SECTION_COUNTS + 4] = bytes(4)
    return bytes(bare)


def test_version_is_that_of_the_toolchain(target: Target) -> None:
    assert target.binary.go_version == f"go{toolchains.RELEASES[target.release]}"


def test_release_is_the_version_without_its_patch_level(target: Target) -> None:
    assert target.binary.go_release == target.release


def test_build_id_is_the_one_that_go_reads(target: Target) -> None:
    assert target.binary.build_id == target.tool("tool buildid").strip()


def test_module_is_the_package_path(target: Target) -> None:
    assert target.binary.module == "programs/range_clear"


def test_settings_are_those_that_go_reads(target: Target) -> None:
    lines = target.tool("version -m").splitlines()

    expected = dict(line.split("\t")[2].split("=", 1) for line in lines if line.startswith("\tbuild\t"))
    assert dict(target.binary.settings) == expected


def test_maps_are_swiss_from_go_1_24_on(target: Target) -> None:
    expected = Implementation.CLASSIC if target.release < (1, 24) else Implementation.SWISS

    assert target.binary.implementation == expected


def test_ordinary_build_has_no_experiments(target: Target) -> None:
    assert target.binary.experiments == frozenset()


def test_position_independent_build_says_so(target: Target) -> None:
    assert target.binary.is_pie == (PIE in target.flags)


def test_stripped_build_says_so(target: Target) -> None:
    assert target.binary.is_stripped == (STRIPPED in target.flags)


def test_build_without_an_interpreter_is_static(target: Target) -> None:
    assert target.binary.is_static == (PIE not in target.flags)


@pytest.mark.parametrize("table", SYMBOLS)
def test_table_is_found_at_the_address_of_its_symbol(table: str, unstripped: Target) -> None:
    with unstripped.path.open("rb") as file:
        symbols = {
            symbol.name: symbol["st_value"] for symbol in ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        }

    assert getattr(unstripped.binary, table) == symbols[SYMBOLS[table]]


def test_moduledata_points_to_the_function_table(target: Target) -> None:
    assert target.binary.word(target.binary.moduledata) == target.binary.pcln.vaddr


def test_first_byte_of_each_segment_is_at_the_address_in_its_header(target: Target) -> None:
    found = [target.binary.file_offset(segment["p_vaddr"]) for segment in target.segments]

    assert found == [segment["p_offset"] for segment in target.segments]


def test_last_byte_of_each_segment_is_at_the_address_in_its_header(target: Target) -> None:
    found = [target.binary.file_offset(s["p_vaddr"] + s["p_filesz"] - 1) for s in target.segments]

    assert found == [s["p_offset"] + s["p_filesz"] - 1 for s in target.segments]


def test_code_is_read_from_its_file_offset(target: Target) -> None:
    start, content = target.binary.text_start, target.path.read_bytes()

    offset = target.binary.file_offset(start)
    assert target.binary.read(start, 4096) == content[offset : offset + 4096]


def test_memory_that_the_file_does_not_give_is_zero(target: Target) -> None:
    data = target.segments[-1]
    length = data["p_memsz"] - data["p_filesz"]

    assert target.binary.read(data["p_vaddr"] + data["p_filesz"], length) == bytes(length)


def test_memory_that_the_file_does_not_give_has_no_file_offset(target: Target) -> None:
    data = target.segments[-1]

    with pytest.raises(BinaryError, match="is not in the file"):
        target.binary.file_offset(data["p_vaddr"] + data["p_filesz"])


@pytest.mark.parametrize("addr", [0, 8, 1 << 40, (1 << 64) - 1, -1])
def test_address_outside_of_all_segments_is_an_error(addr: int, target: Target) -> None:
    with pytest.raises(BinaryError, match="is not mapped"):
        target.binary.read(addr, 1)


@pytest.mark.parametrize("length", [2, 1 << 40, -1])
def test_read_beyond_the_end_of_a_segment_is_an_error(length: int, target: Target) -> None:
    last = target.segments[0]["p_vaddr"] + target.segments[0]["p_memsz"] - 1

    with pytest.raises(BinaryError, match="are not there"):
        target.binary.read(last, length)


def test_binary_without_section_headers_has_the_same_tables(target: Target, written: Callable[[bytes], Path]) -> None:
    bare = GoBinary.open(written(without_sections(target.path.read_bytes())))

    assert (bare.go_version, bare.build_id) == (target.binary.go_version, target.binary.build_id)
    assert (bare.pcln, bare.moduledata) == (target.binary.pcln, target.binary.moduledata)


def test_gos_own_compiler_is_a_go_program(release: Release) -> None:
    compiler = toolchains.goroot(release) / "pkg" / "tool" / "linux_amd64" / "compile"

    assert GoBinary.open(compiler).module == "cmd/compile"


def test_path_may_be_a_string(release: Release, build: Callable[..., Path]) -> None:
    path = str(build("range_clear", release))

    assert GoBinary.open(path).path == path


def test_closing_twice_is_no_error(release: Release, build: Callable[..., Path]) -> None:
    with GoBinary.open(build("range_clear", release)) as binary, binary as same:
        assert same is binary


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "program") == "no such file or directory: give the path of a Go program"


def test_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "is a directory: give the path of a Go program"


@pytest.mark.parametrize("content", [b"", b"\n", b"#!/bin/sh\nexit\n", b"\x7fEL", bytes(10_000)])
def test_file_that_is_not_elf_is_refused(content: bytes, written: Callable[[bytes], Path]) -> None:
    assert refusal(written(content)) == "no Go program: give the path or PID of one"


def test_elf_file_that_is_not_go_is_refused() -> None:
    assert refusal(Path(os.path.realpath(sys.executable))) == "no Go program: give the path or PID of one"


def test_program_for_another_machine_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    image[MACHINE] = 183  # EM_AARCH64

    assert refusal(written(image)) == "not an executable for x86-64: only Linux on x86-64 is supported"


@pytest.mark.parametrize("length", HEADER_LENGTHS)
def test_program_cut_off_in_its_headers_is_refused(
    length: int, image: bytearray, written: Callable[[bytes], Path]
) -> None:
    assert refusal(written(image[:length])).endswith((": copy it again", ": give the path or PID of one"))


@pytest.mark.parametrize("sixteenth", range(1, 16))
def test_program_cut_off_halfway_is_refused(sixteenth: int, image: bytearray, written: Callable[[bytes], Path]) -> None:
    assert refusal(written(image[: len(image) * sixteenth // 16])).endswith(": copy it again")


def test_program_cut_off_without_its_sections_says_where(image: bytearray, written: Callable[[bytes], Path]) -> None:
    assert refusal(written(without_sections(image)[:100_000])) == "cut off at 100000 bytes: copy it again"


@pytest.mark.parametrize("value", [0, 0xFF])
def test_damage_to_a_program_header_is_survived_or_refused(
    value: int, image: bytearray, written: Callable[[bytes], Path]
) -> None:
    for place in range(PROGRAM_HEADERS, PROGRAM_HEADERS + 3 * 56):
        path = written(image[:place] + bytes([value]) + image[place + 1 :])
        with contextlib.suppress(BinaryError):
            assert GoBinary.open(path).go_release == SWISS


def test_program_without_segments_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    image[SEGMENT_COUNT : SEGMENT_COUNT + 2] = bytes(2)

    assert refusal(written(image)) == "no Go program: give the path or PID of one"


def test_version_of_a_program_without_build_info_is_that_of_its_runtime(
    target: Target, written: Callable[[bytes], Path]
) -> None:
    bare = GoBinary.open(written(without_build_info(bytearray(target.path.read_bytes()))))

    assert (bare.go_version, bare.module) == (target.binary.go_version, "")
    assert bare.moduledata == target.binary.moduledata


def test_program_without_build_info_and_version_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    bare = without_build_info(image)

    version = f"go{toolchains.RELEASES[SWISS]}".encode()
    assert refusal(written(bare.replace(version + b"\0", bytes(len(version) + 1)))).startswith("obfuscated (garble): ")


def test_damaged_function_table_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    binary = GoBinary.open(written(image))
    image[binary.file_offset(binary.pcln.vaddr) + 8 : binary.file_offset(binary.pcln.vaddr) + 16] = bytes(8)

    assert refusal(written(image)).startswith("its function table (pclntab) is not found: ")


def test_damaged_moduledata_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    binary = GoBinary.open(written(image))
    image[binary.file_offset(binary.moduledata)] ^= 0xFF

    assert refusal(written(image)).startswith("the runtime's moduledata is not found: ")


def test_release_from_before_the_oldest_known_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    path = written(versioned(image, b"go1.17.3"))

    assert refusal(path).startswith("Go 1.17.3: 1.18 is the oldest")


def test_release_that_is_not_known_yet_is_used_where_everything_fits(
    build: Callable[..., Path], image: bytearray, written: Callable[[bytes], Path]
) -> None:
    known, unknown = inspect(str(build("range_clear", SWISS))), inspect(str(written(versioned(image, b"go1.99.3"))))

    assert unknown["go_version"] == "go1.99.3"
    assert {name for name in known if unknown[name] != known[name]} == {"binary", "go_version"}


@pytest.mark.parametrize("actual", [release for release in toolchains.RELEASES if release < NEWEST])
def test_release_that_is_not_known_yet_is_refused_where_something_differs(
    actual: Release, build: Callable[..., Path], written: Callable[[bytes], Path]
) -> None:
    path = written(versioned(bytearray(build("generations", actual).read_bytes()), b"go1.99.3"))

    with pytest.raises(BinaryError) as caught:
        inspect(str(path))
    assert re.fullmatch(
        r"\S+: go1\.99\.3\d? is newer than go1\.27, the newest that is known here, and differs from it \(.+\): "
        r"update mapprobe",
        str(caught.value),
    )


def test_release_that_is_not_known_yet_is_refused_where_no_type_is_a_map(
    image: bytearray, written: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TypeTable, "_is_map", lambda *_: False)

    with pytest.raises(BinaryError, match=r"newer than go1\.27.*\(none of its type descriptors is a map's\)"):
        inspect(str(written(versioned(image, b"go1.99.3"))))


def test_newest_known_release_is_that_of_the_newest_toolchain() -> None:
    assert max(toolchains.RELEASES) == NEWEST


def test_build_that_names_no_release_is_refused(image: bytearray, written: Callable[[bytes], Path]) -> None:
    assert refusal(written(versioned(image, b"devel go"))).startswith("built by 'devel go', which names no release")


def resident_bytes(path: str) -> int:
    """Return how much of a mapped file is in this process's memory."""
    found, is_ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_ours = line.endswith(path)
        elif is_ours and words[0] == "Rss:":
            found += int(words[1]) << 10
    return found


def test_pages_that_were_read_can_be_let_go_and_are_read_again(target: Target, tmp_path: Path) -> None:
    path = str(shutil.copy(target.path, tmp_path))  # a file that no other test has mapped
    with GoBinary.open(path) as binary:
        start = binary.text_start
        before = binary.read(start, 1 << 16)
        assert resident_bytes(path) >= 1 << 16
        binary.let_pages_go()
        assert resident_bytes(path) == 0
        assert binary.read(start, 1 << 16) == before
