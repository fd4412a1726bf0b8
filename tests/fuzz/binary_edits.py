"""The parts of a Go binary that its readers use, and edits to them: (part, place in it, bytes).

Places are counted from the start of a named part, so that an edit means the same in every build.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from mapprobe.go.binary import GoBinary
from mapprobe.go.facts import MODULEDATA_BYTES
from mapprobe.go.pclntab import Function, FunctionTable
from mapprobe.go.points.map_points import find_points
from mapprobe.go.types import TypeTable
from mapprobe.go.variables import goid_offset
from support.gobuild import STRIPPED, Release, build_program

PROGRAM = "range_clear"
PIE = "-buildmode=pie"
BUILDS: dict[str, tuple[Release, tuple[str, ...]]] = {
    "go1.19": ((1, 19), ()),
    "go1.23": ((1, 23), ()),
    "go1.27": ((1, 27), ()),
    "go1.23 stripped pie": ((1, 23), (STRIPPED, PIE)),
    "go1.27 stripped pie": ((1, 27), (STRIPPED, PIE)),
}
DECODED = ("runtime.goroutineheader", "runtime.mallocinit", "runtime.(*mcache).allocLarge")
"""Functions that are decoded although nothing is probed in them."""
HEADER, BUILD_INFO, PCLNTAB_HEADER, TYPE_BYTES, MAP_TYPE_BYTES = 64, 256, 72, 80, 136

Edit = tuple[str, int, str]
"""Part, place in it, hexadecimal bytes; a place beyond the part's end counts on from its start."""


@dataclass(frozen=True)
class Part:
    """A run of bytes of the file."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True)
class Build:
    """A binary that was not damaged, its parts by the target that they are for, and addresses that mean something."""

    image: bytes
    parts: dict[str, tuple[Part, ...]]
    addrs: tuple[int, ...]
    pcs: tuple[int, ...]

    def edited(self, edits: Sequence[Edit]) -> bytes:
        """Return the file with its edits, never longer than it was."""
        image = bytearray(self.image)
        by_name = {part.name: part for parts in self.parts.values() for part in parts}
        for name, place, content in edits:
            part, raw = by_name[name], bytes.fromhex(content)
            start = part.offset + place % part.length
            image[start : start + len(raw)] = raw[: len(image) - start]
        return bytes(image)


@functools.cache
def build_of(name: str) -> Build:
    """Return one of `BUILDS`, compiled where it is missing."""
    release, flags = BUILDS[name]
    path = build_program(PROGRAM, release, *flags)
    with GoBinary.open(path) as binary:
        functions = FunctionTable(binary)
        goid_offset(binary, functions)
        points = {point.function: point.vaddr for point in find_points(binary, functions)}
        found = [function for name in (*points, *DECODED) if (function := functions.find(name))]
        parts = {
            "elf": tuple(_elf_parts(path, binary)),
            "pclntab": tuple(_table_parts(binary, functions, found)),
            "types": tuple(_type_parts(binary)),
            "code": tuple(Part(f.name, binary.file_offset(f.entry), f.end - f.entry) for f in found),
        }
        addrs = (binary.lowest_vaddr, binary.pcln.vaddr, binary.moduledata, binary.types, binary.etypes)
        pcs = tuple(pc for function in found for pc in range(function.entry, function.end, 7))
    return Build(path.read_bytes(), parts, (*addrs, *points.values()), pcs)


def _elf_parts(path: Path, binary: GoBinary) -> Iterator[Part]:
    yield Part("elf header", 0, HEADER)
    with path.open("rb") as file:
        elf = ELFFile(file)
        yield Part("program headers", elf["e_phoff"], elf["e_phnum"] * elf["e_phentsize"])
        yield Part("section headers", elf["e_shoff"], elf["e_shnum"] * elf["e_shentsize"])
        names = elf.get_section(elf["e_shstrndx"])
        yield Part("section names", names["sh_offset"], names["sh_size"])
        info = elf.get_section_by_name(".go.buildinfo")
        yield Part("build info", info["sh_offset"], BUILD_INFO)
        for number, note in enumerate(elf.iter_segments("PT_NOTE")):
            yield Part(f"note {number}", note["p_offset"], note["p_filesz"])
        for dynamic in elf.iter_segments("PT_DYNAMIC"):
            yield Part("dynamic", dynamic["p_offset"], dynamic["p_filesz"])
        rela = elf.get_section_by_name(".rela") or elf.get_section_by_name(".rela.dyn")
        if rela is not None:
            yield Part("relocations", rela["sh_offset"], rela["sh_size"])
    yield from _header_parts(binary)


def _header_parts(binary: GoBinary) -> Iterator[Part]:
    yield Part("pclntab header", binary.file_offset(binary.pcln.vaddr), PCLNTAB_HEADER)
    yield Part("moduledata", binary.file_offset(binary.moduledata), MODULEDATA_BYTES)


def _table_parts(binary: GoBinary, functions: FunctionTable, found: list[Function]) -> Iterator[Part]:
    yield from _header_parts(binary)
    start, header = binary.file_offset(binary.pcln.vaddr), binary.pcln
    size = 8 * header.functions + 4
    yield Part("names", start + header.names, header.units - header.names)
    yield Part("files", start + header.units, header.pc_tables - header.units)
    yield Part("pc tables", start + header.pc_tables, header.function_table - header.pc_tables)
    yield Part("function table", start + header.function_table, size)
    pairs = struct.unpack(f"<{2 * header.functions}I", binary.read(header.vaddr + header.function_table, size - 4))
    offsets = dict(zip(pairs[0::2], pairs[1::2], strict=True))
    for function in found:
        offset = start + header.function_table + offsets[function.entry - binary.text_start]
        fixed = binary.facts.func_bytes
        yield Part(f"_func of {function.name}", offset, fixed + 24)
        line_table = int.from_bytes(binary.rest(header.vaddr)[offset - start + 24 :][:4], "little")
        yield Part(f"lines of {function.name}", start + header.pc_tables + line_table, 128)


def _type_parts(binary: GoBinary) -> Iterator[Part]:
    yield Part("moduledata", binary.file_offset(binary.moduledata), MODULEDATA_BYTES)
    yield Part("types", binary.file_offset(binary.types), binary.etypes - binary.types)
    for number, map_type in enumerate(TypeTable(binary).map_types()):
        yield Part(f"map type {number}", binary.file_offset(map_type.type_addr), MAP_TYPE_BYTES)
        for word, name in enumerate(("key", "elem", "bucket")):
            addr = binary.word(map_type.type_addr + 48 + 8 * word)
            yield Part(f"{name} of map type {number}", binary.file_offset(addr), TYPE_BYTES)
    if binary.facts.typelinks is not None:
        start, length = struct.unpack("<QQ", binary.read(binary.moduledata + binary.facts.typelinks, 16))
        yield Part("type links", binary.file_offset(start), 4 * length)
