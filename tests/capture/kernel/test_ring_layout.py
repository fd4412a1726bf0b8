"""The layout of an event in the ring equals the C structs that the probes fill and that the core reads."""

import os
import subprocess
from itertools import pairwise

import numpy as np
import pytest

from mapprobe.capture.kernel.ring import EVENT, layout_asserts
from support.toolchains import ROOT

DEPTH = 8
FIELDS = EVENT.names

PROGRAM = """
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#include "events.h"
"""
OF_THE_CORE = """
#include "ring.h"
LAYOUT_ASSERTS
"""


@pytest.fixture
def complaints(tmp_path):
    """Give `complaints(dtype)`: what the C compiler holds against a layout of struct map_event."""

    def compile_with(dtype):
        source = tmp_path / "layout.c"
        source.write_text(PROGRAM)
        asserts = layout_asserts(dtype, "map_event")
        flags = [f"-I{ROOT / 'probes'}", f"-DSTACK_DEPTH={DEPTH}", f"-DLAYOUT_ASSERTS={asserts}"]
        command = ["gcc", "-fsyntax-only", *flags, str(source)]
        english = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(command, env=english, capture_output=True, text=True, check=False).stderr

    return compile_with


def test_the_struct_of_the_core_is_laid_out_as_the_dtype(tmp_path):
    source = tmp_path / "layout.c"
    source.write_text(OF_THE_CORE)
    asserts = layout_asserts(EVENT, "map_event")
    command = ["gcc", "-std=c11", "-fsyntax-only", f"-I{ROOT / 'src' / 'core'}", f"-DLAYOUT_ASSERTS={asserts}", source]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


def swapped(first, second):
    """Return the layout of an event with two of its fields in each other's place."""
    places = {first: second, second: first}
    return np.dtype([(places.get(name, name), EVENT[places.get(name, name)]) for name in FIELDS])


def test_the_struct_is_laid_out_as_the_dtype(complaints):
    assert complaints(EVENT) == ""


@pytest.mark.parametrize(("first", "second"), list(pairwise(FIELDS)))
def test_two_fields_in_each_others_place_do_not_compile(complaints, first, second):
    assert f'static assertion failed: "map_event.{second}"' in complaints(swapped(first, second))


def test_a_struct_of_another_size_does_not_compile(complaints):
    longer = np.dtype([*((name, EVENT[name]) for name in FIELDS), ("more", "<u8")])

    assert 'static assertion failed: "sizeof map_event"' in complaints(longer)


def test_an_event_has_no_holes():
    assert EVENT.itemsize == sum(EVENT[name].itemsize for name in FIELDS)
