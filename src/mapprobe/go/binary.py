"""A Go executable: ELF segments, build info, where the runtime's tables stand.

Sections are only a shortcut to the tables; where they are stripped, segments
are scanned. The file is mapped, not read, and segments are copied only when
relocations change them.

go: debug/buildinfo/buildinfo.go, cmd/link/internal/ld/data.go
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from mapprobe.errors import BinaryError
from mapprobe.go.facts import (
    MODULEDATA_BYTES,
    MODULEDATA_MINPC,
    MODULEDATA_TEXT,
    PCLNTAB_MAGIC,
    Facts,
    Release,
    facts_for,
)
from mapprobe.schema import Implementation

BUILD_INFO_MAGIC = b"\xff Go buildinf:"
INLINE_STRINGS = 2
VERSION_STRING = re.compile(rb"(go1\.\d+[ -~]*)\0")
MODULE_FRAME = 16
READ, WRITE = 4, 2
RELATIVE = 8  # R_X86_64_RELATIVE
DT_RELA, DT_RELASZ, DT_RELRSZ, DT_RELR = 7, 8, 35, 36
GO_BUILD_ID = ("Go", 4)
LONGEST_VERSION = 256
NOT_GO = "not a Go program: give the path or PID of one"
NOT_AS_GO_WRITES = "is not as Go writes it: rebuild it with a Go release that 'mapprobe inspect' supports"


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD: where it stands in memory, and what the file gives of it."""

    vaddr: int
    memory_bytes: int
    file_offset: int
    flags: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class PclnHeader:
    """The header of pclntab; offsets are from its address.

    go: runtime/symtab.go pcHeader [1.18..1.27]
    """

    vaddr: int
    magic: int
    functions: int
    names: int
    units: int
    files: int
    pc_tables: int
    function_table: int


