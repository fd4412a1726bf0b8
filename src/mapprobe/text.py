"""Names of files, functions and processes as a terminal or a spreadsheet may show them. Names are hostile."""

from __future__ import annotations

FORMULA = tuple("=+-@\t\r")
"""A cell of a spreadsheet that begins with one of these may be run as a formula."""


def printable(text: str) -> str:
    """Return a line as a terminal may show it: nothing in a name moves the cursor, or turns round what follows."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def as_cell(text: str) -> str:
    """Return a text as a cell of a CSV file: printable, and no formula, as an apostrophe in front makes it a text."""
    return printable(f"'{text}" if text.startswith(FORMULA) else text)
