"""An ELF executable as it is loaded: segments with their relocations, addresses and file offsets.

The file is mapped, not read, and segments are copied only when relocations
change them.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from mapprobe.errors import BinaryError

WRITE = 2
RELATIVE = 8  # R_X86_64_RELATIVE
DT_RELA, DT_RELASZ, DT_FLAGS_1 = 7, 8, 0x6FFFFFFB
PIE_FLAG = 0x08000000
"""Bit of DT_FLAGS_1 that a program has and a library has not. elf.h DF_1_PIE"""
GO_BUILD_ID = ("Go", 4)
UNREADABLE = (
    ELFError, ConstructError, struct.error, IndexError, KeyError, ValueError, OverflowError, AttributeError, TypeError,
)  # fmt: skip
"""Exceptions that the reading of damaged headers raises."""
NOT_GO = "no Go program: give the path or PID of one"
CORE_FILE = "a core file: give the PID of the process while it runs"
NOT_AS_GO_WRITES = "is not as Go writes it: rebuild it with a Go release that 'mapprobe inspect' supports"


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD segment: where it stands in memory, and the bytes of it that the file holds."""

    vaddr: int
    memory_bytes: int
    file_offset: int
    flags: int
    data: memoryview


class Image:
    """One executable, opened; a context manager.

    Attributes
    ----------
    path
        Path by which the executable was opened.
    is_pie, is_static, is_stripped
        How the executable was linked.
    is_library
        True if programs load the file, and it is no program itself.
    section_names
        Names of the sections; none where they were taken out.
    build_id
        Go build ID; empty where the executable has none.
    lowest_vaddr
        Address that the first page is linked to.
    """

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open an executable.

        Raises
        ------
        BinaryError
            If the file can't be read, or is no Go program for Linux on x86-64.
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
        except UNREADABLE:
            image_is_elf = image[:4] == b"\x7fELF"
            raise BinaryError(name, "its ELF headers are damaged: copy it again" if image_is_elf else NOT_GO) from None
        return binary

    def _read(self, path: str, image: mmap.mmap) -> None:
        self.path, self._image = path, image
        if image[:4] != b"\x7fELF":
            raise BinaryError(path, NOT_GO)
        # an ELFFile is freed only when Python's collector runs: it must not keep the file open until then
        loan = SimpleNamespace(read=image.read, seek=image.seek, tell=image.tell)
        try:
            self._read_elf(path, ELFFile(cast(Any, loan)))
        finally:
            vars(loan).clear()

    def _read_elf(self, path: str, elf: Any) -> None:
        if elf["e_type"] == "ET_CORE":
            raise BinaryError(path, CORE_FILE)
        if elf["e_machine"] != "EM_X86_64" or elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
            raise BinaryError(path, "not an executable for x86-64: only Linux on x86-64 is supported")
        self.is_pie: bool = elf["e_type"] == "ET_DYN"
        self._sections: dict[str, int] = {
            section.name: section["sh_addr"] for section in elf.iter_sections() if section["sh_addr"]
        }
        self.section_names = frozenset(section.name for section in elf.iter_sections())
        self.is_stripped = ".symtab" not in self.section_names
        self._segments = [self._segment(header) for header in elf.iter_segments("PT_LOAD")]
        if not self._segments:
            raise BinaryError(path, NOT_GO)
        self.lowest_vaddr = min(segment.vaddr for segment in self._segments) & ~(mmap.PAGESIZE - 1)
        self._tags = self._dynamic_tags(elf)
        self._relocate()
        self.is_static = not any(elf.iter_segments("PT_INTERP"))
        self.is_library: bool = self.is_pie and self.is_static and not self._tags.get(DT_FLAGS_1, 0) & PIE_FLAG
        self.build_id = _build_id(elf)

    def __enter__(self) -> Self:
        """Return the image itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        """Let go of the segments; the file stays mapped while views of it still exist."""
        self._segments = []

    def let_pages_go(self) -> None:
        """Take the pages of the file that were read out of this process: a page comes back when it is read again."""
        self._image.madvise(mmap.MADV_DONTNEED)

    def read(self, vaddr: int, length: int) -> bytes:
        """Return bytes of the image as it is loaded, relocations applied.

        Raises
        ------
        BinaryError
            If they are not in one segment.
        """
        return bytes(self.view(vaddr, length))

    def view(self, vaddr: int, length: int) -> memoryview:
        """Return the bytes that `read` returns, without a copy where the file has them all."""
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

    def is_in_file(self, vaddr: int) -> bool:
        """True if the file holds the byte at an address."""
        return any(segment.vaddr <= vaddr < segment.vaddr + len(segment.data) for segment in self._segments)

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

    def _dynamic_tags(self, elf: Any) -> dict[int, int]:
        """Return the values of the dynamic section by tag: the first of each tag."""
        tags: dict[int, int] = {}
        for dynamic in elf.iter_segments("PT_DYNAMIC"):
            raw = np.frombuffer(self.view(dynamic["p_vaddr"], dynamic["p_filesz"] // 16 * 16), "<u8").reshape(-1, 2)
            tags |= {int(tag): int(value) for tag, value in raw[::-1]}
        return tags

    def _relocate(self) -> None:
        """Apply relative relocations; segments that have some are copied."""
        tags = self._tags
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

    def scan(self, pattern: bytes, alignment: int, *, writable: bool | None = None) -> Iterator[int]:
        """Yield aligned addresses where a pattern stands, in writable segments, others, or all."""
        for segment in self._segments:
            if writable is not None and bool(segment.flags & WRITE) != writable:
                continue
            # a segment that is the mapped file itself is searched without a copy
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
