"""A replayed recording for the commands that read one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mapprobe
from support.commands import SAMPLE


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the replayed recording `out`."""
    folder = tmp_path_factory.mktemp("commands")
    shutil.copytree(SAMPLE, folder / "out")
    mapprobe.open(folder / "out").replay()
    return folder
