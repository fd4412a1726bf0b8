"""Executables that are refused, each with a line that says what it is; some are forged, as their tools are large."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from mapprobe.api.doctor import doctor, inspect
from mapprobe.errors import BinaryError
from mapprobe.go import binary as binaries
from mapprobe.go.binary import GoBinary
from mapprobe.go.strangers import BUILD_INFO_MAGIC, has_build_info
from support import toolchains
from support.disguises import with_another_magic, without_build_info
from support.gobuild import Release, build_library, take_sections_out, versioned

SWISS = (1, 27)
TYPE, CORE = 16, 4
"""Where the type of an ELF file stands, and that of a core. elf(5)"""
OLDEST = "1.18 is the oldest that is supported: rebuild it with a newer one"
ANY_TABLE = b"\xfa\xff\xff\xff\0\0\1\x08"
GCCGO = "built by gccgo, whose maps are others: rebuild it with 'go build'"


@pytest.fixture
def image(build: Callable[..., Path]) -> bytearray:
    """A program's bytes, to be changed."""
    return bytearray(build("range_clear", SWISS).read_bytes())


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], str]:
    """Give `refusal(content)`: what is said of a file with these bytes."""

    def say(content: bytes) -> str:
        path = tmp_path / "program"
        path.write_bytes(content)
        with pytest.raises(BinaryError) as caught:
            inspect(str(path))
        where, _, what = str(caught.value).partition(": ")
        assert where == str(path)
        assert "\n" not in what
        return what

    return say


def section(image: bytes | bytearray, name: str) -> tuple[int, int]:
    """Return where a section stands in the file and in memory."""
    with io.BytesIO(image) as file:
        found = ELFFile(file).get_section_by_name(name)
        return found["sh_offset"], found["sh_addr"]


def without_version(image: bytearray) -> bytearray:
    """Return a program that says nowhere which Go built it."""
    version = f"go{toolchains.RELEASES[SWISS]}".encode()
    return bytearray(without_build_info(image).replace(version + b"\0", bytes(len(version) + 1)))


def with_earlier_table(image: bytearray, magic: bytes) -> bytearray:
    """Return a program without a version, in which a function table begins as those of earlier releases do."""
    changed = without_version(image)
    start, _ = section(image, ".gopclntab")
    changed[start : start + 72] = magic.ljust(72, b"\0")
    return changed


def with_pointed_version(image: bytearray, version: bytes, length: int | None = None) -> bytearray:
    """Return a program whose build info points to its version, as the linker wrote it before Go 1.18."""
    start, addr = section(image, ".go.buildinfo")
    changed = with_earlier_table(image, ANY_TABLE)
    parts = BUILD_INFO_MAGIC, b"\x08\0", struct.pack("<QQ", addr + 32, 0)
    string = struct.pack("<QQ", addr + 48, len(version) if length is None else length)
    written = b"".join((*parts, string, version))
    changed[start : start + len(written)] = written
    return changed


def test_core_file_is_named(image: bytearray, refusal: Callable[[bytes], str]) -> None:
    image[TYPE] = CORE

    assert refusal(image) == "a core file: give the PID of the process while it runs"


def test_release_before_the_oldest_is_named(image: bytearray, refusal: Callable[[bytes], str]) -> None:
    assert refusal(versioned(image, b"go1.17.3")) == f"Go 1.17.3: {OLDEST}"


@pytest.mark.parametrize("version", [b"go1.16.3", b"go1.9", b"go1.17rc1"])
def test_release_that_build_info_points_to_is_named(
    version: bytes, image: bytearray, refusal: Callable[[bytes], str]
) -> None:
    expected = f"Go {version.decode().removeprefix('go')}: {OLDEST}"

    assert refusal(with_pointed_version(image, version)) == expected


@pytest.mark.parametrize("length", [0, 5, 1 << 20, 1 << 63, (1 << 64) - 1])
def test_version_of_any_length_is_survived(length: int, image: bytearray, refusal: Callable[[bytes], str]) -> None:
    said = refusal(with_pointed_version(image, b"go1.16.3", length))

    assert said.endswith(OLDEST)


