"""A Go executable: its build info, and where the runtime's tables stand.

Sections are only a shortcut to the tables; where they are stripped, segments
are scanned.

go: debug/buildinfo/buildinfo.go, cmd/link/internal/ld/data.go
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from types import MappingProxyType

import numpy as np

from mapprobe.errors import BinaryError
from mapprobe.go.facts import (
    MODULEDATA_BYTES,
    MODULEDATA_MINPC,
    MODULEDATA_ROOTS,
    MODULEDATA_TEXT,
    NEWEST,
    OLDEST,
    PCLNTAB_MAGIC,
    Facts,
    Release,
    facts_for,
)
from mapprobe.go.image import NOT_AS_GO_WRITES, Image
from mapprobe.go.strangers import (
    BUILD_INFO_MAGIC,
    BY_GCCGO,
    OBFUSCATED,
    describe_stranger,
    too_old,
)
from mapprobe.vocabulary import Implementation

INLINE_STRINGS = 2
VERSION_STRING = re.compile(rb"(go1\.\d+[ -~]*)\0")
MODULE_FRAME = 16
LONGEST_VERSION = 256
HEADER_MARK = b"\0\0\1\x08"
"""Behind the magic of a function table: zeros, the least step of a program counter, and the size of a pointer."""
MOST_MARKS, MOST_DISGUISES = 1 << 18, 16
"""Places that are tried where a function table with a magic of its own may begin, and those of them whose numbers fit,
at most; ordinary binaries have a few hundred, and one or two."""


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


class GoBinary(Image):
    """One Go executable, opened; a context manager.

    Attributes
    ----------
    go_version, go_release
        ``go1.27.3`` and ``(1, 27)``.
    experiments
        GOEXPERIMENTs that the executable was built with.
    module
        Main module or package path; empty where the binary has none.
    settings
        The ``build`` lines of its build info.
    is_disguised
        True if the function table has a magic of its own, as garble writes one.
    moduledata
        Address of the runtime's moduledata.
    text_start
        Address of `runtime.text`, from which the tables count; not always the start of .text.
    roots
        Start and end of each range of variables in which the collector looks for pointers.
    """

    def _read(self, path: str, image: mmap.mmap) -> None:
        super()._read(path, image)
        self.is_disguised = False
        self._read_build_info()
        try:
            self.pcln = self._find_pclntab()
            self.facts: Facts = facts_for(self.go_release)
            self._find_moduledata()
        except BinaryError as error:
            self._say_why(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        """Close the image; add to a BinaryError that the release is newer than all known ones, or the table disguised.

        Raises
        ------
        BinaryError
            In place of a BinaryError about such a program, with the reason.
        """
        super().__exit__(kind, error, where)
        if isinstance(error, BinaryError):
            self._say_why(error)

    def _say_why(self, error: BinaryError) -> None:
        """Raise an error with the reason why something did not fit, if there is one."""
        what = str(error).removeprefix(f"{error.path}: ").rsplit(": ", 1)[0]
        if self.is_disguised:
            raise BinaryError(error.path, f"{OBFUSCATED}, and {what}: give a build that is not") from error
        if self.is_newer_than_known:
            known = f"go{NEWEST[0]}.{NEWEST[1]}"
            why = f"{self.go_version} is newer than {known}, the newest that is known here, and differs from it"
            raise BinaryError(error.path, f"{why} ({what}): update mapprobe") from error

    @property
    def is_newer_than_known(self) -> bool:
        """True if the executable was built by a release after those that the facts were compared with."""
        return self.go_release > NEWEST

    @property
    def implementation(self) -> Implementation:
        """Which kind of map the executable's runtime has."""
        if self.go_release < (1, 24) or "noswissmap" in self.experiments:
            return Implementation.CLASSIC
        return Implementation.SWISS

    def _read_build_info(self) -> None:
        candidates = [self._sections[".go.buildinfo"]] if ".go.buildinfo" in self._sections else []
        for addr in [*candidates, *self.scan(BUILD_INFO_MAGIC, 16, writable=True), *self.scan(BUILD_INFO_MAGIC, 16)]:
            raw = self.rest(addr)
            if bytes(raw[:14]) == BUILD_INFO_MAGIC and raw[15] & INLINE_STRINGS:
                version, end = _string(raw, 32)
                module, _ = _string(raw, end)
                if version.startswith((b"go", b"devel")):
                    self._set_version(version.decode(), _unframed(module))
                    return
        versions = set(self._version_strings())
        if len(versions) != 1:
            has_table = any(chain(self._tables(), self._disguised_tables()))
            raise BinaryError(self.path, describe_stranger(self, has_table=has_table))
        self._set_version(versions.pop().decode(), "")

    def _version_strings(self) -> Iterator[bytes]:
        """Yield strings that may be runtime.buildVersion, for binaries whose build info was taken out.

        The linker ends the version's text with a zero byte, as it ends no constant of the program, and the
        variable itself (address and length) stands in writable data.

        go: cmd/link/internal/ld/data.go addstrdata [1.18..1.27]
        """
        for addr in self.scan(b"go1.", 1, writable=False):
            found = VERSION_STRING.match(self.rest(addr)[:LONGEST_VERSION])
            if found and any(self.scan(struct.pack("<QQ", addr, len(found[1])), 8, writable=True)):
                yield found[1]

    def _set_version(self, version: str, module: str) -> None:
        if "gccgo" in version:
            raise BinaryError(self.path, BY_GCCGO)
        found = re.search(r"go(1)\.(\d+)(\.\d+)?((rc|beta)\d+)?", version)
        if not found:
            raise BinaryError(
                self.path, f"built by {version[:80]!r}, which names no release: rebuild it with a released Go"
            )
        self.go_version: str = found[0]
        self.go_release: Release = (int(found[1]), int(found[2]))
        if self.go_release < OLDEST:
            raise BinaryError(self.path, too_old(found[0].replace("go", "Go ")))
        lines = [line.split("\t") for line in module.splitlines()]
        settings = dict(pair[1].split("=", 1) for pair in lines if pair[0] == "build" and "=" in pair[1])
        self.settings: Mapping[str, str] = MappingProxyType(settings)
        named = [*re.findall(r"X:([\w,]+)", version), settings.get("GOEXPERIMENT", "")]
        self.experiments = frozenset(name for names in named for name in names.split(",") if name)
        by_key = {pair[0]: pair[1] for pair in reversed(lines) if len(pair) > 1 and pair[0] in ("path", "mod")}
        self.module: str = by_key.get("path", by_key.get("mod", ""))

    def _find_pclntab(self) -> PclnHeader:
        for header in self._tables():
            return header
        for header in self._disguised_tables():
            self.is_disguised = True
            layouts = [magic for magic, first in PCLNTAB_MAGIC.items() if first <= self.go_release]
            return replace(header, magic=layouts[-1])
        raise BinaryError(self.path, f"its function table (pclntab) is not found: it {NOT_AS_GO_WRITES}")

    def _tables(self) -> Iterator[PclnHeader]:
        """Yield the headers of function tables; those that a section names first, as they need no search."""
        names = (".gopclntab", ".data.rel.ro.gopclntab")
        named = [self._sections[name] for name in names if name in self._sections]
        marks = (magic.to_bytes(4, "little") + HEADER_MARK for magic in PCLNTAB_MAGIC)
        found = (addr for mark in marks for addr in self.scan(mark, 8) if addr not in named)
        for addr in chain(named, found):
            header = self._pclntab_at(addr)
            if header and header.magic in PCLNTAB_MAGIC:
                yield header

    def _disguised_tables(self) -> Iterator[PclnHeader]:
        """Yield the headers of function tables with any magic, if the rest is as Go writes it and a moduledata fits."""
        marks = islice(self.scan(HEADER_MARK, 4), MOST_MARKS)
        headers = (self._pclntab_at(addr - 4) for addr in marks if self.is_in_file(addr - 4))
        for header in islice(filter(None, headers), MOST_DISGUISES):
            if any(self._moduledatas(header)):
                yield header

    def _pclntab_at(self, addr: int) -> PclnHeader | None:
        raw = self.rest(addr)[:72]
        if len(raw) < 72:
            return None
        magic, pad, quantum, pointer, functions, _files, _text, names, units, files, pc_tables, table = struct.unpack(
            "<IHBB8Q", raw
        )
        if pad or quantum != 1 or pointer != 8:
            return None
        if not (
            0 < functions < 1 << 26 and 72 <= names <= 128 and names < units <= files < pc_tables < table < 1 << 32
        ):
            return None
        return PclnHeader(addr, magic, functions, names, units, files, pc_tables, table)

    def _find_moduledata(self) -> None:
        for addr in self._moduledatas(self.pcln):
            self.moduledata = addr
            self.text_start = self.word(addr + MODULEDATA_TEXT)
            self.types = self.word(addr + self.facts.types)
            self.etypes = self.word(addr + self.facts.etypes)
            self.gofunc = self.word(addr + self.facts.gofunc)
            data, data_end, bss, bss_end = (self.word(addr + MODULEDATA_ROOTS + 8 * n) for n in range(4))
            self.roots = (data, data_end), (bss, bss_end)
            return
        raise BinaryError(self.path, f"the runtime's moduledata is not found: it {NOT_AS_GO_WRITES}")

    def _moduledatas(self, header: PclnHeader) -> Iterator[int]:
        """Yield the addresses at which a moduledata of a function table stands."""
        addrs = [self._sections[".go.module"]] if ".go.module" in self._sections else []
        for addr in chain(addrs, self.scan(header.vaddr.to_bytes(8, "little"), 8, writable=True)):
            if self._is_moduledata(addr, header):
                yield addr

    def _is_moduledata(self, addr: int, header: PclnHeader) -> bool:
        raw = self.rest(addr)[:MODULEDATA_BYTES]
        if len(raw) < MODULEDATA_BYTES:
            return False
        words = np.frombuffer(raw, "<u8")
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
    """Return a string that stands behind its length (a varint), and where the string ends."""
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
