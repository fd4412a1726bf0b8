"""Numbers of bytes in the form in which people read them."""

from __future__ import annotations

ROUNDS_TO_NEXT = 1023.95
"""From here on a number with one decimal reads 1024.0, so the next unit is used."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def human_bytes(count: int) -> str:
    """Return a number of bytes with a binary unit: 1.5 MiB."""
    size = float(count)
    for unit in UNITS:
        if abs(size) < ROUNDS_TO_NEXT or unit == UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")
