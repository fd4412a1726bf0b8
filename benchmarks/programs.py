"""The Go programs that the benchmarks measure, built by one toolchain each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support.toolchains import goroot  # noqa: E402

Release = tuple[int, int]
RELEASES: tuple[Release, ...] = ((1, 23), (1, 27))
"""The last release with classic maps, and the last release with Swiss maps."""


def build(program: str, release: Release) -> Path:
    """Build the program in a folder beside this file, and return its binary."""
    root = goroot(release)
    out = ROOT / ".build" / f"{program}-{release[0]}.{release[1]}"
    env = os.environ | {"GOROOT": str(root), "GOTOOLCHAIN": "local", "GOCACHE": str(ROOT / ".build" / "gocache")}
    go = str(root / "bin" / "go")
    subprocess.run([go, "build", "-o", str(out), "."], cwd=ROOT / "benchmarks" / program, env=env, check=True)
    return out


@contextmanager
def quiet() -> Iterator[None]:
    """Discard the output of a recorded command."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
