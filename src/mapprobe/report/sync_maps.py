"""What reports say of sync.Maps (no maps inside from Go 1.24 on): how many there are, how many entries they hold."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FEWEST = 64
"""Entries of a sync.Map that is told of: Go's own libraries keep fewer, in a program that has no such map itself.
go: internal/godebug/godebug.go cache [1.21..1.27]"""


def sum_up(table: pa.Table) -> dict[str, object] | None:
    """Return what sync.Maps come to in the last census that was taken, None if none holds much.

    Parameters
    ----------
    table
        `tables.census.SYNC_MAPS`.

    Returns
    -------
    ``maps``, how many hold `FEWEST` entries or more; ``entries``, how many they hold; ``counted``: no more than that.
    """
    last = table.filter(pc.field("at_end") == pc.max(table["at_end"]))
    holding = last.filter((pc.field("entries") >= FEWEST) | ~pc.field("counted"))
    if not len(holding):
        return None
    counted = pc.all(holding["counted"]).as_py()
    return {"maps": len(holding), "entries": pc.sum(holding["entries"]).as_py(), "counted": counted}


def as_member(table: pa.Table) -> dict[str, object]:
    """Return what the ``recording`` object of a document has of sync.Maps: ``sync_maps``, or nothing."""
    sums = sum_up(table)
    return {"sync_maps": sums} if sums else {}


def tell_of(sums: dict[str, Any] | None) -> list[str]:
    """Return the line that says so, none if there are no such maps."""
    if not sums:
        return []
    maps, entries = f"{sums['maps']:,} sync.Map{'s' * (sums['maps'] != 1)}", f"{sums['entries']:,}"
    more = "" if sums["counted"] else "more than "
    return [f"not looked at: {maps} with {more}{entries} entries, no maps inside (internal/sync.HashTrieMap)"]
