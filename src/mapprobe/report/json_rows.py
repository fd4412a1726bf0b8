"""Write tables as rows of a JSON document, column by column.

`json` takes ten times as long, and needs all rows in memory at once. The output is byte for byte that of
`json.dumps(document, indent=1)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_AT_ONCE = 1 << 13
"""Rows whose texts are in memory at the same time."""
FLAGS = ("false", "true")

Rows = Iterator[str]
Texts = Callable[[pa.Array], list[str]]
"""Returns the values of a column as JSON."""


def write_document(
    out: TextIO, document: Mapping[str, Any], name: str, rows: pa.Table, forms: Mapping[str, Texts] | None = None
) -> None:
    """Write a document with rows as one of its members, and a line end.

    Parameters
    ----------
    document
        All members in order; the value of the member `name` is ignored.
    name, rows
        The member that has the rows, and its rows.
    forms
        For columns that are not written by `texts`: the function that writes them.
    """
    names = list(document)
    place = names.index(name)
    before = {key: document[key] for key in names[:place]}
    behind = {key: document[key] for key in names[place + 1 :]}
    head = json.dumps(before, indent=1, default=str)
    out.write(head[:-2] + "," if before else "{")
    out.write(f"\n {json.dumps(name)}: [")
    between = ""
    for text in texts_of(rows, forms or {}):
        out.write(f"{between}\n  {text}")
        between = ","
    out.write("\n ]" if len(rows) else "]")
    out.write("," + json.dumps(behind, indent=1, default=str)[1:] if behind else "\n}")
    out.write("\n")


def texts_of(rows: pa.Table, forms: Mapping[str, Texts]) -> Iterator[str]:
    """Yield each row as a JSON object, indented as an element of a list that is a document's member."""
    members = (f"\n   {json.dumps(name).replace('%', '%%')}: %s" for name in rows.column_names)
    form = "{" + ",".join(members) + "\n  }"
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows.slice(start, ROWS_AT_ONCE)
        columns = [forms.get(name, texts)(part[name].combine_chunks()) for name in part.column_names]
        yield from (form % row for row in zip(*columns, strict=True))


def texts(column: pa.Array) -> list[str]:
    """Return values as JSON; nested values are indented as members of a row."""
    kind = column.type
    if pa.types.is_boolean(kind) and not column.null_count:
        return [FLAGS[value] for value in np.asarray(column).tolist()]
    if pa.types.is_integer(kind):
        found: list[str] = column.cast(pa.string()).fill_null("null").to_pylist()
        return found
    if pa.types.is_string(kind):
        encoded = column.dictionary_encode()
        words = [json.dumps(word) for word in encoded.dictionary.to_pylist()] + ["null"]
        places = pc.fill_null(encoded.indices, len(words) - 1).to_pylist()
        return [words[place] for place in places]
    return [json.dumps(value, indent=1).replace("\n", "\n   ") for value in column.to_pylist()]


def addresses(column: pa.Array) -> list[str]:
    """Return addresses as JSON strings: "0xc000010000"."""
    return [f'"{value:#x}"' for value in column.to_pylist()]


def in_words(words: Mapping[Any, str]) -> Texts:
    """Return the function that writes codes as words."""
    found = {int(code): json.dumps(word) for code, word in words.items()}
    return lambda column: [found[code] for code in column.to_pylist()]
