"""The lines of comments and pages that refer to Go's sources: `go: FILE NAME... [FIRST..LAST]`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from support import toolchains
from support.gobuild import Release, release_id

TOKEN = re.compile(r"\[(?P<range>[\d.]+)\]|(?P<file>[\w/*]+\.(?:go|s))\b|(?P<name>[\w().*]+)")
METHOD = re.compile(r"\(\*(\w+)\)\.(\w+)")
COMMENT = re.compile(r"//.*")


@dataclass(frozen=True)
class Claim:
    """What a comment says that a file of Go's sources holds, from a release to another; None: from some to some."""

    module: str
    file: str
    names: tuple[str, ...]
    ends: tuple[Release, Release] | None

    def __str__(self) -> str:
        return " ".join((self.module, self.file, *self.names))


def read_claims(module: str, text: str) -> Iterator[Claim]:
    """Yield what one comment claims: a range counts for all files since the one before."""
    sources: list[tuple[str, list[str]]] = []
    for token in TOKEN.finditer(text):
        if token["file"]:
            sources.append((token["file"], []))
        elif token["name"]:
            sources[-1][1].append(token["name"])
        else:
            first, _, last = token["range"].partition("..")
            ends = as_release(first), as_release(last or first)
            yield from (Claim(module, file, tuple(names), ends) for file, names in sources)
            sources.clear()
    yield from (Claim(module, file, tuple(names), None) for file, names in sources)


def as_release(text: str) -> Release:
    major, minor = map(int, text.split("."))
    return major, minor


def ranged(claims: Iterable[Claim]) -> dict[str, tuple[Claim, Release]]:
    """Return each claim with each release that it is of, by a name of both."""
    return {
        f"{claim} {release_id(release)}": (claim, release)
        for claim in claims
        for release in toolchains.RELEASES
        if claim.ends and claim.ends[0] <= release <= claim.ends[1]
    }


@functools.cache
def source(release: Release, pattern: str) -> str | None:
    """Return the code of the files that a pattern names, without comments; None: there is no such file."""
    files = sorted((toolchains.goroot(release) / "src").glob(pattern))
    return COMMENT.sub("", "\n".join(file.read_text() for file in files)) if files else None


def lacking(claim: Claim, release: Release) -> list[str]:
    """Return what of a claim a release hasn't got."""
    code = source(release, claim.file)
    if code is None:
        return [claim.file]
    return [name for name in claim.names if not stands_in(name, code)]


def stands_in(name: str, code: str) -> bool:
    if method := METHOD.fullmatch(name):
        return re.search(rf"^func \((\w+ )?\*{method[1]}\) {method[2]}\(", code, re.MULTILINE) is not None
    return all(re.search(rf"\b{part}\b", code) for part in name.split("."))
