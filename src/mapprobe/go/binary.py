"""A Go executable: build info, where the runtime's tables stand.

Sections are only a shortcut to the tables; where they are stripped, segments
are scanned.

go: debug/buildinfo/buildinfo.go, cmd/link/internal/ld/data.go
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mapprobe.errors import BinaryError
from mapprobe.go.facts import (
    MODULEDATA_BYTES,
    MODULEDATA_MINPC,
    MODULEDATA_ROOTS,
    MODULEDATA_TEXT,
    NEWEST,
    PCLNTAB_MAGIC,
    Facts,
    Release,
    facts_for,
)
from mapprobe.go.image import NOT_AS_GO_WRITES, Image
from mapprobe.schema import Implementation

BUILD_INFO_MAGIC = b"\xff Go buildinf:"
INLINE_STRINGS = 2
VERSION_STRING = re.compile(rb"(go1\.\d+[ -~]*)\0")
MODULE_FRAME = 16
LONGEST_VERSION = 256


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
        GOEXPERIMENTs it was built with.
    module
        Main module or package path; empty where the binary has none.
    settings
        The ``build`` lines of its build info.
    moduledata
        Address of the runtime's moduledata.
    text_start
        `runtime.text`: what the tables count from, not always the start of .text.
    roots
        From where to where variables stand that the collector looks for pointers in.
    """

    def _read(self, path: str, image: mmap.mmap) -> None:
        super()._read(path, image)
        self._read_build_info()
        try:
            self.pcln = self._find_pclntab()
            self.facts: Facts = facts_for(self.go_release)
            self._find_moduledata()
        except BinaryError as error:
            self._refuse_if_newer(error)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        """Let go of the file; say of what didn't fit a release newer than all known ones that it is one.

        Raises
        ------
        BinaryError
            In the place of one about such a release.
        """
        super().__exit__(kind, error, where)
        if isinstance(error, BinaryError):
            self._refuse_if_newer(error)

    def _refuse_if_newer(self, error: BinaryError) -> None:
        if self.is_newer_than_known:
            what = str(error).removeprefix(f"{error.path}: ").rsplit(": ", 1)[0]
            known = f"go{NEWEST[0]}.{NEWEST[1]}"
            why = f"{self.go_version} is newer than {known}, the newest that is known here, and differs from it"
            raise BinaryError(error.path, f"{why} ({what}): update mapprobe") from error

    @property
    def is_newer_than_known(self) -> bool:
        """True if it was built by a release after those that the facts were held against."""
        return self.go_release > NEWEST

    @property
    def implementation(self) -> Implementation:
        """Which kind of map its runtime has."""
        if self.go_release < (1, 24) or "noswissmap" in self.experiments:
            return Implementation.CLASSIC
        return Implementation.SWISS

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
                data, data_end, bss, bss_end = (self.word(addr + MODULEDATA_ROOTS + 8 * n) for n in range(4))
                self.roots = (data, data_end), (bss, bss_end)
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
