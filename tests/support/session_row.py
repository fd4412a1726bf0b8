"""A row of the table `session`, made by hand."""

from __future__ import annotations

import pyarrow as pa

from mapprobe.recording.tables import schema

SESSION_ROW = {
    name: [None if column.nullable else {pa.bool_(): True, pa.string(): "x"}.get(column.type, 1)]
    for name, column in ((c.name, c) for c in schema.SESSION.columns)
} | {"command": [["a", "b"]]}
