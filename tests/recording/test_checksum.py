"""Checksums of tables depend on the values alone, not on batches; any difference in values shows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapprobe.recording.checksum import checksum

KINDS = {
    pa.int64(): st.integers(-5, 5), pa.uint8(): st.integers(0, 3), pa.float64(): st.floats(0, 1),
    pa.bool_(): st.booleans(), pa.string(): st.text(max_size=3),
    pa.list_(pa.uint32()): st.lists(st.integers(0, 2), max_size=3),
    pa.list_(pa.uint64(), 2): st.lists(st.integers(0, 2), min_size=2, max_size=2),
}  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.DataType, list[object]]:
    kind = draw(st.sampled_from(list(KINDS)))
    return kind, draw(st.lists(st.none() | KINDS[kind], max_size=6))


def table(kind: pa.DataType, rows: list[object], *cuts: int) -> pa.Table:
    ends = [*sorted(cuts), len(rows)]
    chunks = [pa.array(rows, kind)[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return pa.table({"column": pa.chunked_array(chunks, kind)})


@given(columns(), st.data())
def test_a_table_may_be_cut_anywhere(column: tuple[pa.DataType, list[object]], data: st.DataObject) -> None:
    kind, rows = column
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=3))
    assert checksum(table(kind, rows, *cuts)) == checksum(table(kind, rows))


@given(columns(), st.data())
def test_one_other_value_shows(column: tuple[pa.DataType, list[object]], data: st.DataObject) -> None:
    kind, rows = column
    other = data.draw(st.lists(st.none() | KINDS[kind], min_size=len(rows), max_size=len(rows)))
    assert (checksum(table(kind, rows)) == checksum(table(kind, other))) == (rows == other)


@pytest.mark.parametrize("rows", [["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None]], ids=str)
def test_where_one_text_ends_and_the_next_begins_counts(rows: list[str]) -> None:
    others = [other for other in (["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None]) if other != rows]
    assert checksum(table(pa.string(), rows)) not in {checksum(table(pa.string(), other)) for other in others}
