"""The result of a replay: the tables from which a report is made without another replay.

A replay and a census have amounts, places and times of maps in arrays. Only this module turns the arrays into tables,
with names, types and order of the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mapprobe.arrays import I64, U32
from mapprobe.recording.narrow import narrowed
from mapprobe.recording.tables import schema
from mapprobe.vocabulary import NONE


@dataclass(frozen=True, slots=True)
class Replayed:
    """The tables of `schema.REPLAYED`; their columns of int64 may be narrow (`narrow`)."""

    maps: pa.Table
    charges: pa.Table
    stack_operations: pa.Table
    peaks: pa.Table
    unsettled: pa.Table

    def narrowed(self) -> Replayed:
        """Return the same tables with narrow columns."""
        return Replayed(*map(narrowed, self.tables()))

    def tables(self) -> tuple[pa.Table, ...]:
        """Return the tables in the order of `schema.REPLAYED`."""
        return self.maps, self.charges, self.stack_operations, self.peaks, self.unsettled


def no_rows(table: schema.Table) -> pa.Table:
    """Return a table without rows; made when it is needed, as the first array that pyarrow makes loads pandas."""
    return table.schema.empty_table()


def map_rows(maps: Mapping[str, Any], amounts: I64, charged_to: U32, first: int = 0) -> pa.Table:
    """Return rows of `schema.MAPS`.

    Parameters
    ----------
    maps
        All columns but those that follow from the other parameters.
    amounts
        `schema.HOLDINGS` of each map, ``(HOLDINGS, maps)``.
    charged_to
        The one stack that is charged for all that each map holds; `vocabulary.NONE` if there is none.
    first
        Id of the first map.
    """
    columns = {
        "map_id": first + np.arange(len(charged_to)),
        **{column.name: amounts[n] for n, column in enumerate(schema.HOLDINGS)},
        "charged_to": pa.array(charged_to, pa.uint32(), mask=charged_to == NONE),
    }
    return _table(schema.MAPS, columns | dict(maps))


def stack_rows(maps: I64, operations: Mapping[str, I64] | np.ndarray, peak: I64) -> pa.Table:
    """Return `schema.STACK_OPERATIONS` from the maps that each stack made, its operations, and its most entries."""
    columns = {"stack_id": np.arange(len(maps)), "maps": maps, schema.PEAK.name: peak}
    return _table(
        schema.STACK_OPERATIONS, columns | {column.name: operations[column.name] for column in schema.OPERATIONS}
    )


def peak_rows(total: I64, sites: I64, types: I64) -> pa.Table:
    """Return `schema.PEAKS` from the most entries of all maps, ``(1,)``, of those of each site, and of each type."""
    columns = {
        "group": ["total"] * len(total) + ["site"] * len(sites) + ["type"] * len(types),
        "id": [*range(len(total)), *range(len(sites)), *range(len(types))],
        schema.PEAK.name: np.concatenate([total, sites, types]),
    }
    return _table(schema.PEAKS, columns)


def replaced(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the table with other values in one column, cast to the column's type."""
    number = table.column_names.index(name)
    return table.set_column(number, table.schema.field(number), values.cast(table.schema.field(number).type))


def _table(table: schema.Table, columns: Mapping[str, Any]) -> pa.Table:
    def array(column: schema.Column) -> pa.Array:
        values = columns[column.name]
        if isinstance(values, np.ndarray):  # a field of the core's rows has another type, and is not contiguous
            is_whole = values.flags.c_contiguous and len(values) > 1
            values = np.array(values, column.type.to_pandas_dtype(), copy=None if is_whole else True)
        is_arrow = isinstance(values, pa.Array | pa.ChunkedArray)
        return values if is_arrow else pa.array(values, column.type)

    return pa.Table.from_arrays([array(column) for column in table.columns], schema=table.schema)
