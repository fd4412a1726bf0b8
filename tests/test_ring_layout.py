"""The layout of an event in the ring: held to the C struct that the probes fill."""

import os
import subprocess
from itertools import pairwise

import numpy as np
import pytest

from mapprobe.ring import event_dtype, layout_asserts
from toolchains import ROOT

DEPTH = 8
FIELDS = event_dtype(DEPTH).names

PROGRAM = """
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#include "map_event.h"
"""


@pytest.fixture
def complaints(tmp_path):
    """Give `complaints(dtype, depth)`: what the C compiler holds against a layout of struct map_event."""

    def compile_with(dtype, depth=DEPTH):
        source = tmp_path / "layout.c"
        source.write_text(PROGRAM)
        asserts = layout_asserts(dtype, "map_event")
        flags = [f"-I{ROOT / 'probes'}", f"-DSTACK_DEPTH={depth}", f"-DLAYOUT_ASSERTS={asserts}"]
        command = ["gcc", "-fsyntax-only", *flags, str(source)]
        english = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(command, env=english, capture_output=True, text=True, check=False).stderr

    return compile_with


def swapped(first, second):
    """Return the layout of an event with two of its fields in each other's place."""
    dtype = event_dtype(DEPTH)
    places = {first: second, second: first}
    return np.dtype([(places.get(name, name), dtype[places.get(name, name)]) for name in dtype.names])


@pytest.mark.parametrize("depth", [1, 8, 32])
def test_the_struct_is_laid_out_as_the_dtype(complaints, depth):
    assert complaints(event_dtype(depth), depth) == ""


@pytest.mark.parametrize(("first", "second"), list(pairwise(FIELDS)))
def test_two_fields_in_each_others_place_do_not_compile(complaints, first, second):
    assert f'static assertion failed: "map_event.{second}"' in complaints(swapped(first, second))


def test_a_stack_of_another_depth_does_not_compile(complaints):
    assert 'static assertion failed: "sizeof map_event"' in complaints(event_dtype(DEPTH), DEPTH + 1)


def test_an_event_has_no_holes():
    dtype = event_dtype(DEPTH)

    assert dtype.itemsize == sum(dtype[name].itemsize for name in dtype.names)
