"""Narrow tables: each column of int64 is held in memory as the smallest integer type that its values fit in.

Most figures of most maps are small: a million rows of twenty figures take 160 MB as int64, and 20 to 60 MB narrow.
Code that computes with a narrow column makes int64 of it first (`np.asarray(...).astype(np.int64)`), as sums may not
fit into the narrow type.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_AT_ONCE = 1 << 16
NARROWER = (pa.int8(), pa.int16(), pa.int32())


def gathered(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return the batches as one table, with each column of int64 as narrow as its values allow.

    Each batch is made narrow before the next one is read, so the wide table is never in memory.
    """
    columns: list[list[pa.Array]] = [[] for _ in schema]
    for batch in batches:
        for parts, column in zip(columns, batch.columns, strict=True):
            parts.append(_narrow(column))
    whole = [_joined(parts, field.type) for parts, field in zip(columns, schema, strict=True)]
    fields = [field.with_type(column.type) for field, column in zip(schema, whole, strict=True)]
    return pa.Table.from_arrays(whole, schema=pa.schema(fields, metadata=schema.metadata))


def narrowed(table: pa.Table) -> pa.Table:
    """Return the same table with each column of int64 as narrow as its values allow."""
    return gathered(table.to_batches(ROWS_AT_ONCE), table.schema)


def kept(table: pa.Table, is_kept: pa.ChunkedArray) -> pa.Table:
    """Return the rows for which `is_kept` is true; the table itself, not a copy, if they are all rows."""
    return table if pc.all(is_kept, min_count=0).as_py() else table.filter(is_kept)


def _narrow(column: pa.Array) -> pa.Array:
    if column.type != pa.int64():
        return column
    ends = pc.min_max(column)
    least, most = ends["min"].as_py() or 0, ends["max"].as_py() or 0
    for kind in NARROWER:
        limits = np.iinfo(kind.to_pandas_dtype())
        if limits.min <= least and most <= limits.max:
            return column.cast(kind)
    return column


def _joined(parts: list[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    """Return the arrays as one column, with the widest of their types if `kind` is int64."""
    if kind == pa.int64():
        kind = max((part.type for part in parts), key=lambda of: of.bit_width, default=NARROWER[0])
    return pa.chunked_array([part if part.type == kind else part.cast(kind) for part in parts], kind)
