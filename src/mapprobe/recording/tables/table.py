"""The tables of a recording: what columns a table has, and the default for a column that an older recording lacks."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

VERSION = 4
"""Version of the recording format, stored in every file's schema metadata."""


@dataclass(frozen=True, slots=True)
class Like:
    """The default of a column that has the values of another one where it is lacking."""

    column: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, unit ('' for none) and meaning.

    Attributes
    ----------
    default
        Value of a column that an older recording does not have, or `Like` another column; None: null where the column
        is nullable, else the column is required.
    """

    name: str
    type: pa.DataType
    doc: str
    unit: str = ""
    nullable: bool = False
    default: object = None

    @property
    def may_lack(self) -> bool:
        """True if a recording without the column is read all the same."""
        return self.nullable or self.default is not None


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its file name without ending, what a row is, and its columns."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with doc and unit as field metadata and the format version on top."""
        fields = [
            pa.field(c.name, c.type, nullable=c.nullable, metadata={"doc": c.doc, "unit": c.unit}) for c in self.columns
        ]
        return pa.schema(fields, metadata={"mapprobe.table": self.name, "mapprobe.version": str(VERSION)})

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [c.name for c in self.columns]
