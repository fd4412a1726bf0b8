"""Go programs in disguise: images without build info, or with the magic of garble at their function table."""

from __future__ import annotations

import io

from elftools.elf.elffile import ELFFile

from mapprobe.go.strangers import BUILD_INFO_MAGIC

OTHER_MAGIC = b"\xee\xff\xff\xff"
COMPARED = b"\xf1"
"""The last byte of an instruction that holds a word to the magic: it is extended by its sign."""


def without_build_info(image: bytearray) -> bytes:
    """Return an image as some builds are published: nothing is left of its build info."""
    start = image.index(BUILD_INFO_MAGIC)
    with io.BytesIO(image) as file:
        length = ELFFile(file).get_section_by_name(".go.buildinfo")["sh_size"]
    return bytes(image[:start] + bytes(length) + image[start + length :])


def with_another_magic(image: bytearray) -> bytes:
    """Return a program that runs as before and has another magic at its function table, as garble gives it."""
    changed = bytearray(image)
    with io.BytesIO(image) as file:
        elf = ELFFile(file)
        table = elf.get_section_by_name(".gopclntab")["sh_offset"]
        (verify,) = elf.get_section_by_name(".symtab").get_symbol_by_name("runtime.moduledataverify1")
        text = elf.get_section_by_name(".text")
        start = verify["st_value"] - text["sh_addr"] + text["sh_offset"]
    changed[table : table + 4] = OTHER_MAGIC
    code = changed[start : start + verify["st_size"]]
    # cmp dword ptr [register], immediate byte: opcode 83, its /7 in the byte behind it
    (place,) = (
        n for n in range(len(code) - 2) if code[n] == 0x83 and code[n + 1] >> 3 & 7 == 7 and code[n + 2] == 0xF1
    )
    changed[start + place + 2] = OTHER_MAGIC[0]
    return bytes(changed)
