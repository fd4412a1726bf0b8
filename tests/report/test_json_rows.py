"""Rows of a JSON document equal the output of `json.dumps`, byte for byte."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.report.json_rows import ROWS_AT_ONCE, addresses, in_words, write_document

SITE = pa.struct({"function": pa.string(), "line": pa.int64()})
KINDS = {
    "count": pa.int64(),
    "address": pa.uint64(),
    "is it": pa.bool_(),
    'a "name" of 100 %': pa.string(),
    "stack": pa.list_(SITE),
}
sites = st.fixed_dictionaries({"function": st.text(), "line": st.integers(0, 9)})
rows = st.fixed_dictionaries(
    {
        "count": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "address": st.integers(0, (1 << 64) - 1),
        "is it": st.none() | st.booleans(),
        'a "name" of 100 %': st.none() | st.text(),
        "stack": st.none() | st.lists(sites, max_size=3),
    }
)


def table_of(found: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(found, pa.schema(list(KINDS.items())))


def written(document: dict[str, Any], found: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    write_document(out, document, "rows", table_of(found))
    return out.getvalue()


@given(found=st.lists(rows, max_size=5))
@pytest.mark.parametrize("before", [{}, {"a": 1, "b": {"rows": []}}])
@pytest.mark.parametrize("behind", [{}, {"other": {"rows": 3, "most": None}}])
def test_rows_are_written_as_json_writes_them(
    found: list[dict[str, Any]], before: dict[str, Any], behind: dict[str, Any]
) -> None:
    expected = json.dumps(before | {"rows": table_of(found).to_pylist()} | behind, indent=1) + "\n"
    assert written(before | {"rows": None} | behind, found) == expected


def test_more_rows_than_are_written_at_once_are_written() -> None:
    found = [{"count": n, "address": n, "is it": True, 'a "name" of 100 %': f"n{n}", "stack": []} for n in range(9000)]
    assert len(found) > ROWS_AT_ONCE
    assert json.loads(written({"rows": None}, found)) == {"rows": found}


def test_codes_and_addresses_have_their_own_forms() -> None:
    assert addresses(pa.array([0, 0xC000010000], pa.uint64())) == ['"0x0"', '"0xc000010000"']
    assert in_words({1: 'one "'})(pa.array([1, 1], pa.uint8())) == ['"one \\""'] * 2
