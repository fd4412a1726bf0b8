"""Compile the Go programs below tests/programs, once for each release, linkage and state of the sources."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support import toolchains

Release = tuple[int, int]

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
BUILD = toolchains.ROOT / ".build"
STRIPPED = "-ldflags=-s -w"
ELF_SECTIONS, ELF_SECTION_COUNTS = 0x28, 0x3A  # elf.h Elf64_Ehdr e_shoff, e_shentsize e_shnum e_shstrndx


@dataclass(frozen=True, slots=True)
class Linkage:
    """A way to build a program.

    Attributes
    ----------
    flags
        Of `go build`; ``{goroot}`` is that of the release.
    environment
        Beside that of `go_environment`.
    has_sections
        False: the table of sections is taken out of the binary.
    first, last
        The releases that know it.
    """

    flags: tuple[str, ...] = ("-trimpath",)
    environment: Mapping[str, str] = field(default_factory=dict)
    has_sections: bool = True
    first: Release = (1, 18)
    last: Release = (1, 99)


CGO = {"CGO_ENABLED": "1"}
LINKAGES = {
    "plain": Linkage(),
    "stripped": Linkage(("-trimpath", STRIPPED)),
    "untrimmed": Linkage(()),
    "pie": Linkage(("-trimpath", "-buildmode=pie")),
    "cgo": Linkage(("-trimpath",), CGO),
    "cgo-pie": Linkage(("-trimpath", "-buildmode=pie", STRIPPED), CGO),
    "unoptimised": Linkage(("-trimpath", "-gcflags=all=-N -l")),
    "race": Linkage(("-trimpath", "-race"), CGO),
    "sectionless": Linkage(("-trimpath", STRIPPED), has_sections=False),
    "pgo": Linkage(("-trimpath", "-pgo={goroot}/src/cmd/compile/default.pgo"), first=(1, 21)),
    "noswissmap": Linkage(("-trimpath",), {"GOEXPERIMENT": "noswissmap"}, first=(1, 24), last=(1, 25)),
}
"""Paths are trimmed where nothing speaks against it: then a binary is the same wherever the checkout stands.

The profile is the compiler's own, which is full of maps: their functions are compiled with it too.
"""


def versioned(image: bytearray, version: bytes) -> bytes:
    """Return a program with another version of Go, as long as its own, in its build info."""
    from mapprobe.go.strangers import BUILD_INFO_MAGIC  # the demo compiles its program before mapprobe is installed

    start = image.index(BUILD_INFO_MAGIC) + 33
    image[start : start + len(version)] = version
    return bytes(image)


def release_id(release: Release) -> str:
    """Return what a release is called: go1.27."""
    return f"go{release[0]}.{release[1]}"


def build_program(program: str, release: Release, *flags: str) -> Path:
    """Return the binary of tests/programs/`program`, compiled with more flags than usual."""
    return _built(program, release, Linkage(("-trimpath", *flags)))


def link_program(program: str, release: Release, linkage: str) -> Path:
    """Return the binary of tests/programs/`program`, built in a way of `LINKAGES`."""
    return _built(program, release, LINKAGES[linkage])


def build_library(program: str, release: Release) -> Path:
    """Return the C library of tests/programs/`program`."""
    return _built(program, release, Linkage(("-trimpath", "-buildmode=c-shared"), CGO))


def _built(program: str, release: Release, linkage: Linkage) -> Path:
    """Return the binary, compiling it first where it is missing."""
    sources = PROGRAMS / program
    target = BUILD / "programs" / f"go{toolchains.RELEASES[release]}-{fingerprint(sources, linkage)}" / program
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / program
            goroot = toolchains.goroot(release)
            flags = [flag.format(goroot=goroot) for flag in linkage.flags]
            command = [str(goroot / "bin" / "go"), "build", *flags, "-o", str(fresh), "."]
            subprocess.run(command, cwd=sources, env=go_environment(release) | linkage.environment, check=True)
            if not linkage.has_sections:
                take_sections_out(fresh)
            fresh.replace(target)
    return target


def go_environment(release: Release) -> dict[str, str]:
    """Return the environment of a `go` command that uses nothing but this toolchain and .build/."""
    return {
        **os.environ,
        "GOROOT": str(toolchains.goroot(release)),
        "GOTOOLCHAIN": "local",
        "GOENV": "off",
        "GOWORK": "off",
        "GO111MODULE": "on",
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "GOCACHE": str(BUILD / "gocache"),
        "GOPATH": str(BUILD / "gopath"),
        "CGO_ENABLED": "0",
    }


def take_sections_out(binary: Path) -> None:
    """Let the ELF header name no sections, as some packers do: the kernel does not miss them."""
    with binary.open("r+b") as file:
        file.seek(ELF_SECTIONS)
        file.write(struct.pack("<Q", 0))
        file.seek(ELF_SECTION_COUNTS)
        file.write(struct.pack("<HHH", 0, 0, 0))


def fingerprint(sources: Path, linkage: Linkage) -> str:
    """Return a hash of everything but the toolchain that a binary is made from."""
    digest = hashlib.sha256(repr((linkage.flags, sorted(linkage.environment.items()), linkage.has_sections)).encode())
    shared = [PROGRAMS / "go.mod", *(PROGRAMS / "truth").rglob("*")]
    for path in sorted({*shared, *sources.rglob("*")}):
        if path.is_file():
            digest.update(f"{path.relative_to(PROGRAMS)} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
