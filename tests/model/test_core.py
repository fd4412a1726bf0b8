"""The native core: one file for all Pythons, with the same numbers as Python; if it is missing, one line says so."""

import re
import sys

import pytest

import mapprobe
from mapprobe import _core, vocabulary
from mapprobe.errors import MapprobeError
from mapprobe.model import holdings, places
from mapprobe.recording import packing
from mapprobe.recording.tables import schema
from mapprobe.replay import resync
from support.toolchains import ROOT

CORE = ROOT / "src" / "core"
DEFINED = {
    ("core.h", "NONE", "UINT32_MAX"): vocabulary.NONE == (1 << 32) - 1,
    ("core.h", "BEFORE", "0u"): vocabulary.BEFORE == 0,
    ("core.h", "UNEQUAL_KEY", "1u"): vocabulary.UNEQUAL_KEY == 1,
    ("core.h", "SLOTS", "8"): resync.SLOTS == 8,
    ("doubts.c", "TWIN", "(UINT64_C(1) << 48)"): resync.TWIN == 1 << 48,
    ("ledger.h", "ON_STACK", "(UINT64_C(1) << 63)"): places.ON_STACK == 1 << 63,
    ("ledger.h", "OFFSET_BITS", "31"): places.OFFSET_BITS == 31,
    ("planes.h", "MOST_VALUES", "65536u"): packing.MOST_ROWS == 65536,
    ("packer.h", "PACKED_ROWS", "65536u"): packing.MOST_ROWS == 65536,
}
"""What the core defines, as it is written there, and whether Python has the same."""


def test_the_core_is_built_for_the_limited_api():
    assert _core.__file__.endswith("_core.abi3.so")


def test_a_core_that_was_not_built_is_named_with_what_builds_it(monkeypatch):
    monkeypatch.delattr(mapprobe, "_core")
    monkeypatch.setitem(sys.modules, "mapprobe._core", None)

    with pytest.raises(MapprobeError, match=r"^mapprobe\._core: .*: build it with `make core`"):
        from mapprobe import _core  # noqa: F401


def test_every_c_file_is_built_once():
    listed = re.findall(r"'([^'/]+\.c)'", (CORE / "meson.build").read_text())

    assert sorted(listed) == sorted(path.name for path in CORE.glob("*.c"))


def test_codes_of_events_and_of_reasons_are_those_of_the_vocabulary():
    codes = _core.codes()

    assert codes["event_kind"] == [int(kind) for kind in vocabulary.EventKind]
    assert codes["inexact"] == [int(why) for why in vocabulary.Inexact]


@pytest.mark.parametrize(("file", "name", "value"), DEFINED, ids=str)
def test_what_core_and_python_both_define_is_the_same(file, name, value):
    assert re.search(rf"^#define {name} +{re.escape(value)}(?= |$)", (CORE / file).read_text(), re.MULTILINE)
    assert DEFINED[file, name, value]


def test_holdings_and_views_stand_in_the_order_of_the_schema():
    enums = re.findall(r"enum \{([^}]*)\}", (CORE / "charges.h").read_text())
    held, views = ([name.strip() for name in enum.split(",")] for enum in enums)

    assert held[-1] == "HOLDINGS"
    assert [getattr(holdings, name.removeprefix("HELD_")) for name in held[:-1]] == list(range(holdings.HOLDINGS))
    names = [column.name for column in schema.HOLDINGS]
    assert [re.sub("_(slots|bytes)$", "", name) for name in names] == [
        name.removeprefix("HELD_").lower() for name in held[:-1]
    ]
    assert views == [*(f"VIEW_{view.name}" for view in vocabulary.View), "VIEWS"]
    assert [getattr(holdings, name) for name in views] == [0, 1, 2, 3]
