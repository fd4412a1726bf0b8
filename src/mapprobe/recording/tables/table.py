"""`Table` and `Column`, from which all tables of a recording are built, and the version of the format."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

VERSION = 4
"""Version of the recording format, stored in every file's schema metadata."""


@dataclass(frozen=True, slots=True)
class Like:
    """Default for a column that a recording lacks: the values of the column named here."""

    column: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type, meaning and unit ('' for none).

    Attributes
    ----------
    default
        The value, or `Like` another column, if an older recording lacks the column. None: the values are null if the
        column is nullable; else the column is required.
    """

    name: str
    type: pa.DataType
    doc: str
    unit: str = ""
    nullable: bool = False
    default: object = None

    @property
    def may_lack(self) -> bool:
        """True if a recording may lack the column."""
        return self.nullable or self.default is not None


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its file name without `.arrow`, what one row is, and its columns."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema: each field has `doc` and `unit` as metadata, the schema has name and version."""
        fields = [
            pa.field(c.name, c.type, nullable=c.nullable, metadata={"doc": c.doc, "unit": c.unit}) for c in self.columns
        ]
        return pa.schema(fields, metadata={"mapprobe.table": self.name, "mapprobe.version": str(VERSION)})

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [c.name for c in self.columns]
