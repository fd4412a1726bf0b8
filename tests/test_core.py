"""The native core: it is there, it is one file for all Pythons, and its absence is one clear line."""

import re
import sys

import pytest

import mapprobe
from mapprobe import _core
from mapprobe.errors import MapprobeError
from toolchains import ROOT

CORE = ROOT / "src" / "core"


def test_the_core_is_built_for_the_limited_api():
    assert _core.__file__.endswith("_core.abi3.so")


def test_a_core_that_was_not_built_is_named_with_what_builds_it(monkeypatch):
    monkeypatch.delattr(mapprobe, "_core")
    monkeypatch.setitem(sys.modules, "mapprobe._core", None)

    with pytest.raises(MapprobeError, match=r"^mapprobe\._core: .*: build it by `make core`"):
        from mapprobe import _core  # noqa: F401


def test_every_c_file_is_built_once():
    listed = re.findall(r"'([^'/]+\.c)'", (CORE / "meson.build").read_text())

    assert sorted(listed) == sorted(path.name for path in CORE.glob("*.c"))
