"""Says why mapprobe can't use an executable: it is no Go program, or by gccgo or an old release, or obfuscated.

Each kind is recognised by bytes that its own tools write; an executable with none of these bytes is no Go program.
"""

from __future__ import annotations

import mmap
import re
from typing import TYPE_CHECKING

from mapprobe.errors import MapprobeError
from mapprobe.go.facts import OLDEST
from mapprobe.go.image import NOT_GO, Image

if TYPE_CHECKING:
    import os

BUILD_INFO_MAGIC = b"\xff Go buildinf:"
VERSION_POINTER = 16
"""Where build info without strings of its own points to the version's string.
go: debug/buildinfo/buildinfo.go ptrSize [1.19..1.27]"""
LONGEST_VERSION = 256
RELEASED = re.compile(rb"go(1\.\d+(?:\.\d+)?(?:(?:rc|beta)\d+)?)")
EARLIER_TABLES = {
    b"\xfa\xff\xff\xff\0\0\1\x08": "Go 1.16 or 1.17",
    b"\xfb\xff\xff\xff\0\0\1\x08": "Go 1.2 to 1.15",
}
"""How a function table of earlier releases begins.
go: debug/gosym/pclntab.go go116magic go12magic [1.19..1.23]"""
GCCGO = (b"libgo.so.", b"/libgo/go/runtime/")
"""The library that gccgo links, and the source folder of gccgo's runtime, named where the runtime is linked in."""
GCCGO_SECTION = ".go_export"
BY_GCCGO = "built by gccgo, whose maps are others: rebuild it with 'go build'"
OBFUSCATED = "obfuscated (garble)"


def too_old(version: str) -> str:
    """Return the message about a program built by a release that is not supported; `version` is as `Go 1.16.3`."""
    return f"{version}: {OLDEST[0]}.{OLDEST[1]} is the oldest that is supported: rebuild it with a newer one"


def describe_stranger(image: Image, *, has_table: bool) -> str:
    """Return the message about an executable that names no release from `OLDEST` on.

    Parameters
    ----------
    has_table
        The executable has the function table of a supported release even so.
    """
    if is_by_gccgo(image):
        return BY_GCCGO
    if has_table:
        return f"{OBFUSCATED}: it names no release of Go: give a build that is not"
    if age := _age(image):
        return too_old(age)
    return NOT_GO


def is_by_gccgo(image: Image) -> bool:
    """True if gccgo built an executable."""
    return GCCGO_SECTION in image.section_names or any(any(image.scan(mark, 1)) for mark in GCCGO)


def has_build_info(path: str | os.PathLike[str]) -> bool:
    """True if a file of any format holds what Go's linker writes of a build; False if it can't be read."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            place = content.find(BUILD_INFO_MAGIC)
            while place >= 0 and place % 16:
                place = content.find(BUILD_INFO_MAGIC, place + 1)
            return place >= 0
    except (OSError, ValueError):
        return False


def _age(image: Image) -> str | None:
    """Return which release before Go 1.18 built an executable, None if none did."""
    for addr in image.scan(BUILD_INFO_MAGIC, 16):
        if version := _pointed_version(image, addr):
            return version
    for magic, releases in EARLIER_TABLES.items():
        if any(image.scan(magic, 8)):
            return releases
    return None


def _pointed_version(image: Image, addr: int) -> str | None:
    """Return the version that build info points to, as `Go 1.16.3`."""
    try:
        string = image.word(addr + VERSION_POINTER)
        text = image.read(image.word(string), min(image.word(string + 8), LONGEST_VERSION))
    except MapprobeError:
        return None
    found = RELEASED.match(text)
    return f"Go {found[1].decode()}" if found else None