@pytest.mark.parametrize(
    ("magic", "releases"),
    [(ANY_TABLE, "Go 1.16 or 1.17"), (b"\xfb\xff\xff\xff\0\0\1\x08", "Go 1.2 to 1.15")],
)
def test_a_release_without_build_info_is_recognised_by_its_function_table(
    magic: bytes, releases: str, image: bytearray, refusal: Callable[[bytes], str]
) -> None:
    assert refusal(with_earlier_table(image, magic)) == f"{releases}: {OLDEST}"


def test_program_that_is_not_go_is_named(image: bytearray, refusal: Callable[[bytes], str]) -> None:
    assert refusal(with_earlier_table(image, b"")) == "no Go program: give the path or PID of one"


@pytest.mark.parametrize("mark", [b"libgo.so.21\0", b"../src/libgo/go/runtime/proc.go\0"])
def test_gccgo_is_recognised_by_its_runtime(mark: bytes, image: bytearray, refusal: Callable[[bytes], str]) -> None:
    changed = with_earlier_table(image, b"")
    start, _ = section(image, ".rodata")
    changed[start : start + len(mark)] = mark

    assert refusal(changed) == GCCGO


def test_gccgo_is_recognised_by_its_version(image: bytearray, refusal: Callable[[bytes], str]) -> None:
    image[image.index(BUILD_INFO_MAGIC) + 32] = len(b"go1.18 gccgo")

    assert refusal(versioned(image, b"go1.18 gccgo")) == GCCGO


def test_program_with_another_magic_is_read_as_before(
    build: Callable[..., Path], release: Release, tmp_path: Path
) -> None:
    original = build("range_clear", release)
    path = tmp_path / "program"
    path.write_bytes(with_another_magic(bytearray(original.read_bytes())))

    known, found = inspect(str(original)), inspect(str(path))
    with GoBinary.open(path) as binary:
        assert binary.is_disguised
    assert {name for name in known if found[name] != known[name]} == {"binary"}


def test_table_with_another_magic_is_found_without_sections(
    build: Callable[..., Path], release: Release, tmp_path: Path
) -> None:
    path = tmp_path / "program"
    path.write_bytes(with_another_magic(bytearray(build("range_clear", release).read_bytes())))
    with GoBinary.open(path) as binary:
        expected = binary.pcln
    take_sections_out(path)

    with GoBinary.open(path) as binary:
        assert binary.pcln == expected


def test_program_in_disguise_that_names_no_release_is_obfuscated(
    image: bytearray, refusal: Callable[[bytes], str]
) -> None:
    changed = without_version(bytearray(with_another_magic(image)))

    assert refusal(changed) == "obfuscated (garble): it names no release of Go: give a build that is not"


def test_what_is_missing_in_disguise_is_said_to_be_obfuscated(
    image: bytearray, refusal: Callable[[bytes], str]
) -> None:
    changed = with_another_magic(image).replace(b"runtime.mallocinit\0", b"obscure.nvyyxhdhwh\0")

    said = refusal(changed.replace(b"runtime.(*mcache).allocLarge\0", b"obscure.(*mcache).allocLarge\0"))
    assert said == "obfuscated (garble), and runtime.mheap_ is not found: give a build that is not"


def test_places_where_a_table_might_begin_are_not_looked_at_without_end(
    image: bytearray, refusal: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    monkeypatch.setattr(binaries, "MOST_MARKS", 100)
    monkeypatch.setattr(GoBinary, "_pclntab_at", lambda _, addr: looked_at.append(addr))
    changed = with_earlier_table(image, b"")
    start, _ = section(image, ".rodata")
    changed[start : start + 8 * 1000] = b"\xee\xff\xff\xff\0\0\1\x08" * 1000

    refusal(changed)
    assert len(looked_at) < 200


def test_a_library_is_distinguished_from_a_program(build: Callable[..., Path], release: Release) -> None:
    library = build_library("library", release)
    with GoBinary.open(library) as binary:
        assert binary.is_library
    assert [inspect(str(build("range_clear", release, *flags)))["library"] for flags in ((), ("-buildmode=pie",))] == [
        False,
        False,
    ]
    *_, target = doctor(str(library))["checks"]
    assert (target["ok"], "a Go library: only executables are supported" in target["found"]) == (False, True)


def test_build_info_is_found_in_a_library_alone(release: Release) -> None:
    assert has_build_info(build_library("library", release))
    assert not has_build_info(sys.executable)
    assert not has_build_info("absent")
