"""The one list of tables: held to the C struct that fills it, to Arrow, and to the contract."""

import os
import subprocess
from itertools import pairwise

import numpy as np
import pytest

from mapprobe import schema
from toolchains import ROOT

TABLES = (*schema.RECORDED, *schema.REPLAYED)
DEPTH = 8
FIELDS = schema.ring_event(DEPTH).names

PROGRAM = """
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#include "map_event.h"
"""

CONTRACT = (
    "maps, growths, inserts, updates, deletes, clears, live_slots, dead_slots, virgin_slots, slots, buckets, "
    "retained_buckets, allocated_bytes, needed_bytes, retained_bytes, peak_live_slots"
)
"""MEASURES, as the contract writes them."""


@pytest.fixture
def complaints(tmp_path):
    """Give `complaints(dtype, depth)`: what the C compiler holds against a layout of struct map_event."""

    def compile_with(dtype, depth=DEPTH):
        source = tmp_path / "layout.c"
        source.write_text(PROGRAM)
        asserts = schema.layout_asserts(dtype, "map_event")
        flags = [f"-I{ROOT / 'probes'}", f"-DSTACK_DEPTH={depth}", f"-DLAYOUT_ASSERTS={asserts}"]
        command = ["gcc", "-fsyntax-only", *flags, str(source)]
        english = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(command, env=english, capture_output=True, text=True, check=False).stderr

    return compile_with


def swapped(first, second):
    """Return the layout of an event with two of its fields in each other's place."""
    dtype = schema.ring_event(DEPTH)
    places = {first: second, second: first}
    return np.dtype([(places.get(name, name), dtype[places.get(name, name)]) for name in dtype.names])


@pytest.mark.parametrize("depth", [1, 8, 32])
def test_the_struct_is_laid_out_as_the_dtype(complaints, depth):
    assert complaints(schema.ring_event(depth), depth) == ""


@pytest.mark.parametrize(("first", "second"), list(pairwise(FIELDS)))
def test_two_fields_in_each_others_place_do_not_compile(complaints, first, second):
    assert f'static assertion failed: "map_event.{second}"' in complaints(swapped(first, second))


def test_a_stack_of_another_depth_does_not_compile(complaints):
    assert 'static assertion failed: "sizeof map_event"' in complaints(schema.ring_event(DEPTH), DEPTH + 1)


def test_an_event_has_no_holes():
    dtype = schema.ring_event(DEPTH)

    assert dtype.itemsize == sum(dtype[name].itemsize for name in dtype.names)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_arrow_schema_carries_the_format_version(table):
    assert table.schema.metadata[b"mapprobe.version"] == str(schema.VERSION).encode()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_arrow_schema_carries_the_name_of_its_table(table):
    assert table.schema.metadata[b"mapprobe.table"] == table.name.encode()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_arrow_fields_are_the_columns_in_order(table):
    expected = [(column.name, column.type, column.nullable) for column in table.columns]

    assert [(field.name, field.type, field.nullable) for field in table.schema] == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_arrow_fields_carry_meaning_and_unit(table):
    expected = [{b"doc": column.doc.encode(), b"unit": column.unit.encode()} for column in table.columns]

    assert [field.metadata for field in table.schema] == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_has_no_two_columns_of_one_name(table):
    assert len(set(table.names)) == len(table.names)


def test_no_two_tables_have_one_name():
    assert len({table.name for table in TABLES}) == len(TABLES)


def test_measures_are_those_of_the_contract_in_its_order():
    assert ", ".join(schema.MEASURES) == CONTRACT


def test_views_are_coded_as_their_column_says():
    (view,) = (column for column in schema.CHARGES.columns if column.name == "view")

    assert ", ".join(f"{code} {view}" for code, view in enumerate(schema.VIEWS)) == view.doc


def test_every_kind_of_inexact_has_its_reason():
    assert list(schema.INEXACT_REASONS) == list(schema.Inexact)


def test_only_what_is_exact_needs_no_reason():
    assert [kind for kind, reason in schema.INEXACT_REASONS.items() if not reason] == [schema.Inexact.EXACT]
