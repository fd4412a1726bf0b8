"""The tables of a recording, compared with Arrow and with the contract."""

import pytest

from mapprobe import vocabulary
from mapprobe.recording.tables import schema

TABLES = (*schema.RECORDED, *schema.REPLAYED)

CONTRACT = (
    "maps, growths, inserts, updates, deletes, clears, live_slots, dead_slots, virgin_slots, slots, buckets, "
    "retained_buckets, allocated_bytes, needed_bytes, retained_bytes, peak_live_slots"
)
"""MEASURES, as the contract writes them."""


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


def test_every_view_has_its_columns_in_the_order_of_views():
    by_view = [column.name for column in schema.CHARGES.columns if column.name.startswith(tuple(vocabulary.VIEWS))]

    assert by_view == [f"{view}_{column.name}" for view in vocabulary.VIEWS for column in schema.CHARGED_BY_VIEW]


def test_all_that_a_map_holds_is_charged_once_or_by_view():
    derived = {"slots", "virgin_slots"}
    charged = {column.name for column in (*schema.CHARGED_ONCE, *schema.CHARGED_BY_VIEW)} - {"never_used_slots"}

    assert charged | derived == {column.name for column in schema.HOLDINGS}


def test_every_kind_of_inexact_has_its_reason():
    assert list(vocabulary.INEXACT_REASONS) == list(vocabulary.Inexact)


def test_only_what_is_exact_needs_no_reason():
    assert [kind for kind, reason in vocabulary.INEXACT_REASONS.items() if not reason] == [vocabulary.Inexact.EXACT]
