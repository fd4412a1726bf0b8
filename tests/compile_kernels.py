"""Compile the kernels of replay before a test whose time is limited waits for them (`make test`)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import toolchains
from mapprobe.kernels import keep_kernels

keep_kernels()

import mapprobe  # noqa: E402


def main() -> None:
    for sample in sorted((toolchains.ROOT / "traces").iterdir()):
        if sample.is_dir():
            with tempfile.TemporaryDirectory() as scratch:
                copy = shutil.copytree(sample, Path(scratch) / sample.name)
                recording = mapprobe.open(copy)
                recording.verify()
                recording.report()


if __name__ == "__main__":
    main()
