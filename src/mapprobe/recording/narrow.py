"""Tables whose columns of int64 take as few bytes in memory as their values need.

Most figures of most maps are small: a million rows of twenty figures are 160 MB as int64, and 20 to 60 MB like this.
Whoever reads a narrow column makes int64 of it (`np.asarray(...).astype(np.int64)`): sums of small numbers are not
small.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_AT_ONCE = 1 << 16
NARROWER = (pa.int8(), pa.int16(), pa.int32())


def gathered(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return batches of a schema as a table, each column of int64 as narrow as its values allow.

    Each batch is made narrow as it comes: the wide table is never there.
    """
    columns: list[list[pa.Array]] = [[] for _ in schema]
    for batch in batches:
        for parts, column in zip(columns, batch.columns, strict=True):
            parts.append(_narrow(column))
    whole = [_joined(parts, field.type) for parts, field in zip(columns, schema, strict=True)]
    fields = [field.with_type(column.type) for field, column in zip(schema, whole, strict=True)]
    return pa.Table.from_arrays(whole, schema=pa.schema(fields, metadata=schema.metadata))


def narrowed(table: pa.Table) -> pa.Table:
    """Return a table with its columns of int64 as narrow as their values allow."""
    return gathered(table.to_batches(ROWS_AT_ONCE), table.schema)


def kept(table: pa.Table, is_kept: pa.ChunkedArray) -> pa.Table:
    """Return the rows that are kept; the table itself if all are."""
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
    """Return arrays as one column, of the widest of their types."""
    if kind == pa.int64():
        kind = max((part.type for part in parts), key=lambda of: of.bit_width, default=NARROWER[0])
    return pa.chunked_array([part if part.type == kind else part.cast(kind) for part in parts], kind)