class GoBinary:
    """One executable, opened; a context manager.

    Attributes
    ----------
    go_version, go_release
        ``go1.27.3`` and ``(1, 27)``.
    experiments
        GOEXPERIMENTs it was built with.
    build_id, module
        Go build ID, main module or package path; empty where the binary has none.
    settings
        The ``build`` lines of its build info.
    moduledata
        Address of the runtime's moduledata.
    text_start
        `runtime.text`: what the tables count from, not always the start of .text.
    """

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> GoBinary:
        """Open an executable.

        Raises
        ------
        BinaryError
            If it can't be read, or isn't a Go program for Linux on x86-64.
        """
        name = os.fspath(path)
        try:
            # a pipe, opened in the ordinary way, would wait for a writer
            file = open(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")  # noqa: SIM115
        except OSError as error:
            raise BinaryError(
                name, f"{(error.strerror or 'unreadable').lower()}: give the path of a Go program"
            ) from None
        with file:
            try:
                image = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            except (ValueError, OSError):
                raise BinaryError(name, NOT_GO) from None
        binary = cls.__new__(cls)
        try:
            binary._read(name, image)
        except (ELFError, struct.error, IndexError, KeyError, ValueError, OverflowError, AttributeError, TypeError):
            image_is_elf = image[:4] == b"\x7fELF"
            raise BinaryError(name, "its ELF headers are damaged: copy it again" if image_is_elf else NOT_GO) from None
        return binary

    def _read(self, path: str, image: mmap.mmap) -> None:
        self.path, self._image = path, image
        if image[:4] != b"\x7fELF":
            raise BinaryError(path, NOT_GO)
        elf: Any = ELFFile(cast(Any, image))
        if elf["e_machine"] != "EM_X86_64" or elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
            raise BinaryError(path, "not an executable for x86-64: only Linux on x86-64 is supported")
        self.is_pie: bool = elf["e_type"] == "ET_DYN"
        self._sections = {section.name: section["sh_addr"] for section in elf.iter_sections() if section["sh_addr"]}
        self.is_stripped = ".symtab" not in {section.name for section in elf.iter_sections()}
        self._segments = [self._segment(header) for header in elf.iter_segments("PT_LOAD")]
        if not self._segments:
            raise BinaryError(path, NOT_GO)
        self.lowest_vaddr = min(segment.vaddr for segment in self._segments) & ~(mmap.PAGESIZE - 1)
        self._relocate(elf)
        self.is_static = not any(elf.iter_segments("PT_INTERP"))
        self.build_id = _build_id(elf)
        self._read_build_info()
        self.pcln = self._find_pclntab()
        self.facts: Facts = facts_for(self.go_release)
        self._find_moduledata()

    def __enter__(self) -> GoBinary:
        """Return the binary itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file; nothing is done while views of it are still about."""
        self._segments = []

    @property
    def implementation(self) -> Implementation:
        """Which kind of map its runtime has."""
        if self.go_release < (1, 24) or "noswissmap" in self.experiments:
            return Implementation.CLASSIC
        return Implementation.SWISS

    def read(self, vaddr: int, length: int) -> bytes:
        """Return bytes of the image as it is loaded, relocations applied.

        Raises
        ------
        BinaryError
            If they are not in one segment.
        """
        return bytes(self.view(vaddr, length))

    def view(self, vaddr: int, length: int) -> memoryview:
        """Return the same without a copy where the file has it all."""
        segment = self._segment_at(vaddr)
        start = vaddr - segment.vaddr
        # memory beyond the file is only promised, and a damaged header promises any amount of it
        if not 0 <= length <= len(self._image) or start + length > segment.memory_bytes:
            raise BinaryError(self.path, f"{length} bytes at {vaddr:#x} are not there: it {NOT_AS_GO_WRITES}")
        part = segment.data[start : start + length]
        return part if len(part) == length else memoryview(bytes(part).ljust(length, b"\0"))

    def rest(self, vaddr: int) -> memoryview:
        """Return the image from an address to the end of what the file has of its segment."""
        segment = self._segment_at(vaddr)
        return segment.data[vaddr - segment.vaddr :]

    def word(self, vaddr: int) -> int:
        """Return eight bytes as an unsigned integer."""
        return int.from_bytes(self.view(vaddr, 8), "little")

    def file_offset(self, vaddr: int) -> int:
        """Return where an address stands in the file."""
        segment = self._segment_at(vaddr)
        if vaddr - segment.vaddr >= len(segment.data):
            raise BinaryError(self.path, f"address {vaddr:#x} is not in the file: it {NOT_AS_GO_WRITES}")
        return vaddr - segment.vaddr + segment.file_offset

    def _segment(self, header: Mapping[str, int]) -> Segment:
        offset, length = header["p_offset"], header["p_filesz"]
        if offset + length > len(self._image):
            raise BinaryError(self.path, f"cut off at {len(self._image)} bytes: copy it again")
        data = memoryview(self._image)[offset : offset + length]
        return Segment(header["p_vaddr"], header["p_memsz"], offset, header["p_flags"], data)

    def _segment_at(self, vaddr: int) -> Segment:
        for segment in self._segments:
            if segment.vaddr <= vaddr < segment.vaddr + segment.memory_bytes:
                return segment
        raise BinaryError(self.path, f"address {vaddr:#x} is not mapped: it {NOT_AS_GO_WRITES}")

    def _relocate(self, elf: Any) -> None:
        """Apply relative relocations; segments that have some are copied."""
        tags: dict[int, int] = {}
        for dynamic in elf.iter_segments("PT_DYNAMIC"):
            raw = np.frombuffer(self.view(dynamic["p_vaddr"], dynamic["p_filesz"] // 16 * 16), "<u8").reshape(-1, 2)
            tags |= {int(tag): int(value) for tag, value in raw[::-1]}
        if DT_RELA not in tags:
            return
        raw = np.frombuffer(self.view(tags[DT_RELA], tags[DT_RELASZ] // 24 * 24), "<u8").reshape(-1, 3)
        relative = raw[(raw[:, 1] & np.uint64(0xFFFFFFFF)) == RELATIVE]
        for number, segment in enumerate(self._segments):
            here = relative[:, 0] - np.uint64(segment.vaddr)
            inside = (relative[:, 0] >= segment.vaddr) & (here + np.uint64(8) <= len(segment.data))
            if not inside.any():
                continue
            copy = np.frombuffer(segment.data, np.uint8).copy()
            places = here[inside].astype(np.int64)
            copy[places[:, None] + np.arange(8)] = relative[inside, 2].copy().view(np.uint8).reshape(-1, 8)
            self._segments[number] = Segment(
                segment.vaddr, segment.memory_bytes, segment.file_offset, segment.flags, memoryview(copy.tobytes())
            )

    def _scan(self, pattern: bytes, alignment: int, *, writable: bool | None = None) -> Iterator[int]:
        """Yield aligned addresses where a pattern stands, in writable segments, others, or all."""
        for segment in self._segments:
            if writable is not None and bool(segment.flags & WRITE) != writable:
                continue
            # bytes are searched without a copy where the segment is the mapped file itself
            found = self._find(segment, pattern, 0)
            while found >= 0:
                if (segment.vaddr + found) % alignment == 0:
                    yield segment.vaddr + found
                found = self._find(segment, pattern, found + 1)

    def _find(self, segment: Segment, pattern: bytes, start: int) -> int:
        if isinstance(segment.data.obj, bytes):
            return segment.data.obj.find(pattern, start)
        base = segment.file_offset
        found = self._image.find(pattern, base + start, base + len(segment.data))
        return found - base if found >= 0 else -1

    def _read_build_info(self) -> None:
        candidates = [self._sections[".go.buildinfo"]] if ".go.buildinfo" in self._sections else []
        for addr in [*candidates, *self._scan(BUILD_INFO_MAGIC, 16, writable=True), *self._scan(BUILD_INFO_MAGIC, 16)]:
            raw = self.rest(addr)
            if bytes(raw[:14]) == BUILD_INFO_MAGIC and raw[15] & INLINE_STRINGS:
                version, end = _string(raw, 32)
                module, _ = _string(raw, end)
                if version.startswith((b"go", b"devel")):
                    self._set_version(version.decode(), _unframed(module))
                    return
        versions = set(self._version_strings())
        if len(versions) != 1:
            raise BinaryError(self.path, "no Go build info: not a Go program, or one from before Go 1.18: give another")
        self._set_version(versions.pop().decode(), "")

    def _version_strings(self) -> Iterator[bytes]:
        """Yield what may be runtime.buildVersion, for binaries whose build info was taken out.

        The linker ends its text with a zero byte, which it does for no constant of the program, and the
        variable itself, address and length, stands in writable data.

        go: cmd/link/internal/ld/data.go addstrdata [1.18..1.27]
        """
        for addr in self._scan(b"go1.", 1, writable=False):
            found = VERSION_STRING.match(self.rest(addr)[:LONGEST_VERSION])
            if found and any(self._scan(struct.pack("<QQ", addr, len(found[1])), 8, writable=True)):
                yield found[1]

    def _set_version(self, version: str, module: str) -> None:
        found = re.search(r"go(1)\.(\d+)(\.\d+)?((rc|beta)\d+)?", version)
        if not found:
            raise BinaryError(
                self.path, f"built by {version[:80]!r}, which names no release: rebuild it with a released Go"
            )
        self.go_version: str = found[0]
        self.go_release: Release = (int(found[1]), int(found[2]))
        lines = [line.split("\t") for line in module.splitlines()]
        settings = dict(pair[1].split("=", 1) for pair in lines if pair[0] == "build" and "=" in pair[1])
        self.settings: Mapping[str, str] = MappingProxyType(settings)
        named = [*re.findall(r"X:([\w,]+)", version), settings.get("GOEXPERIMENT", "")]
        self.experiments = frozenset(name for names in named for name in names.split(",") if name)
        by_key = {pair[0]: pair[1] for pair in reversed(lines) if len(pair) > 1 and pair[0] in ("path", "mod")}
        self.module: str = by_key.get("path", by_key.get("mod", ""))

    def _find_pclntab(self) -> PclnHeader:
        names = (".gopclntab", ".data.rel.ro.gopclntab")
        addrs = [self._sections[name] for name in names if name in self._sections]
        for magic in PCLNTAB_MAGIC:
            pattern = magic.to_bytes(4, "little") + b"\0\0\1\x08"
            addrs.extend(addr for addr in self._scan(pattern, 8) if addr not in addrs)
        for addr in addrs:
            if header := self._pclntab_at(addr):
                return header
        raise BinaryError(self.path, f"its function table (pclntab) is not found: it {NOT_AS_GO_WRITES}")

    def _pclntab_at(self, addr: int) -> PclnHeader | None:
        raw = self.rest(addr)[:72]
        if len(raw) < 72:
            return None
        magic, pad, quantum, pointer, functions, _files, _text, names, units, files, pc_tables, table = struct.unpack(
            "<IHBB8Q", raw
        )
        if magic not in PCLNTAB_MAGIC or pad or quantum != 1 or pointer != 8:
            return None
        if not (
            0 < functions < 1 << 26 and 72 <= names <= 128 and names < units <= files < pc_tables < table < 1 << 32
        ):
            return None
        return PclnHeader(addr, magic, functions, names, units, files, pc_tables, table)

    def _find_moduledata(self) -> None:
        addrs = [self._sections[".go.module"]] if ".go.module" in self._sections else []
        addrs.extend(self._scan(self.pcln.vaddr.to_bytes(8, "little"), 8, writable=True))
        for addr in addrs:
            if self._is_moduledata(addr):
                self.moduledata = addr
                self.text_start = self.word(addr + MODULEDATA_TEXT)
                self.types = self.word(addr + self.facts.types)
                self.etypes = self.word(addr + self.facts.etypes)
                self.gofunc = self.word(addr + self.facts.gofunc)
                return
        raise BinaryError(self.path, f"the runtime's moduledata is not found: it {NOT_AS_GO_WRITES}")

    def _is_moduledata(self, addr: int) -> bool:
        raw = self.rest(addr)[:MODULEDATA_BYTES]
        if len(raw) < MODULEDATA_BYTES:
            return False
        words = np.frombuffer(raw, "<u8")
        header = self.pcln
        expected = {
            0: 0, 8: header.names, 32: header.units, 56: header.files, 80: header.pc_tables,
            104: header.function_table, 128: header.function_table,
        }  # fmt: skip
        minpc, maxpc, text, etext = (int(word) for word in words[MODULEDATA_MINPC // 8 :][:4])
        return (
            all(int(words[place // 8]) == header.vaddr + offset for place, offset in expected.items())
            and int(words[136 // 8]) == header.functions + 1
            and text <= minpc <= maxpc <= etext
        )


def _string(raw: memoryview, offset: int) -> tuple[bytes, int]:
    """Return a string with its length before it, as a varint, and where it ends."""
    length = 0
    for shift in range(0, 64, 7):
        byte = raw[offset]
        offset += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return bytes(raw[offset : offset + length]), offset + length
    raise ValueError("a varint of more than 64 bits")


def _unframed(module: bytes) -> str:
    """Take the module text out of the 16 bytes that the linker puts before and behind it."""
    if len(module) >= 2 * MODULE_FRAME + 1 and module[-MODULE_FRAME - 1 : -MODULE_FRAME] == b"\n":
        return module[MODULE_FRAME:-MODULE_FRAME].decode("utf-8", "replace")
    return ""


def _build_id(elf: Any) -> str:
    for segment in elf.iter_segments("PT_NOTE"):
        for note in segment.iter_notes():
            if (note["n_name"], _note_type(note)) == GO_BUILD_ID:
                raw = note["n_descdata"]
                return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    return ""


def _note_type(note: Mapping[str, object]) -> object:
    named = note["n_type"]
    return {"NT_GNU_GOLD_VERSION": 4}.get(named, named) if isinstance(named, str) else named
