"""Compile the Go programs below tests/programs, once for each release, set of flags and state of the sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import toolchains

Release = tuple[int, int]

PROGRAMS = Path(__file__).resolve().parent / "programs"
BUILD = toolchains.ROOT / ".build"
STRIPPED = "-ldflags=-s -w"


def build_program(program: str, release: Release, *flags: str) -> Path:
    """Return the binary of tests/programs/`program`, compiling it first where it is missing.

    Paths are trimmed from the binary, so that it is the same wherever the checkout stands.
    """
    sources = PROGRAMS / program
    target = BUILD / "programs" / f"go{toolchains.RELEASES[release]}-{fingerprint(sources, flags)}" / program
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / program
            go = str(toolchains.goroot(release) / "bin" / "go")
            command = [go, "build", "-trimpath", *flags, "-o", str(fresh), "."]
            subprocess.run(command, cwd=sources, env=go_environment(release), check=True)
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


def fingerprint(sources: Path, flags: tuple[str, ...]) -> str:
    """Return a hash of everything but the toolchain that a binary is made from."""
    digest = hashlib.sha256(repr(flags).encode())
    shared = [PROGRAMS / "go.mod", *(PROGRAMS / "truth").rglob("*")]
    for path in sorted({*shared, *sources.rglob("*")}):
        if path.is_file():
            digest.update(f"{path.relative_to(PROGRAMS)} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
